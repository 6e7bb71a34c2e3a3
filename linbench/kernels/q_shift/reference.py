"""Q-Shift, Vision-RWKV's token shift in four directions (arXiv 2403.02308, section 3.2, eq. 2).

The channels are cut in ranges at ``int(c · gamma · j)``, j = 0..4. On the h w grid, range 0 takes the pixel to
the left, 1 to the right, 2 above, 3 below; the channels that remain (gamma < 1/4) are copied. A pixel without a
neighbour gets zero.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import verifies


def q_shift(x: Tensor, shift_pixel: int, gamma: float, patch_resolution: tuple[int, int]) -> Tensor:
    """Return x, ``b (h w) c``, with each range of channels moved by ``shift_pixel`` in its direction."""
    height, width = patch_resolution
    p = shift_pixel
    grid = x.unflatten(1, (height, width))  # b h w c
    left, right, up, down, rest = grid.tensor_split([int(x.shape[2] * gamma * j) for j in range(1, 5)], dim=3)
    shifted = torch.cat(
        [
            torch.nn.functional.pad(left, (0, 0, p, 0))[:, :, :width],
            torch.nn.functional.pad(right, (0, 0, 0, p))[:, :, p:],
            torch.nn.functional.pad(up, (0, 0, 0, 0, p, 0))[:, :height],
            torch.nn.functional.pad(down, (0, 0, 0, 0, 0, p))[:, p:],
            rest,
        ],
        dim=3,
    )
    return shifted.flatten(1, 2)


@verifies("linbench::q_shift")
def verify(arguments: Sequence[Any], output: Tensor) -> float:
    """Return 0 if the output is exact on a channel at each end of every range, else infinity.

    arguments: Of the operator: x ``b (h w) c``, shift_pixel, gamma, h, w.
    """
    x, shift_pixel, gamma, h, w = arguments
    c = x.shape[2]
    cuts = [int(c * gamma * j) for j in range(5)] + [c]
    channels = sorted({i for a, b in pairwise(cuts) if b > a for i in (a, b - 1)})
    if output.shape != x.shape or output.dtype != x.dtype:
        return float("inf")
    for channel in channels:
        # The channel alone, as the only one of its range: of five channels with gamma = 0.2 each is a range.
        range_index = next(i for i in range(5) if cuts[i] <= channel < cuts[i + 1])
        alone = x.new_zeros(*x.shape[:2], 5)
        alone[..., range_index] = x[..., channel]
        truth = q_shift(alone, shift_pixel, 0.2, (h, w))[..., range_index]
        if not truth.equal(output[..., channel]):
            return float("inf")
    return 0.0
