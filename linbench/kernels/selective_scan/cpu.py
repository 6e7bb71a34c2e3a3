"""The selective scan on the CPU in linear time: sixteen channels at once, their states in vector registers.

The channels of a group are processed as vectors of sixteen. A vector goes through a tile of tokens in three steps,
with the tile in the nearest cache: each token's step, drive and D u; then four states at a time through all its
tokens, which takes most of the time; then gate and output. A thread takes all its vectors through a tile before the
next tile, so that memory is read in rows.

    step   softplus(delta + bias)         rate   A log2(e), so that exp(step A) = 2^(step rate)
    drive  step u                         F      constant B times constant C, else 1 (see ``op``)

float64, and groups of fewer than sixteen channels, go through ``scalar_fallback``.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.compiled import compiled
from linbench.kernels.half_floats import BITS
from linbench.kernels.memory import empty_in_layout_of, on_huge_pages
from linbench.kernels.selective_scan import scalar_fallback
from linbench.kernels.selective_scan.reference import ScanInputs
from linbench.kernels.simd import (
    LANES,
    absolute,
    broadcast,
    exp2,
    exp2_within,
    load,
    maximum,
    sigmoid,
    single_of,
    softplus,
    store,
)
from linbench.kernels.threads import parallel_for

TILE = 32  # tokens that a vector takes at a time
STEP, DRIVE, OUT, TOKEN = 0, LANES, 2 * LANES, 3 * LANES  # of a token in the tile
RATE, F, H, STATE = 0, LANES, 2 * LANES, 3 * LANES  # of a state of a vector
LARGEST_EXPONENT = 125.0  # largest exponent that ``exp2_within`` takes

jit: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
inline: dict[str, Any] = {"forceinline": True, "error_model": "numpy"}


class Rows(NamedTuple):
    """Memory whose channels are neighbours: ``flat[i * batch + t * token + channel]``."""

    flat: Any
    batch: int
    token: int


class ScanArrays(NamedTuple):
    """The arrays that both directions read. Those of parameters are float32, or float64 when the inputs are."""

    u: Rows
    delta: Rows
    z: Rows  # u again where there is no gate
    B: Any  # b g t n, flat
    C: Any  # b g t n, flat
    rate: Any  # d n
    F: Any  # d n
    D: Any  # d
    bias: Any  # d
    groups: int
    tokens: int
    gated: bool
    softplus: bool
    scaled: bool  # F is not all 1


@njit(**inline)
def vector_of(index: Any, channels: Any, groups: Any) -> Any:
    """Return the group of a vector, its first channel, and how many of its lanes another vector computes too.

    A group's last vector overlaps the one before it and computes the same numbers again.
    """
    size = channels // groups
    count = (size + LANES - 1) // LANES
    group, position = index // count, index % count
    first = min(position * LANES, size - LANES)
    return group, group * size + first, position * LANES - first


@njit(**inline)
def fill(constants: Any, at: int, scan: Any, first: int) -> None:
    """Write the rates, F, and zeros for H of a vector's states, then the largest absolute rate of each lane."""
    states = scan.rate.shape[1]
    for c in range(LANES):
        largest = np.float32(0)
        for n in range(states):
            rate = scan.rate[first + c, n]
            constants[at + n * STATE + RATE + c] = rate
            constants[at + n * STATE + F + c] = scan.F[first + c, n]
            constants[at + n * STATE + H + c] = 0
            largest = max(largest, abs(rate))
        constants[at + states * STATE + c] = largest


@njit(**inline)
def enter(tile: Any, scan: Any, i: int, first: int, start: int, rows: int, fastest: Any) -> Any:
    """Write each token's step, drive and D u; return whether ``exp2_within`` can take all exponents."""
    bias, skip = load(scan.bias, first), load(scan.D, first)
    u = i * scan.u.batch + start * scan.u.token + first
    delta = i * scan.delta.batch + start * scan.delta.token + first
    largest = single_of(0.0)
    for t in range(rows):
        x = load(scan.u.flat, u + t * scan.u.token)
        step = load(scan.delta.flat, delta + t * scan.delta.token) + bias
        if scan.softplus:
            step = softplus(step)
        store(tile, t * TOKEN + STEP, step)
        store(tile, t * TOKEN + DRIVE, step * x)
        store(tile, t * TOKEN + OUT, skip * x)
        largest = maximum(largest, absolute(step))
    return all_below(largest * fastest, tile, rows * TOKEN)


@njit(**inline)
def all_below(x: Any, scratch: Any, at: int) -> Any:
    """Return whether every lane is below ``LARGEST_EXPONENT``; ``scratch[at:]`` is overwritten."""
    store(scratch, at, x)
    below = True
    for c in range(LANES):
        below = below and scratch[at + c] < np.float32(LARGEST_EXPONENT)
    return below


@njit(**inline)
def _four_states(power: Any, tile: Any, s: Any, at: int, B: Any, C: Any, row: int, states: int, rows: int) -> None:
    """Advance four states over a tile: h = exp(step A) h + B drive, and OUT += C h."""
    a0, h0 = load(s, at + RATE), load(s, at + H)
    a1, h1 = load(s, at + STATE + RATE), load(s, at + STATE + H)
    a2, h2 = load(s, at + 2 * STATE + RATE), load(s, at + 2 * STATE + H)
    a3, h3 = load(s, at + 3 * STATE + RATE), load(s, at + 3 * STATE + H)
    for t in range(rows):
        step, drive = load(tile, t * TOKEN + STEP), load(tile, t * TOKEN + DRIVE)
        i = row + t * states
        h0 = power(step * a0) * h0 + broadcast(B, i) * drive
        h1 = power(step * a1) * h1 + broadcast(B, i + 1) * drive
        h2 = power(step * a2) * h2 + broadcast(B, i + 2) * drive
        h3 = power(step * a3) * h3 + broadcast(B, i + 3) * drive
        out = load(tile, t * TOKEN + OUT) + broadcast(C, i) * h0
        out = out + broadcast(C, i + 1) * h1
        out = out + broadcast(C, i + 2) * h2
        store(tile, t * TOKEN + OUT, out + broadcast(C, i + 3) * h3)
    store(s, at + H, h0)
    store(s, at + STATE + H, h1)
    store(s, at + 2 * STATE + H, h2)
    store(s, at + 3 * STATE + H, h3)


@njit(**inline)
def _one_state(power: Any, tile: Any, s: Any, at: int, B: Any, C: Any, row: int, states: int, rows: int) -> None:
    """Advance one state like ``_four_states``; F may scale it."""
    a, f, h = load(s, at + RATE), load(s, at + F), load(s, at + H)
    for t in range(rows):
        step, drive = load(tile, t * TOKEN + STEP), load(tile, t * TOKEN + DRIVE)
        i = row + t * states
        h = power(step * a) * h + broadcast(B, i) * drive
        store(tile, t * TOKEN + OUT, load(tile, t * TOKEN + OUT) + broadcast(C, i) * (f * h))
    store(s, at + H, h)


@njit(**inline)
def scan_states(power: Any, tile: Any, s: Any, at: int, scan: Any, row: int, rows: int) -> None:
    """Advance all states of a vector over a tile; ``power`` is ``exp2``, or ``exp2_within`` where that suffices."""
    states = scan.rate.shape[1]
    n = 0
    if not scan.scaled:
        while n + 4 <= states:
            _four_states(power, tile, s, at + n * STATE, scan.B, scan.C, row + n, states, rows)
            n += 4
    while n < states:
        _one_state(power, tile, s, at + n * STATE, scan.B, scan.C, row + n, states, rows)
        n += 1


@compiled(**jit)
def _forward(scan: Any, y: Any, last: Any, start: int, stop: int) -> None:
    """Scan the vectors ``start:stop``, counted over the batch."""
    channels, states = scan.rate.shape
    vectors = scan.groups * ((channels // scan.groups + LANES - 1) // LANES)
    size = states * STATE + LANES
    s = np.empty(min(stop - start, vectors) * size, np.float32)
    tile = np.empty(TILE * TOKEN + LANES, np.float32)
    while start < stop:
        i, low = start // vectors, start % vectors
        high = min(vectors, low + stop - start)
        for k in range(low, high):
            fill(s, (k - low) * size, scan, vector_of(k, channels, scan.groups)[1])
        for begin in range(0, scan.tokens, TILE):
            rows = min(TILE, scan.tokens - begin)
            for k in range(low, high):
                group, first, _ = vector_of(k, channels, scan.groups)
                at = (k - low) * size
                row = ((i * scan.groups + group) * scan.tokens + begin) * states
                if enter(tile, scan, i, first, begin, rows, load(s, at + states * STATE)):
                    scan_states(exp2_within, tile, s, at, scan, row, rows)
                else:
                    scan_states(exp2, tile, s, at, scan, row, rows)
                out, gate = i * y.batch + begin * y.token + first, i * scan.z.batch + begin * scan.z.token + first
                for t in range(rows):
                    x = load(tile, t * TOKEN + OUT)
                    if scan.gated:
                        z = load(scan.z.flat, gate + t * scan.z.token)
                        x = x * z * sigmoid(z)
                    store(y.flat, out + t * y.token, x)
        for k in range(low, high):
            first = vector_of(k, channels, scan.groups)[1]
            for c in range(LANES):
                for n in range(states):
                    last[i, first + c, n] = s[(k - low) * size + n * STATE + H + c]
        start += high - low


def selective_scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t`` in u's memory layout, and the last state, ``b d n``."""
    u = inputs.u
    if is_narrow(inputs):
        y, last = selective_scan(widened(inputs))
        return y.to(u.dtype), last.to(state_dtype(u))
    scan = arrays_of(inputs)
    batch, channels, tokens = u.shape
    y = on_huge_pages(empty_in_layout_of(u))
    rows = y if is_channel_last(y) else y.new_empty(batch, tokens, channels).transpose(1, 2)
    last = torch.empty(batch, channels, inputs.A.shape[1], dtype=state_dtype(u))
    target = rows_of(rows)
    kernel, pieces = _forward, vectors_of(scan)
    if u.dtype == torch.float64:
        kernel, pieces = scalar_fallback.forward, channels
    if batch and channels:
        parallel_for(lambda start, stop: kernel(scan, target, last.numpy(), start, stop), batch * pieces)
    return y if rows is y else y.copy_(rows), last


def is_narrow(inputs: ScanInputs) -> bool:
    """Return whether a group is too narrow for vectors, so that ``scalar_fallback`` must take a copy in float64."""
    return inputs.u.dtype != torch.float64 and inputs.u.shape[1] // inputs.B.shape[1] < LANES


def widened(inputs: ScanInputs) -> ScanInputs:
    """Return the inputs in float64."""
    return ScanInputs._make(x.double() if isinstance(x, Tensor) else x for x in inputs)


def vectors_of(scan: ScanArrays) -> int:
    """Return the number of vectors of an image."""
    return scan.groups * -(-(scan.rate.shape[0] // scan.groups) // LANES)


def arrays_of(inputs: ScanInputs) -> ScanArrays:
    """Return the inputs as the kernels read them.

    u, delta and z are read in place if their channels are neighbours in memory (stride 1), else one transposing copy
    of each is made. B and C, small, are copied to ``b g t n`` unless they have that layout.
    """
    u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus = inputs
    dtype = state_dtype(u)
    _, channels, tokens = u.shape

    def array(x: Tensor) -> Any:
        return x.detach().to(dtype).contiguous().numpy()

    return ScanArrays(
        rows_of(u),
        rows_of(delta),
        rows_of(u if z is None else z),
        array(B.transpose(2, 3)).reshape(-1),
        array(C.transpose(2, 3)).reshape(-1),
        array(A.detach().to(dtype) * 1.4426950408889634),
        array(torch.ones_like(A) if scale is None else scale),
        array(torch.zeros(channels) if D is None else D),
        array(torch.zeros(channels) if delta_bias is None else delta_bias),
        B.shape[1],
        tokens,
        z is not None,
        delta_softplus,
        scale is not None,
    )


def state_dtype(u: Tensor) -> torch.dtype:
    """Return float64 for float64, else float32."""
    return torch.promote_types(u.dtype, torch.float32)


def is_channel_last(x: Tensor) -> bool:
    """Return whether the channels of x, ``b d t``, are neighbours in memory."""
    return x.stride(1) == 1


def rows_of(x: Tensor) -> Rows:
    """Return x, ``b d t``, as rows of channels; half precision as its bits (see ``simd.load``)."""
    x = x.detach()
    if not is_channel_last(x):
        x = x.transpose(1, 2).contiguous().transpose(1, 2)
    span = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
    flat = x.as_strided((span,), (1,))
    return Rows(flat.view(BITS.get(x.dtype, x.dtype)).numpy(), x.stride(0), x.stride(2))
