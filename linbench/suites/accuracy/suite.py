"""The accuracy suites, without torch until their cells are planned; plans and tasks lie in the modules named here."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from linbench.suites.accuracy.key import VERSIONS, AccuracyKey
from linbench.suites.accuracy.options import AccuracyOptions, DetectorOptions, MaskOptions, SegmenterOptions
from linbench.suites.runner.ranks import Ranks
from linbench.suites.runner.suite import Cell, Step, Suite, suite

O = TypeVar("O", bound=AccuracyOptions)  # noqa: E741 - the letter of its word

HERE = "linbench.suites.accuracy"
NAMED_BY = ("suite", "backbone", "size", "dtype", "protocol", "dataset")
SEGMENTER_NAMED_BY = ("suite", "backbone", "size", "dtype", "fusion", "protocol", "dataset")
SINGLE_OBJECT_EXAMPLE = "--suite dis,coift,hrsod --checkpoint rwkv-sam-t.safetensors --data /data"


@suite("ade20k", version=VERSIONS["ade20k"])
def ade20k() -> Suite[AccuracyOptions, AccuracyKey]:
    """mIoU of a semantic segmenter on ADE20K."""
    examples = ("--suite ade20k --checkpoint upernet.safetensors --protocol slide",)
    return _suite("ade20k", lambda module, options: module.PLAN, AccuracyOptions, NAMED_BY, examples)


@suite("coco", version=VERSIONS["coco"])
def coco() -> Suite[DetectorOptions, AccuracyKey]:
    """Mask AP and boundary AP on COCO val2017, from a detector's boxes."""
    examples = (
        "--suite coco --checkpoint rwkv-sam-s.safetensors",
        "--suite coco --annotations a.json --images dir --boxes ground-truth",
        "--suite coco --backbone vim-s,vit-s --checkpoint vim-s=a.safetensors --checkpoint vit-s=b.safetensors",
    )
    return _suite("coco", lambda module, options: module.PLAN, DetectorOptions, SEGMENTER_NAMED_BY, examples)


@suite("imagenet", version=VERSIONS["imagenet"])
def imagenet() -> Suite[AccuracyOptions, AccuracyKey]:
    """Top-1 and top-5 of a classifier on ImageNet-1k."""
    examples = ("--suite imagenet --checkpoint vim-t.pth",)
    return _suite("imagenet", lambda module, options: module.PLAN, AccuracyOptions, NAMED_BY, examples)


@suite("dis", version=VERSIONS["dis"])
def dis() -> Suite[SegmenterOptions, AccuracyKey]:
    """mIoU and mBIoU of DIS5K's validation set: finely cut objects."""
    return _single_object("dis")


@suite("coift", version=VERSIONS["coift"])
def coift() -> Suite[SegmenterOptions, AccuracyKey]:
    """mIoU and mBIoU of COIFT: thin objects."""
    return _single_object("coift")


@suite("hrsod", version=VERSIONS["hrsod"])
def hrsod() -> Suite[SegmenterOptions, AccuracyKey]:
    """mIoU and mBIoU of HRSOD: salient objects of high resolution."""
    return _single_object("hrsod")


@suite("masks", version=VERSIONS["masks"])
def masks() -> Suite[MaskOptions, AccuracyKey]:
    """mIoU and mBIoU of every object in a user's own images and masks."""
    examples = (
        "--suite masks --images photos --masks masks --checkpoint a.pth",
        "--suite masks --dataset dis --random --first 8",
    )

    def plan(module: Any, options: MaskOptions) -> Any:
        return module.plan_of(options)

    return _suite("masks", plan, MaskOptions, SEGMENTER_NAMED_BY, examples)


def _single_object(name: str) -> Suite[SegmenterOptions, AccuracyKey]:
    def plan(module: Any, options: SegmenterOptions) -> Any:
        return module.plan_of(name)

    return _suite("single_object", plan, SegmenterOptions, SEGMENTER_NAMED_BY, (SINGLE_OBJECT_EXAMPLE,))


def _suite(
    module: str, plan: Callable[[Any, O], Any], options: type[O], named_by: tuple[str, ...], examples: tuple[str, ...]
) -> Suite[O, AccuracyKey]:
    """Return the suite whose plan and task a module of this package holds; it is imported on first use."""

    def cells(chosen: O) -> list[Cell[AccuracyKey]]:
        from linbench.suites.accuracy.cells import cells

        return cells(plan(import_module(f"{HERE}.{module}"), chosen), chosen)

    def evaluate(cell: Cell[AccuracyKey], chosen: O, record: Path, ranks: Ranks) -> Iterator[Step]:
        from linbench.suites.accuracy.evaluation import steps

        return steps(import_module(f"{HERE}.{module}").build_task, cell, chosen, record, ranks)

    return Suite(options, AccuracyKey, cells, evaluate=evaluate, named_by=named_by, examples=examples)
