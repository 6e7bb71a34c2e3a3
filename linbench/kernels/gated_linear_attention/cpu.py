"""Gated linear attention on the CPU in linear time (equation and letters: ``reference``; the gradient: ``backward``).

The tokens of a head are cut into chunks of sixteen. Of a chunk, the weights of its tokens for each other are a
16 × 16 matrix; what came before is the state that enters. So a chunk is four matrix products (weights times values,
queries times state, and keysᵀ values for the next state). Two things keep the error near 1e-6 at any decay and t:

- weights within a chunk are running products of decays, from key to query: at most 1, never divided;
- the state is carried in float64 and absolute, decayed by e^Σg of the chunk in float64: in float32 the rounding of
  one decay, or of a sum much larger than what is added to it, would repeat at every chunk.

A backward scan is a forward one that reads the tokens from the last to the first and adds to y.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linbench.kernels.compiled import compiled
from linbench.kernels.gated_linear_attention.chunk import (
    TOKENS,
    add_product,
    add_rows,
    advance,
    decays,
    jit,
    load_rows,
    multiply,
    padded,
    running,
    scores,
)
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.simd import LANES
from linbench.kernels.threads import parallel_for


@compiled(**jit)
def _scan(
    q: Any, k: Any, v: Any, g: Any, own: Any, y: Any, t: int, h: int, keys: int, values: int, kp: int, vp: int,
    reverse: bool, reads_itself: bool, start: int, stop: int,
) -> None:  # fmt: skip
    """Add one scan to y for the pieces ``start:stop`` of ``b · h``.

    own: Weight of the current token, ``h kp``.  kp, vp: keys and values, padded.
    """
    rows_k, rows_v = np.zeros((6, TOKENS * kp), y.dtype), np.zeros((2, TOKENS * vp), y.dtype)
    q_rows, k_rows, g_rows, gate, before, after = rows_k[0], rows_k[1], rows_k[2], rows_k[3], rows_k[4], rows_k[5]
    v_rows, y_rows = rows_v[0], rows_v[1]
    reach, zero, one = np.zeros(kp, y.dtype), np.zeros(LANES, y.dtype), np.ones(LANES, y.dtype)
    weights = np.zeros(TOKENS * TOKENS, y.dtype)
    entering, local = np.zeros(kp * vp, y.dtype), np.zeros(kp * vp, y.dtype)
    state, whole = np.zeros(kp * vp), np.zeros(kp)
    for piece in range(start, stop):
        image, head = piece // h, piece % h
        state[:], entering[:] = 0, 0
        for first in range(0, t, TOKENS):
            rows = min(TOKENS, t - first)
            token = (image * t + (t - 1 - first if reverse else first)) * h + head
            step = -h if reverse else h
            load_rows(q_rows, kp, q, token * keys, step * keys, keys, rows)
            load_rows(k_rows, kp, k, token * keys, step * keys, keys, rows)
            load_rows(g_rows, kp, g, token * keys, step * keys, keys, rows)
            load_rows(v_rows, vp, v, token * values, step * values, values, rows)
            decays(g_rows, gate, whole, kp)
            running(gate, one, before, after, kp, reads_itself)
            scores(q_rows, k_rows, gate, own[head * kp : head * kp + kp], reach, zero, weights, kp, reads_itself)
            multiply(before, q_rows)
            multiply(after, k_rows)
            y_rows[:], local[:] = 0, 0
            add_product(weights, TOKENS, 1, v_rows, y_rows, TOKENS, TOKENS, vp)
            add_product(before, kp, 1, entering, y_rows, TOKENS, kp, vp)
            add_rows(y_rows, vp, y, token * values, step * values, values, rows)
            add_product(after, 1, kp, v_rows, local, kp, TOKENS, vp)
            advance(state, whole, local, entering, kp, vp, True)


def gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, decay_backward: Tensor | None, bonus: Tensor | None
) -> Tensor:
    """Return y, ``b t h v``, of v's dtype; the arguments are the operator's, decays ``b t h k``.

    Half inputs are copied as float32, strided ones as dense.
    """
    b, t, h, values = v.shape
    dtype, keys = torch.promote_types(v.dtype, torch.float32), q.shape[3]
    y = on_huge_pages(torch.zeros(v.shape, dtype=dtype))
    if not v.numel() or not keys:
        return y.to(v.dtype)
    queries, key_rows, value_rows = (flat(x.to(dtype)) for x in (q, k, v))
    sizes = (t, h, keys, values, padded(keys), padded(values))
    scans = [(g, reverse) for g, reverse in ((decay, False), (decay_backward, True)) if g is not None]
    for i, (g, reverse) in enumerate(scans):
        weight = own_weight(bonus, h, keys, dtype, is_first=i == 0)
        run = partial(
            _scan, queries, key_rows, value_rows, flat(g.to(dtype)), weight, flat(y), *sizes,
            reverse, bonus is None,
        )  # fmt: skip
        parallel_for(run, b * h)
    return y.to(v.dtype)


def own_weight(bonus: Tensor | None, h: int, keys: int, dtype: torch.dtype, is_first: bool) -> Any:
    """Return the current token's weight, ``h k``, keys padded: 1 without a bonus, else u in the first scan alone."""
    weight = torch.zeros(h, padded(keys), dtype=dtype)
    if bonus is None:
        weight[:, :keys] = 1
    elif is_first:
        weight[:, :keys] = bonus
    return flat(weight)
