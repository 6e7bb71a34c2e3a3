"""A measurement's gate: does this output belong to these inputs?"""

from itertools import pairwise
from typing import Any

from torch import Tensor

from linbench.kernels.q_shift import reference


def verify(args: tuple[Any, ...], output: Tensor) -> float:
    """0 if the output of ``linbench::q_shift`` is exact on a channel at each end of every range, else infinity.

    args: The operator's inputs: x ``b (h w) c``, shift_pixel, gamma, h, w.
    """
    x, shift_pixel, gamma, h, w = args
    c = x.shape[2]
    cuts = [int(c * gamma * j) for j in range(5)] + [c]
    channels = sorted({i for a, b in pairwise(cuts) if b > a for i in (a, b - 1)})
    if output.shape != x.shape or output.dtype != x.dtype:
        return float("inf")
    for channel in channels:
        # One channel alone, told its range by the cut that it falls in: range r of 4 equal ones, or the rest.
        one = x[..., channel : channel + 1]
        wide = one.new_zeros(*one.shape[:2], 5)
        place = next(i for i in range(5) if cuts[i] <= channel < cuts[i + 1])
        wide[..., place] = one[..., 0]
        truth = reference.q_shift(wide, shift_pixel, 0.2, (h, w))[..., place]
        if not truth.equal(output[..., channel]):
            return float("inf")
    return 0.0
