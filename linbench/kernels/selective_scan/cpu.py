"""The selective scan on the CPU in linear time: tokens one after another, a block of channels as one vector.

A block is up to 64 channels of one group, and works in a scratch row of its own: the token's step, drive and
output, then for each state its A, its value h and its factor F. A piece of work walks all its blocks through
16 tokens before it goes on, so that memory is read in rows and the states stay in cache.

    step   softplus(delta + bias)         rate   A log2(e), so that exp(step A) = 2^(step rate)
    drive  step u                         F      constant B times constant C, else 1 (see ``op``)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.compiled import compiled
from linbench.kernels.pages import on_huge_pages
from linbench.kernels.scalars import (
    exp2_product,
    exp2_product_within,
    load,
    narrow,
    pointer,
    shift,
    sigmoid,
    size_as_bits,
    softplus,
    widest_vectors,
)
from linbench.kernels.selective_scan.op import empty_beside
from linbench.kernels.threads import parallel_for

W = 64  # channels of a block, at most
TILE = 16  # tokens that a block takes at a time
STEP, DRIVE, OUT, BIAS, SKIP, FASTEST = 0, W, 2 * W, 3 * W, 4 * W, 5 * W
BITS_OF_126 = np.int32(0x42FC0000)
STATES = 6 * W  # then RATE, H, F of state 0, of state 1, …
RATE, H, F, STATE = 0, W, 2 * W, 3 * W

fast: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}


class Rows(NamedTuple):
    """Memory whose channels are neighbours: ``flat[i * batch + t * token + channel]``."""

    flat: Any
    batch: int
    token: int


class Job(NamedTuple):
    """What both directions read. Arrays of state are float32, or float64 when the inputs are."""

    u: Rows
    delta: Rows
    z: Rows  # u again where there is no gate
    B: Any  # b g t n
    C: Any  # b g t n
    rate: Any  # d n
    F: Any  # d n
    D: Any  # d
    bias: Any  # d
    gated: bool
    softplus: bool
    scaled: bool  # F is not all 1


@njit(inline="always")
def block_of(index: int, channels: int, groups: int) -> tuple[int, int, int]:
    """Return the group, the first channel and the width of a block."""
    size = channels // groups
    count = (size + W - 1) // W
    group = index // count
    first = group * size + (index % count) * W
    return group, first, min(W, (group + 1) * size - first)


@njit(inline="always")
def prepare(s, job, block, stride):  # type: ignore[no-untyped-def]
    """Fill a block's scratch row with its channels' constants and the state before the start."""
    _, first, width = block
    s[:] = 0
    for c in range(width):
        s[BIAS + c] = job.bias[first + c]
        s[SKIP + c] = job.D[first + c]
        for n in range(job.rate.shape[1]):
            rate = job.rate[first + c, n]
            s[STATES + n * stride + RATE + c] = rate
            s[STATES + n * stride + F + c] = job.F[first + c, n]
            s[FASTEST + c] = max(s[FASTEST + c], abs(rate))


@njit(inline="always")
def all_moderate(s):  # type: ignore[no-untyped-def]
    """Whether every exponent of this token's decays is in reach of ``exp2_product_within``."""
    largest = np.int32(0)
    for c in range(W):
        largest = max(largest, size_as_bits(s[STEP + c] * s[FASTEST + c]))
    return largest < BITS_OF_126


@njit(inline="always")
def enter(s, delta, u, soft, width):  # type: ignore[no-untyped-def]
    """Compute the token's step and drive, and start its output with D u."""
    if soft:
        for c in range(width):
            s[STEP + c] = softplus(load(delta[c]) + s[BIAS + c])
    else:
        for c in range(width):
            s[STEP + c] = load(delta[c]) + s[BIAS + c]
    for c in range(width):
        x = load(u[c])
        s[DRIVE + c] = s[STEP + c] * x
        s[OUT + c] = s[SKIP + c] * x


@njit(inline="always")
def advance(s, B, C, states, within, stride):  # type: ignore[no-untyped-def]
    """h = exp(step A) h + B drive and OUT += C h, one token on; ``within``: every exponent is small and F is 1."""
    n = 0
    if within:
        while n + 4 <= states:
            q = shift(s, STATES + n * stride)
            b0, b1, b2, b3 = B[n], B[n + 1], B[n + 2], B[n + 3]
            c0, c1, c2, c3 = C[n], C[n + 1], C[n + 2], C[n + 3]
            for c in range(W):
                step, drive = s[STEP + c], s[DRIVE + c]
                h0 = exp2_product_within(step, q[RATE + c]) * q[H + c] + b0 * drive
                h1 = exp2_product_within(step, q[stride + RATE + c]) * q[stride + H + c] + b1 * drive
                h2 = exp2_product_within(step, q[2 * stride + RATE + c]) * q[2 * stride + H + c] + b2 * drive
                h3 = exp2_product_within(step, q[3 * stride + RATE + c]) * q[3 * stride + H + c] + b3 * drive
                q[H + c], q[stride + H + c], q[2 * stride + H + c], q[3 * stride + H + c] = h0, h1, h2, h3
                s[OUT + c] += (c0 * h0 + c1 * h1) + (c2 * h2 + c3 * h3)
            n += 4
    while n < states:
        q = shift(s, STATES + n * stride)
        b0, c0 = B[n], C[n]
        for c in range(W):
            h0 = exp2_product(s[STEP + c], q[RATE + c]) * q[H + c] + b0 * s[DRIVE + c]
            q[H + c] = h0
            s[OUT + c] += c0 * q[F + c] * h0
        n += 1


@njit(inline="always")
def emit(s, y, z, gated, width):  # type: ignore[no-untyped-def]
    """Write the token's output, gated where there is a gate."""
    if gated:
        for c in range(width):
            x = load(z[c])
            y[c] = narrow(s[OUT + c] * x * sigmoid(x), y[0])
    else:
        for c in range(width):
            y[c] = narrow(s[OUT + c], y[0])


@compiled(**fast)
def scan_tile(scratch, job, y, i, block, start, stop):  # type: ignore[no-untyped-def]
    """Take a block from token ``start`` to ``stop``. Pointers, since arrays would be counted at every token."""
    widest_vectors()
    group, first, width = block
    states = job.rate.shape[1]
    s = pointer(scratch)
    u = shift(pointer(job.u.flat), i * job.u.batch + first)
    delta = shift(pointer(job.delta.flat), i * job.delta.batch + first)
    z = shift(pointer(job.z.flat), i * job.z.batch + first)
    out = shift(pointer(y.flat), i * y.batch + first)
    row = (i * job.B.shape[1] + group) * job.B.shape[2] * states
    B, C = shift(pointer(job.B), row), shift(pointer(job.C), row)
    u_token, delta_token, z_token, y_token = job.u.token, job.delta.token, job.z.token, y.token
    soft, gated, scaled = job.softplus, job.gated, job.scaled
    for t in range(start, stop):
        if width == W:  # a constant length: no remainder loops
            enter(s, shift(delta, t * delta_token), shift(u, t * u_token), soft, W)
        else:
            enter(s, shift(delta, t * delta_token), shift(u, t * u_token), soft, width)
        within = not scaled and all_moderate(s)
        advance(s, shift(B, t * states), shift(C, t * states), states, within, STATE)
        if width == W:
            emit(s, shift(out, t * y_token), shift(z, t * z_token), gated, W)
        else:
            emit(s, shift(out, t * y_token), shift(z, t * z_token), gated, width)


@compiled(**fast)
def _forward(job, y, last, groups, start, stop):  # type: ignore[no-untyped-def]
    """Scan blocks ``start`` to ``stop``, counted over the batch."""
    widest_vectors()
    channels, states = job.rate.shape
    tokens = job.B.shape[2]
    blocks = groups * ((channels // groups + W - 1) // W)
    scratch = np.empty((min(stop - start, blocks), STATES + states * STATE), job.rate.dtype)
    while start < stop:
        i, low = start // blocks, start % blocks
        high = min(blocks, low + stop - start)
        for k in range(low, high):
            prepare(scratch[k - low], job, block_of(k, channels, groups), STATE)
        for tile in range(0, tokens, TILE):
            for k in range(low, high):
                block = block_of(k, channels, groups)
                scan_tile(scratch[k - low], job, y, i, block, tile, min(tile + TILE, tokens))
        for k in range(low, high):
            _, first, width = block_of(k, channels, groups)
            for c in range(width):
                for n in range(states):
                    last[i, first + c, n] = scratch[k - low, STATES + n * STATE + H + c]
        start += high - low


def selective_scan(
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
) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t`` in u's memory layout, and the last state, ``b d n``; arguments as of ``op``."""
    job, groups = job_of(u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus)
    batch, channels, tokens = u.shape
    y = on_huge_pages(empty_beside(u))
    rows = y if is_channel_last(y) else y.new_empty(batch, tokens, channels).transpose(1, 2)
    last = torch.empty(batch, channels, A.shape[1], dtype=state_dtype(u))
    target = rows_of(rows)
    over_blocks(lambda start, stop: _forward(job, target, last.numpy(), groups, start, stop), u, groups)
    return y if rows is y else y.copy_(rows), last


def over_blocks(work: Callable[[int, int], None], u: Tensor, groups: int) -> None:
    """Split the batch's blocks of channels over the threads."""
    batch, channels = u.shape[:2]
    if batch and channels:
        parallel_for(work, batch * groups * -(-(channels // groups) // W))


def job_of(
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
) -> tuple[Job, int]:
    """Return the arguments as the kernels read them, and the number of groups.

    u, delta and z are read where they lie if their channels are neighbours in memory (stride 1), else one
    transposing copy of each is made. B and C, small, are copied to ``b g t n`` unless they lie so.
    """
    dtype = state_dtype(u)
    channels = u.shape[1]

    def array(x: Tensor) -> Any:
        return x.detach().to(dtype).contiguous().numpy()

    job = Job(
        rows_of(u),
        rows_of(delta),
        rows_of(u if z is None else z),
        array(B.transpose(2, 3)),
        array(C.transpose(2, 3)),
        array(A.detach().to(dtype) * 1.4426950408889634),
        array(torch.ones_like(A) if scale is None else scale),
        array(torch.zeros(channels) if D is None else D),
        array(torch.zeros(channels) if delta_bias is None else delta_bias),
        z is not None,
        delta_softplus,
        scale is not None,
    )
    return job, B.shape[1]


def state_dtype(u: Tensor) -> torch.dtype:
    """float64 for float64, else float32."""
    return torch.promote_types(u.dtype, torch.float32)


def is_channel_last(x: Tensor) -> bool:
    """Whether the channels of x, ``b d t``, are neighbours in memory."""
    return x.stride(1) == 1


def rows_of(x: Tensor) -> Rows:
    """Return x, ``b d t``, as rows of channels; half precision as its bits (see ``scalars.load``)."""
    x = x.detach()
    if not is_channel_last(x):
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    span = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
    flat = x.as_strided((span,), (1,))
    bits = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}.get(x.dtype, x.dtype)
    return Rows(flat.view(bits).numpy(), x.stride(0), x.stride(2))
