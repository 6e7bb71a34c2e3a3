"""Named inputs of the residual addition and norm, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

from linbench.kernels.add_rms_norm.op import add_rms_norm
from linbench.kernels.bench_cases import BenchCase


@dataclass(frozen=True)
class AddRmsNormCase:
    """An input: sizes ``b t c``, and the scale of the numbers."""

    b: int
    t: int
    c: int
    scale: float = 1.0

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
        """Return x and weight in ``dtype``, and the residual between them in float32 at least."""
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)
        x, residual = (
            self.scale * torch.randn(self.b, self.t, self.c, generator=generator, dtype=wide) for _ in range(2)
        )
        weight = 1 + 0.1 * torch.randn(self.c, generator=generator, dtype=wide)
        return x.to(dtype), residual, weight.to(dtype)


CASES = {
    "toy": AddRmsNormCase(1, 3, 4),
    "ragged": AddRmsNormCase(2, 7, 83),
    "one channel": AddRmsNormCase(1, 5, 1),
    "one token": AddRmsNormCase(1, 1, 64),
    "several programs": AddRmsNormCase(2, 37, 192),
    "no image": AddRmsNormCase(0, 3, 4),
    "no channel": AddRmsNormCase(1, 3, 0),
    "tiny": AddRmsNormCase(1, 4, 64, scale=1e-4),
    "large": AddRmsNormCase(1, 4, 64, scale=1e15),
    "zeros": AddRmsNormCase(1, 4, 64, scale=0.0),
    "vim-s at 1024": AddRmsNormCase(1, 4097, 384),
}


def _bench_case(case: AddRmsNormCase) -> BenchCase:
    names = ("x", "residual", "weight")
    return BenchCase(
        add_rms_norm, lambda dtype: dict(zip(names, case.inputs(dtype), strict=True)), case.b, case.t, case.c
    )


#: At Vim's shapes.
BENCH_CASES = {
    "add_rms_norm": {
        "toy": _bench_case(CASES["ragged"]),
        "vim-s at 1024": _bench_case(CASES["vim-s at 1024"]),
        "vim-s at 4096": _bench_case(AddRmsNormCase(1, 65537, 384)),
    }
}
