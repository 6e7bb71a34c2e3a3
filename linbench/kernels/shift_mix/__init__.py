"""Q-Shift and the mixes of tokens with it, after a layer norm or without one, in one pass over the tokens."""

from linbench.kernels.shift_mix.op import norm_shift_mix, shift_mix

__all__ = ["norm_shift_mix", "shift_mix"]
