"""The cells of the suite ``latency``: their keys, the code behind each, and the options that are refused."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import product

import torch

from linbench.backbones import backbone, build_backbone
from linbench.engines.contract import EAGER
from linbench.groups import expand
from linbench.kernels.impl import Unsupported
from linbench.models.sam import backbone_of, has_fine_maps
from linbench.provenance import code_hash
from linbench.registry import Entry
from linbench.suites.latency import search
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import build
from linbench.suites.latency.key import LatencyKey, TimedModel
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.part import STRIDE, Part, options_of, tunable_options
from linbench.suites.latency.settings import Preset, engine_name, is_searched, preset_settings
from linbench.suites.runner import rounds
from linbench.suites.runner.device import Dtype, Machine, find_timed_machine
from linbench.suites.runner.energy import BUSY_SECONDS, IDLE_SECONDS
from linbench.suites.runner.suite import Cell, Work

#: Modules that measure; a change in what they import makes records stale (``provenance``).
ENTRIES = (
    *("linbench.suites.latency.measure", "linbench.suites.latency.settings", "linbench.engines.eager"),
    *rounds.ENTRIES,
)
#: A part other than the backbone has SAM's neck or decoder, and a fusion uses blocks of other backbones.
NECK = "linbench.backbones.sam_vit"
MIXERS = {"mamba": "linbench.backbones.vmamba", "rwkv": "linbench.backbones.rwkv_sam"}
FLAGS = {"attention": "--attention", "impl": "--impl", "image_size": "--res", "fused": "--setting fused"}
DECODING = "decoder or end-to-end"
ONE_IMAGE = (Part.DECODER, Part.END_TO_END)


def cells(options: LatencyOptions) -> list[Cell[LatencyKey]]:
    """Plan every backbone × part × fusion × size × dtype × preset; raises UnknownName and ValueError that teach."""
    machine = find_timed_machine(options)
    planned: dict[str, Cell[LatencyKey]] = {}
    for name in expand(options.backbones, backbone):
        for part in dict.fromkeys(options.parts):
            entry = _entry(name, part)
            _refuse_sizes(name, _multiple(entry, part), options)
            if entry.name not in set(backbone):
                _refuse_member(entry.name)
            _refuse_options(name, options_of(name, part), options)
            prompts = options.prompts if part.decodes else 0
            for fusion in _fusions(name, part, options):
                model = TimedModel(name, part, fusion, prompts, dict(options.options))
                for cell in _cells_of_model(model, entry, machine, options):
                    planned[str(cell.key)] = cell
    _refuse_idle(options, planned.values())
    return list(planned.values())


def _entry(name: str, part: Part) -> Entry:
    """Return the backbone of the model of that name; raises ValueError for a segmenter that is timed as one."""
    if part is Part.BACKBONE and backbone_of(name) != name:
        raise ValueError(f"{name} is a segmenter on {backbone_of(name)}: name that, or another --part than backbone")
    return backbone[backbone_of(name)]


def _multiple(entry: Entry, part: Part) -> int:
    """Return what must divide the sides of an image."""
    multiple: int = entry.facts.get("multiple_of", 1)
    return multiple if part is Part.BACKBONE else math.lcm(multiple, STRIDE)


def _fusions(name: str, part: Part, options: LatencyOptions) -> tuple[str, ...]:
    """Return the fusions of the options, or ``none`` alone where they make no difference to the part."""
    if not part.decodes or backbone_of(name) != name:
        return ("none",)
    try:
        with torch.device("meta"):
            strides = build_backbone(name, image_size=options.resolutions[0], **options.options).strides
    except (ValueError, ImportError):
        return ("none",)  # the outcome of the cell will say why it cannot be built
    return tuple(map(str, options.fusions)) if has_fine_maps(strides) else ("none",)


def _cells_of_model(
    model: TimedModel, entry: Entry, machine: Machine, options: LatencyOptions
) -> Iterator[Cell[LatencyKey]]:
    """Yield the cells of one part of one model, under each preset, dtype and size."""
    tunable = tunable_options(model.backbone, model.part)
    refusals = {size: refusal_of(entry, size) for size in options.resolutions}
    taken = tuple(size for size in options.resolutions if not refusals[size])
    for preset, dtype, name in product(options.presets, options.dtypes, options.engines or (None,)):
        chosen = preset_settings(preset, machine.device_type, dtype, tunable, **options.given, engine=name)
        first = LatencyKey(model, options.resolutions[0], dtype, machine, chosen, options.energy)
        modules = modules_behind(model, entry, chosen.engine.name)
        required = None
        if is_searched(chosen.preset) and taken:
            given = engine_name({**options.given, "engine": name or ""})
            names = (given,) if given else search.engines_of(chosen.preset)
            further = [module for engine in names for module in search.engine_entries(engine)]
            hashed = hash_of(modules, *search.ENTRIES, *further)
            required = search.plan(first, taken, tunable, hashed, options.search_seconds, names)
        variables = {"OMP_NUM_THREADS": str(machine.threads)} | chosen.variables
        for size, batch in product(options.resolutions, options.batches):
            key, refusal = replace(first, size=size, batch=batch), refusals[size]
            needed = None if refusal else required
            yield Cell(key, hash_of(modules), modules, variables, needed, unsupported=refusal)


def refusal_of(entry: Entry, size: tuple[int, int]) -> str:
    """Return why a member of a family such as ``timm/*`` does not take a size; empty where it does."""
    refusal = entry.facts.get("refusal")
    return str(refusal(entry.name.partition("/")[2], size)) if refusal else ""


def work(key: LatencyKey) -> Work:
    """Return the work of a round: first forward and check; in a half dtype the forward in float32 too, slower."""
    plain = replace(search.plain_settings(key.settings), preset=Preset.PAPER, impl="fast")
    counted = replace(key, dtype=Dtype.FLOAT32, settings=plain, with_energy=False)
    calls = 2 if key.dtype is Dtype.FLOAT32 else 4
    seconds = IDLE_SECONDS + BUSY_SECONDS if key.with_energy else 0.0
    return Work(_flops(json.dumps(counted.to_json())), calls, seconds)


@cache
def _flops(key: str) -> float:
    """Return the FLOPs of the forward of a key in JSON; 0 where it cannot be built, as its outcome will say."""
    try:
        model, inputs = build(LatencyKey.from_json(json.loads(key)), torch.device("meta"))
        return float(complexity(model, *inputs)["flops"]["value"])
    except (ValueError, ImportError, NotImplementedError, Unsupported):
        return 0.0


def hash_of(modules: Mapping[str, tuple[str, ...]], *more: str) -> str:
    """Return the hash of the code in ``modules_behind``, and in further modules."""
    return code_hash((*modules["suite"], *more), modules["backbone"], modules["without"])


def modules_behind(model: TimedModel, entry: Entry, engine: str = EAGER) -> dict[str, tuple[str, ...]]:
    """Return the arguments of ``code_hash`` for the numbers of a part under an engine."""
    entries = (*ENTRIES, *search.engine_entries(engine))
    if model.part is Part.BACKBONE:
        return {"suite": entries, "backbone": (entry.source,), "without": ("linbench.models",)}
    mixer = (MIXERS[model.fusion],) if model.fusion in MIXERS else ()
    return {"suite": entries, "backbone": (entry.source, NECK, *mixer), "without": ()}


def _refuse_sizes(name: str, multiple: int, options: LatencyOptions) -> None:
    for height, width in options.resolutions:
        if height % multiple or width % multiple:
            near = sorted({max(multiple, side // multiple * multiple) for side in (height, width)})
            near += [side + multiple for side in near]
            raise ValueError(
                f"--res {height}x{width}: {name} takes heights and widths that {multiple} divides, "
                f"such as {' or '.join(map(str, sorted(near)))}; leave it out with --backbone to keep this size"
            )


def _refuse_options(name: str, allowed: tuple[str, ...], options: LatencyOptions) -> None:
    for option in options.options:
        if option in FLAGS:
            raise ValueError(f"--option {option}: it has a flag of its own; write {FLAGS[option]}")
        if option not in allowed:
            raise ValueError(f"--option {option}: {name} has none of that name; it has {', '.join(allowed)}")


def _refuse_idle(options: LatencyOptions, planned: Iterable[Cell[LatencyKey]]) -> None:
    """Refuse prompts that no part decodes, and fusions that no model has."""
    is_decoded = any(part.decodes for part in options.parts)
    if max(options.batches) > 1 and (alone := [part for part in options.parts if part in ONE_IMAGE]):
        raise ValueError(
            f"--batch {max(options.batches)}: --part {alone[0]} takes one image, to which its prompts belong; "
            "backbone and encoder take more"
        )
    if options.prompts != 1 and not is_decoded:
        raise ValueError(f"--prompts {options.prompts}: with --part {DECODING} only; no other part decodes prompts")
    if options.fusions == ("conv",) or any(cell.key.model.fusion != "none" for cell in planned):
        return
    flag = f"--fusion {','.join(options.fusions)}: "
    if not is_decoded:
        raise ValueError(f"{flag}with --part {DECODING} only; no other part has_fine_maps maps")
    raise ValueError(
        f"{flag}{', '.join(options.backbones)} has nothing to fuse; RWKV-SAM's decoder needs a backbone with maps at "
        "strides 4 and 8, such as rwkv-sam-s or vmamba-t"
    )


def _refuse_member(name: str) -> None:
    """Build a member of a family such as ``timm/*`` on ``meta``: only that tells whether the family has it."""
    try:
        with torch.device("meta"):
            build_backbone(name, image_size=224)
    except ImportError as error:
        raise ValueError(f"{name} cannot be built here: {error}") from error
    except ValueError:
        return  # this size does not fit it; the outcome of a cell will say which do
