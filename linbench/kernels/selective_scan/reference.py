"""The selective scan of Mamba as its recurrence (arXiv 2312.00752, eq. 2 and algorithm 2; S6).

    delta ← softplus(delta + delta_bias)                      softplus where asked for
    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  h_{-1} = 0
    y_t = sum_n C_{t,n} h_{t,n} + D u_t,   y ← y · silu(z)

A: state matrix, ``d n``, negative.  B, C: input and output projections of the state, ``b n t``, grouped
``b g n t`` (channel i uses group i // (d / g)) or constant ``d n``.  D: skip, ``d``.  z: gate.
B is discretised as delta·B, not by the exact zero-order hold: so do the official kernels.
"""

import torch
from torch import Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t``, and the last state, ``b d n``, by a loop over t; half inputs in float32."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    wide_u, delta, A = u.to(dtype), delta.to(dtype), A.to(dtype)
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = torch.nn.functional.softplus(delta)
    B, C = per_channel(B.to(dtype), u), per_channel(C.to(dtype), u)
    h = wide_u.new_zeros(u.shape[0], u.shape[1], A.shape[1])  # b d n
    ys = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        h = torch.exp(step * A) * h + step * B[..., t] * wide_u[:, :, t, None]
        ys.append((h * C[..., t]).sum(-1))
    y = torch.stack(ys, dim=2) if ys else wide_u.new_zeros(u.shape)
    if D is not None:
        y = y + D.to(dtype)[:, None] * wide_u
    if z is not None:
        y = y * torch.nn.functional.silu(z.to(dtype))
    return y.to(u.dtype), h


def per_channel(B: Tensor, u: Tensor) -> Tensor:
    """Return B (or C) as ``b d n t``: one view for the plain, the grouped and the constant layout."""
    batch, channels, tokens = u.shape
    if B.ndim == 2:  # d n
        return B[None, :, :, None].expand(batch, -1, -1, tokens)
    grouped = B[:, None] if B.ndim == 3 else B  # b g n t
    return grouped.repeat_interleave(channels // grouped.shape[1], dim=1)
