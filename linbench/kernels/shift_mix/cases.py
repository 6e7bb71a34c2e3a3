"""Named inputs of the norm, shift and mixes, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One input: sizes ``b h w c``; as many mixes as the spatial (3) or the channel mix (2) has."""

    b: int
    h: int
    w: int
    c: int
    mixes: int = 3
    mean: float = 0.0
    scale: float = 1.0

    @property
    def grid(self) -> tuple[int, int]:
        return self.h, self.w

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """x, weight, bias and the mixes; the parameters in float32 at least."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=wide)

        x = (self.mean + self.scale * normal(self.b, self.h * self.w, self.c)).to(dtype)
        mixes = [torch.rand(self.c, generator=generator, dtype=wide) for _ in range(self.mixes)]
        return x, 1 + 0.1 * normal(self.c), 0.1 * normal(self.c), mixes


CASES = {
    "toy": Case(1, 2, 3, 4),
    "ragged": Case(2, 3, 7, 39, mixes=2),
    "quarters of 17": Case(1, 3, 4, 68),
    "one channel": Case(1, 2, 2, 1),
    "three channels": Case(1, 3, 3, 3, mixes=1),
    "one token": Case(2, 1, 1, 16),
    "one row": Case(1, 1, 6, 8),
    "one column": Case(2, 6, 1, 8),
    "no image": Case(0, 3, 4, 8),
    "no channel": Case(1, 3, 4, 0),
    "far from zero": Case(1, 4, 4, 64, mean=300.0),
    "almost equal": Case(1, 4, 4, 64, mean=1.0, scale=1e-4),
    "large": Case(1, 4, 4, 64, scale=1e15),
    "vrwkv-t at 224": Case(1, 14, 14, 192),
    "rwkv-sam-s at 1024": Case(1, 64, 64, 384),
    "rwkv-sam-s at 1024, channel mix": Case(1, 64, 64, 384, mixes=2),
}
