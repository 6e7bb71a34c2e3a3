"""Q-Shift: each quarter of the channels is taken from the neighbouring pixel in one of four directions."""

from linbench.kernels.q_shift.op import q_shift

__all__ = ["q_shift"]
