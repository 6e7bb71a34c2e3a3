"""Bytes that Q-Shift has to move."""

from torch import Tensor

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::q_shift", "linbench::q_shift_backward")
def moved(x: Tensor, *_: object) -> int:
    """x in, as much out."""
    return 2 * held(x)
