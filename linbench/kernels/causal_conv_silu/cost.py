"""Bytes that the causal convolution has to move."""

from torch import Tensor

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::causal_conv_silu")
def forward(x: Tensor, weight: Tensor, bias: Tensor, *_: object) -> int:
    """x and the parameters in, as much as x out."""
    return held(x, weight, bias) + held(x)


@byte_formula("linbench::causal_conv_silu_backward")
def backward(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: object) -> int:
    """The output's gradient, x and the parameters in; the gradients of x and of the parameters out."""
    return held(gy, x, weight, bias) + held(x, weight, bias)
