"""bi-WKV on the CPU in linear time, forward and backward (equation and letters: ``reference``).

The tokens are cut into chunks. P and S, the sums over the tokens before and after a chunk, are numerator and
denominator times e^scale. A pass from the last chunk to the first stores S of each; a pass back carries P and writes
the outputs. Three things keep the error near 1e-6 for any w, k and t:

- a chunk has one scale, and a token's decay is a product with e^-w; chunks are so short that a sum changes by a
  factor of e^16 at most;
- scales are float64 and absolute, and a state changes to a new one by a power of two only, so that no rounding
  repeats from chunk to chunk (a running maximum decremented per token is wrong by 4e-3 at 16384 tokens);
- a chunk's own sums have the scale of its own largest key, however small beside P and S: they may dominate later.

Channels beyond ``REACH`` or ``BONUS``, gradients beyond ``LARGEST_LSE``, and float64 go through ``scalar_fallback``:
slower, without bounds.
A vector holds sixteen channels; ``groups`` vectors share a pass over memory. Half inputs are widened in the loads.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.bi_wkv import scalar_fallback
from linbench.kernels.compiled import compiled
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.simd import (
    LANES,
    double,
    exp,
    floor,
    load,
    log,
    maximum,
    power_of_two,
    prefetch,
    select_above,
    sigmoid,
    single,
    single_of,
    splat,
    store,
)
from linbench.kernels.threads import parallel_for

CHUNK = 32  # tokens, at most
SHORTEST = 8
REACH = 16 / SHORTEST  # largest |w| of the chunked form
BONUS = 30.0  # largest |u|: beyond, the own token's weight leaves float32 beside its chunk's
LARGEST_LSE = 300.0  # of the chunked gradient: the lse that it reads is float32, rounded by up to 6e-8 |lse|
NOTHING = -1e30  # the scale of an empty sum
jit = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
inline = {"forceinline": True, "error_model": "numpy"}


@njit(**inline)
def top_of(x: Any, at: int, stride: int, rows: int, sign: Any) -> Any:
    """Return the largest key of a chunk."""
    top = single_of(NOTHING)
    for i in range(rows):
        top = maximum(top, sign * load(x, at + i * stride))
    return top


@njit(**inline)
def join(n: Any, d: Any, scale: Any, shift: Any, local_n: Any, local_d: Any, top: Any) -> Any:
    """Decay a state by ``shift``, a chunk's length times w, and add the chunk's own sums, of scale ``top``."""
    zero = splat(0.0)
    old, new = scale - shift, double(top)
    gap = new - old
    far = splat(80.0)
    steps = maximum(floor(gap * splat(1.4426950408889634)) + splat(1.0), zero)
    steps = select_above(gap, far, zero, steps)
    scale = select_above(gap, far, new, old + steps * splat(0.6931471805599453))
    keep = select_above(single(gap), single_of(80.0), single_of(0.0), power_of_two(zero - steps))
    add = exp(single(new - scale))
    return n * keep + local_n * add, d * keep + local_d * add, scale


@njit(**inline)
def local(k: Any, v: Any, at: int, stride: int, rows: int, decay: Any) -> Any:
    """Return a chunk's own sums, decayed to the token before it and to the token after it, and their scale."""
    top = single_of(NOTHING)
    for i in range(rows):
        top = maximum(top, load(k, at + i * stride))
        prefetch(k, at + (i - rows) * stride)
        prefetch(v, at + (i - rows) * stride)
    sn, sd, pn, pd = single_of(0.0), single_of(0.0), single_of(0.0), single_of(0.0)
    power = single_of(1.0)
    for j in range(rows):
        i = at + (rows - 1 - j) * stride
        e = exp(load(k, i) - top)
        ev = e * load(v, i)
        sn = sn * decay + ev
        sd = sd * decay + e
        pn = pn + ev * power
        pd = pd + e * power
        power = power * decay
    return top, sn, sd, pn, pd


@njit(**inline)
def _outputs(
    k: Any, v: Any, r: Any, y: Any, gated: Any, lse: Any, at: int, stride: int, rows: int, decay: Any, bonus: Any,
    top: Any, pn: Any, pd: Any, sn: Any, sd: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write y, sigmoid(r) y and lse, each unless it is empty, from P and S in the scale ``top``."""
    for j in range(rows):
        i = rows - 1 - j
        prefetch(k, at + (i + rows) * stride)
        prefetch(v, at + (i + rows) * stride)
        e = exp(load(k, at + i * stride) - top)
        store(scratch, 3 * i * LANES, e)
        store(scratch, (3 * i + 1) * LANES, sn)
        store(scratch, (3 * i + 2) * LANES, sd)
        sn = sn * decay + e * load(v, at + i * stride)
        sd = sd * decay + e
    for i in range(rows):
        e = load(scratch, 3 * i * LANES)
        ev = e * load(v, at + i * stride)
        d = pd + load(scratch, (3 * i + 2) * LANES) + bonus * e
        mean = (pn + load(scratch, (3 * i + 1) * LANES) + bonus * ev) / d
        if y.size:
            store(y, at + i * stride, mean)
            prefetch(y, at + (i + rows) * stride)
        if gated.size:
            store(gated, at + i * stride, mean * sigmoid(load(r, at + i * stride)))
            prefetch(gated, at + (i + rows) * stride)
        if lse.size:
            store(lse, at + i * stride, top + log(d))
        pn = pn * decay + ev
        pd = pd * decay + e


@compiled(**jit)
def _forward(
    w: Any, u: Any, k: Any, v: Any, r: Any, y: Any, gated: Any, lse: Any, t: int, c: int, first: int, groups: int,
    blocks: int, chunk: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write y, sigmoid(r) y and lse, each unless it is empty, for the pieces ``start:stop`` of ``b · blocks``.

    groups: Vectors of a block.
    """
    count = (t + chunk - 1) // chunk
    sums = np.empty(count * groups * 5 * LANES, np.float32)  # S, the chunk's own part of P, its scale
    scales = np.empty(count * groups * LANES, np.float64)  # of S
    state, scale = np.empty(groups * 2 * LANES, np.float32), np.empty(groups * LANES, np.float64)
    scratch = np.empty(chunk * 3 * LANES, np.float32)
    for piece in range(start, stop):
        channel = first + piece % blocks * groups * LANES
        origin = piece // blocks * t * c + channel
        decays = np.exp(-w[channel : channel + groups * LANES]).astype(np.float32)
        bonuses = np.exp(u[channel : channel + groups * LANES]).astype(np.float32)
        state[:], scale[:] = 0, NOTHING
        for j in range(count - 1, -1, -1):
            rows = min(chunk, t - j * chunk)
            for g in range(groups):
                lane, sum_at, at = g * LANES, 2 * g * LANES, (j * groups + g) * LANES
                n, d, z = load(state, sum_at), load(state, sum_at + LANES), load(scale, lane)
                store(sums, 5 * at, n)
                store(sums, 5 * at + LANES, d)
                store(scales, at, z)
                top, sn, sd, pn, pd = local(k, v, origin + j * chunk * c + lane, c, rows, load(decays, lane))
                store(sums, 5 * at + 2 * LANES, pn)
                store(sums, 5 * at + 3 * LANES, pd)
                store(sums, 5 * at + 4 * LANES, top)
                n, d, z = join(n, d, z, load(w, channel + lane) * splat(float(rows)), sn, sd, top)
                store(state, sum_at, n)
                store(state, sum_at + LANES, d)
                store(scale, lane, z)
        state[:], scale[:] = 0, NOTHING
        for j in range(count):
            rows = min(chunk, t - j * chunk)
            for g in range(groups):
                lane, sum_at, at = g * LANES, 2 * g * LANES, (j * groups + g) * LANES
                pn, pd, a, z = load(state, sum_at), load(state, sum_at + LANES), load(scale, lane), load(scales, at)
                chunk_scale = load(sums, 5 * at + 4 * LANES)
                top = single(maximum(maximum(a, z), double(chunk_scale)))
                before, after = exp(single(a - double(top))), exp(single(z - double(top)))
                _outputs(
                    k, v, r, y, gated, lse, origin + j * chunk * c + lane, c, rows, load(decays, lane),
                    load(bonuses, lane), top, pn * before, pd * before, load(sums, 5 * at) * after,
                    load(sums, 5 * at + LANES) * after, scratch,
                )  # fmt: skip
                n, d, a = join(
                    pn, pd, a, load(w, channel + lane) * splat(float(rows)),
                    load(sums, 5 * at + 2 * LANES), load(sums, 5 * at + 3 * LANES), chunk_scale,
                )  # fmt: skip
                store(state, sum_at, n)
                store(state, sum_at + LANES, d)
                store(scale, lane, a)


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, with_lse: bool = False) -> tuple[Tensor, Tensor]:
    """Return y, ``b t c`` of v's dtype, and lse, ``b t c`` in the accumulation's dtype, or empty.

    w: Decay, ``c``.  u: Bonus, ``c``.  k: Keys, ``b t c``.  v: Values, ``b t c``.
    k and v are copied where they are not contiguous or differ in dtype.
    """
    kind = v.dtype
    w, u, k, v = prepared(w, u, k, v)
    y, none = on_huge_pages(torch.empty_like(v)), v.new_empty(0)
    lse = _empty_lse(v, with_lse)
    _run(w, u, k, v, none, y, none, lse)
    return y.to(kind), lse


def gated_bi_wkv(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, with_lse: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sigmoid(r) y, and where ``with_lse`` y and lse, else two empty tensors; all else as of ``bi_wkv``.

    r: Receptance, ``b t c``.
    """
    kind = v.dtype
    w, u, k, r, v = prepared(w, u, k, r, v)
    gated, lse = on_huge_pages(torch.empty_like(v)), _empty_lse(v, with_lse)
    y = on_huge_pages(torch.empty_like(v)) if with_lse else v.new_empty(0)
    _run(w, u, k, v, r, y, gated, lse)
    return gated.to(kind), y.to(kind), lse


def _empty_lse(v: Tensor, with_lse: bool) -> Tensor:
    wide = torch.promote_types(v.dtype, torch.float32)
    return on_huge_pages(torch.empty(v.shape if with_lse else (0,), dtype=wide))


def _run(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, gated: Tensor, lse: Tensor) -> None:
    """Write y, sigmoid(r) y and lse, each unless it is empty."""
    for first, groups, blocks, chunk in plan(w, u, v):
        rows = [w.numpy(), u.numpy(), *map(flat, (k, v, r, y, gated, lse))]
        run = partial(_forward, *rows, v.shape[1], v.shape[2], first, groups, blocks, chunk)
        parallel_for(run, v.shape[0] * blocks)
    for channels in fallback_channels(w, u, v):
        inputs = [x[channels].numpy() for x in (w, u)] + [x[..., channels].double().numpy() for x in (k, v)]
        outputs = np.empty(inputs[2].shape), np.empty(inputs[2].shape if lse.numel() else (0, 0, 0))
        parallel_for(partial(scalar_fallback.forward, *inputs, *outputs), v.shape[0] * len(channels))
        mean = torch.from_numpy(outputs[0])
        if y.numel():
            y[..., channels] = mean.to(y.dtype)
        if gated.numel():
            gated[..., channels] = (mean * r[..., channels].double().sigmoid()).to(gated.dtype)
        if lse.numel():
            lse[..., channels] = torch.from_numpy(outputs[1]).to(lse.dtype)


def prepared(w: Tensor, u: Tensor, *tokens: Tensor) -> tuple[Tensor, ...]:
    """Return w and u in float64, and the others contiguous and of one dtype that the kernels read."""
    dtype = tokens[-1].dtype
    for x in tokens[:-1]:
        dtype = torch.promote_types(dtype, x.dtype)
    return w.double().contiguous(), u.double().contiguous(), *(x.to(dtype).contiguous() for x in tokens)


def plan(w: Tensor, u: Tensor, v: Tensor) -> list[tuple[int, int, int, int]]:
    """Return the kernel calls as (first channel, groups of a block, blocks, tokens of a chunk)."""
    b, _, c = v.shape
    if v.dtype == torch.float64 or c < LANES or not v.numel():
        return []
    chunked = ~_extreme(w, u)
    reach = float((w.abs() * chunked).max())
    chunk = int(min(CHUNK, 16 / reach)) if reach > 0 else CHUNK
    vectors = c // LANES
    enough = min(vectors, -(-torch.get_num_threads() // b))
    blocks = next(n for n in range(enough, vectors + 1) if vectors % n == 0)
    whole = (0, vectors // blocks, blocks, chunk)
    # The last vector overlaps the one before it and writes the same numbers again.
    return [whole] if c % LANES == 0 else [whole, (c - LANES, 1, 1, chunk)]


def _extreme(w: Tensor, u: Tensor) -> Tensor:
    return ~((w.abs() <= REACH) & (u.abs() <= BONUS))


def fallback_channels(w: Tensor, u: Tensor, v: Tensor, lse: Tensor | None = None) -> list[Tensor]:
    """Return the channels for ``scalar_fallback``, a few at a time since they are copied in float64.

    lse: For the gradient: channels where it exceeds ``LARGEST_LSE`` are added.
    """
    c = v.shape[2]
    if not v.numel():
        return []
    chosen = _extreme(w, u) | (v.dtype == torch.float64 or c < LANES)
    if lse is not None:
        chosen |= torch.maximum(lse.amax((0, 1)), -lse.amin((0, 1))) > LARGEST_LSE
    channels = chosen.nonzero()[:, 0]
    return list(channels.split(max(1, c // 16))) if len(channels) else []
