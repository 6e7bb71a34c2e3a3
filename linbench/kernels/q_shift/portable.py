"""Q-Shift in plain operators, for deployment engines.

Where the channels are four equal quarters, as in all models, the shift is one gather: a token is four runs of c / 4
channels, and the run of each comes from the neighbour in its direction. Engines copy whole runs; five slices, four
paddings and a concatenation are three passes over the tokens.
"""

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.operators import portable


@portable("linbench::q_shift")
def q_shift(x: Tensor, shift_pixel: int, gamma: float, h: int, w: int) -> Tensor:
    """Return x, ``b (h w) c``, with each range of channels moved by ``shift_pixel`` in its direction."""
    cuts = [int(x.shape[2] * gamma * j) for j in range(1, 5)]
    if [4 * cut for cut in cuts] == [x.shape[2] * j for j in range(1, 5)] and x.numel():
        return _gathered(x, shift_pixel, h, w)
    p = shift_pixel
    left, right, up, down, rest = x.unflatten(1, (h, w)).tensor_split(cuts, dim=3)
    moved = [
        functional.pad(left, (0, 0, p, 0))[:, :, :w],
        functional.pad(right, (0, 0, 0, p))[:, :, p:],
        functional.pad(up, (0, 0, 0, 0, p, 0))[:, :h],
        functional.pad(down, (0, 0, 0, 0, 0, p))[:, p:],
        rest,
    ]
    return torch.cat([part for part in moved if part.shape[3]] or [rest], dim=3).flatten(1, 2)


def _gathered(x: Tensor, p: int, h: int, w: int) -> Tensor:
    """Shift four equal quarters of the channels by one gather of runs of channels."""
    b, t, c = x.shape
    quarter = torch.arange(4, device=x.device)
    row, column = torch.arange(h, device=x.device)[:, None, None], torch.arange(w, device=x.device)[None, :, None]
    row = row + p * ((quarter == 3).long() - (quarter == 2).long())  # h 1 q
    column = column + p * ((quarter == 1).long() - (quarter == 0).long())  # 1 w q
    inside = (row >= 0) & (row < h) & (column >= 0) & (column < w)
    source = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)) * 4 + quarter
    runs = x.reshape(b, 4 * t, c // 4).index_select(1, source.flatten())
    return (runs * inside.reshape(1, 4 * t, 1).to(x.dtype)).reshape(b, t, c)
