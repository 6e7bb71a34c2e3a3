"""Named inputs of the causal convolution, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase
from linbench.kernels.causal_conv_silu.op import CAUSAL_CONV1D, causal_conv_silu


@dataclass(frozen=True)
class CausalConvCase:
    """An input: sizes ``b d t`` and k weights; in memory ``b t d``, as in Vim, unless ``channel_last`` is off."""

    b: int
    d: int
    t: int
    k: int = 4
    scale: float = 1.0
    channel_last: bool = True

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """Return x, weight and bias, all of ``dtype``."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=wide)

        x = (self.scale * normal(self.b, self.t, self.d)).to(dtype).transpose(1, 2)
        x = x if self.channel_last else x.contiguous()
        return x, normal(self.d, self.k).to(dtype), normal(self.d).to(dtype)


CASES = {
    "toy": CausalConvCase(1, 4, 5),
    "ragged": CausalConvCase(2, 37, 19),
    "tokens are neighbours": CausalConvCase(2, 37, 19, channel_last=False),
    "one token": CausalConvCase(2, 16, 1),
    "fewer tokens than weights": CausalConvCase(1, 5, 3),
    "one channel": CausalConvCase(1, 1, 9),
    "one weight": CausalConvCase(1, 20, 9, k=1),
    "seven weights": CausalConvCase(1, 20, 9, k=7),
    "several programs": CausalConvCase(2, 70, 40),
    "large": CausalConvCase(1, 16, 12, scale=200.0),
    "no image": CausalConvCase(0, 4, 5),
    "no token": CausalConvCase(2, 4, 0),
    "no channel": CausalConvCase(2, 0, 4),
    "vim-s at 1024": CausalConvCase(1, 768, 4097),
}


def _bench_case(case: CausalConvCase) -> BenchCase:
    names = ("x", "weight", "bias")
    return BenchCase(
        causal_conv_silu,
        lambda dtype: dict(zip(names, case.inputs(dtype), strict=True)),
        *(case.b, case.t, case.d),
        has_vendor=CAUSAL_CONV1D.is_installed,
    )


#: At Vim's shapes.
BENCH_CASES = {
    "causal_conv_silu": {
        "toy": _bench_case(CASES["ragged"]),
        "vim-s at 1024": _bench_case(CASES["vim-s at 1024"]),
        "vim-s at 4096": _bench_case(CausalConvCase(1, 768, 65537)),
    }
}
