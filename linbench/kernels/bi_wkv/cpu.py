"""bi-WKV on the CPU in linear time, forward and backward (equation and letters: ``reference``).

The tokens are cut in chunks. P and S, the sums over the tokens before and after a chunk, are numerator and
denominator times e^scale. Going down the chunks leaves S for each; going up carries P and writes the outputs.
Three things keep the error near 1e-6 for any w, k and t:

- inside a chunk one scale serves, and a token's decay is a product with e^-w; chunks are so short that a sum
  grows or fades by e^16 at most;
- scales are float64 and absolute, and a state moves to a new one by a power of two only, so that no rounding
  repeats from chunk to chunk (a running maximum decremented per token is wrong by 4e-3 at 16384 tokens);
- a chunk's own sums keep the scale of its own largest key, however small beside P and S: they may dominate later.

Channels beyond ``REACH`` or ``BONUS``, and float64, go through ``exact`` instead: slower, without bounds.
Sixteen channels share a vector; ``groups`` of them share a pass over memory. Half inputs are widened in the loads.
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.bi_wkv import exact
from linbench.kernels.bi_wkv.lanes import (
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
    single,
    single_of,
    splat,
    store,
)
from linbench.kernels.compiled import compiled
from linbench.kernels.pages import on_huge_pages
from linbench.kernels.threads import parallel_for

CHUNK = 32  # tokens, at most
SHORTEST = 8
REACH = 16 / SHORTEST  # largest |w| of the chunked form
BONUS = 30.0  # largest |u|: beyond, the own token's weight leaves float32 beside its chunk's
LARGEST_LSE = 300.0  # that the chunked backward takes in float32
_NOTHING = -1e30  # the scale of an empty sum
_jit = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
_inline = {"forceinline": True, "error_model": "numpy"}


@njit(**_inline)
def _top(x: Any, at: int, stride: int, rows: int, sign: Any) -> Any:
    """The largest key of a chunk."""
    top = single_of(_NOTHING)
    for i in range(rows):
        top = maximum(top, sign * load(x, at + i * stride))
    return top


@njit(**_inline)
def _join(n: Any, d: Any, scale: Any, shift: Any, local_n: Any, local_d: Any, top: Any) -> Any:
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


@njit(**_inline)
def _local(k: Any, v: Any, at: int, stride: int, rows: int, decay: Any) -> Any:
    """A chunk's own sums as seen from the token before it and from the token after it, and their scale."""
    top = single_of(_NOTHING)
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


@njit(**_inline)
def _outputs(
    k: Any, v: Any, y: Any, lse: Any, at: int, stride: int, rows: int, decay: Any, bonus: Any, top: Any,
    pn: Any, pd: Any, sn: Any, sd: Any, scratch: Any,
) -> None:  # fmt: skip
    """Write y, and lse unless it is empty, from P and S in the scale ``top``."""
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
        store(y, at + i * stride, (pn + load(scratch, (3 * i + 1) * LANES) + bonus * ev) / d)
        prefetch(y, at + (i + rows) * stride)
        if lse.size:
            store(lse, at + i * stride, top + log(d))
        pn = pn * decay + ev
        pd = pd * decay + e


@compiled(**_jit)
def _forward(
    w: Any, u: Any, k: Any, v: Any, y: Any, lse: Any, t: int, c: int, first: int, groups: int, blocks: int,
    chunk: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write y and lse for the pieces ``start:stop`` of ``b · blocks``, a block being ``groups`` vectors."""
    count = (t + chunk - 1) // chunk
    sums = np.empty(count * groups * 5 * LANES, np.float32)  # S, the chunk's own share of P, its scale
    scales = np.empty(count * groups * LANES, np.float64)  # of S
    state, scale = np.empty(groups * 2 * LANES, np.float32), np.empty(groups * LANES, np.float64)
    scratch = np.empty(chunk * 3 * LANES, np.float32)
    for piece in range(start, stop):
        channel = first + piece % blocks * groups * LANES
        origin = piece // blocks * t * c + channel
        decays = np.exp(-w[channel : channel + groups * LANES]).astype(np.float32)
        bonuses = np.exp(u[channel : channel + groups * LANES]).astype(np.float32)
        state[:], scale[:] = 0, _NOTHING
        for j in range(count - 1, -1, -1):
            rows = min(chunk, t - j * chunk)
            for g in range(groups):
                one, two, at = g * LANES, 2 * g * LANES, (j * groups + g) * LANES
                n, d, z = load(state, two), load(state, two + LANES), load(scale, one)
                store(sums, 5 * at, n)
                store(sums, 5 * at + LANES, d)
                store(scales, at, z)
                top, sn, sd, pn, pd = _local(k, v, origin + j * chunk * c + one, c, rows, load(decays, one))
                store(sums, 5 * at + 2 * LANES, pn)
                store(sums, 5 * at + 3 * LANES, pd)
                store(sums, 5 * at + 4 * LANES, top)
                n, d, z = _join(n, d, z, load(w, channel + one) * splat(float(rows)), sn, sd, top)
                store(state, two, n)
                store(state, two + LANES, d)
                store(scale, one, z)
        state[:], scale[:] = 0, _NOTHING
        for j in range(count):
            rows = min(chunk, t - j * chunk)
            for g in range(groups):
                one, two, at = g * LANES, 2 * g * LANES, (j * groups + g) * LANES
                pn, pd, a, z = load(state, two), load(state, two + LANES), load(scale, one), load(scales, at)
                own = load(sums, 5 * at + 4 * LANES)
                top = single(maximum(maximum(a, z), double(own)))
                before, after = exp(single(a - double(top))), exp(single(z - double(top)))
                _outputs(
                    k, v, y, lse, origin + j * chunk * c + one, c, rows, load(decays, one), load(bonuses, one), top,
                    pn * before, pd * before, load(sums, 5 * at) * after, load(sums, 5 * at + LANES) * after, scratch,
                )  # fmt: skip
                n, d, a = _join(
                    pn, pd, a, load(w, channel + one) * splat(float(rows)),
                    load(sums, 5 * at + 2 * LANES), load(sums, 5 * at + 3 * LANES), own,
                )  # fmt: skip
                store(state, two, n)
                store(state, two + LANES, d)
                store(scale, one, a)


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, with_lse: bool = False) -> tuple[Tensor, Tensor]:
    """Return y, ``b t c`` of v's dtype, and lse, ``b t c`` in the accumulation's dtype, or empty.

    w: Decay, ``c``.  u: Bonus, ``c``.  k: Keys, ``b t c``.  v: Values, ``b t c``.
    k and v are copied where they are not contiguous or differ in dtype.
    """
    kind = v.dtype
    w, u, k, v = _prepared(w, u, k, v)
    y = on_huge_pages(torch.empty_like(v))
    wide = torch.float64 if v.dtype == torch.float64 else torch.float32
    lse = torch.empty(v.shape if with_lse else (0,), dtype=wide)
    for first, groups, blocks, chunk in _plan(w, u, v):
        flat = [w.numpy(), u.numpy(), *map(_flat, (k, v, y, lse))]
        run = partial(_forward, *flat, v.shape[1], v.shape[2], first, groups, blocks, chunk)
        parallel_for(run, v.shape[0] * blocks)
    for channels in _exact_channels(w, u, v):
        some = [x[channels].numpy() for x in (w, u)] + [x[..., channels].double().numpy() for x in (k, v)]
        outputs = np.empty(some[2].shape), np.empty(some[2].shape if with_lse else (0, 0, 0))
        parallel_for(partial(exact.forward, *some, *outputs), v.shape[0] * len(channels))
        y[..., channels] = torch.from_numpy(outputs[0]).to(y.dtype)
        if with_lse:
            lse[..., channels] = torch.from_numpy(outputs[1]).to(wide)
    return y.to(kind), lse


@njit(**_inline)
def _local_gradient(lse: Any, y: Any, gy: Any, at: int, stride: int, rows: int, decay: Any) -> Any:
    """As ``_local``, for the sums of (gy, gy y) with the key -lse: G from the token before, H from the one after."""
    top = _top(lse, at, stride, rows, single_of(-1.0))
    ga, gb, ha, hb = single_of(0.0), single_of(0.0), single_of(0.0), single_of(0.0)
    power = single_of(1.0)
    for j in range(rows):
        i = at + (rows - 1 - j) * stride
        a = exp(single_of(0.0) - load(lse, i) - top) * load(gy, i)
        b = a * load(y, i)
        ga = ga * decay + a
        gb = gb * decay + b
        ha = ha + a * power
        hb = hb + b * power
        power = power * decay
    return top, ga, gb, ha, hb


@njit(**_inline)
def _gradients(
    k: Any, v: Any, y: Any, lse: Any, gy: Any, gk: Any, gv: Any, at: int, stride: int, rows: int, decay: Any, u: Any,
    tops: Any, P: Any, S: Any, G: Any, H: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Write gk and gv of a chunk; return its share of -gw e^w and of gu. Every sum has a scale of its own."""
    top_p, top_s, top_g, top_h = tops
    pn, pd = P
    sn, sd = S
    ga, gb = G
    ha, hb = H
    zero = single_of(0.0)
    for j in range(rows):
        i = rows - 1 - j
        x = at + i * stride
        e = exp(load(k, x) - top_s)
        a = exp(zero - load(lse, x) - top_g) * load(gy, x)
        store(scratch, 5 * i * LANES, sn)
        store(scratch, (5 * i + 1) * LANES, sd)
        store(scratch, (5 * i + 2) * LANES, ga)
        store(scratch, (5 * i + 3) * LANES, gb)
        store(scratch, (5 * i + 4) * LANES, e)
        sn = sn * decay + e * load(v, x)
        sd = sd * decay + e
        ga = ga * decay + a
        gb = gb * decay + a * load(y, x)
    after, before = exp(top_p + top_g), exp(top_s + top_h)
    sum_w, sum_u = zero, zero
    for i in range(rows):
        x = at + i * stride
        key, value, g, mean = load(k, x), load(v, x), load(gy, x), load(y, x)
        minus = zero - load(lse, x)
        sn, sd = load(scratch, 5 * i * LANES), load(scratch, (5 * i + 1) * LANES)
        ga, gb = load(scratch, (5 * i + 2) * LANES) * after, load(scratch, (5 * i + 3) * LANES) * after
        ea, eb = ha * before, hb * before
        e_p, e_s = exp(key - top_p), load(scratch, (5 * i + 4) * LANES)
        own = exp(key + minus + u) * g
        sum_w = sum_w + (pn * ga - pd * gb) + (sn * ea - sd * eb)
        sum_u = sum_u + own * (value - mean)
        store(gv, x, e_p * ga + e_s * ea + own)
        store(gk, x, e_p * (value * ga - gb) + e_s * (value * ea - eb) + own * (value - mean))
        a = exp(minus - top_h) * g
        pn = pn * decay + e_p * value
        pd = pd * decay + e_p
        ha = ha * decay + a
        hb = hb * decay + a * mean
    return sum_w, sum_u


@njit(**_inline)
def _scaled(n: Any, d: Any, scale: Any, own: Any) -> Any:
    """A state in the larger of its own scale and a chunk's, and that scale."""
    top = single(maximum(scale, double(own)))
    factor = exp(single(scale - double(top)))
    return top, (n * factor, d * factor)


@compiled(**_jit)
def _backward(
    w: Any, u: Any, k: Any, v: Any, y: Any, lse: Any, gy: Any, gw: Any, gu: Any, gk: Any, gv: Any, t: int, c: int,
    first: int, groups: int, blocks: int, chunk: int, start: int, stop: int,
) -> None:  # fmt: skip
    """Write gk, gv and, per image, gw and gu, ``b c``, for the pieces ``start:stop``, cut as in ``_forward``."""
    count = (t + chunk - 1) // chunk
    sums = np.empty(count * 10 * LANES, np.float32)  # S, G, the chunk's own shares of P and H, their scales
    scales = np.empty(count * 2 * LANES, np.float64)  # of S and G
    scratch = np.empty(chunk * 5 * LANES, np.float32)
    for piece in range(start * groups, stop * groups):
        image, g = piece // (blocks * groups), piece % (blocks * groups)
        channel = first + g * LANES
        origin = image * t * c + channel
        decays = np.exp(-w[channel : channel + LANES])
        wide = load(w, channel)
        decay, bonus = single(load(decays, 0)), single(load(u, channel))
        n, d, z = single_of(0.0), single_of(0.0), splat(_NOTHING)
        ga, gb, zg = single_of(0.0), single_of(0.0), splat(_NOTHING)
        for j in range(count - 1, -1, -1):
            rows, at, s = min(chunk, t - j * chunk), origin + j * chunk * c, j * 10 * LANES
            shift = wide * splat(float(rows))
            store(sums, s, n)
            store(sums, s + LANES, d)
            store(sums, s + 2 * LANES, ga)
            store(sums, s + 3 * LANES, gb)
            store(scales, 2 * j * LANES, z)
            store(scales, (2 * j + 1) * LANES, zg)
            top, sn, sd, pn, pd = _local(k, v, at, c, rows, decay)
            n, d, z = _join(n, d, z, shift, sn, sd, top)
            store(sums, s + 4 * LANES, pn)
            store(sums, s + 5 * LANES, pd)
            store(sums, s + 8 * LANES, top)
            top, la, lb, ha, hb = _local_gradient(lse, y, gy, at, c, rows, decay)
            ga, gb, zg = _join(ga, gb, zg, shift, la, lb, top)
            store(sums, s + 6 * LANES, ha)
            store(sums, s + 7 * LANES, hb)
            store(sums, s + 9 * LANES, top)
        pn, pd, a = single_of(0.0), single_of(0.0), splat(_NOTHING)
        ha, hb, ah = single_of(0.0), single_of(0.0), splat(_NOTHING)
        sum_w, sum_u = splat(0.0), splat(0.0)
        for j in range(count):
            rows, at, s = min(chunk, t - j * chunk), origin + j * chunk * c, j * 10 * LANES
            shift = wide * splat(float(rows))
            own_k, own_g = load(sums, s + 8 * LANES), load(sums, s + 9 * LANES)
            top_p, P = _scaled(pn, pd, a, own_k)
            top_s, S = _scaled(load(sums, s), load(sums, s + LANES), load(scales, 2 * j * LANES), own_k)
            G_n, G_d, G_scale = (
                load(sums, s + 2 * LANES),
                load(sums, s + 3 * LANES),
                load(scales, (2 * j + 1) * LANES),
            )
            top_g, G = _scaled(G_n, G_d, G_scale, own_g)
            top_h, H = _scaled(ha, hb, ah, own_g)
            tops = (top_p, top_s, top_g, top_h)
            part_w, part_u = _gradients(
                k, v, y, lse, gy, gk, gv, at, c, rows, decay, bonus, tops, P, S, G, H, scratch
            )  # fmt: skip
            sum_w, sum_u = sum_w + double(part_w), sum_u + double(part_u)
            pn, pd, a = _join(pn, pd, a, shift, load(sums, s + 4 * LANES), load(sums, s + 5 * LANES), own_k)
            ha, hb, ah = _join(ha, hb, ah, shift, load(sums, s + 6 * LANES), load(sums, s + 7 * LANES), own_g)
        store(gw, image * c + channel, splat(0.0) - sum_w * load(decays, 0))
        store(gu, image * c + channel, sum_u)


def bi_wkv_backward(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return gw, gu, ``c``, and gk, gv, ``b t c``, each of its input's dtype, from y and lse of ``bi_wkv``.

    gy: The gradient of y, ``b t c``.
    """
    kinds = [x.dtype for x in (w, u, k, v)]
    w, u, k, v = _prepared(w, u, k, v)
    gy, y, lse = gy.to(v.dtype).contiguous(), y.to(v.dtype).contiguous(), lse.contiguous()
    gk, gv = torch.empty_like(k), torch.empty_like(v)
    b, t, c = v.shape
    gw, gu = torch.zeros(b, c, dtype=torch.float64), torch.zeros(b, c, dtype=torch.float64)
    for first, groups, blocks, chunk in _plan(w, u, v):
        flat = [w.numpy(), u.numpy(), *map(_flat, (k, v, y, lse, gy, gw, gu, gk, gv))]
        parallel_for(partial(_backward, *flat, t, c, first, groups, blocks, chunk), b * blocks)
    # With growing weights lse grows as |w| t, and with it the rounding of the weights that it stands for.
    for channels in _exact_channels(w, u, v, lowest=-LARGEST_LSE / max(t, 1)):
        some = [x[channels].numpy() for x in (w, u)] + [x[..., channels].double().numpy() for x in (k, v, gy)]
        sums = np.empty((b, len(channels))), np.empty((b, len(channels)))
        tokens = np.empty(some[2].shape), np.empty(some[2].shape)
        parallel_for(partial(exact.backward, *some, *sums, *tokens), b * len(channels))
        for target, part in zip((gw, gu, gk, gv), (*sums, *tokens), strict=True):
            target[..., channels] = torch.from_numpy(part).to(target.dtype)
    return tuple(x.to(kind) for x, kind in zip((gw.sum(0), gu.sum(0), gk, gv), kinds, strict=True))  # type: ignore[return-value]


def _prepared(w: Tensor, u: Tensor, *tokens: Tensor) -> tuple[Tensor, ...]:
    """w and u in float64, the others contiguous and of one dtype that the kernels read."""
    dtype = tokens[-1].dtype
    for x in tokens[:-1]:
        dtype = torch.promote_types(dtype, x.dtype)
    return w.double().contiguous(), u.double().contiguous(), *(x.to(dtype).contiguous() for x in tokens)


def _flat(x: Tensor) -> Any:
    """The numbers of a contiguous tensor in one row, as ``lanes.load`` reads them."""
    bits = {torch.bfloat16: torch.uint16, torch.float16: torch.int16}
    return x.view(bits.get(x.dtype, x.dtype)).numpy().reshape(-1)


def _plan(w: Tensor, u: Tensor, v: Tensor) -> list[tuple[int, int, int, int]]:
    """The kernel calls as (first channel, groups of a block, blocks, tokens of a chunk); two where c is ragged."""
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
    # The last vector reaches back over channels that are done, and writes the same numbers again.
    return [whole] if c % LANES == 0 else [whole, (c - LANES, 1, 1, chunk)]


def _extreme(w: Tensor, u: Tensor) -> Tensor:
    return ~((w.abs() <= REACH) & (u.abs() <= BONUS))


def _exact_channels(w: Tensor, u: Tensor, v: Tensor, lowest: float = -math.inf) -> list[Tensor]:
    """The channels of the exact form, a few at a time: they are copied in float64.

    lowest: Smallest w of the chunked form.
    """
    c = v.shape[2]
    every = v.dtype == torch.float64 or c < LANES
    channels = torch.arange(c) if every else (_extreme(w, u) | (w < lowest)).nonzero()[:, 0]
    return list(channels.split(max(1, c // 16))) if v.numel() and len(channels) else []
