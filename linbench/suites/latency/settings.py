"""Presets: the settings that move a number, by the column of a comparison that they make.

``paper``: what the paper did: eager, softmax attention that builds its score matrix, strict float32 products,
the allocator as it is. ``best``: the fastest settings on this device that do not change results, chosen by the
search in ``search.py``; ``preset_settings`` gives those that it starts from. Any single setting given by hand makes
the column ``custom``, and nothing is searched.
"""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

from linbench.environment import cpu_features


class Preset(StrEnum):
    """Named columns of a comparison."""

    PAPER = "paper"
    BEST = "best"
    CUSTOM = "custom"


@dataclass(frozen=True)
class Settings:
    """The settings of a cell, apart from the model and its size; every field is part of the cell's key.

    attention: ``naive``, ``sdpa`` or ``chunked``, for backbones that have the choice; ``none`` for others.
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
    compile: bool = False
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
        return asdict(self) | {"preset": str(self.preset)}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> "Settings":
        """Return the settings of a key, whose other entries are ignored."""
        values = {field.name: entries[field.name] for field in fields(cls)}
        return cls(**{**values, "preset": Preset(values["preset"])})


#: The values that each setting may be given by hand.
ALLOWED: dict[str, tuple[Any, ...]] = {
    "impl": ("reference", "fast", "vendor"),
    "attention": ("naive", "sdpa", "chunked"),
    "compile": (False, True),
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
    """Return the settings of ``preset``, or where a search for ``best`` starts, with those changed that are given.

    options: The arguments of the backbone's factory: a setting that it lacks is ``none`` or off.
    given: Settings by hand; None means unset.

    Raises ValueError for a setting that is unknown or does not exist on the device.
    """
    base = Settings(preset=preset)
    if preset is Preset.BEST:
        base = replace(base, attention="sdpa", fused=True)
        if device_type == "cpu":
            base = replace(base, allocator="keep" if can_keep_memory() else "default", matmul=_matmul(dtype))
    changed = {name: value for name, value in given.items() if value is not None}
    _refuse(changed, device_type)
    if changed and (preset is Preset.BEST or replace(base, **changed) != base):
        base = replace(base, preset=Preset.CUSTOM, **changed)
    if "attention" not in options:
        base = replace(base, attention="none", sdpa_backend="auto")
    return base if "fused" in options else replace(base, fused=False)


def can_keep_memory() -> bool:
    """Return whether ``allocator: keep`` has an effect: only glibc's malloc reads those variables."""
    return platform.libc_ver()[0] == "glibc"


def rounds_products() -> bool:
    """Return whether ``matmul: medium`` rounds float32 products to bfloat16 on this CPU, as it does with AMX."""
    return "amx_bf16" in cpu_features()


def _matmul(dtype: str) -> str:
    return "medium" if dtype == "float32" and not rounds_products() else "highest"


def _refuse(given: dict[str, Any], device_type: str) -> None:
    known = {field.name for field in fields(Settings)} - {"preset"}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"--setting {name}: unknown; allowed are {', '.join(sorted(known))}")
        if not any(value is other or (isinstance(value, str) and value == other) for other in ALLOWED[name]):
            allowed = ", ".join(str(other).lower() for other in ALLOWED[name])
            raise ValueError(f"--setting {name}={value}: allowed are {allowed}")
    if given.get("cuda_graph") and device_type != "cuda":
        raise ValueError(f"--setting cuda_graph=true: needs a CUDA device, this one is {device_type}")
