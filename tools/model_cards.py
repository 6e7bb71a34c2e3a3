"""Count strides and parameters of every backbone in linbench/published/models.csv, and read timm's licences.

    python tools/model_cards.py          # rewrite the file

A registered backbone that has no row gets one; write its mixer, licence and weights by hand. Rows of names that are
not registered stay as they are. Everything is built without data.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch

from linbench.backbones import backbone, build_backbone
from linbench.published.models import SIDE

FILE = Path(__file__).resolve().parent.parent / "linbench" / "published" / "models.csv"
COLUMNS = ("name", "mixer", "strides", "parameters", "licence", "weights")


def main() -> None:
    """Rewrite the file."""
    rows = {row["name"]: row for row in csv.DictReader(FILE.read_text(encoding="utf-8").splitlines())}
    for name, entry in backbone.items():
        if not name.endswith("/*") and entry.source.startswith("linbench."):
            rows.setdefault(name, dict.fromkeys(COLUMNS, "") | {"name": name, "weights": "no"})
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(counted(row) if name in backbone else row for name, row in rows.items())


def counted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the numbers of today."""
    with torch.device("meta"):
        model: Any = build_backbone(row["name"], image_size=SIDE)
    numbers = {"strides": " ".join(map(str, model.strides)), "parameters": sum(p.numel() for p in model.parameters())}
    family, slash, member = row["name"].partition("/")
    if family == "timm" and slash:
        config = timm.get_pretrained_cfg(member)
        numbers |= {"licence": config.license, "weights": "yes" if config.has_weights else "no"}
    return {**row, **numbers}


if __name__ == "__main__":
    main()
