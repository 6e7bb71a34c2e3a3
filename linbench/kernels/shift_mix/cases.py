"""Named inputs of the norm, shift and mixes, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase
from linbench.kernels.impl import Impl
from linbench.kernels.shift_mix.op import norm_shift_mix


@dataclass(frozen=True)
class ShiftMixCase:
    """An input: sizes ``b h w c``, mean and scale of x; the spatial mix has 3 mixes, the channel mix 2."""

    b: int
    h: int
    w: int
    c: int
    mixes: int = 3
    mean: float = 0.0
    scale: float = 1.0

    @property
    def grid(self) -> tuple[int, int]:
        """Return ``(h, w)``."""
        return self.h, self.w

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """Return x, weight, bias and the mixes; the parameters in float32 at least."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=wide)

        x = (self.mean + self.scale * normal(self.b, self.h * self.w, self.c)).to(dtype)
        mixes = [torch.rand(self.c, generator=generator, dtype=wide) for _ in range(self.mixes)]
        return x, 1 + 0.1 * normal(self.c), 0.1 * normal(self.c), mixes


CASES = {
    "toy": ShiftMixCase(1, 2, 3, 4),
    "ragged": ShiftMixCase(2, 3, 7, 39, mixes=2),
    "quarters of 17": ShiftMixCase(1, 3, 4, 68),
    "one channel": ShiftMixCase(1, 2, 2, 1),
    "three channels": ShiftMixCase(1, 3, 3, 3, mixes=1),
    "one token": ShiftMixCase(2, 1, 1, 16),
    "one row": ShiftMixCase(1, 1, 6, 8),
    "one column": ShiftMixCase(2, 6, 1, 8),
    "no image": ShiftMixCase(0, 3, 4, 8),
    "no channel": ShiftMixCase(1, 3, 4, 0),
    "far from zero": ShiftMixCase(1, 4, 4, 64, mean=300.0),
    "almost equal": ShiftMixCase(1, 4, 4, 64, mean=1.0, scale=1e-4),
    "large": ShiftMixCase(1, 4, 4, 64, scale=1e15),
    "vrwkv-t at 224": ShiftMixCase(1, 14, 14, 192),
    "rwkv-sam-s at 1024": ShiftMixCase(1, 64, 64, 384),
    "rwkv-sam-s at 1024, channel mix": ShiftMixCase(1, 64, 64, 384, mixes=2),
}


def spatial(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mix_k: Tensor,
    mix_v: Tensor,
    mix_r: Tensor,
    grid: tuple[int, int],
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor:
    """Return the three mixes of a spatial mix, each mix an argument of its own."""
    return norm_shift_mix(x, weight, bias, [mix_k, mix_v, mix_r], grid, impl=impl)


def _bench_case(case: ShiftMixCase) -> BenchCase:
    def inputs(dtype: torch.dtype) -> dict[str, object]:
        x, weight, bias, mixes = case.inputs(dtype)
        named = dict(zip(("mix_k", "mix_v", "mix_r"), mixes, strict=True))
        return {"x": x, "weight": weight, "bias": bias, **named, "grid": case.grid}

    return BenchCase(spatial, inputs, case.b, case.h * case.w, case.c)


#: At RWKV-SAM's shapes.
BENCH_CASES = {
    "norm_shift_mix": {
        "toy": _bench_case(ShiftMixCase(2, 3, 7, 39)),
        "rwkv-sam-s at 1024": _bench_case(CASES["rwkv-sam-s at 1024"]),
        "rwkv-sam-s at 4096": _bench_case(ShiftMixCase(1, 256, 256, 384)),
    }
}
