"""Gated linear attention on a GPU, parallel over chunks of the sequence (Triton; equation: ``reference``).

Batch 1 must fill the device, so the tokens are cut into chunks, and each scan takes three steps:

    ends      of every chunk: its state, walked from 0, and the sum of its log decays in float64
    starts    along the chunks: start_{j+1} = e^sum_j start_j + end_j, in float64, one small kernel
    outputs   of every chunk, walked from its start

A program holds the state of all keys and a block of values, ``k v``, in registers, and walks a chunk token by token:
the recurrence is the equation's own, in float32. No decay is divided by, and none is a product of many.

    s c i    scan's first position, chunk, place in the chunk, in the order of the scan
    own      weight of the current token, ``h k``: 1 without a bonus, else u in the first scan and 0 in the second
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.impl import Unsupported

CHUNK = 64  # tokens
VALUES = 32  # of a program
OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": True}


@triton.jit
def program(h, count, V_BLOCK: tl.constexpr, K: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return image, head, chunk, keys and values of the program."""
    index, h = tl.program_id(0).to(tl.int64), tl.cast(h, tl.int64)
    values = tl.program_id(1).to(tl.int64) * V_BLOCK + tl.arange(0, V_BLOCK)
    return index // (h * count), index // count % h, index % count, tl.arange(0, K).to(tl.int64), values


@triton.jit
def token_at(chunk, i, t, REVERSE: tl.constexpr, T: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the token at place i of a chunk, and whether there is one."""
    position = chunk * T + i
    return (t - 1 - position if REVERSE else position), position < t


@triton.jit
def row(x, image, token, head, t, h, channels, size, there):  # type: ignore[no-untyped-def]
    """Return a token's channels of a dense ``b t h c`` tensor in float32; zeros where there is no token."""
    at = ((image * t + token) * h + head) * size + channels
    return tl.load(x + at, mask=there & (channels < size), other=0.0).to(tl.float32)


@triton.jit
def log_decay(g, image, token, head, channels, size, gb, gt, gh, gk, there):  # type: ignore[no-untyped-def]
    """Return a token's log decay; 0 where there is no token. g has any strides."""
    at = image * gb + token * gt + head * gh + channels * gk
    return tl.load(g + at, mask=there & (channels < size), other=0.0).to(tl.float32)


@triton.jit
def ends(  # type: ignore[no-untyped-def]
    k, v, g, out, sums, t, h, count, keys, values, gb, gt, gh, gk, REVERSE: tl.constexpr, BACK: tl.constexpr,
    DECAYS_LAST: tl.constexpr, T: tl.constexpr, K: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """Write each chunk's state, walked from 0 along the scan or BACK, and the sums of its log decays.

    DECAYS_LAST: Whether a token is added before its decay acts.
    """
    image, head, chunk, key, value = program(h, count, BV, K)
    state = tl.zeros([K, BV], tl.float32)
    total = tl.zeros([K], tl.float64)
    for step in range(T):
        i = T - 1 - step if BACK else step
        token, there = token_at(chunk, i, t, REVERSE, T)
        log = log_decay(g, image, token, head, key, keys, gb, gt, gh, gk, there)
        outer = row(k, image, token, head, t, h, key, keys, there)[:, None]
        outer = outer * row(v, image, token, head, t, h, value, values, there)[None, :]
        gate = tl.exp(log)[:, None]
        state = gate * (state + outer) if DECAYS_LAST else gate * state + outer
        total += log.to(tl.float64)
    piece = (image * count + chunk) * h + head
    at = (piece * keys + key[:, None]) * values + value[None, :]
    tl.store(out + at, state, mask=(key < keys)[:, None] & (value < values)[None, :])
    tl.store(sums + piece * keys + key, total, mask=(key < keys) & (tl.program_id(1) == 0))


@triton.jit
def starts(out, sums, t, h, count, keys, values, BACK: tl.constexpr, K: tl.constexpr, BV: tl.constexpr):  # type: ignore[no-untyped-def]
    """Replace each chunk's end state by the state that enters it, along the scan or BACK; t is not used."""
    image, head, _, key, value = program(h, 1, BV, K)
    state = tl.zeros([K, BV], tl.float64)
    mask = (key < keys)[:, None] & (value < values)[None, :]
    for step in range(count):
        chunk = count - 1 - step if BACK else step
        piece = (image * count + chunk) * h + head
        at = out + (piece * keys + key[:, None]) * values + value[None, :]
        end = tl.load(at, mask=mask, other=0.0)
        gate = tl.exp(tl.load(sums + piece * keys + key, mask=key < keys, other=0.0))
        tl.store(at, state.to(tl.float32), mask=mask)
        state = gate[:, None] * state + end.to(tl.float64)


@triton.jit
def outputs(  # type: ignore[no-untyped-def]
    q, k, v, g, own, states, y, t, h, count, keys, values, gb, gt, gh, gk, REVERSE: tl.constexpr,
    READS_ITSELF: tl.constexpr, ADDS: tl.constexpr, T: tl.constexpr, K: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """Write one scan's y, float32, or add to it."""
    image, head, chunk, key, value = program(h, count, BV, K)
    mask = (key < keys)[:, None] & (value < values)[None, :]
    at = (((image * count + chunk) * h + head) * keys + key[:, None]) * values + value[None, :]
    state = tl.load(states + at, mask=mask, other=0.0)
    weight = tl.load(own + head * keys + key, mask=key < keys, other=0.0)
    for i in range(T):
        token, there = token_at(chunk, i, t, REVERSE, T)
        gate = tl.exp(log_decay(g, image, token, head, key, keys, gb, gt, gh, gk, there))[:, None]
        query = row(q, image, token, head, t, h, key, keys, there)
        keyed = row(k, image, token, head, t, h, key, keys, there)
        x = row(v, image, token, head, t, h, value, values, there)
        decayed = gate * state
        before = decayed if READS_ITSELF else state
        result = tl.sum(query[:, None] * before, 0) + tl.sum(query * weight * keyed, 0) * x
        state = decayed + keyed[:, None] * x[None, :]
        to = y + ((image * t + token) * h + head) * values + value
        written = there & (value < values)
        if ADDS:
            result += tl.load(to, mask=written, other=0.0)
        tl.store(to, result, mask=written)


def gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, decay_backward: Tensor | None, bonus: Tensor | None
) -> Tensor:
    """Return y, ``b t h v``, of v's dtype; the arguments are the operator's, decays ``b t h k`` of any strides.

    Raises Unsupported for float64.
    """
    refuse_float64(q, k, v)
    if not v.numel() or not q.numel():
        return torch.zeros_like(v, memory_format=torch.contiguous_format)
    q, k, v = (x.contiguous() for x in (q, k, v))
    y = torch.empty(v.shape, dtype=torch.float32, device=v.device)
    adds = False
    for g, reverse in ((decay, False), (decay_backward, True)):
        if g is None:
            continue
        sizes, blocks, grid = launch_sizes(q, v)
        with torch.cuda.device_of(v):
            states = entering_states(k, v, g, reverse, back=False, decays_last=False)[0]
            own = own_weight(bonus, q, is_first=not adds)
            outputs[grid](
                q, k, v, g, own, states, y, *sizes, *g.stride(), REVERSE=reverse, READS_ITSELF=bonus is None,
                ADDS=adds, T=CHUNK, **blocks, **OPTIONS,
            )  # fmt: skip
        adds = True
    return y.to(v.dtype)


def entering_states(
    k: Tensor, v: Tensor, g: Tensor, reverse: bool, back: bool, decays_last: bool
) -> tuple[Tensor, Tensor]:
    """Return the state that enters each chunk, ``b chunk h k v``, along the scan or back, and the sums of decays."""
    sizes, blocks, grid = launch_sizes(k, v)
    b, (_, h, count, keys, values) = v.shape[0], sizes
    states = torch.empty((b, count, h, keys, values), dtype=torch.float32, device=v.device)
    sums = torch.empty((b, count, h, keys), dtype=torch.float64, device=v.device)
    ends[grid](
        k, v, g, states, sums, *sizes, *g.stride(), REVERSE=reverse, BACK=back, DECAYS_LAST=decays_last, T=CHUNK,
        **blocks, **OPTIONS,
    )  # fmt: skip
    starts[(b * h, grid[1])](states, sums, *sizes, BACK=back, **blocks, **OPTIONS)
    return states, sums


def launch_sizes(q: Tensor, v: Tensor) -> tuple[tuple[int, int, int, int, int], dict[str, int], tuple[int, int]]:
    """Return the sizes that every kernel takes, the sizes of a program's block, and the grid."""
    b, t, h, values = v.shape
    count = triton.cdiv(t, CHUNK)
    blocks = {"K": triton.next_power_of_2(q.shape[3]), "BV": VALUES}
    return (t, h, count, q.shape[3], values), blocks, (b * h * count, triton.cdiv(values, VALUES))


def own_weight(bonus: Tensor | None, q: Tensor, is_first: bool) -> Tensor:
    """Return the weight of the current token, ``h k``, float32: 1 without a bonus, else u in the first scan alone."""
    if bonus is not None and is_first:
        return bonus.float().contiguous()
    fill = 1.0 if bonus is None else 0.0
    return torch.full(q.shape[2:], fill, dtype=torch.float32, device=q.device)


def refuse_float64(*tensors: Tensor) -> None:
    """Raise Unsupported, with the alternatives, where a tensor is float64."""
    if any(x.dtype == torch.float64 for x in tensors):
        raise Unsupported(
            "gated_linear_attention on a GPU computes in float32; for float64 use impl='reference', or the CPU"
        )
