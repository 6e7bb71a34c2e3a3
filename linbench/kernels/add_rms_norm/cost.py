"""Bytes that the residual addition and norm have to move."""

from torch import Tensor

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::add_rms_norm")
def forward(x: Tensor, residual: Tensor, weight: Tensor, *_: object) -> int:
    """x, the residual and the weight in; the norm, of the weight's dtype, and the sum out."""
    return held(x, residual, weight) + x.numel() * weight.element_size() + held(residual)


@byte_formula("linbench::add_rms_norm_backward")
def backward(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, *_: object) -> int:
    """Both gradients, the sum and the weight in; one gradient for both summands and the weight's out."""
    return held(gn, gz, z, weight) + held(z, weight)
