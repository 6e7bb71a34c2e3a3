"""Named inputs of the causal convolution, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One input: sizes ``b d t`` and k weights; in memory ``b t d``, as in Vim, unless ``channel_last`` is off."""

    b: int
    d: int
    t: int
    k: int = 4
    scale: float = 1.0
    channel_last: bool = True

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """x, weight and bias, all of ``dtype``."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=wide)

        x = (self.scale * normal(self.b, self.t, self.d)).to(dtype).transpose(1, 2)
        x = x if self.channel_last else x.contiguous()
        return x, normal(self.d, self.k).to(dtype), normal(self.d).to(dtype)


CASES = {
    "toy": Case(1, 4, 5),
    "ragged": Case(2, 37, 19),
    "tokens are neighbours": Case(2, 37, 19, channel_last=False),
    "one token": Case(2, 16, 1),
    "fewer tokens than weights": Case(1, 5, 3),
    "one channel": Case(1, 1, 9),
    "one weight": Case(1, 20, 9, k=1),
    "seven weights": Case(1, 20, 9, k=7),
    "several programs": Case(2, 70, 40),
    "large": Case(1, 16, 12, scale=200.0),
    "no image": Case(0, 4, 5),
    "no token": Case(2, 4, 0),
    "no channel": Case(2, 0, 4),
    "vim-s at 1024": Case(1, 768, 4097),
}
