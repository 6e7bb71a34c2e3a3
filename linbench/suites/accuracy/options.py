"""The options of the accuracy suites."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from linbench.suites.runner.model_options import FusionOptions, ModelOptions
from linbench.suites.runner.options import option
from linbench.suites.runner.resolutions import Size, resolutions


class Branch(StrEnum):
    """The sets of weights that one checkpoint may hold."""

    MODEL = "model"
    EMA = "ema"


@dataclass(frozen=True, kw_only=True)
class WeightOptions(ModelOptions):
    """The options that choose models and their weights."""

    backbones: tuple[str, ...] = option(
        (),
        "Models, by comma; default those of --checkpoint, or the tiny variants.",
        flag="--backbone",
        comma=True,
        panel="Model",
    )
    resolutions: tuple[Size, ...] = option(
        (),
        "1024, 512..2048, lists; default the checkpoint's own size, or 1024 (imagenet 224, ade20k 512).",
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


@dataclass(frozen=True, kw_only=True)
class SegmenterOptions(AccuracyOptions, FusionOptions):
    """The options of suites over promptable segmenters."""


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(SegmenterOptions):
    """The options of suites whose prompts are a detector's boxes."""

    boxes: Path | None = option(
        None,
        "A detector's results; default those that lie with the dataset.",
        kind=Path,
        panel="Dataset",
    )
