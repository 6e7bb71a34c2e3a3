"""Named inputs of Q-Shift, tested and timed alike."""

from dataclasses import dataclass

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase
from linbench.kernels.q_shift.op import q_shift


@dataclass(frozen=True)
class QShiftCase:
    """An input: sizes ``b h w c``, the distance of the shift in px, and the fraction of channels per direction."""

    b: int
    h: int
    w: int
    c: int
    shift_pixel: int = 1
    gamma: float = 0.25

    def x(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard-normal tokens, ``b (h w) c``."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(self.b, self.h * self.w, self.c, generator=generator).to(dtype)


CASES = {
    "toy": QShiftCase(1, 2, 3, 4),
    "ragged channels": QShiftCase(2, 3, 7, 10),
    "three channels": QShiftCase(1, 3, 3, 3),
    "copied channels": QShiftCase(1, 6, 4, 8, gamma=0.125),
    "two pixels": QShiftCase(1, 5, 6, 12, shift_pixel=2),
    "no shift": QShiftCase(1, 5, 6, 12, shift_pixel=0),
    "beyond the grid": QShiftCase(1, 3, 4, 8, shift_pixel=9),
    "one row": QShiftCase(1, 1, 6, 8),
    "one column": QShiftCase(1, 6, 1, 8),
    "no image": QShiftCase(0, 3, 4, 8),
    "vrwkv-t at 224": QShiftCase(1, 14, 14, 192),
    "vrwkv-s at 1024": QShiftCase(1, 64, 64, 384),
}


def _bench_case(case: QShiftCase) -> BenchCase:
    options = {"shift_pixel": case.shift_pixel, "gamma": case.gamma, "patch_resolution": (case.h, case.w)}
    return BenchCase(q_shift, lambda dtype: {"x": case.x(dtype), **options}, case.b, case.h * case.w, case.c)


#: At Vision-RWKV's shapes.
BENCH_CASES = {
    "q_shift": {
        "toy": _bench_case(CASES["ragged channels"]),
        "vrwkv-s at 1024": _bench_case(CASES["vrwkv-s at 1024"]),
        "vrwkv-s at 4096": _bench_case(QShiftCase(1, 256, 256, 384)),
    }
}
