"""Named inputs of the residual addition and norm, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One input: sizes ``b t c``, and the size of the numbers."""

    b: int
    t: int
    c: int
    scale: float = 1.0

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """x and weight in ``dtype``, the residual between them in float32 at least."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)
        x, residual = (
            self.scale * torch.randn(self.b, self.t, self.c, generator=generator, dtype=wide) for _ in range(2)
        )
        weight = 1 + 0.1 * torch.randn(self.c, generator=generator, dtype=wide)
        return x.to(dtype), residual, weight.to(dtype)


CASES = {
    "toy": Case(1, 3, 4),
    "ragged": Case(2, 7, 83),
    "one channel": Case(1, 5, 1),
    "one token": Case(1, 1, 64),
    "several programs": Case(2, 37, 192),
    "no image": Case(0, 3, 4),
    "no channel": Case(1, 3, 0),
    "tiny": Case(1, 4, 64, scale=1e-4),
    "large": Case(1, 4, 64, scale=1e15),
    "zeros": Case(1, 4, 64, scale=0.0),
    "vim-s at 1024": Case(1, 4097, 384),
}
