"""Bytes that the norm, shift and mixes have to move."""

from collections.abc import Sequence

from torch import Tensor

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::shift_mix")
def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], *_: object) -> int:
    """x and the parameters in, one output for each mix out."""
    return held(x, weight, bias, *mixes) + len(mixes) * held(x)


@byte_formula("linbench::shift_mix_backward")
def backward(
    gy: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], *_: object
) -> int:
    """The outputs' gradients, x and the parameters in; the gradients of x and of the parameters out."""
    return held(gy, x, weight, bias, *mixes) + held(x, weight, bias, *mixes)
