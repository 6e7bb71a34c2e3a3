"""A sample of a cross-scan or cross-merge, compared exactly: cheap enough to gate a measurement."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.cross_scan import reference
from linbench.kernels.impl import Unsupported


def verify(args: Sequence[Any], outputs: Tensor, channels: Sequence[int] | None = None) -> float:
    """Return 0 where some channels of the output equal the definition, bit by bit, else infinity.

    args: The operator's one input: x ``b c h w`` of cross_scan or ys ``b 4 c h w`` of cross_merge.
    channels: Which to compare; the first, the middle and the last unless given.
    """
    (x,) = args
    axis = x.ndim - 3
    if axis not in (1, 2):
        raise Unsupported(f"verify takes `b c h w` or `b 4 c h w`, got {x.ndim} axes")
    size = x.shape[axis]
    picked = sorted({0, size // 2, size - 1} if channels is None else channels) if x.numel() else []
    if axis == 1:
        same = outputs[:, :, picked].equal(reference.cross_scan(x[:, picked]))
    else:
        sample = x[:, :, picked].to(torch.promote_types(x.dtype, torch.float32))
        same = outputs[:, picked].equal(reference.cross_merge(sample).to(outputs.dtype))
    return 0.0 if same else float("inf")
