"""Bytes that the selective scan has to move."""

from torch import Tensor, float32, promote_types

from linbench.kernels.cost import byte_formula, held


@byte_formula("linbench::selective_scan")
def forward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> int:
    """All inputs in, y and the last state (float32 at least) out; no state is ever stored."""
    last = u.shape[0] * A.numel() * promote_types(u.dtype, float32).itemsize
    return held(u, delta, A, B, C, scale, D, z, delta_bias) + held(u) + last


@byte_formula("linbench::selective_scan_backward")
def backward(
    gy: Tensor,
    glast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> int:
    """All inputs and two gradients in, each input's gradient out; the states are computed anew, never read."""
    inputs = held(u, delta, A, B, C, scale, D, z, delta_bias)
    return held(gy, glast) + 2 * inputs
