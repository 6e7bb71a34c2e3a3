"""Gated linear attention as its recurrence (GLA, arXiv 2312.06635; with a bonus WKV-6 of RWKV-6, arXiv 2404.05892).

    S_t = diag(e^g_t) S_{t-1} + k_t v_tᵀ,  S_{-1} = 0
    y_t = S_tᵀ q_t                                without a bonus
    y_t = S_{t-1}ᵀ q_t + (Σ_k q_t u k_t) v_t      with a bonus u

Without a bonus a token reads itself, and the weight of token i for token t holds the decays of i < j <= t. With a
bonus a token is read with u instead, and the decays strictly between, i < j < t, count: the neighbour has weight 1.

q, k: queries (receptance; C of Mamba-2) and keys (B).  v: values (x).  g: log decay, at most 0.  u: bonus.
S: state, ``k v``.
The backward scan is the same from the last token to the first, with decays of its own. y of both is the sum of the
two; there the token itself counts in both without a bonus, and once, with u, with one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import relative_error, spread_indices, verifies

HEADS = 2  # that are verified
VALUES = 4


def gated_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None = None,
    decay_backward: Tensor | None = None,
    bonus: Tensor | None = None,
) -> Tensor:
    """Return y, ``b t h v``, by a loop over t for each direction; half inputs are computed in float32.

    q, k: ``b t h k``.  v: ``b t h v``.  decay, decay_backward: Log decay of the forward and of the backward scan,
    ``b t h k`` or ``b t h``, or None for no such scan.  bonus: ``h k``.
    """
    dtype = torch.promote_types(v.dtype, torch.float32)
    wide_q, k, wide_v = q.to(dtype), k.to(dtype), v.to(dtype)
    y = torch.zeros_like(wide_v)
    if decay is not None:
        y = y + _scan(wide_q, k, wide_v, decay.to(dtype), reads_itself=bonus is None)
    if decay_backward is not None:
        g = decay_backward.to(dtype)
        y = y + _scan(wide_q.flip(1), k.flip(1), wide_v.flip(1), g.flip(1), reads_itself=bonus is None).flip(1)
    if bonus is not None:
        y = y + (wide_q * bonus.to(dtype) * k).sum(-1, keepdim=True) * wide_v
    return y.to(v.dtype)


def _scan(q: Tensor, k: Tensor, v: Tensor, g: Tensor, reads_itself: bool) -> Tensor:
    """Return y of one scan from the first token to the last, of S_t if ``reads_itself``, else of S_{t-1}."""
    gate = (g if g.ndim == 4 else g[..., None]).exp()[..., None]  # b t h k 1
    state = torch.zeros_like(k[:, :1, :, :, None] * v[:, :1, :, None]).sum(1)  # b h k v
    ys = []
    for t in range(v.shape[1]):
        after = gate[:, t] * state + k[:, t, :, :, None] * v[:, t, :, None]
        ys.append((q[:, t, :, :, None] * (after if reads_itself else state)).sum(2))
        state = after
    return torch.stack(ys, dim=1) if ys else v


@verifies("linbench::gated_linear_attention")
def verify(arguments: Sequence[Any], y: Tensor) -> float:
    """Return the largest relative error of some value channels of some heads of the last image; infinity for a NaN.

    arguments: Of ``linbench::gated_linear_attention``: q, k, v, decay, decay_backward, bonus.
    The truth is the recurrence in float64, on the CPU. Value channels do not meet, so a sample of them is exact.
    """
    v = arguments[2]
    if y.shape != v.shape or y.dtype != v.dtype:
        return float("inf")
    if not v.numel():
        return 0.0
    heads, values = spread_indices(v.shape[2], HEADS, v.device), spread_indices(v.shape[3], VALUES, v.device)
    q, k, some_v, decay, decay_backward = (
        None if x is None else x[-1:, :, heads].detach().cpu().double() for x in arguments[:5]
    )
    bonus = None if arguments[5] is None else arguments[5][heads].detach().cpu().double()
    assert q is not None and k is not None and some_v is not None
    truth = gated_linear_attention(q, k, some_v[..., values.cpu()], decay, decay_backward, bonus)
    return relative_error(y[-1:, :, heads][..., values].cpu(), truth)
