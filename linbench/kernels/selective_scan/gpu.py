"""The selective scan on a GPU, forward and backward, parallel over chunks of the sequence (Triton).

Batch 1 must fill the device, so the tokens are cut into chunks, and each direction takes three steps:

    ends      of every chunk, scanned from a state of 0, and the sum S of its steps
    starts    along the chunks: start_{j+1} = exp(A S_j) start_j + end_j, one small kernel
    outputs   of every chunk, scanned from its start

A program walks a block of channels through one chunk, token by token. Its state, ``n c``, has one channel to a
lane and that channel's states in its registers: sums over n cross no lane, and the recurrence is the equation's
own. A chunk's decay is one exponential of a sum, never a product of many, and nothing is divided by it.

The gradient (its equations: ``backward``) takes the same three steps from the last chunk to the first. The states
that it needs are written every KEEP tokens by another pass forward; those between are computed again. Sums over
channels are stored per block, sums over tokens per chunk, and added afterwards: no atomics, the same numbers on
every run.

    step   softplus(delta + bias); 0 beyond the last token      rate   A log2(e), so that exp(step A) = 2^(step rate)
    drive  step u                                               F      constant B times constant C (see ``op``)
    i j    image, chunk                                         real   float32, or float64 when the inputs are
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.memory import empty_in_layout_of
from linbench.kernels.selective_scan.reference import ScanInputs

PROGRAMS = 4096  # enough for every current device; beyond it chunks are longer, and their states fewer
SHORTEST = 32  # tokens of a chunk, at least
KEEP = 8  # tokens between states stored for the gradient; divides every chunk
CHUNKS_READ = 8  # chunks whose ends are read at once

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)

_STRIDES = [f"{x}_{axis}" for x in ("u", "delta", "z", "y", "gy", "gz", "gu", "gdelta") for axis in "bt"]
_STRIDES += [f"{x}_{axis}" for x in "BC" for axis in "bgt"]
# Sizes of images would compile the kernels anew. Only the strides of channels and of states are specialised, since
# they mostly are 1: a warp then reads a row, and the states need no offsets in registers. The others' divisors
# would make a thread read 4 channels, and spread its tokens over lanes.
unspecialised = triton.jit(do_not_specialize=[*_STRIDES, "channels", "groups", "tokens", "blocks", "chunks", "chunk"])


class Shape(NamedTuple):
    """The layout of a kernel, all powers of two. Lanes hold channels."""

    block: int  # channels of a program
    tile: int  # tokens read at once
    warps: int


def forward_shape(states: int, lanes: int) -> Shape:
    """Return the layout forward: 16 numbers of state per thread; for more states more warps, then fewer channels."""
    power = triton.next_power_of_2(states)
    block = max(1, min(lanes, lanes * 64 // power))
    return Shape(block, 8 if power <= 4 else 4, max(1, power * block // (16 * lanes)))


def gradient_shape(states: int, lanes: int) -> Shape:
    """Return the layout backward: fewer channels and shorter tiles, since all states of a tile are in registers."""
    block, _, warps = forward_shape(states, lanes)
    return Shape(block, 4, warps) if states <= 4 else Shape(max(1, block // 2), 2, warps)


@triton.jit
def _row(tile, k: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return row k of a tile. x + (-0.0) is x, so the compiler drops the sum where a lane holds the whole column."""
    chosen = tl.arange(0, tile.shape[0]) == k
    chosen = chosen[:, None, None] if len(tile.shape) == 3 else chosen[:, None]
    return tl.sum(tl.where(chosen, tile, -0.0), axis=0)


@triton.jit
def _put(tile, k: tl.constexpr, row):  # type: ignore[no-untyped-def]
    """Return the tile with row k replaced."""
    chosen = tl.arange(0, tile.shape[0]) == k
    chosen = chosen[:, None, None] if len(tile.shape) == 3 else chosen[:, None]
    return tl.where(chosen, row[None], tile)


@triton.jit
def _softplus(x, TERMS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return log(1 + e^x) = max(x, 0) + 2 artanh(e / (2 + e)), e = e^-|x|; the hardware's log is inexact near 1."""
    e = tl.exp(-tl.abs(x))
    s = e / (2 + e)
    series = tl.zeros_like(x)
    for i in tl.static_range(TERMS):
        series = series * s * s + 2.0 / (2 * (TERMS - 1 - i) + 1)
    return tl.where(x > 20, x, tl.maximum(x, 0) + s * series)


@triton.jit
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _program(blocks, channels, groups, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the program's block, the rest of its index, and its group and channels, which never span two groups."""
    index = tl.program_id(0).to(tl.int64)
    size = channels // groups
    block = index % blocks
    group = block // (blocks // groups)
    lane = (block % (blocks // groups)) * BLOCK + tl.arange(0, BLOCK)
    return block, index // blocks, group, group * size + lane, lane < size


@triton.jit
def _tile(x, rows, row_stride, columns, column_stride, mask, real: tl.constexpr):  # type: ignore[no-untyped-def]
    return tl.load(x + rows[:, None] * row_stride + columns[None, :] * column_stride, mask=mask, other=0).to(real)


@triton.jit
def _put_tile(x, rows, row_stride, columns, column_stride, mask, value):  # type: ignore[no-untyped-def]
    where = x + rows[:, None] * row_stride + columns[None, :] * column_stride
    tl.store(where, value.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _vector(x, c, known, real: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return a parameter of each channel, 0 for None."""
    value = tl.zeros([c.shape[0]], real)
    if x is not None:
        value = tl.load(x + c, mask=known, other=0).to(real)
    return value


@triton.jit
def _states(x, piece, channels, n, c, known, STATES: tl.constexpr, real: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the block's ``n c`` of x, ``piece n c`` in memory; 0 for None."""
    value = tl.zeros([n.shape[0], c.shape[0]], real)
    if x is not None:
        where = x + (piece * STATES + n[:, None]) * channels + c[None, :]
        value = tl.load(where, mask=(n < STATES)[:, None] & known[None, :], other=0).to(real)
    return value


@triton.jit
def _put_states(x, piece, channels, n, c, known, value, STATES: tl.constexpr):  # type: ignore[no-untyped-def]
    where = x + (piece * STATES + n[:, None]) * channels + c[None, :]
    tl.store(where, value, mask=(n < STATES)[:, None] & known[None, :])


@triton.jit
def _projection(x, t, x_t, n, x_n, tokens, STATES: tl.constexpr, real: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return B or C of a token, ``n``; 0 beyond the last token."""
    return tl.load(x + t * x_t + n * x_n, mask=n < tl.where(t < tokens, STATES, 0), other=0).to(real)


@triton.jit
def _steps(x, bias, mask, SOFTPLUS: tl.constexpr, real: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the step of each token and channel of a tile x of delta; 0 where there is no token."""
    x += bias[None, :]
    if SOFTPLUS:
        x = _softplus(x, 15 if real == tl.float64 else 7)
    return tl.where(mask, x, 0)


@triton.jit
def _advance(h, step, drive, rate, weight):  # type: ignore[no-untyped-def]
    """Return h = exp(step A) h + B drive."""
    return tl.exp2(step[None, :] * rate) * h + weight[:, None] * drive[None, :]


@unspecialised
def _ends(  # type: ignore[no-untyped-def]
    ends, sums, u, u_b, u_c, u_t, delta, delta_b, delta_c, delta_t, B, B_b, B_g, B_n, B_t, A, bias,
    channels, groups, tokens, blocks, chunks, chunk,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, POWER: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write the state after each chunk that starts at 0, ``i j n c``, and the sum of its steps, ``i j c``."""
    real: tl.constexpr = ends.dtype.element_ty
    _block, piece, group, c, known = _program(blocks, channels, groups, BLOCK)
    i, start = piece // chunks, piece % chunks * chunk
    n = tl.arange(0, POWER).to(tl.int64)
    u, delta, B = u + i * u_b, delta + i * delta_b, B + i * B_b + group * B_g
    rate = _states(A, 0, channels, n, c, known, STATES, real) * LOG2E
    shift = _vector(bias, c, known, real)
    h = tl.zeros([POWER, BLOCK], real)
    total = tl.zeros([BLOCK], real)
    for first in range(start, tl.minimum(start + chunk, tokens), TILE):
        t = first + tl.arange(0, TILE).to(tl.int64)
        mask = (t < tokens)[:, None] & known[None, :]
        step = _steps(_tile(delta, t, delta_t, c, delta_c, mask, real), shift, mask, SOFTPLUS, real)
        drive = step * _tile(u, t, u_t, c, u_c, mask, real)
        total += tl.sum(step, axis=0)
        for k in tl.static_range(TILE):
            weight = _projection(B, first + k, B_t, n, B_n, tokens, STATES, real)
            h = _advance(h, _row(step, k), _row(drive, k), rate, weight)
    _put_states(ends, piece, channels, n, c, known, h, STATES)
    tl.store(sums + piece * channels + c, total, mask=known)


@unspecialised
def _starts(  # type: ignore[no-untyped-def]
    starts, ends, sums, initial, A, channels, chunks,
    REVERSE: tl.constexpr, STATES: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write the state that enters each chunk, ``i j n c``, from the left, or in reverse from the right.

    ends: The state that leaves each chunk if 0 enters it.
    initial: The state that enters the first chunk, ``i n c``, or None for 0.
    """
    real: tl.constexpr = starts.dtype.element_ty
    index = tl.program_id(0).to(tl.int64)
    blocks = tl.cdiv(channels, BLOCK)
    c = index % blocks * BLOCK + tl.arange(0, BLOCK)
    n, i = index // blocks % STATES, index // blocks // STATES
    known = c < channels
    rate = tl.load(A + n * channels + c, mask=known, other=0).to(real) * LOG2E
    h = tl.zeros([BLOCK], real)
    if initial is not None:
        h = tl.load(initial + (i * STATES + n) * channels + c, mask=known, other=0).to(real)
    for first in range(0, chunks, TILE):
        turn = first + tl.arange(0, TILE).to(tl.int64)
        mask = (turn < chunks)[:, None] & known[None, :]
        piece = i * chunks + (chunks - 1 - turn if REVERSE else turn)
        end = _tile(ends, piece * STATES + n, channels, c, 1, mask, real)
        decay = tl.exp2(_tile(sums, piece, channels, c, 1, mask, real) * rate[None, :])
        enters = tl.zeros([TILE, BLOCK], real)
        for k in tl.static_range(TILE):
            enters = _put(enters, k, h)
            h = _row(decay, k) * h + _row(end, k)
        _put_tile(starts, piece * STATES + n, channels, c, 1, mask, enters)


@unspecialised
def _outputs(  # type: ignore[no-untyped-def]
    y, y_b, y_c, y_t, last, starts,
    u, u_b, u_c, u_t, delta, delta_b, delta_c, delta_t, z, z_b, z_c, z_t,
    B, B_b, B_g, B_n, B_t, C, C_b, C_g, C_n, C_t, A, scale, D, bias,
    channels, groups, tokens, blocks, chunks, chunk,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, POWER: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write y of each chunk from its start, and the state after the last chunk, ``i c n``."""
    real: tl.constexpr = last.dtype.element_ty
    _block, piece, group, c, known = _program(blocks, channels, groups, BLOCK)
    i, start = piece // chunks, piece % chunks * chunk
    n = tl.arange(0, POWER).to(tl.int64)
    u, delta, y = u + i * u_b, delta + i * delta_b, y + i * y_b
    B, C = B + i * B_b + group * B_g, C + i * C_b + group * C_g
    rate = _states(A, 0, channels, n, c, known, STATES, real) * LOG2E
    factor = _states(scale, 0, channels, n, c, known, STATES, real)
    shift, skip = _vector(bias, c, known, real), _vector(D, c, known, real)
    h = _states(starts, piece, channels, n, c, known, STATES, real)
    for first in range(start, tl.minimum(start + chunk, tokens), TILE):
        t = first + tl.arange(0, TILE).to(tl.int64)
        mask = (t < tokens)[:, None] & known[None, :]
        step = _steps(_tile(delta, t, delta_t, c, delta_c, mask, real), shift, mask, SOFTPLUS, real)
        x = _tile(u, t, u_t, c, u_c, mask, real)
        drive = step * x
        out = tl.zeros([TILE, BLOCK], real)
        for k in tl.static_range(TILE):
            weight = _projection(B, first + k, B_t, n, B_n, tokens, STATES, real)
            h = _advance(h, _row(step, k), _row(drive, k), rate, weight)
            read = _projection(C, first + k, C_t, n, C_n, tokens, STATES, real)[:, None]
            if scale is not None:
                read = read * factor
            out = _put(out, k, tl.sum(read * h, axis=0))
        out += skip[None, :] * x
        if z is not None:
            gate = _tile(z + i * z_b, t, z_t, c, z_c, mask, real)
            out *= gate * _sigmoid(gate)
        _put_tile(y, t, y_t, c, y_c, mask, out)
    if piece % chunks == chunks - 1:
        where = last + (i * channels + c[None, :]) * STATES + n[:, None]
        tl.store(where, h, mask=(n < STATES)[:, None] & known[None, :])


@unspecialised
def _kept(  # type: ignore[no-untyped-def]
    kept, starts, u, u_b, u_c, u_t, delta, delta_b, delta_c, delta_t, B, B_b, B_g, B_n, B_t, A, bias,
    channels, groups, tokens, blocks, chunks, chunk,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, POWER: tl.constexpr, BLOCK: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Write the state before every KEEP-th token, ``i q n c``."""
    real: tl.constexpr = kept.dtype.element_ty
    _block, piece, group, c, known = _program(blocks, channels, groups, BLOCK)
    i, start = piece // chunks, piece % chunks * chunk
    n = tl.arange(0, POWER).to(tl.int64)
    u, delta, B = u + i * u_b, delta + i * delta_b, B + i * B_b + group * B_g
    rate = _states(A, 0, channels, n, c, known, STATES, real) * LOG2E
    shift = _vector(bias, c, known, real)
    h = _states(starts, piece, channels, n, c, known, STATES, real)
    for first in range(start, tl.minimum(start + chunk, tokens), KEEP):
        _put_states(kept, i * tl.cdiv(tokens, KEEP) + first // KEEP, channels, n, c, known, h, STATES)
        t = first + tl.arange(0, KEEP).to(tl.int64)
        mask = (t < tokens)[:, None] & known[None, :]
        step = _steps(_tile(delta, t, delta_t, c, delta_c, mask, real), shift, mask, SOFTPLUS, real)
        drive = step * _tile(u, t, u_t, c, u_c, mask, real)
        for k in tl.static_range(KEEP):
            weight = _projection(B, first + k, B_t, n, B_n, tokens, STATES, real)
            h = _advance(h, _row(step, k), _row(drive, k), rate, weight)


@unspecialised
def _carries(  # type: ignore[no-untyped-def]
    carries, gy, gy_b, gy_c, gy_t, delta, delta_b, delta_c, delta_t, z, z_b, z_c, z_t,
    C, C_b, C_g, C_n, C_t, A, scale, bias,
    channels, groups, tokens, blocks, chunks, chunk,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, POWER: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write the gradient of the state before each chunk, ``i j n c``, if 0 enters the chunk from the right."""
    real: tl.constexpr = carries.dtype.element_ty
    _block, piece, group, c, known = _program(blocks, channels, groups, BLOCK)
    i, start = piece // chunks, piece % chunks * chunk
    n = tl.arange(0, POWER).to(tl.int64)
    gy, delta, C = gy + i * gy_b, delta + i * delta_b, C + i * C_b + group * C_g
    rate = _states(A, 0, channels, n, c, known, STATES, real) * LOG2E
    factor = _states(scale, 0, channels, n, c, known, STATES, real)
    shift = _vector(bias, c, known, real)
    gh = tl.zeros([POWER, BLOCK], real)
    tiles = tl.cdiv(tl.minimum(chunk, tokens - start), TILE)
    for back in range(tiles):
        first = start + (tiles - 1 - back) * TILE
        t = first + tl.arange(0, TILE).to(tl.int64)
        mask = (t < tokens)[:, None] & known[None, :]
        step = _steps(_tile(delta, t, delta_t, c, delta_c, mask, real), shift, mask, SOFTPLUS, real)
        g = _tile(gy, t, gy_t, c, gy_c, mask, real)
        if z is not None:
            gate = _tile(z + i * z_b, t, z_t, c, z_c, mask, real)
            g *= gate * _sigmoid(gate)
        for r in tl.static_range(TILE - 1, -1, -1):
            read = _projection(C, first + r, C_t, n, C_n, tokens, STATES, real)[:, None]
            if scale is not None:
                read = read * factor
            gh = tl.exp2(_row(step, r)[None, :] * rate) * (gh + read * _row(g, r)[None, :])
    _put_states(carries, piece, channels, n, c, known, gh, STATES)


@unspecialised
def _gradients(  # type: ignore[no-untyped-def]
    gu, gu_b, gu_c, gu_t, gdelta, gdelta_b, gdelta_c, gdelta_t, gz, gz_b, gz_c, gz_t,
    gA, gB, gC, gscale, gD, gbias, kept, carries,
    gy, gy_b, gy_c, gy_t, u, u_b, u_c, u_t, delta, delta_b, delta_c, delta_t, z, z_b, z_c, z_t,
    B, B_b, B_g, B_n, B_t, C, C_b, C_g, C_n, C_t, A, scale, D, bias,
    channels, groups, tokens, blocks, chunks, chunk,
    SOFTPLUS: tl.constexpr, STATES: tl.constexpr, POWER: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
    KEEP: tl.constexpr,
):  # fmt: skip
    """Write all gradients of a chunk: those of B and C per block, ``i block t n``, of A per chunk, ``i j n c``."""
    real: tl.constexpr = kept.dtype.element_ty
    block, piece, group, c, known = _program(blocks, channels, groups, BLOCK)
    i, start = piece // chunks, piece % chunks * chunk
    n = tl.arange(0, POWER).to(tl.int64)
    u, delta, gy = u + i * u_b, delta + i * delta_b, gy + i * gy_b
    B, C = B + i * B_b + group * B_g, C + i * C_b + group * C_g
    rate = _states(A, 0, channels, n, c, known, STATES, real) * LOG2E
    factor = _states(scale, 0, channels, n, c, known, STATES, real)
    shift, skip = _vector(bias, c, known, real), _vector(D, c, known, real)
    carry = _states(carries, piece, channels, n, c, known, STATES, real)
    sum_A, sum_scale = tl.zeros([POWER, BLOCK], real), tl.zeros([POWER, BLOCK], real)
    sum_D, sum_bias = tl.zeros([BLOCK], real), tl.zeros([BLOCK], real)
    tiles = tl.cdiv(tl.minimum(chunk, tokens - start), TILE)
    for back in range(tiles):
        first = start + (tiles - 1 - back) * TILE
        nearest = first // KEEP * KEEP
        h = _states(kept, i * tl.cdiv(tokens, KEEP) + nearest // KEEP, channels, n, c, known, STATES, real)
        for early in range(nearest, first):
            token = early + tl.zeros([1], tl.int64)
            lane = known[None, :]
            step = _steps(_tile(delta, token, delta_t, c, delta_c, lane, real), shift, lane, SOFTPLUS, real)
            drive = step * _tile(u, token, u_t, c, u_c, lane, real)
            weight = _projection(B, early, B_t, n, B_n, tokens, STATES, real)
            h = _advance(h, _row(step, 0), _row(drive, 0), rate, weight)
        t = first + tl.arange(0, TILE).to(tl.int64)
        mask = (t < tokens)[:, None] & known[None, :]
        raw = _tile(delta, t, delta_t, c, delta_c, mask, real)
        step = _steps(raw, shift, mask, SOFTPLUS, real)
        x = _tile(u, t, u_t, c, u_c, mask, real)
        drive = step * x
        before = tl.zeros([TILE, POWER, BLOCK], real)
        for k in tl.static_range(TILE):
            before = _put(before, k, h)
            weight = _projection(B, first + k, B_t, n, B_n, tokens, STATES, real)
            h = _advance(h, _row(step, k), _row(drive, k), rate, weight)
        g = _tile(gy, t, gy_t, c, gy_c, mask, real)
        ungated = g
        if z is not None:
            gate = _tile(z + i * z_b, t, z_t, c, z_c, mask, real)
            openness = _sigmoid(gate)
            g *= gate * openness
        out, gdrive, gstep = skip[None, :] * x, tl.zeros([TILE, BLOCK], real), tl.zeros([TILE, BLOCK], real)
        for r in tl.static_range(TILE - 1, -1, -1):
            weight = _projection(B, first + r, B_t, n, B_n, tokens, STATES, real)[:, None]
            read = _projection(C, first + r, C_t, n, C_n, tokens, STATES, real)[:, None]
            old, decay = _row(before, r), tl.exp2(_row(step, r)[None, :] * rate)
            new = decay * old + weight * _row(drive, r)[None, :]
            part = new * _row(g, r)[None, :]  # of the product C F
            if scale is not None:
                sum_scale += part * read
                part *= factor
                read = read * factor
            if z is not None:
                out = _put(out, r, _row(out, r) + tl.sum(read * new, axis=0))
            gh = carry + read * _row(g, r)[None, :]
            carry = decay * gh
            gexponent = carry * old
            sum_A += gexponent * _row(step, r)[None, :]
            gstep = _put(gstep, r, tl.sum(gexponent * rate, axis=0))
            gdrive = _put(gdrive, r, tl.sum(gh * weight, axis=0))
            row = ((i * blocks + block) * tokens + first + r) * STATES + n
            present = n < tl.where(first + r < tokens, STATES, 0)
            tl.store(gB + row, tl.sum(gh * _row(drive, r)[None, :], axis=1), mask=present)
            tl.store(gC + row, tl.sum(part, axis=1), mask=present)
        if z is not None:
            slope = openness * (1 + gate * (1 - openness))
            _put_tile(gz + i * gz_b, t, gz_t, c, gz_c, mask, ungated * out * slope)
        _put_tile(gu + i * gu_b, t, gu_t, c, gu_c, mask, gdrive * step + skip[None, :] * g)
        gstep = gstep * LN2 + gdrive * x
        if SOFTPLUS:
            shifted = raw + shift[None, :]
            gstep *= tl.where(shifted > 20, 1.0, _sigmoid(shifted))
        gstep = tl.where(mask, gstep, 0)
        _put_tile(gdelta + i * gdelta_b, t, gdelta_t, c, gdelta_c, mask, gstep)
        sum_D += tl.sum(g * x, axis=0)
        sum_bias += tl.sum(gstep, axis=0)
    _put_states(gA, piece, channels, n, c, known, sum_A, STATES)
    if scale is not None:
        _put_states(gscale, piece, channels, n, c, known, sum_scale, STATES)
    tl.store(gD + piece * channels + c, sum_D, mask=known)
    tl.store(gbias + piece * channels + c, sum_bias, mask=known)


def selective_scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t`` in u's memory layout, and the last state, ``b d n``."""
    u, A = inputs.u, inputs.A
    y = empty_in_layout_of(u)
    last = u.new_zeros(*u.shape[:2], A.shape[1], dtype=state_dtype(u))
    if u.numel() and A.shape[1]:
        scan = Scan(inputs)
        scan.launch(_outputs, starts=scan.starts(), last=last, **strided("y", y))
    return y, last


def selective_scan_backward(gy: Tensor, glast: Tensor, inputs: ScanInputs) -> list[Tensor]:
    """Return the gradients of all tensors of ``ScanInputs``; an empty one for ``None``.

    Those of u, delta and z lie in memory as u, delta and z do, where channel-last; the others are contiguous.
    """
    u, delta, A, B, C, scale, D, z, delta_bias, _delta_softplus = inputs
    batch, channels, tokens = u.shape
    states, groups = A.shape[1], B.shape[1]
    scan = Scan(inputs)
    shape = gradient_shape(states, lanes())
    real: dict[str, Any] = {"dtype": state_dtype(u), "device": u.device}
    gu, gdelta, gz = empty_in_layout_of(u), empty_in_layout_of(delta), None if z is None else empty_in_layout_of(z)
    allocate: Any = torch.empty if u.numel() and states else torch.zeros
    gA = allocate(batch, scan.chunks, states, channels, **real)
    gscale = None if scale is None else allocate(gA.shape, **real)
    gD, gbias = (allocate(batch, scan.chunks, channels, **real) for _ in range(2))
    gB, gC = (allocate(batch, scan.blocks(shape), tokens, states, **real) for _ in range(2))
    if u.numel() and states:
        incoming = strided("gy", gy)
        kept = torch.empty(batch, -(-tokens // KEEP), states, channels, **real)
        scan.launch(_kept, kept=kept, starts=scan.starts())
        carries = scan.carries(glast, incoming)
        outgoing = strided("gu", gu) | strided("gdelta", gdelta) | strided("gz", gz)
        sums = {"gA": gA, "gB": gB, "gC": gC, "gscale": gscale, "gD": gD, "gbias": gbias}
        scan.launch(_gradients, shape, kept=kept, carries=carries, **incoming, **outgoing, **sums)
    none = u.new_empty(0, dtype=state_dtype(u))
    return [
        gu,
        gdelta,
        gA.sum((0, 1)).T.to(A.dtype).contiguous(),
        _over_groups(gB, groups).to(B.dtype),
        _over_groups(gC, groups).to(C.dtype),
        none if scale is None or gscale is None else gscale.sum((0, 1)).T.to(scale.dtype).contiguous(),
        none if D is None else gD.sum((0, 1)).to(D.dtype),
        none if gz is None else gz,
        none if delta_bias is None else gbias.sum((0, 1)).to(delta_bias.dtype),
    ]


class Scan:
    """The inputs of a scan under the names of the kernels' arguments, and its division into programs."""

    def __init__(self, inputs: ScanInputs) -> None:
        u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus = inputs
        self.batch, self.channels, tokens = u.shape
        self.states, self.groups = A.shape[1], B.shape[1]
        self.shape = forward_shape(self.states, lanes())
        chunk = chunk_of(tokens, self.batch * self.blocks(self.shape))
        self.chunks = max(1, -(-tokens // chunk))
        self.real: dict[str, Any] = {"dtype": state_dtype(u), "device": u.device}
        self.arguments = strided("u", u) | strided("delta", delta) | strided("z", z) | {
            "A": A.T.contiguous(),  # n c: small, and a warp reads its channels in a row
            "scale": None if scale is None else scale.T.contiguous(),
            "D": None if D is None else D.contiguous(),
            "bias": None if delta_bias is None else delta_bias.contiguous(),
            "channels": self.channels, "groups": self.groups, "tokens": tokens, "chunks": self.chunks, "chunk": chunk,
            "SOFTPLUS": delta_softplus, "STATES": self.states, "POWER": triton.next_power_of_2(self.states),
            "KEEP": KEEP,
        }  # fmt: skip
        for name, x in (("B", B), ("C", C)):
            self.arguments |= {name: x} | dict(zip((f"{name}_{axis}" for axis in "bgnt"), x.stride(), strict=True))

    def blocks(self, shape: Shape) -> int:
        """Return the number of blocks of channels, none of which spans two groups."""
        return self.groups * -(-(self.channels // self.groups) // shape.block)

    def launch(self, kernel: Any, shape: Shape | None = None, **outputs: Any) -> None:
        """Run a program per image, chunk and block of channels; by default in the layout forward."""
        shape = shape or self.shape
        blocks = self.blocks(shape)
        self._run(kernel, self.batch * self.chunks * blocks, shape, outputs | {"blocks": blocks})

    def starts(self) -> Tensor | None:
        """Return the state before each chunk, ``b j n d``; ``None`` for a single chunk, which starts at 0."""
        if self.chunks == 1:
            return None
        ends, self.sums = self._empty(), torch.empty(self.batch, self.chunks, self.channels, **self.real)
        self.launch(_ends, ends=ends, sums=self.sums)
        return self._along(ends, None, reverse=False)

    def carries(self, glast: Tensor, incoming: dict[str, Any]) -> Tensor:
        """Return the gradient of the state that enters each chunk from the right, ``b j n d``; after ``starts``."""
        glast = glast.mT.contiguous()  # b n d
        if self.chunks == 1:
            return glast
        carries = self._empty()
        self.launch(_carries, carries=carries, **incoming)
        return self._along(carries, glast, reverse=True)

    def _along(self, ends: Tensor, initial: Tensor | None, *, reverse: bool) -> Tensor:
        starts = torch.empty_like(ends)
        programs = self.batch * self.states * -(-self.channels // self.shape.block)
        outputs = {"starts": starts, "ends": ends, "sums": self.sums, "initial": initial, "REVERSE": reverse}
        self._run(_starts, programs, Shape(self.shape.block, CHUNKS_READ, 1), outputs)
        return starts

    def _empty(self) -> Tensor:
        return torch.empty(self.batch, self.chunks, self.states, self.channels, **self.real)

    def _run(self, kernel: Any, programs: int, shape: Shape, outputs: dict[str, Any]) -> None:
        known = self.arguments | {"BLOCK": shape.block, "TILE": shape.tile} | outputs
        arguments = {name: known[name] for name in kernel.arg_names}
        with torch.cuda.device_of(self.arguments["u"]):
            kernel[(programs,)](**arguments, num_warps=shape.warps, enable_fp_fusion=True)


def chunk_of(tokens: int, rows: int) -> int:
    """Return the tokens of a chunk, so that ``rows`` sequences make at most about PROGRAMS chunks."""
    chunk = SHORTEST
    while chunk < tokens and rows * -(-tokens // chunk) > PROGRAMS:
        chunk *= 2
    return chunk


def lanes() -> int:
    """Return the lanes of a warp: 64 on AMD's accelerators, else 32."""
    return 64 if torch.version.hip else 32


def state_dtype(u: Tensor) -> torch.dtype:
    """Return float64 for float64, else float32."""
    return torch.promote_types(u.dtype, torch.float32)


def strided(name: str, x: Tensor | None) -> dict[str, Any]:
    """Return x, ``b d t``, and its strides, under the names of the kernels' arguments."""
    strides = (0, 0, 0) if x is None else x.stride()
    return {name: x} | dict(zip((f"{name}_{axis}" for axis in "bct"), strides, strict=True))


def _over_groups(parts: Tensor, groups: int) -> Tensor:
    """Return ``b g n t``, the sums over each group's blocks of parts, ``b blocks t n``."""
    batch, blocks, tokens, states = parts.shape
    return parts.view(batch, groups, blocks // groups, tokens, states).sum(2).mT.contiguous()
