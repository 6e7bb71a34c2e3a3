"""Presets: the settings that move a number, by the column of a comparison that they make.

``paper``: what the paper did: eager, softmax attention that builds its score matrix, strict float32 products,
the allocator as it is. ``best``: the fastest settings in PyTorch on this device that do not change results, eager or
compiled, chosen by the search in ``search.py``; ``preset_settings`` gives those that it starts from. ``deployed``:
the fastest of all engines that are installed, by the same search. Any single setting given by hand makes the column
``custom``, and nothing is searched; ``engine=eager`` only keeps a search from other engines.
"""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from linbench.engines import engine as engines
from linbench.engines.contract import COMPILE, EAGER, EngineKey, build, exported
from linbench.environment import cpu_features


class Preset(StrEnum):
    """Named columns of a comparison."""

    PAPER = "paper"
    BEST = "best"
    DEPLOYED = "deployed"
    CUSTOM = "custom"


@dataclass(frozen=True)
class Settings:
    """The settings of a cell, apart from the model and its size; every field is part of the cell's key.

    attention: ``naive``, ``sdpa`` or ``chunked``, for backbones that have the choice; ``none`` for others.
    engine: What runs the model. One that loads an artifact has its own products, layouts and allocator: those
        settings are torch's defaults then.
    matmul: torch's float32 matmul precision, ``highest`` or ``medium``. On a CPU ``medium`` takes oneDNN instead
        of MKL; without AMX no bfloat16 enters, and the search checks it.
    tf32: Whether CUDA matrix products and convolutions may round their inputs to TF32.
    allocator: ``default``, or ``keep``: glibc gives no memory back, so large activations cause no page faults.
    memory_format: Of images, maps and convolutions: ``contiguous`` or ``channels_last``.
    fused: Whether the backbone runs its chains of pointwise operations as one kernel, where it has them so.
    sdpa_backend: ``auto``, torch's own choice, or the only one that ``sdpa`` may take: ``flash``, ``efficient``,
        ``cudnn`` or ``math``.
    cuda_graph: Whether the whole forward is captured once and replayed.
    """

    preset: Preset
    impl: str = "fast"
    attention: str = "naive"
    engine: EngineKey = field(default_factory=EngineKey)
    matmul: str = "highest"
    tf32: bool = False
    allocator: str = "default"
    memory_format: str = "contiguous"
    fused: bool = False
    sdpa_backend: str = "auto"
    cuda_graph: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """Environment of the child process: glibc reads its allocator's settings only at start."""
        if self.allocator == "default":
            return {}
        return {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26)}

    def to_json(self) -> dict[str, Any]:
        """Return the settings as entries of a key."""
        entries = asdict(self) | {"preset": str(self.preset)}
        del entries["engine"]
        return entries | self.engine.to_json()

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "Settings":
        """Return the settings of a key, whose other entries are ignored."""
        values = {field.name: entries[field.name] for field in fields(cls) if field.name != "engine"}
        return cls(**{**values, "preset": Preset(values["preset"]), "engine": EngineKey.from_json(entries)})

    def under(self, engine: EngineKey) -> "Settings":
        """Return these settings under another engine: of one that loads an artifact, what its graph depends on."""
        if exported(engine.name) is None:
            return replace(self, engine=engine)
        return Settings(self.preset, self.impl, self.attention, engine, fused=self.fused)


#: The settings that an exported graph depends on.
OF_GRAPHS = ("attention", "fused", "impl")
#: The values that each setting may be given by hand; an engine by its name.
ALLOWED: dict[str, tuple[Any, ...]] = {
    "impl": ("reference", "fast", "vendor"),
    "attention": ("naive", "sdpa", "chunked"),
    "matmul": ("highest", "high", "medium"),
    "tf32": (False, True),
    "allocator": ("default", "keep"),
    "memory_format": ("contiguous", "channels_last"),
    "fused": (False, True),
    "sdpa_backend": ("auto", "flash", "efficient", "cudnn", "math"),
    "cuda_graph": (False, True),
}


def preset_settings(
    preset: Preset, device_type: str, dtype: str = "float32", options: tuple[str, ...] = ("attention",), **given: Any
) -> Settings:
    """Return the settings of ``preset``, or where a search starts, with those changed that are given.

    options: The arguments of the backbone's factory: a setting that it lacks is ``none`` or off.
    given: Settings by hand; None means unset. ``engine`` is a name; ``compile=True`` is another word for one.

    Raises ValueError and UnknownName for a setting that is unknown or does not exist on the device.
    """
    changed = {name: value for name, value in given.items() if value is not None}
    name = engine_name(changed)
    _refuse(changed, device_type)
    if name and preset is Preset.DEPLOYED:
        raise ValueError(f"--engine {name}: the preset deployed chooses the engine; leave out one of them")
    if name and exported(name) is not None:
        base = _exported_settings(name, device_type, changed)
    else:
        base = _torch_settings(preset, device_type, dtype, name, changed)
    if "attention" not in options:
        base = replace(base, attention="none", sdpa_backend="auto")
    return base if "fused" in options else replace(base, fused=False)


def engine_name(given: dict[str, Any]) -> str:
    """Take the engine out of settings by hand, and return its name; empty where none is given.

    Raises ValueError where ``compile``, an older word for one, names another; UnknownName.
    """
    name, compiled = given.pop("engine", ""), given.pop("compile", None)
    if not isinstance(compiled, bool | None):
        raise ValueError(f"--setting compile={compiled}: allowed are false, true")
    older = "" if compiled is None else COMPILE if compiled else EAGER
    if name and older and name != older:
        raise ValueError(f"--engine {name} and {'--compile' if compiled else '--no-compile'}: name one engine")
    return engines[name or older].name if name or older else ""


def _torch_settings(preset: Preset, device_type: str, dtype: str, name: str, changed: dict[str, Any]) -> Settings:
    """Return the settings of an engine of PyTorch."""
    base = Settings(preset=preset)
    if is_searched(preset):
        base = replace(base, attention="sdpa", fused=True)
        if device_type == "cpu":
            base = replace(base, allocator="keep" if can_keep_memory() else "default", matmul=_matmul(dtype))
    if name and name != EAGER:
        changed = {**changed, "engine": build(name).key(device_type)}
    if changed and (is_searched(preset) or replace(base, **changed) != base):
        return replace(base, preset=Preset.CUSTOM, **changed)
    return base


def _exported_settings(name: str, device_type: str, changed: dict[str, Any]) -> Settings:
    """Return the settings of an engine that loads an artifact, whatever the preset; raises ValueError."""
    base = Settings(Preset.CUSTOM, attention="sdpa", engine=build(name).key(device_type), fused=True)
    for setting, value in changed.items():
        if setting not in OF_GRAPHS:
            raise ValueError(f"--setting {setting}={value}: {name} has none; it takes {', '.join(OF_GRAPHS)}")
    return replace(base, **changed)


def is_searched(preset: Preset) -> bool:
    """Return whether a search chooses the settings of a preset."""
    return preset in (Preset.BEST, Preset.DEPLOYED)


def can_keep_memory() -> bool:
    """Return whether ``allocator: keep`` has an effect: only glibc's malloc reads those variables."""
    return platform.libc_ver()[0] == "glibc"


def rounds_products() -> bool:
    """Return whether ``matmul: medium`` rounds float32 products to bfloat16 on this CPU, as it does with AMX."""
    return "amx_bf16" in cpu_features()


def _matmul(dtype: str) -> str:
    return "medium" if dtype == "float32" and not rounds_products() else "highest"


def _refuse(given: dict[str, Any], device_type: str) -> None:
    for name, value in given.items():
        if name not in ALLOWED:
            raise ValueError(f"--setting {name}: unknown; allowed are {', '.join(sorted((*ALLOWED, 'engine')))}")
        if not any(value is other or (isinstance(value, str) and value == other) for other in ALLOWED[name]):
            allowed = ", ".join(str(other).lower() for other in ALLOWED[name])
            raise ValueError(f"--setting {name}={value}: allowed are {allowed}")
    if given.get("cuda_graph") and device_type != "cuda":
        raise ValueError(f"--setting cuda_graph=true: needs a CUDA device, this one is {device_type}")
