"""Named inputs of Q-Shift, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One input: sizes ``b h w c``, and what moves by how much."""

    b: int
    h: int
    w: int
    c: int
    shift_pixel: int = 1
    gamma: float = 0.25

    def x(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard-normal tokens, ``b (h w) c``."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.b, self.h * self.w, self.c, generator=generator).to(dtype)


CASES = {
    "toy": Case(1, 2, 3, 4),
    "ragged channels": Case(2, 3, 7, 10),
    "three channels": Case(1, 3, 3, 3),
    "copied channels": Case(1, 6, 4, 8, gamma=0.125),
    "two pixels": Case(1, 5, 6, 12, shift_pixel=2),
    "no shift": Case(1, 5, 6, 12, shift_pixel=0),
    "beyond the grid": Case(1, 3, 4, 8, shift_pixel=9),
    "one row": Case(1, 1, 6, 8),
    "one column": Case(1, 6, 1, 8),
    "no image": Case(0, 3, 4, 8),
    "vrwkv-t at 224": Case(1, 14, 14, 192),
    "vrwkv-s at 1024": Case(1, 64, 64, 384),
}
