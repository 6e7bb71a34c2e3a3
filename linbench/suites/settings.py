"""Presets: the settings that move a number, by the column of a comparison that they make.

``paper``: what the paper did: eager, softmax attention that builds its score matrix, strict float32 products,
the allocator as it is. ``best``: what each backbone offers at its best here without changing results: fused
attention, the faster of torch's matrix libraries, freed memory kept for the next forward. Any single setting
given by hand makes the column ``custom``.
"""

from dataclasses import dataclass, replace
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
    """What a cell runs under, apart from the model and its size; every field is part of the cell's key.

    attention: ``naive`` or ``sdpa``, for backbones that have the choice.
    matmul: torch's float32 matmul precision, ``highest`` or ``medium``. On a CPU ``medium`` takes oneDNN instead
        of MKL; without AMX no bfloat16 enters, and the gate of the suite checks it.
    tf32: Whether CUDA matrix products and convolutions may round their inputs to TF32.
    allocator: ``default``, or ``keep``: glibc gives no memory back, so large activations cause no page faults.
    """

    preset: Preset
    impl: str = "fast"
    attention: str = "naive"
    compile: bool = False
    matmul: str = "highest"
    tf32: bool = False
    allocator: str = "default"

    @property
    def variables(self) -> dict[str, str]:
        """Environment of the child process: glibc reads its allocator's settings only at start."""
        if self.allocator == "default":
            return {}
        return {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26)}


def settings(preset: Preset, device_type: str, **given: Any) -> Settings:
    """The settings of ``preset`` on a device, with those changed that are given (not None)."""
    base = Settings(preset=preset)
    if preset is Preset.BEST:
        base = replace(base, attention="sdpa")
        if device_type == "cpu":
            medium = "amx_bf16" not in cpu_features()  # with AMX, "medium" would round products to bfloat16
            base = replace(base, allocator="keep", matmul="medium" if medium else "highest")
    changed = {name: value for name, value in given.items() if value is not None}
    if any(getattr(base, name) != value for name, value in changed.items()):
        base = replace(base, preset=Preset.CUSTOM, **changed)
    return base
