"""Bytes that the depthwise convolution between two GELUs has to move."""

from torch import Tensor

from linbench.kernels.cost import byte_formula, held
from linbench.kernels.gelu_depthwise.op import output_shape


@byte_formula("linbench::gelu_depthwise")
def forward(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> int:
    """x and the parameters in, y out."""
    return held(x, weight, bias) + output_shape(x.shape, stride).numel() * x.element_size()


@byte_formula("linbench::gelu_depthwise_backward")
def backward(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: object) -> int:
    """The output's gradient, x and the parameters in; the gradients of x and of the parameters out."""
    return held(gy, x, weight, bias) + held(x, weight, bias)
