"""The gradient of gated linear attention in Triton, in the steps of ``gpu`` (equation and letters: ``reference``).

C, the gradient of the state after token t from the tokens behind it, is walked from a scan's last token to its first,
chunk by chunk as the states are. Of a token, without its own pair: gq = Σ_v X gy, where X is the state that it reads;
gk = Σ_v C v; gv = Σ_k C k. The gradient of its log decay, Σ_v e^g S_{t-1} C, follows from H = Σ_v S_t C at the end of
the chunk by what each token adds and removes, q gq and k gk: differences within a chunk only, of terms of its size.
With a bonus H holds neighbours, which no decay weakens: its rounding is all that remains of a decay far below them.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.gated_linear_attention import gpu
from linbench.kernels.gated_linear_attention.gpu import (
    OPTIONS,
    entering_states,
    launch_sizes,
    log_decay,
    own_weight,
    program,
    refuse_float64,
    row,
    token_at,
)


@triton.jit
def _queries(  # type: ignore[no-untyped-def]
    k, v, g, gy, states, gq, t, h, count, keys, values, gb, gt, gh, gk, REVERSE: tl.constexpr,
    READS_ITSELF: tl.constexpr, T: tl.constexpr, K: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """Write the part of gq of each block of values, ``block b t h k``, without a token's own pair."""
    image, head, chunk, key, value = program(h, count, BV, K)
    mask = (key < keys)[:, None] & (value < values)[None, :]
    at = (((image * count + chunk) * h + head) * keys + key[:, None]) * values + value[None, :]
    state = tl.load(states + at, mask=mask, other=0.0)
    part = tl.program_id(1).to(tl.int64) * (tl.num_programs(0) // count) * t * keys
    for i in range(T):
        token, there = token_at(chunk, i, t, REVERSE, T)
        gate = tl.exp(log_decay(g, image, token, head, key, keys, gb, gt, gh, gk, there))[:, None]
        keyed = row(k, image, token, head, t, h, key, keys, there)
        x = row(v, image, token, head, t, h, value, values, there)
        dy = row(gy, image, token, head, t, h, value, values, there)
        decayed = gate * state
        before = decayed if READS_ITSELF else state
        to = gq + part + ((image * t + token) * h + head) * keys + key
        tl.store(to, tl.sum(before * dy[None, :], 1), mask=there & (key < keys))
        state = decayed + keyed[:, None] * x[None, :]


@triton.jit
def _gradients(  # type: ignore[no-untyped-def]
    q, k, v, g, gy, own, states, gstates, gq, gkey, gv, gg, gown, t, h, count, keys, values, gb, gt, gh, gk,
    REVERSE: tl.constexpr, READS_ITSELF: tl.constexpr, ADDS: tl.constexpr, T: tl.constexpr, K: tl.constexpr,
    BV: tl.constexpr,
):  # fmt: skip
    """Complete gq; write gk and gg, ``block b t h k``, gown, ``block b chunk h k``, and gv, or add to gv."""
    image, head, chunk, key, value = program(h, count, BV, K)
    there_k, there_v = key < keys, value < values
    mask = there_k[:, None] & there_v[None, :]
    piece = (image * count + chunk) * h + head
    at = (piece * keys + key[:, None]) * values + value[None, :]
    carried = tl.load(gstates + at, mask=mask, other=0.0)
    after = tl.load(states + at + tl.cast(h, tl.int64) * keys * values, mask=mask & (chunk < count - 1), other=0.0)
    product = tl.sum(after * carried, 1)
    weight = tl.load(own + head * keys + key, mask=there_k, other=0.0)
    own_gradient = tl.zeros([K], tl.float32)
    part = tl.program_id(1).to(tl.int64) * (tl.num_programs(0) // count) * t * keys
    for step in range(T):
        token, there = token_at(chunk, T - 1 - step, t, REVERSE, T)
        gate = tl.exp(log_decay(g, image, token, head, key, keys, gb, gt, gh, gk, there))
        query = row(q, image, token, head, t, h, key, keys, there)
        keyed = row(k, image, token, head, t, h, key, keys, there)
        x = row(v, image, token, head, t, h, value, values, there)
        dy = row(gy, image, token, head, t, h, value, values, there)
        to = part + ((image * t + token) * h + head) * keys + key
        to_v = gv + ((image * t + token) * h + head) * values + value
        read = tl.load(gq + to, mask=there & there_k, other=0.0)
        written = tl.sum(carried * x[None, :], 1)
        decay_gradient = product - keyed * written
        product = decay_gradient + query * read
        decay_gradient = product if READS_ITSELF else decay_gradient
        pair = tl.sum(x * dy, 0)
        own_gradient += query * keyed * pair
        value_gradient = tl.sum(carried * keyed[:, None], 0) + tl.sum(query * weight * keyed, 0) * dy
        if ADDS:
            value_gradient += tl.load(to_v, mask=there & there_v, other=0.0)
        tl.store(gq + to, read + weight * keyed * pair, mask=there & there_k)
        tl.store(gkey + to, written + weight * query * pair, mask=there & there_k)
        tl.store(gg + to, decay_gradient, mask=there & there_k)
        tl.store(to_v, value_gradient, mask=there & there_v)
        outer = query[:, None] * dy[None, :]
        carried = gate[:, None] * (carried + outer) if READS_ITSELF else gate[:, None] * carried + outer
    rows = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + piece
    tl.store(gown + rows * keys + key, own_gradient, mask=there_k)


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

    gy: The gradient of y, ``b t h v``, of any strides. Raises Unsupported for float64.
    """
    refuse_float64(q, k, v)
    given = (q, k, v, decay, decay_backward, bonus)
    gradients = [gy.new_empty(0) if x is None else x.new_zeros(x.shape) for x in given]
    if not v.numel() or not q.numel():
        return gradients
    q, k, v, gy = (x.contiguous() for x in (q, k, v, gy))
    gv = torch.empty(v.shape, dtype=torch.float32, device=v.device)
    gq, gk = torch.zeros((2, *q.shape), dtype=torch.float32, device=v.device)
    is_first = True
    for i, g in enumerate((decay, decay_backward)):
        if g is None:
            continue
        parts, gown = _scan_gradients(gy, q, k, v, g, bonus, gv, reverse=i == 1, is_first=is_first)
        gq += parts[0].sum(0)
        gk += parts[1].sum(0)
        gradients[3 + i] = parts[2].sum(0).to(g.dtype)
        if bonus is not None and is_first:
            gradients[5] = gown.sum((0, 1, 2), dtype=torch.float64).to(bonus.dtype)
        is_first = False
    gradients[:3] = gq.to(q.dtype), gk.to(k.dtype), gv.to(v.dtype)
    return gradients


def _scan_gradients(
    gy: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    bonus: Tensor | None,
    gv: Tensor,
    reverse: bool,
    is_first: bool,
) -> tuple[Tensor, Tensor]:
    """Return one scan's gq, gk and gg, ``3 block b t h k``, and gown; write gv, or add to it."""
    sizes, blocks, grid = launch_sizes(q, v)
    parts = torch.empty((3, grid[1], *q.shape), dtype=torch.float32, device=v.device)
    gown = torch.empty((grid[1], q.shape[0], sizes[2], *q.shape[2:]), dtype=torch.float32, device=v.device)
    forms = {"REVERSE": reverse, "READS_ITSELF": bonus is None, "T": gpu.CHUNK}
    with torch.cuda.device_of(v):
        states, _ = entering_states(k, v, g, reverse, back=False, decays_last=False)
        gstates, _ = entering_states(q, gy, g, reverse, back=True, decays_last=bonus is None)
        _queries[grid](k, v, g, gy, states, parts[0], *sizes, *g.stride(), **forms, **blocks, **OPTIONS)
        _gradients[grid](
            q, k, v, g, gy, own_weight(bonus, q, is_first), states, gstates, *parts[:2], gv, parts[2], gown, *sizes,
            *g.stride(), ADDS=not is_first, **forms, **blocks, **OPTIONS,
        )  # fmt: skip
    return parts, gown
