"""The cells of the suite ``latency``: their keys, what stands behind each, and what is refused."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from linbench.backbones import backbone, build_backbone
from linbench.environment import cpu_name
from linbench.models.sam import HQ, backbone_of
from linbench.provenance import code_hash
from linbench.registry import Entry
from linbench.suites.latency import search
from linbench.suites.latency.forward import DTYPES
from linbench.suites.latency.part import STRIDE, Part, choices_of, fusions_of, options_of
from linbench.suites.latency.settings import Preset, Settings, settings
from linbench.suites.runner import rounds
from linbench.suites.runner.device import find_device
from linbench.suites.runner.suite import Cell, Choices, Key
from linbench.system.threads import thread_count

VERSION = 3
#: Where it measures; a change in what they import makes records stale (``provenance``).
ENTRIES = ("linbench.suites.latency.measure", *rounds.ENTRIES)
#: A part other than the backbone has SAM's neck or decoder, and a fusion takes blocks of other backbones.
NECK = "linbench.backbones.sam_vit"
MIXERS = {"mamba": "linbench.backbones.vmamba", "rwkv": "linbench.backbones.rwkv_sam"}
MODES = {False: "latency", True: "latency and energy"}
OWN_FLAGS = {"attention": "--attention", "impl": "--impl", "image_size": "--res", "fused": "--setting fused"}
DECODING = "decoder or end-to-end"


def cells(choices: Choices) -> list[Cell]:
    """Every backbone × part × fusion × resolution × dtype × preset; raises UnknownName and ValueError that teach."""
    device = find_device(choices.device)
    made: dict[str, Cell] = {}
    for name in choices.backbones:
        for part in map(Part, choices.parts):
            entry = _entry(name, part)
            _refuse_sizes(name, _multiple(entry, part), choices)
            if entry.name not in set(backbone):
                _refuse_member(entry.name)
            _refuse_options(name, options_of(name, part), choices)
            for fusion in fusions_of(name, part, choices):
                own = {"backbone": name, "part": str(part), "fusion": fusion}
                for cell in _settled(own, entry, device, choices):
                    made[str(cell.key)] = cell
    _refuse_idle(choices, made.values())
    return list(made.values())


def _entry(name: str, part: Part) -> Entry:
    """The backbone of the model of that name."""
    if part is Part.BACKBONE and name in HQ:
        raise ValueError(f"{name} is a segmenter on {HQ[name]}: name that, or another --part than backbone")
    return backbone[backbone_of(name)]


def _multiple(entry: Entry, part: Part) -> int:
    """What must divide the sides of an image."""
    own: int = entry.facts.get("multiple_of", 1)
    return own if part is Part.BACKBONE else math.lcm(own, STRIDE)


def _settled(own: Key, entry: Entry, device: torch.device, choices: Choices) -> Iterator[Cell]:
    """The cells of one part of one model, under each preset, dtype and size."""
    settled = choices_of(own["backbone"], Part(own["part"]))
    modules = _modules(own, entry)
    behind, without = modules["backbone"], modules["without"]
    hashed = code_hash(ENTRIES, behind, without)
    of_search = code_hash((*ENTRIES, *search.ENTRIES), behind, without)
    for preset in choices.presets:
        for dtype in choices.dtypes:
            chosen = settings(Preset(preset), device.type, dtype, settled, **choices.given)
            first = _key(own, choices.resolutions[0], dtype, device, chosen, choices)
            pending = None
            if chosen.preset is Preset.BEST:
                pending = search.plan(first, choices.resolutions, settled, of_search, first["threads"])
            for height, width in choices.resolutions:
                key = {**first, "height": height, "width": width}
                variables = {"OMP_NUM_THREADS": str(key["threads"])} | chosen.variables
                yield Cell(key, hashed, modules, variables, pending)


def _modules(own: Key, entry: Entry) -> dict[str, tuple[str, ...]]:
    """What is behind the numbers of a part, as ``code_hash`` takes it."""
    if own["part"] == Part.BACKBONE:
        return {"suite": ENTRIES, "backbone": (entry.source,), "without": ("linbench.models",)}
    mixer = (MIXERS[own["fusion"]],) if own["fusion"] in MIXERS else ()
    return {"suite": ENTRIES, "backbone": (entry.source, NECK, *mixer), "without": ()}


def _refuse_sizes(name: str, multiple: int, choices: Choices) -> None:
    for height, width in choices.resolutions:
        if height % multiple or width % multiple:
            near = sorted({max(multiple, side // multiple * multiple) for side in (height, width)})
            near += [side + multiple for side in near]
            raise ValueError(
                f"--res {height}x{width}: {name} takes heights and widths that {multiple} divides, "
                f"such as {' or '.join(map(str, sorted(near)))}; leave it out with --backbone to keep this size"
            )


def _refuse_options(name: str, options: tuple[str, ...], choices: Choices) -> None:
    for option in choices.options:
        if option in OWN_FLAGS:
            raise ValueError(f"--option {option}: it has a flag of its own; write {OWN_FLAGS[option]}")
        if option not in options:
            raise ValueError(f"--option {option}: {name} has none of that name; it has {', '.join(options)}")


def _refuse_idle(choices: Choices, made: Iterable[Cell]) -> None:
    """Refuse prompts that nothing decodes, and fusions that nothing has."""
    decoded = any(Part(part).decodes for part in choices.parts)
    if choices.prompts != 1 and not decoded:
        raise ValueError(f"--prompts {choices.prompts}: with --part {DECODING} only; nothing else decodes prompts")
    if choices.fusions == ("conv",) or any(cell.key["fusion"] != "none" for cell in made):
        return
    said = f"--fusion {','.join(choices.fusions)}: "
    if not decoded:
        raise ValueError(f"{said}with --part {DECODING} only; nothing else fuses maps")
    raise ValueError(
        f"{said}{', '.join(choices.backbones)} has nothing to fuse; RWKV-SAM's decoder needs a backbone with maps at "
        "strides 4 and 8, such as rwkv-sam-s or vmamba-t"
    )


def _refuse_member(name: str) -> None:
    """A family such as ``timm/*`` knows its members only when it builds one: try, on no data."""
    try:
        with torch.device("meta"):
            build_backbone(name, image_size=224)
    except ImportError as error:
        raise ValueError(f"{name} cannot be built here: {error}") from error
    except ValueError:
        return  # this size does not fit it; a cell of its own will say what does


def _key(
    own: Key, size: tuple[int, int], dtype: str, device: torch.device, chosen: Settings, choices: Choices
) -> dict[str, Any]:
    if dtype not in DTYPES:
        raise ValueError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}")
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    threads = thread_count(choices.threads)
    return {
        "suite": "latency",
        "suite_version": VERSION,
        **own,
        "prompts": choices.prompts if Part(own["part"]).decodes else 0,
        "options": dict(choices.options),
        "height": size[0],
        "width": size[1],
        "batch": 1,
        "dtype": dtype,
        "device": device_name,
        "device_type": device.type,
        "mode": MODES[choices.energy],
        "threads": threads,
        **chosen.key,
    }
