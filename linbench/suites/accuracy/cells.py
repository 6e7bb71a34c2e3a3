"""The cells of an accuracy suite: their keys, and the options that are refused before anything is read."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from linbench.backbones import backbone, build_backbone
from linbench.data.contract import Dataset, dataset
from linbench.data.custom import CocoData, MaskData
from linbench.data.roots import open_dataset, resolve_data
from linbench.engines import engine as engines
from linbench.engines.artifact import SUFFIX
from linbench.engines.contract import EAGER, EngineKey, build, exported, portable_modules
from linbench.groups import expand
from linbench.models.checkpoint import own_size
from linbench.models.sam import HQ, backbone_of, has_fine_maps, trained_side
from linbench.provenance import code_hash
from linbench.suites.accuracy.key import AccuracyKey, ScoredData, ScoredModel
from linbench.suites.accuracy.options import AccuracyOptions, SegmenterOptions, WeightOptions
from linbench.suites.accuracy.weights import (
    NamedWeights,
    Weights,
    choose_weights,
    models_of,
    read_checkpoints,
    with_branch,
)
from linbench.suites.runner.device import find_machine
from linbench.suites.runner.model_options import SMALL
from linbench.suites.runner.resolutions import Size
from linbench.suites.runner.suite import Cell

SPLIT = "val"
#: Modules that build the models of a task: those of other tasks are not behind its numbers.
BUILDERS = {
    "sam": "linbench.models.sam.build",
    "classifier": "linbench.models.classifier",
    "semantic": "linbench.models.semantic",
}
#: Backbones whose blocks RWKV-SAM's decoder uses, by fusion.
MIXERS = {"mamba": "linbench.backbones.vmamba", "rwkv": "linbench.backbones.rwkv_sam"}
#: Options of a checkpoint that have an entry of their own in the key, or belong to the head.
NOT_OF_BACKBONE = ("attention", "fusion", "image_size", "impl", "name", "num_classes")


@dataclass(frozen=True)
class BoxSource:
    """Where the prompts come from: a file's name and checksum, or ``ground truth`` or ``none``."""

    name: str
    checksum: str = ""


@dataclass(frozen=True)
class AccuracyPlan:
    """What distinguishes the cells of one suite.

    data: Name of its dataset.  task: Of the models that it measures.
    side: Of the model's input where neither --res, nor the checkpoint, nor a published model gives it, px.
    multiple: What must divide its sides, beside what the backbone requires.
    protocol: ``(requested, model, size) -> name``; raises ValueError.
    protocol_versions: By name.
    entries: Modules that measure and read; a change in what they import makes records stale (``provenance``).
    boxes: Where the prompts come from.
    """

    suite: str
    version: int
    data: str
    task: str
    side: int
    protocol: Callable[[str | None, str, Size], str]
    protocol_versions: Mapping[str, int]
    entries: tuple[str, ...]
    multiple: int = 1
    boxes: Callable[[Any, Dataset[Any]], BoxSource] = field(default=lambda options, dataset: BoxSource("none"))


def cells(plan: AccuracyPlan, options: AccuracyOptions) -> list[Cell[AccuracyKey]]:
    """Plan every model × fusion × size × dtype; raises UnknownName and ValueError that teach."""
    machine = find_machine(options)
    named = expand(options.backbones, backbone)
    checkpoints = read_checkpoints(options.checkpoints, named)
    names = named or _models_of_checkpoints(plan, checkpoints) or SMALL
    opened = opened_dataset(plan.data, options)
    boxes = plan.boxes(options, opened)
    images = min(len(opened), options.most_images or len(opened))
    data = ScoredData(opened.name, opened.split, opened.checksum, images, boxes.name, boxes.checksum)
    planned: dict[str, Cell[AccuracyKey]] = {}
    for name in names:
        source = backbone[backbone_of(name) if plan.task == "sam" else name].source
        for model in _models(plan, name, len(names) == 1, checkpoints, options):
            modules = modules_behind(plan, source, model.fusion, model.engine.name)
            digest = code_hash(modules["suite"], modules["backbone"], modules["without"])
            protocol = plan.protocol(options.protocol, name, model.size)
            versions = (protocol, plan.protocol_versions[protocol])
            key = AccuracyKey(plan.suite, plan.version, model, machine, data, *versions)
            planned[str(key)] = Cell(key, digest, modules)
    return list(planned.values())


def _models(
    plan: AccuracyPlan,
    name: str,
    is_only: bool,
    checkpoints: list[NamedWeights],
    options: AccuracyOptions,
) -> list[ScoredModel]:
    """Return one model under each size, fusion and dtype; raises ValueError where it cannot be measured."""
    entry = backbone[backbone_of(name) if plan.task == "sam" else name]
    seed = options.seed if options.random else None
    weights = choose_weights(checkpoints, name, plan.task, is_only, seed, options.weights)
    attention = (options.attention or "sdpa") if "attention" in entry.options else "none"
    backbone_options = _options(name, entry.options, weights, options)
    side = trained_side(name, plan.side) if plan.task == "sam" else plan.side
    sizes = options.resolutions or (own_size(weights.about, (side, side)),)
    if weights.engine and weights.about:
        _check_exported(weights, sizes, options)
    for size in sizes:
        _refuse_size(name, math.lcm(plan.multiple, entry.facts.get("multiple_of", 1)), size)
    return [
        ScoredModel(
            backbone=name,
            size=size,
            dtype=dtype,
            checkpoint=weights.key,
            options=backbone_options,
            fusion=fusion,
            impl=str(options.impl or "fast"),
            attention=str(attention),
            engine=engine,
        )
        for engine in _engines(weights, options)
        for size in sizes
        for fusion in _fusions(plan, name, weights, options)
        for dtype in options.dtypes
    ]


def _check_exported(weights: Weights, sizes: Sequence[Size], options: AccuracyOptions) -> None:
    """Refuse another size, dtype or option than an exported file's own."""
    assert weights.about is not None
    about = weights.about
    if tuple(sizes) != (about.image_size,):
        raise ValueError(f"--res: {weights.file} is {about}, and takes no other size; export each size by itself")
    if [str(dtype) for dtype in options.dtypes] != ["float32"]:
        raise ValueError(f"--dtype: {weights.file} is of float32; leave it out")
    if options.options or options.impl or options.attention:
        raise ValueError(f"--option, --impl and --attention: {weights.file} is exported, and stays as it is")


def _engines(weights: Weights, options: AccuracyOptions) -> list[EngineKey]:
    """Return the engines of the options; raises UnknownName, and ValueError for those that take no segmenter."""
    names = options.engines if isinstance(options, SegmenterOptions) else ()
    if weights.engine and not names:
        return [build(weights.engine).key("cpu")]
    for name in (name for name in names if name != EAGER):
        engine = exported(name)
        if engine is None or engine.suffix != SUFFIX or not engine.is_tested:
            raise ValueError(f"--engine {name}: segmenters run in eager, onnxruntime and openvino")
        if weights.engine:
            raise ValueError(f"--engine {name}: {weights.file} is exported for {weights.engine}; leave it out")
        if [str(dtype) for dtype in options.dtypes] != ["float32"] or options.device not in ("auto", "cpu"):
            raise ValueError(f"--engine {name}: segmenters run in it in float32, on the CPU")
    return [build(name).key("cpu") for name in names or (EAGER,)]


def modules_behind(plan: AccuracyPlan, backbone: str, fusion: str, engine: str = EAGER) -> dict[str, tuple[str, ...]]:
    """Return the arguments of ``code_hash`` for the numbers of a model."""
    neck = ("linbench.backbones.sam_vit",) if plan.task == "sam" else ()
    mixer = (MIXERS[fusion],) if fusion in MIXERS else ()
    others = tuple(module for task, module in BUILDERS.items() if task != plan.task)
    entries = ("linbench.suites.accuracy.evaluation", *plan.entries)
    if engine != EAGER:
        entries += ("linbench.engines.in_engine", engines[engine].source, *portable_modules())
    return {"suite": entries, "backbone": (backbone, *neck, *mixer), "without": others}


def weights_of(key: AccuracyKey, options: WeightOptions) -> Weights:
    """Return the weights that the key names."""
    if options.random:
        return Weights(seed=options.seed)
    checkpoints = read_checkpoints(options.checkpoints, options.backbones or ())
    same = (named.weights for named in checkpoints if key.model.checkpoint.startswith(named.weights.sha256))
    return with_branch(next(same), key.model.backbone, options.weights)


def opened_dataset(name: str, options: AccuracyOptions) -> Dataset[Any]:
    """Return the dataset of that name, or the user's own data, opened once in a process."""
    if options.user_data:
        return _opened_user_data(options.user_data)
    return _opened_dataset(name, resolve_data(options.data), options.most_images)


@cache
def _opened_user_data(data: MaskData | CocoData) -> Dataset[Any]:
    return data.open()


@cache
def _opened_dataset(name: str, data: str, images: int | None) -> Dataset[Any]:
    splits = dataset[name].facts.get("splits", (SPLIT,))  # a plug-in may have others, or say none
    return open_dataset(name, SPLIT if SPLIT in splits else splits[-1], data, images=images)


def _models_of_checkpoints(plan: AccuracyPlan, checkpoints: list[NamedWeights]) -> tuple[str, ...]:
    """Return the models of the checkpoints that are, or may be, of the suite's task; none without a checkpoint."""
    if not checkpoints:
        return ()
    fitting = [named for named in checkpoints if named.weights.about is None or named.weights.about.task == plan.task]
    if names := models_of(fitting):
        return tuple(names)
    first = checkpoints[0].weights
    if not fitting:
        raise ValueError(
            f"--checkpoint {first.file}: it is {first.about}; the suite {plan.suite} measures models of the task "
            f"{plan.task}"
        )
    raise ValueError(
        f"--backbone is missing: {first.file} does not say its model; write --checkpoint NAME=FILE, or name it with "
        "--backbone"
    )


def _options(name: str, known: tuple[str, ...], weights: Weights, options: AccuracyOptions) -> dict[str, Any]:
    """Return the checkpoint's options of the backbone, and on top of them those given by hand."""
    allowed = {*known, *(("output",) if name in HQ else ())} - {"attention", "impl", "image_size"}
    for option in options.options:
        if option not in allowed:
            listed = ", ".join(sorted(allowed)) or "none"
            raise ValueError(f"--option {option}: {name} has none of that name; it has {listed}")
    return {k: v for k, v in weights.options.items() if k not in NOT_OF_BACKBONE} | dict(options.options)


def _refuse_size(name: str, multiple: int, size: Size) -> None:
    if size[0] % multiple or size[1] % multiple:
        near = max(multiple, min(size) // multiple * multiple)
        raise ValueError(
            f"--res {size[0]}x{size[1]}: {name} takes heights and widths that {multiple} divides here, such as "
            f"{near} or {near + multiple}"
        )


def _fusions(plan: AccuracyPlan, name: str, weights: Weights, options: AccuracyOptions) -> tuple[str, ...]:
    """Return the checkpoint's fusion, or those of the options; ``none`` where the model has nothing to fuse."""
    if not isinstance(options, SegmenterOptions) or backbone_of(name) != name or not has_fine_maps(_strides(name)):
        return ("none",)
    saved = weights.options.get("fusion")
    if saved and options.fusions not in (("conv",), (saved,)):
        raise ValueError(f"--fusion {','.join(options.fusions)}: the checkpoint {weights.file} has {saved}")
    return (str(saved),) if saved else tuple(map(str, options.fusions))


@cache
def _strides(name: str) -> tuple[int, ...]:
    with torch.device("meta"):
        return build_backbone(name, image_size=224).strides
