"""bi-WKV, the attention of Vision-RWKV, as its equation (arXiv 2403.02308, eq. 3; RWKV-SAM paper, eq. 4).

    y_t = sum_i softmax_i(s_t)_i v_i,   s_t,i = k_i - w (|t - i| - 1)  for i ≠ t,   s_t,t = u + k_t

w: decay per token of distance. Any sign: it is not exponentiated, and Vision-RWKV starts most channels below 0.
u: bonus of the current token.
k, v: keys and values. The receptance gate stands outside.

Models pass ``w = spatial_decay / t`` and ``u = spatial_first / t`` (both divided, as the official code does and
unlike the paper's equation). The official CUDA kernel leaves this equation by O(|w|); linbench computes it.
"""

import torch
from torch import Tensor


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return y, ``b t c``, in time and memory quadratic in t; half inputs are computed in float32.

    w: Decay, ``c``.  u: Bonus, ``c``.  k: Keys, ``b t c``.  v: Values, ``b t c``.
    rows: Token indices ``r`` to compute, instead of all: y is then ``b r c``.
    """
    dtype = torch.promote_types(v.dtype, torch.float32)
    w, u, k, wide_v = w.to(dtype), u.to(dtype), k.to(dtype), v.to(dtype)
    position = torch.arange(k.shape[1], device=k.device)
    row = position if rows is None else rows
    distance = (row[:, None] - position).abs()[..., None]  # t i 1
    score = k[:, None] - w * (distance - 1)  # b t i c
    score = torch.where(distance == 0, (u + k)[:, None], score)
    return torch.einsum("btic,bic->btc", score.softmax(dim=2), wide_v).to(v.dtype)


def gated_bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> Tensor:
    """Return σ(r) y, ``b t c``, with y of ``bi_wkv`` and the receptance r; half inputs are computed in float32."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    return (r.to(dtype).sigmoid() * bi_wkv(w, u, k, v.to(dtype))).to(v.dtype)
