"""What a training needs of others, the paper's datasets and its teacher: how much it is, and who publishes it."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Download:
    """A dataset's split or a checkpoint as its owners publish it.

    images, masks: As published; None where that is not counted.
    gigabytes: Of its files; None where the owners do not say.
    source: Who publishes it, and its files.
    """

    name: str
    split: str
    images: int | None
    masks: int | None
    gigabytes: float | None
    source: str

    @property
    def masks_per_image(self) -> int:
        """The mean number of masks of an image, rounded; 1 where it is not counted."""
        return max(1, round(self.masks / self.images)) if self.masks and self.images else 1


@cache
def downloads() -> dict[tuple[str, str], Download]:
    """Read ``downloads.csv`` of this package: what is published, by its name and split."""
    text = (files(__package__) / "downloads.csv").read_text(encoding="utf-8")
    entries = [
        Download(
            row["name"],
            row["split"],
            images=int(row["images"]) if row["images"] else None,
            masks=int(row["masks"]) if row["masks"] else None,
            gigabytes=float(row["gigabytes"]) if row["gigabytes"] else None,
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    ]
    return {(entry.name, entry.split): entry for entry in entries}
