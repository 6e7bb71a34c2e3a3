"""The gradient of gated linear attention on the CPU in linear time (equation and letters: ``reference``).

Chunks and states are those of ``cpu``; both lie here as ``v k``. A pass in the scan's direction stores the state that
enters each chunk; a pass back carries D, the gradient of the state that leaves it. The gradient of a token's decay
sums, over the pairs (s, r) of a key and a query with the decay between them, gy_r·v_s q_r k_s times all decays from s
to r. The pairs are taken in four parts: s and r in the chunk, s before it, r after it, and both outside. So no small
sum is the difference of large ones, as in the usual Σ (q gq - k gk), which loses the gradient of a strong decay.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
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
    narrowed,
    padded,
    running,
    scores,
    transpose,
)
from linbench.kernels.gated_linear_attention.cpu import own_weight
from linbench.kernels.half_floats import flat
from linbench.kernels.simd import LANES, broadcast, load, store
from linbench.kernels.threads import parallel_for


@njit(**jit)
def _pairs_within(
    q: Any, k: Any, gate: Any, own: Any, weight: Any, reach: Any, gq: Any, gk: Any, gg: Any, gown: Any, width: int,
    reads_itself: bool,
) -> None:  # fmt: skip
    """Add the pairs within the chunk to gq, gk, gg and gown, from the gradient of the scores, ``weight``.

    reach: Scratch, ``t k``: the key of s, decayed up to each t.
    """
    for s in range(TOKENS):
        for j in range(0, width, LANES):
            key, query, w = load(k, s * width + j), load(q, s * width + j), broadcast(weight, s * TOKENS + s)
            store(gq, s * width + j, load(gq, s * width + j) + w * load(own, j) * key)
            store(gk, s * width + j, load(gk, s * width + j) + w * load(own, j) * query)
            store(gown, j, load(gown, j) + w * query * key)
            x = key
            for t in range(s + 1, TOKENS):
                at = t * width + j
                store(reach, at, x)
                decayed = x * load(gate, at)
                read = decayed if reads_itself else x
                store(gq, at, load(gq, at) + broadcast(weight, t * TOKENS + s) * read)
                x = decayed
            x = key - key
            for i in range(TOKENS - 1 - s):
                t = TOKENS - 1 - i
                at = t * width + j
                query = broadcast(weight, t * TOKENS + s) * load(q, at)
                through = (x + query if reads_itself else x) * load(gate, at)
                store(gg, at, load(gg, at) + through * load(reach, at))
                x = through if reads_itself else through + query
            store(gk, s * width + j, load(gk, s * width + j) + x)


@njit(**jit)
def _pairs_across(
    read: Any, written: Any, state: Any, gstate: Any, whole: Any, gg: Any, width: int, values: int,
    reads_itself: bool,
) -> None:  # fmt: skip
    """Add to gg the pairs with one token, or both, outside of the chunk.

    read, written: q gq and k gk of each token with the tokens before and after the chunk.
    state, gstate: That enters the chunk, and the gradient of that which leaves it, ``v k``.
    """
    for j in range(0, width, LANES):
        x = load(state, j) * load(gstate, j)
        for i in range(1, values):
            x = x + load(state, i * width + j) * load(gstate, i * width + j)
        x = x * narrowed(load(whole, j), x)
        for t in range(TOKENS):
            store(gg, t * width + j, load(gg, t * width + j) + x)
            x = x + load(written, t * width + j)
        x = x - x
        for i in range(TOKENS):
            at = (TOKENS - 1 - i) * width + j
            after = x + load(read, at)
            store(gg, at, load(gg, at) + (after if reads_itself else x))
            x = after


# Rows of a chunk's scratch memory, ``t k`` and ``t v``.
Q, K, G, GATE, BEFORE, AFTER, READ, WRITTEN, GQ, GK, GG, REACH, TURNED, KEY_ROWS = range(14)
V, GY, GV, V_TURNED, GV_TURNED, VALUE_ROWS = range(6)


@njit(**jit)
def _states(
    k: Any, v: Any, g: Any, ks: Any, vs: Any, one: Any, states: Any, local: Any, state: Any, whole: Any, head: int,
    step: int, t: int, keys: int, values: int, kp: int, vp: int, reads_itself: bool,
) -> None:  # fmt: skip
    """Write the state that enters each chunk but the first, ``v k``; head: index of the scan's first row."""
    state[:] = 0
    for c in range(len(states) - 1):
        token, rows = head + c * TOKENS * step, min(TOKENS, t - c * TOKENS)
        load_rows(ks[K], kp, k, token * keys, step * keys, keys, rows)
        load_rows(ks[G], kp, g, token * keys, step * keys, keys, rows)
        load_rows(vs[V], vp, v, token * values, step * values, values, rows)
        decays(ks[G], ks[GATE], whole, kp)
        running(ks[GATE], one, ks[BEFORE], ks[AFTER], kp, reads_itself)
        multiply(ks[AFTER], ks[K])
        local[:] = 0
        add_product(vs[V], 1, vp, ks[AFTER], local, vp, TOKENS, kp)
        advance(state, whole, local, states[c + 1], vp, kp, False)


@njit(**jit)
def _differentiate_chunk(
    ks: Any, vs: Any, weight: Any, gweights: Any, weights: Any, entering: Any, gstate: Any, whole: Any, zero: Any,
    one: Any, gown: Any, kp: int, vp: int, reads_itself: bool,
) -> None:  # fmt: skip
    """Write a chunk's gradients to ks and vs; BEFORE and AFTER become the queries and keys that meet other chunks."""
    decays(ks[G], ks[GATE], whole, kp)
    running(ks[GATE], one, ks[BEFORE], ks[AFTER], kp, reads_itself)
    scores(ks[Q], ks[K], ks[GATE], weight, ks[REACH], zero, weights, kp, reads_itself)
    ks[READ], ks[WRITTEN], ks[GG], gweights[:], vs[GV], vs[GV_TURNED] = 0, 0, 0, 0, 0, 0
    transpose(vs[V], vs[V_TURNED], TOKENS, vp)
    add_product(vs[GY], vp, 1, vs[V_TURNED], gweights, TOKENS, vp, TOKENS)
    add_product(vs[GY], vp, 1, entering, ks[READ], TOKENS, vp, kp)
    add_product(vs[V], vp, 1, gstate, ks[WRITTEN], TOKENS, vp, kp)
    multiply(ks[READ], ks[BEFORE])
    multiply(ks[WRITTEN], ks[AFTER])
    ks[GQ], ks[GK] = ks[READ], ks[WRITTEN]
    multiply(ks[READ], ks[Q])
    multiply(ks[WRITTEN], ks[K])
    _pairs_across(ks[READ], ks[WRITTEN], entering, gstate, whole, ks[GG], kp, vp, reads_itself)
    _pairs_within(ks[Q], ks[K], ks[GATE], weight, gweights, ks[REACH], ks[GQ], ks[GK], ks[GG], gown, kp, reads_itself)
    multiply(ks[BEFORE], ks[Q])
    multiply(ks[AFTER], ks[K])
    transpose(ks[AFTER], ks[TURNED], TOKENS, kp)
    add_product(gstate, kp, 1, ks[TURNED], vs[GV_TURNED], vp, kp, TOKENS)
    transpose(vs[GV_TURNED], vs[GV], vp, TOKENS)
    add_product(weights, 1, TOKENS, vs[GY], vs[GV], TOKENS, TOKENS, vp)


@compiled(**jit)
def _differentiate(
    q: Any, k: Any, v: Any, g: Any, gy: Any, own: Any, gq: Any, gk: Any, gv: Any, gg: Any, gown: Any, t: int, h: int,
    keys: int, values: int, kp: int, vp: int, reverse: bool, reads_itself: bool, start: int, stop: int,
) -> None:  # fmt: skip
    """Add one scan's part to gq, gk, gv, gg and gown (``b h kp``), for the pieces ``start:stop`` of ``b · h``."""
    ks, vs = np.zeros((KEY_ROWS, TOKENS * kp), q.dtype), np.zeros((VALUE_ROWS, TOKENS * vp), q.dtype)
    zero, one, weights = np.zeros(LANES, q.dtype), np.ones(LANES, q.dtype), np.zeros((2, TOKENS * TOKENS), q.dtype)
    local, gstate, part = np.zeros(kp * vp, q.dtype), np.zeros(kp * vp, q.dtype), np.zeros(kp, q.dtype)
    state, whole, count = np.zeros(kp * vp), np.zeros(kp), (t + TOKENS - 1) // TOKENS
    states = np.zeros((count, kp * vp), q.dtype)
    step = -h if reverse else h
    for piece in range(start, stop):
        head, weight = piece % h, own[piece % h * kp : (piece % h + 1) * kp]
        origin = (piece // h * t + (t - 1 if reverse else 0)) * h + head
        _states(
            k, v, g, ks, vs, one, states, local, state, whole, origin, step, t, keys, values, kp, vp, reads_itself
        )
        state[:], gstate[:] = 0, 0
        for c in range(count - 1, -1, -1):
            token, rows = origin + c * TOKENS * step, min(TOKENS, t - c * TOKENS)
            for scratch, source in ((ks[Q], q), (ks[K], k), (ks[G], g)):
                load_rows(scratch, kp, source, token * keys, step * keys, keys, rows)
            for scratch, source in ((vs[V], v), (vs[GY], gy)):
                load_rows(scratch, vp, source, token * values, step * values, values, rows)
            part[:] = 0
            _differentiate_chunk(
                ks,
                vs,
                weight,
                weights[0],
                weights[1],
                states[c],
                gstate,
                whole,
                zero,
                one,
                part,
                kp,
                vp,
                reads_itself,
            )
            for j in range(kp):
                gown[piece * kp + j] += part[j]
            for scratch, out in ((ks[GQ], gq), (ks[GK], gk), (ks[GG], gg)):
                add_rows(scratch, kp, out, token * keys, step * keys, keys, rows)
            add_rows(vs[GV], vp, gv, token * values, step * values, values, rows)
            local[:] = 0
            add_product(vs[GY], 1, vp, ks[BEFORE], local, vp, TOKENS, kp)
            advance(state, whole, local, gstate, vp, kp, False)


def gated_linear_attention_backward(
    gy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None,
    decay_backward: Tensor | None,
    bonus: Tensor | None,
) -> list[Tensor]:
    """Return the gradients of the operator's inputs, each of its input's dtype, empty for an input that is None.

    gy: The gradient of y, ``b t h v``. Half inputs are copied as float32, strided ones as dense.
    """
    b, t, h, values = v.shape
    dtype, keys = torch.promote_types(v.dtype, torch.float32), q.shape[3]
    decayed = (decay, decay_backward)
    gq, gk, gv = (torch.zeros(x.shape, dtype=dtype) for x in (q, k, v))
    ggs = [torch.zeros(0 if g is None else g.shape, dtype=dtype) for g in decayed]
    gown = torch.zeros(2, b, h, padded(keys), dtype=torch.float64)
    if v.numel() and keys:
        inputs = [flat(x.to(dtype)) for x in (q, k, v)]
        sizes = (t, h, keys, values, padded(keys), padded(values))
        for i, g in enumerate(decayed):
            if g is not None:
                own = own_weight(bonus, h, keys, dtype, is_first=i == 0 or decay is None)
                outputs = map(flat, (gq, gk, gv, ggs[i], gown[i]))
                run = partial(
                    _differentiate, *inputs, flat(g.to(dtype)), flat(gy.to(dtype)), own, *outputs, *sizes,
                    i == 1, bonus is None,
                )  # fmt: skip
                parallel_for(run, b * h)
    gu = gown[0 if decay is not None else 1, ..., :keys].sum(0)
    gradients = (gq, gk, gv, *ggs, gu)
    given = (q, k, v, decay, decay_backward, bonus)
    return [gy.new_empty(0) if x is None else g.to(x.dtype) for g, x in zip(gradients, given, strict=True)]
