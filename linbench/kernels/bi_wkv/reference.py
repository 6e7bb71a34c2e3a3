"""bi-WKV, the attention of Vision-RWKV, as its equation (arXiv 2403.02308, eq. 3; RWKV-SAM paper, eq. 4).

    y_t = sum_i softmax_i(s_t)_i v_i,   s_t,i = k_i - w (|t - i| - 1)  for i ≠ t,   s_t,t = u + k_t

w: decay per token of distance. Any sign: it is not exponentiated, and Vision-RWKV starts most channels below 0.
u: bonus of the current token.
k, v: keys and values. The receptance gate stands outside.

Models pass ``w = spatial_decay / t`` and ``u = spatial_first / t`` (both divided, as the official code does and
unlike the paper's equation). The official CUDA kernel leaves this equation by O(|w|); linbench computes it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linbench.kernels.operators import relative_error, spread_indices, verifies

CHANNELS = 6  # that are verified
TOKENS = 32
TOKENS_AT_ONCE = 8


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


@verifies("linbench::bi_wkv", "linbench::gated_bi_wkv")
def verify(arguments: Sequence[Any], output: Tensor | tuple[Tensor, ...]) -> float:
    """Return the largest relative error on a few channels and some 32 tokens of the last image.

    arguments: Of ``linbench::bi_wkv``, w, u, k, v, or of ``linbench::gated_bi_wkv``, and r.
    output: Of that operator, or of its form ``_with_lse``. A NaN and a wrong shape or dtype give infinity.
    The truth is the direct sum in float64; the first and the last token are among the sample.
    """
    w, u, k, v, *gate = arguments
    y = output if isinstance(output, Tensor) else output[0]
    b, t, c = v.shape
    if y.shape != v.shape or y.dtype != v.dtype:
        return float("inf")
    if not v.numel():
        return 0.0
    channels, rows = spread_indices(c, CHANNELS, v.device), spread_indices(t, TOKENS, v.device)
    image = slice(b - 1, b)
    w, u = w[channels].double(), u[channels].double()
    k, v = k[image][..., channels].double(), v[image][..., channels].double()
    truth = torch.cat([bi_wkv(w, u, k, v, rows=part) for part in rows.split(TOKENS_AT_ONCE)], dim=1)
    for r in gate:
        truth = truth * r[image][:, rows][..., channels].double().sigmoid()
    return relative_error(y[image][:, rows][..., channels], truth)
