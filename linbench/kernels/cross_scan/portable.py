"""Cross-scan and cross-merge in plain operators, for deployment engines; whole runs of channels are moved."""

import torch
from torch import Tensor

from linbench.kernels.operators import portable


@portable("linbench::cross_scan")
def cross_scan(x: Tensor) -> Tensor:
    """Return the map x, ``b c h w``, as four sequences, ``b 4 c (h w)``; in memory ``b (h w) 4 c``."""
    rows = x.permute(0, 2, 3, 1)  # b h w c
    both = torch.stack([rows.flatten(1, 2), rows.transpose(1, 2).flatten(1, 2)], dim=2)  # b t 2 c
    return torch.cat([both, both.flip(1)], dim=2).permute(0, 2, 3, 1)


@portable("linbench::cross_merge")
def cross_merge(ys: Tensor) -> Tensor:
    """Undo each order of ys, ``b 4 c h w``, and sum them to ``b c (h w)``."""
    height, width = ys.shape[3:]
    forwards, backwards = ys.permute(0, 3, 4, 1, 2).flatten(1, 2).split(2, dim=2)  # b t 2 c
    rows, columns = (forwards + backwards.flip(1)).unbind(2)
    columns = columns.unflatten(1, (width, height)).transpose(1, 2).flatten(1, 2)
    return (rows + columns).transpose(1, 2)
