"""Shape contracts in axis letters: ``check(k=(k, "b t c"), w=(w, "c"))``.

The letters of linbench: ``b`` batch, ``c`` channels, ``h w`` grid, ``t`` tokens, ``d`` scan directions or
inner channels, ``n`` state, ``g`` groups, ``r`` rank, ``s`` stride, ``m`` masks, ``p`` prompt points.
"""

from collections.abc import Mapping
from typing import Protocol


class Shaped(Protocol):
    """Anything with a shape: a tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""


def check(known: Mapping[str, int] | None = None, /, **contracts: tuple[Shaped, str]) -> dict[str, int]:
    """Return the size of each axis letter; raise ValueError where a tensor breaks its contract.

    known: Sizes fixed by an earlier call.
    contracts: For each argument its tensor and its axes, as ``k=(k, "b t c")``. A number stands for itself.
    """
    sizes = dict(known or {})
    for name, (tensor, axes) in contracts.items():
        letters = axes.split()
        shape = tuple(int(n) for n in tensor.shape)
        if len(letters) != len(shape):
            raise ValueError(f"{name} must be `{axes}`, got {len(shape)} axes of sizes {shape}")
        for letter, size in zip(letters, shape, strict=True):
            expected = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            if size != expected:
                raise ValueError(f"{name} must be `{axes}` with {letter} = {expected}, got sizes {shape}")
    return sizes
