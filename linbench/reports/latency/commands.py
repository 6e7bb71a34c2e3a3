"""The commands that measure again what is in doubt."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from linbench.reports.latency.rows import DESIGN, WHOLE, conditions
from linbench.reports.render.plain_text import plain
from linbench.reports.statistics.latency_summary import FEWEST_ROUNDS
from linbench.reports.statistics.quality import COLUMNS, quality

PRESETS = ("paper", "best", "deployed")  # those that a command names; other settings were given by hand
MOST_BACKBONES = 10  # in one command
LONGEST_NAME = 80  # characters


def measure_again(rows: pd.DataFrame, results: str = "results") -> list[str]:
    """Return the commands that measure the doubtful ok cells of one comparison; empty where there are none.

    Cells of a command that have enough undisturbed rounds are skipped when it runs. Settings given by hand are not
    repeated: there is no command for the preset ``custom``.

    results: The folder of the records.
    """
    key, ok = conditions(rows), rows[rows["status"] == "ok"]
    doubtful = ok[[bool(quality(row).doubt) for row in ok[list(COLUMNS)].to_dict(orient="records")]]
    if doubtful.empty or key.get("preset") not in PRESETS:
        return []
    folder = [] if results == "results" else ["--results", results]
    cells = doubtful.assign(redo=_redo(doubtful)).sort_values(["pixels", "height"], kind="stable")
    commands = []
    for _, alike in cells.groupby(["redo", "options"], sort=False):
        backbones = [_name(name) for name in rows["backbone"].unique() if name in set(alike["backbone"])]
        for start in range(0, len(backbones), MOST_BACKBONES):
            names = ",".join(backbones[start : start + MOST_BACKBONES])
            commands.append(shlex.join(["linbench", "run", "--backbone", names, *_options(alike, key), *folder]))
    return commands


def _redo(cells: pd.DataFrame) -> list[str]:
    """Return for each doubtful cell the ``--redo`` that its command has, empty where more rounds suffice.

    A stale record is only measured again as such, and a disturbed one has its rounds already. A cell that lacks
    rounds goes with the others.
    """
    known = [quality(row) for row in cells.to_dict(orient="records")]
    redo = ["stale" if q.is_stale else "disturbed" if q.is_disturbed or q.is_throttled else "" for q in known]
    first = next(filter(None, redo), "")
    return [value or first for value in redo]


def _options(cells: pd.DataFrame, key: Mapping[str, Any]) -> list[str]:
    """Return the options that lead to the keys of the cells again; defaults that hold everywhere are left out."""
    sides = zip(cells["height"], cells["width"], strict=True)
    options = ["--res", ",".join(dict.fromkeys(str(h) if h == w else f"{h}x{w}" for h, w in sides))]
    options += ["--preset", str(key["preset"])]
    part, prompts = str(cells["part"].iloc[0]), int(cells["prompts"].iloc[0])
    options += ["--part", _name(part)] if part != WHOLE["part"] else []
    options += ["--prompts", str(prompts)] if prompts > 1 else []
    fusions = [_name(fusion) for fusion in dict.fromkeys(cells["fusion"]) if fusion != WHOLE["fusion"]]
    options += ["--fusion", ",".join(fusions)] if fusions not in ([], [DESIGN]) else []
    for name, value in json.loads(cells["options"].iloc[0]).items():
        options += ["--option", _name(f"{name}={json.dumps(value)}")]
    options += ["--dtype", _name(key["dtype"])] if key.get("dtype", "float32") != "float32" else []
    if key.get("device_type") == "cpu":
        options += ["--device", "cpu", *(["--threads", str(key["threads"])] if "threads" in key else [])]
    options += ["--energy"] if str(key.get("mode", "")).endswith("energy") else []
    redo = str(cells["redo"].iloc[0])
    return [*options, "--rounds", str(FEWEST_ROUNDS), *(["--redo", redo] if redo else [])]


def _name(value: object) -> str:
    return plain(str(value))[:LONGEST_NAME]
