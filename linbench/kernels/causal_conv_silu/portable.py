"""The causal convolution and its SiLU in plain operators, for deployment engines."""

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.operators import portable


@portable("linbench::causal_conv_silu")
def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    """Return y, ``b d t``, in the order of reading.

    The convolution pads both sides, and the last tokens are cut off: engines fuse that padding.
    """
    if not x.numel():
        return torch.zeros_like(x)
    d, k = weight.shape
    read = x.flip(2) if backward else x
    a = functional.conv1d(read, weight[:, None], bias, padding=k - 1, groups=d)[..., : x.shape[2]]
    return a * a.sigmoid()
