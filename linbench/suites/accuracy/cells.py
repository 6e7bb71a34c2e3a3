"""The cells of an accuracy suite: their keys, and what is refused before anything is read."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from linbench.backbones import backbone, build_backbone
from linbench.data.contract import Dataset
from linbench.data.roots import open_dataset, resolve_data
from linbench.environment import cpu_name
from linbench.models.checkpoint import own_size
from linbench.models.sam import backbone_of, has_fine_maps
from linbench.provenance import code_hash
from linbench.suites.accuracy import weights as given_weights
from linbench.suites.accuracy.weights import Given, Weights
from linbench.suites.contract import Cell, Choices
from linbench.suites.device import find_device
from linbench.suites.forward import DTYPES
from linbench.suites.resolutions import Size
from linbench.system.threads import thread_count

SPLIT = "val"
#: What builds the models of a task: no other one is behind its numbers.
BUILDERS = {
    "sam": "linbench.models.sam.build",
    "classifier": "linbench.models.classifier",
    "semantic": "linbench.models.semantic",
}
#: What RWKV-SAM's decoder takes of other backbones, by fusion.
MIXERS = {"mamba": "linbench.backbones.vmamba", "rwkv": "linbench.backbones.rwkv_sam"}
#: What a checkpoint's options say that has a place of its own in the key, or is the head's.
OWN = ("attention", "fusion", "image_size", "impl", "name", "num_classes")


@dataclass(frozen=True)
class Boxes:
    """Where the prompts are from: a file's name and checksum, or ``ground truth`` or ``none``."""

    source: str
    checksum: str = ""


@dataclass(frozen=True)
class Plan:
    """What the cells of one suite have of their own.

    data: The name of its data set.  task: Of the models that it measures.
    side: Of the model's input where neither --res nor the checkpoint says it, px.
    multiple: What must divide its sides, beside what the backbone asks for.
    protocol: Of what was asked for, the model's name and the size; raises ValueError.
    protocol_versions: By its name.
    entries: Modules that measure and read; a change in what they import makes records stale (``provenance``).
    boxes: Where the prompts are from.
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
    boxes: Callable[[Choices, Dataset[Any]], Boxes] = field(default=lambda choices, dataset: Boxes("none"))


def cells(plan: Plan, choices: Choices) -> list[Cell]:
    """Every model × fusion × resolution × dtype; raises UnknownName and ValueError that teach."""
    device = find_device(choices.device)
    given = given_weights.parsed(choices.checkpoints)
    names = choices.backbones or _said(plan, given)
    dataset = opened(plan.data, choices)
    images = min(len(dataset), choices.images or len(dataset))
    boxes = plan.boxes(choices, dataset)
    made: dict[str, Cell] = {}
    for name in names:
        entry = backbone[backbone_of(name) if plan.task == "sam" else name]
        random = choices.seed if choices.random else None
        weights = given_weights.choose(given, name, plan.task, len(names) == 1, random, choices.weights)
        options = _options(name, entry.options, weights, choices)
        for height, width in choices.resolutions or (own_size(weights.about, (plan.side, plan.side)),):
            _refuse_size(name, math.lcm(plan.multiple, entry.facts.get("multiple_of", 1)), (height, width))
            for fusion in _fusions(plan, name, weights, choices):
                modules = _modules(plan, entry.source, fusion)
                hashed = code_hash(modules["suite"], modules["backbone"], modules["without"])
                protocol = plan.protocol(choices.protocol, name, (height, width))
                for dtype in choices.dtypes:
                    key = {
                        "suite": plan.suite,
                        "suite_version": plan.version,
                        "backbone": name,
                        "options": options,
                        "fusion": fusion,
                        "height": height,
                        "width": width,
                        **_conditions(dtype, device, "attention" in entry.options, choices),
                        "protocol": protocol,
                        "protocol_version": plan.protocol_versions[protocol],
                        "dataset": dataset.name,
                        "split": dataset.split,
                        "dataset_checksum": dataset.checksum,
                        "box_source": boxes.source,
                        "box_checksum": boxes.checksum,
                        "checkpoint": weights.key,
                        "images": images,
                    }
                    made[str(key)] = Cell(key, hashed, modules)
    return list(made.values())


def _modules(plan: Plan, backbone: str, fusion: str) -> dict[str, tuple[str, ...]]:
    """What is behind a number, as ``code_hash`` takes it."""
    neck = ("linbench.backbones.sam_vit",) if plan.task == "sam" else ()
    mixer = (MIXERS[fusion],) if fusion in MIXERS else ()
    others = tuple(module for task, module in BUILDERS.items() if task != plan.task)
    entries = ("linbench.suites.accuracy.evaluation", *plan.entries)
    return {"suite": entries, "backbone": (backbone, *neck, *mixer), "without": others}


def weights_of(cell: Cell, choices: Choices) -> Weights:
    """The weights that the cell's key names."""
    if choices.random:
        return Weights(seed=choices.seed)
    given = given_weights.parsed(choices.checkpoints)
    name, key = cell.key["backbone"], cell.key["checkpoint"]
    same = (one.weights for one in given if key.startswith(one.weights.sha256))
    return given_weights.of_branch(next(same), name, choices.weights)


def opened(name: str, choices: Choices) -> Dataset[Any]:
    """The data set of that name, opened once in a process."""
    return _opened(name, resolve_data(choices.data), choices.images)


@cache
def _opened(name: str, data: str, images: int | None) -> Dataset[Any]:
    return open_dataset(name, SPLIT, data, images=images)


def _said(plan: Plan, given: list[Given]) -> tuple[str, ...]:
    """The models of the checkpoints that are, or may be, of the suite's task."""
    fitting = [one for one in given if one.weights.about is None or one.weights.about.task == plan.task]
    if found := given_weights.models(fitting):
        return tuple(found)
    if given and not fitting:
        raise ValueError(
            f"--checkpoint {given[0].weights.file}: it is {given[0].weights.about}; the suite {plan.suite} measures "
            f"models of the task {plan.task}"
        )
    named = f"{given[0].weights.file} does not say its model" if given else "no --checkpoint does"
    raise ValueError(f"--backbone is missing: {named}; write --checkpoint NAME=FILE, or name it with --backbone")


def _options(name: str, known: tuple[str, ...], weights: Weights, choices: Choices) -> dict[str, Any]:
    """The checkpoint's options, and on top of them those given by hand."""
    allowed = {*known, *(("output",) if backbone_of(name) != name else ())} - {"attention", "impl", "image_size"}
    for option in choices.options:
        if option not in allowed:
            listed = ", ".join(sorted(allowed)) or "none"
            raise ValueError(f"--option {option}: {name} has none of that name; it has {listed}")
    return {k: v for k, v in weights.options.items() if k not in OWN} | dict(choices.options)


def _refuse_size(name: str, multiple: int, size: Size) -> None:
    if size[0] % multiple or size[1] % multiple:
        near = max(multiple, min(size) // multiple * multiple)
        raise ValueError(
            f"--res {size[0]}x{size[1]}: {name} takes heights and widths that {multiple} divides here, such as "
            f"{near} or {near + multiple}"
        )


def _fusions(plan: Plan, name: str, weights: Weights, choices: Choices) -> tuple[str, ...]:
    """The checkpoint's fusion, or those asked for; ``none`` where the model has nothing to fuse."""
    if plan.task != "sam" or backbone_of(name) != name or not has_fine_maps(_strides(name)):
        return ("none",)
    own = weights.options.get("fusion")
    if own and choices.fusions not in (("conv",), (own,)):
        raise ValueError(f"--fusion {','.join(choices.fusions)}: the checkpoint {weights.file} has {own}")
    return (str(own),) if own else choices.fusions


@cache
def _strides(name: str) -> tuple[int, ...]:
    with torch.device("meta"):
        return build_backbone(name, image_size=224).strides


def _conditions(dtype: str, device: torch.device, attention: bool, choices: Choices) -> Mapping[str, Any]:
    if dtype not in DTYPES:
        raise ValueError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}")
    threads = thread_count(choices.threads)
    return {
        "dtype": dtype,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "device_type": device.type,
        "threads": threads,
        "impl": choices.given.get("impl") or "fast",
        "attention": (choices.given.get("attention") or "sdpa") if attention else "none",
    }
