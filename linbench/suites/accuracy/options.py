"""The options of the accuracy suites."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linbench.suites.runner.model_options import FusionOptions, ModelOptions
from linbench.suites.runner.options import option
from linbench.suites.runner.resolutions import Size, resolutions

if TYPE_CHECKING:
    from linbench.data.custom import CocoData, MaskData


class Branch(StrEnum):
    """The sets of weights that one checkpoint may hold."""

    MODEL = "model"
    EMA = "ema"


def number_or_folder(text: str) -> int | Path:
    """Read ``--images``: how many images, or the folder of images."""
    try:
        number = int(text)
    except ValueError:
        return Path(text)
    if number < 1:
        raise ValueError(f"--images {text}: at least 1 is allowed")
    return number


@dataclass(frozen=True, kw_only=True)
class WeightOptions(ModelOptions):
    """The options that choose models and their weights."""

    backbones: tuple[str, ...] = option(
        (),
        "Models, and groups such as @seed, by comma; default those of --checkpoint, or the tiny variants.",
        flag="--backbone",
        comma=True,
        panel="Model",
    )
    resolutions: tuple[Size, ...] = option(
        (),
        "1024, 512..2048, lists; default the checkpoint's or the model's own, else 1024 (imagenet 224, ade20k 512).",
        flag="--res",
        parse=lambda text: tuple(resolutions(text)),
        panel="Model",
    )
    checkpoints: tuple[str, ...] = option(
        (),
        "FILE, or NAME=FILE of one of several models; repeatable.",
        flag="--checkpoint",
        repeatable=True,
        panel="Weights",
    )
    weights: Branch | None = option(
        None,
        "model or ema, of a checkpoint that holds both; default as its source evaluates.",
        choices=tuple(Branch),
        panel="Weights",
    )
    random: bool = option(False, "Random weights, for smoke tests.", kind=bool, panel="Weights")
    seed: int = option(0, "Seed of the order of cells and of random weights.", kind=int, shown="0")


@dataclass(frozen=True, kw_only=True)
class AccuracyOptions(WeightOptions):
    """The options of every accuracy suite: its dataset, and which images."""

    data: str | None = option(
        None,
        "Folder of all datasets, or shapes; default LINBENCH_DATA, or shapes.",
        panel="Dataset",
    )
    protocol: str | None = option(
        None,
        "keep-aspect or squash-1024; ade20k: whole or slide; default the suite's own.",
        panel="Dataset",
    )
    images: int | None = option(None, "The first N images; default all.", kind=int, minimum=1, panel="Dataset")
    max_bad: int = option(
        0, "Bad images and annotations that may be skipped.", kind=int, minimum=0, panel="Dataset", shown="0"
    )
    eval_batch: int = option(
        4, "Images prepared ahead; no score depends on it.", kind=int, minimum=1, panel="Dataset", shown="4"
    )

    @property
    def most_images(self) -> int | None:
        """How many images are evaluated, the first of the dataset; None for all."""
        return self.images

    @property
    def user_data(self) -> "MaskData | CocoData | None":
        """The data that the options name file by file; None where a registered dataset is evaluated."""
        return None


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions(AccuracyOptions, FusionOptions):
    """The options of suites over promptable segmenters."""

    engines: tuple[str, ...] = option(
        (),
        "eager, onnxruntime, openvino, by comma: what runs encoder and decoder; default eager.",
        flag="--engine",
        comma=True,
        panel="Settings",
    )


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(SegmenterOptions):
    """The options of suites whose prompts are a detector's boxes, or the boxes of the annotations.

    images: How many; with ``annotations`` the folder of images, as a Path.
    """

    boxes: Path | None = option(
        None,
        "A detector's results, or ground-truth; default those that lie with the dataset.",
        kind=Path,
        panel="Dataset",
    )
    annotations: Path | None = option(
        None, "A file in COCO's format; --images is then its folder.", kind=Path, metavar="FILE", panel="Dataset"
    )
    images: Any = option(
        None,
        "The first N images; with --annotations the folder of images.",
        kind=int,
        parse=number_or_folder,
        panel="Dataset",
    )
    first: int | None = option(
        None, "With --annotations: the first N images.", kind=int, minimum=1, metavar="N", panel="Dataset"
    )
    name: str | None = option(
        None, "With --annotations: the data's name; default the folder's.", metavar="NAME", panel="Dataset"
    )

    def __post_init__(self) -> None:
        """Validate which options go together."""
        super().__post_init__()
        is_folder = isinstance(self.images, Path)
        if self.annotations is None:
            if is_folder:
                raise ValueError(
                    f"--images {self.images}: write a whole number, or name the annotations of this folder with "
                    "--annotations FILE"
                )
            for flag, value in (("--name", self.name), ("--first", self.first)):
                if value is not None:
                    raise ValueError(f"{flag} {value}: it goes with --annotations FILE --images DIR")
            return
        if not is_folder:
            raise ValueError(f"--annotations {self.annotations}: --images DIR is missing, the folder of its images")
        if self.data:
            raise ValueError(f"--data {self.data} beside --annotations: give one of them")
        if self.boxes is None:
            raise ValueError("--boxes is missing: give ground-truth, or a detector's results for these images")

    @property
    def most_images(self) -> int | None:
        """How many images are evaluated; None for all."""
        return self.first if self.annotations else self.images

    @property
    def user_data(self) -> "CocoData | None":
        """The annotations and the folder of their images; None where COCO itself is evaluated."""
        from linbench.data.custom import CocoData

        return CocoData(self.images, self.annotations, self.name) if self.annotations else None


@dataclass(frozen=True, kw_only=True)
class MaskOptions(SegmenterOptions):
    """The options of the suite over a user's images and masks, or a registered dataset of objects."""

    image_folder: Path | None = option(
        None, "Folder of images, at any depth.", flag="--images", kind=Path, metavar="DIR", panel="Dataset"
    )
    mask_folder: Path | None = option(
        None, "Folder of their masks.", flag="--masks", kind=Path, metavar="DIR", panel="Dataset"
    )
    name: str | None = option(
        None, "The data's name in titles; default the folder's.", metavar="NAME", panel="Dataset"
    )
    dataset: str | None = option(
        None, "A registered dataset instead, as of a plug-in.", metavar="NAME", panel="Dataset"
    )
    images: int | None = option(
        None, "The first N images; default all.", flag="--first", kind=int, minimum=1, metavar="N", panel="Dataset"
    )

    def __post_init__(self) -> None:
        """Validate which options go together."""
        super().__post_init__()
        folders = {"--images": self.image_folder, "--masks": self.mask_folder, "--name": self.name}
        if self.dataset:
            for flag, value in folders.items():
                if value is not None:
                    raise ValueError(f"{flag} {value} beside --dataset {self.dataset}: give one of them")
            return
        for flag in ("--images", "--masks"):
            if folders[flag] is None:
                raise ValueError(f"{flag} is missing: give --images DIR --masks DIR, or --dataset NAME")
        if self.data:
            raise ValueError(f"--data {self.data}: it goes with --dataset NAME; here --images and --masks are read")

    @property
    def user_data(self) -> "MaskData | None":
        """The folders of images and of masks; None where a registered dataset is evaluated."""
        from linbench.data.custom import MaskData

        if self.image_folder is None or self.mask_folder is None:
            return None
        return MaskData(self.image_folder, self.mask_folder, self.name)
