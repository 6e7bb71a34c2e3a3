"""Cross-scan and cross-merge, the four orders in which VMamba reads a map (arXiv 2401.10166, section 3.3).

A 2 x 3 map ``[[0, 1, 2], [3, 4, 5]]`` is read as 0: 012345 (rows), 1: 031425 (columns), 2: 543210 (0 reversed),
3: 524130 (1 reversed).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import verifies


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


@verifies("linbench::cross_scan")
def verify_scan(arguments: Sequence[Any], output: Tensor, channels: Sequence[int] | None = None) -> float:
    """Return 0 where some channels of the output equal the definition, bit by bit, else infinity.

    arguments: Of the operator: x, ``b c h w``.
    channels: To compare; by default the first, the middle and the last.
    """
    (x,) = arguments
    channels = _sampled_channels(x, 1) if channels is None else channels
    return _zero_if(output[:, :, channels].equal(cross_scan(x[:, channels])))


@verifies("linbench::cross_merge")
def verify_merge(arguments: Sequence[Any], output: Tensor, channels: Sequence[int] | None = None) -> float:
    """Return 0 where some channels of the output equal the sum in float32 at least, bit by bit, else infinity.

    arguments: Of the operator: ys, ``b 4 c h w``.
    channels: As of ``verify_scan``.
    """
    (ys,) = arguments
    channels = _sampled_channels(ys, 2) if channels is None else channels
    sample = ys[:, :, channels].to(torch.promote_types(ys.dtype, torch.float32))
    return _zero_if(output[:, channels].equal(cross_merge(sample).to(output.dtype)))


def _sampled_channels(x: Tensor, axis: int) -> list[int]:
    size = x.shape[axis]
    return sorted({0, size // 2, size - 1}) if x.numel() else []


def _zero_if(is_equal: bool) -> float:
    return 0.0 if is_equal else float("inf")
