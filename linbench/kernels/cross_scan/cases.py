"""Inputs of cross-scan and cross-merge, tested and timed alike."""

import torch
from torch import Tensor

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
    """A random map, ``b c h w``, in memory ``b h w c`` where asked for."""
    x = torch.randn(size, generator=torch.Generator().manual_seed(sum(size))).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if channel_last else x


def sequences(size: tuple[int, int, int, int], *, channel_last: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    """Four random sequences, ``b 4 c h w``, in memory ``b h w 4 c`` where asked for."""
    b, c, h, w = size
    ys = torch.randn((b, 4, c, h, w), generator=torch.Generator().manual_seed(sum(size))).to(dtype)
    return ys.permute(0, 3, 4, 1, 2).contiguous().permute(0, 3, 4, 1, 2) if channel_last else ys
