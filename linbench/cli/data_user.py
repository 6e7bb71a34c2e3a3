"""The options of ``linbench data`` that name a user's images, masks and annotations."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linbench.cli.refusal import refuse

if TYPE_CHECKING:
    from linbench.data.contract import Dataset


@dataclass(frozen=True)
class UserFlags:
    """The values of ``--images``, ``--masks``, ``--annotations`` and ``--name``."""

    images: str | None
    masks: Path | None
    annotations: Path | None
    name: str | None

    @property
    def names_files(self) -> bool:
        """Whether one of the flags applies to the user's data alone."""
        return bool(self.masks or self.annotations or self.name)

    def count(self) -> int | None:
        """Return ``--images`` as how many images the embedded dataset has; refuse what is no number from 1 on."""
        if self.images is None:
            return None
        if not self.images.isdecimal() or not int(self.images):
            refuse(
                f"--images {self.images}: write a whole number from 1 on, for the embedded dataset; a folder "
                "goes with --masks or --annotations"
            )
        return int(self.images)

    def open(self, kind: str, data: str | None, split: str | None, size: int | None) -> "Dataset[Any]":
        """Open the user's data as ``masks`` or ``coco``; refuse what does not go together.

        data, split, size: Of registered datasets, refused here.
        Raises BadDataset.
        """
        from linbench.data.custom import CocoData, MaskData

        for flag, value in (("--data", data), ("--split", split), ("--size", size)):
            if value is not None:
                refuse(f"{flag} {value}: {kind} is read from --images alone here; drop {flag}")
        if kind == "masks":
            images, masks = self._both("masks", "--masks", self.masks, "--annotations", self.annotations)
            return MaskData(images, masks, self.name).open()
        if kind != "coco":
            flags = {"--masks": self.masks, "--annotations": self.annotations, "--name": self.name}
            given = next(flag for flag, value in flags.items() if value is not None)
            refuse(f"{given}: {kind} has no such option; `masks` and `coco` read your files")
        images, annotations = self._both("coco", "--annotations", self.annotations, "--masks", self.masks)
        return CocoData(images, annotations, self.name).open()

    def _both(
        self, kind: str, flag: str, value: Path | None, other_flag: str, other: Path | None
    ) -> tuple[Path, Path]:
        """Return the folder of images and the value of the other flag; refuse where one is missing."""
        if other is not None:
            refuse(f"{other_flag} {other}: {kind} is read from --images and {flag}")
        if self.images is None or value is None:
            missing = "--images" if self.images is None else flag
            refuse(f"{missing} is missing: {kind} is read from --images DIR and {flag}")
        return Path(self.images), value
