"""Official checkpoints: where their owners publish them, under which licence, and for which model.

``weights.csv`` has a row for each; no weights come with linbench. ``bytes`` and ``sha256`` are filled only where a
page or a pointer file shows them, so a hash may be that of a mirror that its source names; 8 digits are those that a
file's name carries.
"""

import csv
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path

from linbench.system.files import cache_dir


@dataclass(frozen=True)
class PublishedWeights:
    """An official checkpoint.

    variant: Tells the checkpoints of one model apart; empty where there is one.
    task: ``sam`` or ``classifier``.
    url: Empty where none was released, or where its address was not found.
    bytes: None where no page shows it.  size: As the page prints it, such as 115 MB.
    sha256: The whole hash, its first 8 digits, or empty.
    wrapper: What is known of the file's content.
    """

    model: str
    variant: str
    task: str
    file: str
    url: str
    bytes: int | None
    size: str
    sha256: str
    licence: str
    trained_on: str
    image_size: int
    wrapper: str
    source: str

    @property
    def name(self) -> str:
        """The model, and its variant where it has several."""
        return f"{self.model}:{self.variant}" if self.variant else self.model

    @property
    def path(self) -> Path:
        """Where ``linbench weights get`` puts the file."""
        return cache_dir("weights", self.model, self.file)

    def format_size(self) -> str:
        """Return the file's size for a person, empty where it is unknown."""
        if self.bytes is None:
            return self.size
        return f"{self.bytes / 1e9:.2f} GB" if self.bytes >= 1e9 else f"{self.bytes / 1e6:.0f} MB"


@cache
def published_weights() -> tuple[PublishedWeights, ...]:
    """Read ``weights.csv`` of this package."""
    text = (files(__package__) / "weights.csv").read_text(encoding="utf-8")
    return tuple(_entry(row) for row in csv.DictReader(text.splitlines()))


def _entry(row: dict[str, str]) -> PublishedWeights:
    size = int(row["bytes"]) if row["bytes"] else None
    return PublishedWeights(**{**row, "bytes": size, "image_size": int(row["image_size"])})  # type: ignore[arg-type]


def find_weights(name: str) -> PublishedWeights:
    """Return the official checkpoint called ``MODEL`` or ``MODEL:VARIANT``; of several the first of the model.

    Raises ValueError that names the nearest one, or says that none was released.
    """
    model, _, variant = name.partition(":")
    of_model = [entry for entry in published_weights() if entry.model == model]
    if not of_model:
        known = list(dict.fromkeys(entry.model for entry in published_weights()))
        near = get_close_matches(model, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"NAME {model}: {hint}`linbench weights list` shows the models with official weights")
    chosen = [entry for entry in of_model if variant in ("", entry.variant)]
    if not chosen:
        variants = ", ".join(entry.variant for entry in of_model if entry.variant) or "none"
        raise ValueError(f"NAME {name}: {model} has no variant {variant}; allowed are {variants}")
    if not chosen[0].url:
        raise ValueError(f"NAME {name}: {chosen[0].wrapper or 'no weights were released'} ({chosen[0].source})")
    return chosen[0]


def is_official(checkpoint: str) -> bool:
    """Return whether a checkpoint is named ``official`` or ``official:VARIANT``, not by a file."""
    return checkpoint.partition(":")[0] == "official" and not Path(checkpoint).exists()


def official_checkpoint(model: str, checkpoint: str) -> Path:
    """Return the file of a model's official weights on this machine.

    checkpoint: ``official`` or ``official:VARIANT``.

    Raises ValueError with the command that gets them, where they are not here.
    """
    entry = find_weights(model + checkpoint.removeprefix("official"))
    if not entry.path.is_file():
        facts = ", ".join(fact for fact in (entry.format_size(), entry.licence) if fact)
        raise ValueError(
            f"--checkpoint official: the weights of {entry.name} are not here; run `linbench weights get "
            f"{entry.name}` ({facts})"
        )
    return entry.path
