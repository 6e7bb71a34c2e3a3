"""Inputs of cross-scan and cross-merge, tested and timed alike."""

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase
from linbench.kernels.cross_scan.op import cross_merge, cross_scan

#: Name to batch, channels, height, width.
SIZES = {
    "toy": (1, 2, 2, 3),
    "ragged": (2, 5, 7, 3),
    "one row": (1, 3, 1, 9),
    "one column": (2, 3, 8, 1),
    "one pixel": (1, 4, 1, 1),
    "one channel": (2, 1, 4, 5),
    "square": (1, 16, 8, 8),
}
VMAMBA_S = (1, 192, 64, 64)


def feature_map(size: tuple[int, int, int, int], *, channel_last: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a random map, ``b c h w``; in memory ``b h w c`` if ``channel_last``."""
    x = torch.randn(size, generator=torch.Generator().manual_seed(sum(size))).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if channel_last else x


def sequences(size: tuple[int, int, int, int], *, channel_last: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return four random sequences, ``b 4 c h w``; in memory ``b h w 4 c`` if ``channel_last``."""
    b, c, h, w = size
    ys = torch.randn((b, 4, c, h, w), generator=torch.Generator().manual_seed(sum(size))).to(dtype)
    return ys.permute(0, 3, 4, 1, 2).contiguous().permute(0, 3, 4, 1, 2) if channel_last else ys


def _scan_case(size: tuple[int, int, int, int]) -> BenchCase:
    b, c, h, w = size
    return BenchCase(cross_scan, lambda dtype: {"x": feature_map(size, channel_last=True, dtype=dtype)}, b, h * w, c)


def _merge_case(size: tuple[int, int, int, int]) -> BenchCase:
    b, c, h, w = size
    return BenchCase(cross_merge, lambda dtype: {"ys": sequences(size, channel_last=True, dtype=dtype)}, b, h * w, c)


#: Of VMamba-S's first stage; channels are neighbours in memory, as there.
_MAPS = {"toy": SIZES["ragged"], "vmamba-s at 256": VMAMBA_S, "vmamba-s at 1024": (1, 192, 256, 256)}
BENCH_CASES = {
    "cross_scan": {name: _scan_case(size) for name, size in _MAPS.items()},
    "cross_merge": {name: _merge_case(size) for name, size in _MAPS.items()},
}
