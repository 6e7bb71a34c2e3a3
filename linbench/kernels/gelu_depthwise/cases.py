"""Named inputs of the depthwise convolution between two GELUs, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One input: sizes ``b c h w`` and the stride; in memory ``b h w c``, as in RWKV-SAM, if ``channel_last``."""

    b: int
    c: int
    h: int
    w: int
    stride: int = 1
    scale: float = 1.0
    channel_last: bool = True

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """x, weight and bias, all of ``dtype``."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=wide)

        x = (self.scale * normal(self.b, self.h, self.w, self.c)).to(dtype).permute(0, 3, 1, 2)
        x = x if self.channel_last else x.contiguous()
        return x, (normal(self.c, 1, 3, 3) / 3).to(dtype), normal(self.c).to(dtype)


CASES = {
    "toy": Case(1, 4, 3, 4),
    "toy, stride 2": Case(1, 4, 3, 4, 2),
    "ragged": Case(2, 37, 7, 9),
    "ragged, stride 2": Case(2, 37, 7, 9, 2),
    "even, stride 2": Case(1, 70, 8, 6, 2),
    "plain memory": Case(2, 20, 5, 6, 2, channel_last=False),
    "one pixel": Case(2, 16, 1, 1),
    "one row": Case(1, 16, 1, 9, 2),
    "one column": Case(1, 16, 9, 1),
    "one channel": Case(1, 1, 5, 5),
    "several programs": Case(2, 133, 20, 17),
    "large": Case(1, 16, 5, 5, scale=200.0),
    "no image": Case(0, 4, 3, 3),
    "rwkv-sam-s at 1024, stage 1": Case(1, 256, 512, 512, 2),
    "rwkv-sam-s at 1024, stage 2": Case(1, 512, 128, 128),
}
