"""GELU, a depthwise 3 × 3 convolution and GELU as the three operators that they are, for deployment engines."""

from torch import Tensor
from torch.nn import functional

from linbench.kernels.operators import portable


@portable("linbench::gelu_depthwise")
def gelu_depthwise(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """Return y, ``b c ceil(h/s) ceil(w/s)``, in x's dtype."""
    a = functional.gelu(x)
    return functional.gelu(functional.conv2d(a, weight, bias, stride, padding=1, groups=x.shape[1]))
