"""Cross-scan and cross-merge, the four orders in which VMamba reads a map (arXiv 2401.10166, section 3.3).

A 2 x 3 map ``[[0, 1, 2], [3, 4, 5]]`` is read as 0: 012345 (rows), 1: 031425 (columns), 2: 543210 (0 reversed),
3: 524130 (1 reversed).
"""

import torch
from torch import Tensor


def cross_scan(x: Tensor) -> Tensor:
    """Return the map x, ``b c h w``, as four sequences, ``b 4 c (h w)``."""
    rows = x.flatten(2)
    columns = x.transpose(2, 3).flatten(2)
    return torch.stack([rows, columns, rows.flip(2), columns.flip(2)], dim=1)


def cross_merge(ys: Tensor) -> Tensor:
    """Undo each order of ys, ``b 4 c h w`` (each sequence in the map's shape), and sum them to ``b c (h w)``."""
    height, width = ys.shape[3:]
    rows, columns, rows_back, columns_back = ys.flatten(3).unbind(1)
    rows = rows + rows_back.flip(2)
    columns = columns + columns_back.flip(2)  # order: w h
    return rows + columns.unflatten(2, (width, height)).transpose(2, 3).flatten(2)
