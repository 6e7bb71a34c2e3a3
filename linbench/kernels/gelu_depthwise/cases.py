"""Named inputs of the depthwise convolution between two GELUs, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase
from linbench.kernels.gelu_depthwise.op import gelu_depthwise


@dataclass(frozen=True)
class GeluDepthwiseCase:
    """An input: sizes ``b c h w`` and the stride; in memory ``b h w c``, as in RWKV-SAM, if ``channel_last``."""

    b: int
    c: int
    h: int
    w: int
    stride: int = 1
    scale: float = 1.0
    channel_last: bool = True

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """Return x, weight and bias, all of ``dtype``."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=wide)

        x = (self.scale * normal(self.b, self.h, self.w, self.c)).to(dtype).permute(0, 3, 1, 2)
        x = x if self.channel_last else x.contiguous()
        return x, (normal(self.c, 1, 3, 3) / 3).to(dtype), normal(self.c).to(dtype)


CASES = {
    "toy": GeluDepthwiseCase(1, 4, 3, 4),
    "toy, stride 2": GeluDepthwiseCase(1, 4, 3, 4, 2),
    "ragged": GeluDepthwiseCase(2, 37, 7, 9),
    "ragged, stride 2": GeluDepthwiseCase(2, 37, 7, 9, 2),
    "even, stride 2": GeluDepthwiseCase(1, 70, 8, 6, 2),
    "plain memory": GeluDepthwiseCase(2, 20, 5, 6, 2, channel_last=False),
    "one pixel": GeluDepthwiseCase(2, 16, 1, 1),
    "one row": GeluDepthwiseCase(1, 16, 1, 9, 2),
    "one column": GeluDepthwiseCase(1, 16, 9, 1),
    "one channel": GeluDepthwiseCase(1, 1, 5, 5),
    "several programs": GeluDepthwiseCase(2, 133, 20, 17),
    "large": GeluDepthwiseCase(1, 16, 5, 5, scale=200.0),
    "no image": GeluDepthwiseCase(0, 4, 3, 3),
    "rwkv-sam-s at 1024, stage 1": GeluDepthwiseCase(1, 256, 512, 512, 2),
    "rwkv-sam-s at 1024, stage 2": GeluDepthwiseCase(1, 512, 128, 128),
}


def _bench_case(case: GeluDepthwiseCase) -> BenchCase:
    names = ("x", "weight", "bias")
    return BenchCase(
        gelu_depthwise,
        lambda dtype: dict(zip(names, case.inputs(dtype), strict=True)) | {"stride": case.stride},
        *(case.b, case.h * case.w, case.c),
    )


#: At RWKV-SAM's shapes.
BENCH_CASES = {
    "gelu_depthwise": {
        "toy": _bench_case(CASES["ragged"]),
        "rwkv-sam-s at 1024": _bench_case(CASES["rwkv-sam-s at 1024, stage 2"]),
        "rwkv-sam-s at 4096": _bench_case(GeluDepthwiseCase(1, 512, 512, 512)),
    }
}
