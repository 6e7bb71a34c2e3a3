"""Norm, Q-Shift and mixes on a GPU: one kernel forward, one backward (Triton; equation and letters: ``reference``).

A program takes a few neighbouring tokens with all of their channels. Forward it normalises them and the four tokens
around each, of which it uses a quarter: those are read from the cache, and no map of normalised tokens is written.
Backward, with q the token that reads p's channels by the shift, so that the gradient at q adds to p's:

    gn(p) = sum_m gy_m(p) μ_m + gy_m(q) (1 - μ_m)    gμ_m = sum_p n(p) (gy_m(p) - gy_m(q))

needs no neighbour's norm. Sums over tokens are stored per program and added afterwards: no atomics, the same numbers
on every run.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.impl import Unsupported

# Chosen by what the compiler takes, and not yet measured on a GPU: nothing spills up to 1024 channels. Registers per
# thread on sm_90, Triton 3.9, 384 channels in float32 (tests/golden/triton_shift_mix.json holds all): _forward 102,
# _backward 168; with as few warps as the forward it needs 255 and spills.
TILE = 2048  # numbers
WARPS = 4  # of a tile, forward; twice as many backward, and more where a token's channels are more than a tile
STEPS = 4  # tiles of a program, backward: its sums over tokens are five rows of a tile
CHANNELS = 8192  # at most

# Sizes of images would compile the kernels anew.
_SIZES = ["height", "width", "tiles", "programs"]
unspecialised = triton.jit(do_not_specialize=_SIZES)


@triton.jit
def _neighbour(pixel, height, width, SIDE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the pixel to the left (0), right (1), above (2) or below (3), and whether there is one."""
    row, column = pixel // width, pixel % width
    there = pixel < height * width
    if SIDE == 0:
        return pixel - 1, there & (column > 0)
    if SIDE == 1:
        return pixel + 1, there & (column < width - 1)
    if SIDE == 2:
        return pixel - width, there & (row > 0)
    return pixel + width, there & (row < height - 1)


@triton.jit
def _in_quarter(c, channels, QUARTER: tl.constexpr):  # type: ignore[no-untyped-def]
    return (c >= channels * QUARTER // 4) & (c < channels * (QUARTER + 1) // 4)


@triton.jit
def _read(x, pixel, x_t, c, x_c, known):  # type: ignore[no-untyped-def]
    """Return tokens in float32, ``t c``, 0 where ``known`` is false."""
    where = x + pixel.to(tl.int64)[:, None] * x_t + c.to(tl.int64)[None, :] * x_c
    return tl.load(where, mask=known, other=0.0).to(tl.float32)


@triton.jit
def _standardised(x, eps, c, channels):  # type: ignore[no-untyped-def]
    """Return each row less its mean, over its deviation, and 1 / the deviation."""
    x -= tl.where((c < channels)[None, :], tl.sum(x, 1)[:, None] / channels, 0.0)
    scale = 1 / tl.sqrt_rn(tl.sum(x * x, 1) / channels + eps)
    return x * scale[:, None], scale


@triton.jit
def _parameter(p, c, channels, otherwise):  # type: ignore[no-untyped-def]
    """Return a parameter of each channel as ``1 c``; ``otherwise`` for None."""
    value = tl.full([1, c.shape[0]], otherwise, tl.float32)
    if p is not None:
        value = tl.load(p + c, mask=c < channels, other=otherwise).to(tl.float32)[None, :]
    return value


@triton.jit
def _store_mix(y, mix, n, s, c, channels, where, known):  # type: ignore[no-untyped-def]
    if mix is not None:
        weight = _parameter(mix, c, channels, 0.0)
        tl.store(y + where, n * weight + s * (1 - weight), mask=known)


@unspecialised
def _forward(  # type: ignore[no-untyped-def]
    y, x, x_b, x_t, x_c, weight, bias, mix_0, mix_1, mix_2, eps, part, channels, height, width, tiles,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write y, ``m b t c``; ``part`` is the stride of its mixes."""
    image, tile = (tl.program_id(0) // tiles).to(tl.int64), tl.program_id(0) % tiles
    pixel = tile * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, WIDTH)
    x += image * x_b
    part = tl.cast(part, tl.int64)
    known = (pixel < height * width)[:, None] & (c < channels)[None, :]
    gain, offset = _parameter(weight, c, channels, 1.0), _parameter(bias, c, channels, 0.0)
    s = tl.zeros([ROWS, WIDTH], tl.float32)
    for side in tl.static_range(4):
        beside, there = _neighbour(pixel, height, width, side)
        chosen = there[:, None] & _in_quarter(c, channels, side)[None, :]
        if weight is None:
            s += _read(x, beside, x_t, c, x_c, chosen)
        else:
            whole = _read(x, beside, x_t, c, x_c, there[:, None] & (c < channels)[None, :])
            s = tl.where(chosen, _standardised(whole, eps, c, channels)[0] * gain + offset, s)
    n = _read(x, pixel, x_t, c, x_c, known)
    if weight is not None:
        n = _standardised(n, eps, c, channels)[0] * gain + offset
    where = (image * height * width + pixel[:, None]) * channels + c[None, :]
    _store_mix(y, mix_0, n, s, c, channels, where, known)
    _store_mix(y + part, mix_1, n, s, c, channels, where, known)
    _store_mix(y + 2 * part, mix_2, n, s, c, channels, where, known)


@triton.jit
def _gathered(g, here_at, other, g_c, c, known, there):  # type: ignore[no-untyped-def]
    """Return a mix's gradient at the token and at the token that reads it by the shift."""
    column = c.to(tl.int64)[None, :] * g_c
    here = tl.load(g + here_at + column, mask=known, other=0.0).to(tl.float32)
    return here, tl.load(g + other + column, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _store_row(parts, index, c, channels, value):  # type: ignore[no-untyped-def]
    tl.store(parts + index * channels + c, value, mask=c < channels)


@unspecialised
def _backward(  # type: ignore[no-untyped-def]
    gx, parts, gy, g_m, g_b, g_t, g_c, x, x_b, x_t, x_c, weight, bias, mix_0, mix_1, mix_2, eps,
    channels, height, width, programs, ROWS: tl.constexpr, WIDTH: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Write gx, ``b t c``, and ``parts``, ``programs 5 c``: a program's part of gweight, gbias and the gmixes."""
    image, first = (tl.program_id(0) // programs).to(tl.int64), tl.program_id(0) % programs * STEPS * ROWS
    c = tl.arange(0, WIDTH)
    x += image * x_b
    gy += image * g_b
    g_m = tl.cast(g_m, tl.int64)
    gain, offset = _parameter(weight, c, channels, 1.0), _parameter(bias, c, channels, 0.0)
    gweight, gbias = tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    gmix_0, gmix_1, gmix_2 = gweight, gweight, gweight
    for step in range(STEPS):
        pixel = first + step * ROWS + tl.arange(0, ROWS)
        known = (pixel < height * width)[:, None] & (c < channels)[None, :]
        other, there = pixel[:, None] + tl.zeros([1, WIDTH], tl.int32), c[None, :] < 0
        for side in tl.static_range(4):
            beside, exists = _neighbour(pixel, height, width, side ^ 1)  # shifted from the left: the one to the right
            chosen = exists[:, None] & _in_quarter(c, channels, side)[None, :]
            other, there = tl.where(chosen, beside[:, None], other), there | chosen
        here_at, other = pixel.to(tl.int64)[:, None] * g_t, other.to(tl.int64) * g_t
        standard = _read(x, pixel, x_t, c, x_c, known)
        scale = tl.full([ROWS], 1.0, tl.float32)
        if weight is not None:
            standard, scale = _standardised(standard, eps, c, channels)
        n = standard * gain + offset

        here, away = _gathered(gy, here_at, other, g_c, c, known, there)
        mu = _parameter(mix_0, c, channels, 0.0)
        gn = here * mu + away * (1 - mu)
        gmix_0 += tl.sum(n * (here - away), 0)
        if mix_1 is not None:
            here, away = _gathered(gy + g_m, here_at, other, g_c, c, known, there)
            mu = _parameter(mix_1, c, channels, 0.0)
            gn += here * mu + away * (1 - mu)
            gmix_1 += tl.sum(n * (here - away), 0)
        if mix_2 is not None:
            here, away = _gathered(gy + 2 * g_m, here_at, other, g_c, c, known, there)
            mu = _parameter(mix_2, c, channels, 0.0)
            gn += here * mu + away * (1 - mu)
            gmix_2 += tl.sum(n * (here - away), 0)
        if weight is not None:
            gweight += tl.sum(gn * standard, 0)
            gbias += tl.sum(gn, 0)
            gn *= gain
            along = tl.sum(gn * standard, 1)[:, None] / channels
            gn = (gn - tl.sum(gn, 1)[:, None] / channels - standard * along) * scale[:, None]
        where = (image * height * width + pixel[:, None]) * channels + c[None, :]
        tl.store(gx + where, gn, mask=known)
    index = tl.program_id(0).to(tl.int64) * 5
    _store_row(parts, index, c, channels, gweight)
    _store_row(parts, index + 1, c, channels, gbias)
    _store_row(parts, index + 2, c, channels, gmix_0)
    _store_row(parts, index + 3, c, channels, gmix_1)
    _store_row(parts, index + 4, c, channels, gmix_2)


def shift_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], eps: float, h: int, w: int
) -> Tensor:
    """Return y, ``m b (h w) c``, contiguous; arguments as of ``op``. x is read in place.

    Raises Unsupported for float64 and for more than CHANNELS channels, ValueError for 2^30 tokens.
    """
    b, t, channels = x.shape
    y = torch.empty((len(mixes), b, t, channels), dtype=x.dtype, device=x.device)
    shape, warps = layout(x, h, w, WARPS)
    if y.numel():
        tiles = triton.cdiv(t, shape["ROWS"])
        with torch.cuda.device_of(x):
            _forward[(b * tiles,)](
                y, x, *x.stride(), *_parameters(weight, bias, mixes), eps, x.numel(), channels, h, w, tiles,
                **shape, num_warps=warps, enable_fp_fusion=True,
            )  # fmt: skip
    return y


def shift_mix_backward(
    gy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mixes: Sequence[Tensor],
    eps: float,
    h: int,
    w: int,
) -> list[Tensor]:
    """Return the gradients of x, of weight and bias unless ``None``, and of the mixes; gy and x have any strides."""
    b, t, channels = x.shape
    gx = torch.empty((b, t, channels), dtype=x.dtype, device=x.device)
    shape, warps = layout(x, h, w, 2 * WARPS)
    programs = triton.cdiv(t, shape["ROWS"] * STEPS)
    parts = torch.empty((b * programs, 5, channels), dtype=torch.float32, device=x.device)
    if gx.numel():
        with torch.cuda.device_of(x):
            _backward[(b * programs,)](
                gx, parts, gy, *gy.stride(), x, *x.stride(), *_parameters(weight, bias, mixes), eps, channels, h, w,
                programs, **shape, STEPS=STEPS, num_warps=warps, enable_fp_fusion=True,
            )  # fmt: skip
    sums = parts.sum(0, dtype=torch.float64)
    parameters = (weight, bias, *mixes)
    return [gx, *(g.to(p.dtype) for g, p in zip(sums, parameters, strict=False) if p is not None)]


def layout(x: Tensor, h: int, w: int, warps: int) -> tuple[dict[str, Any], int]:
    """Return tokens and channels of a tile, and its warps: ``warps`` where it is no larger than TILE."""
    if x.dtype == torch.float64:
        raise Unsupported("shift_mix on a GPU computes in float32; for float64 use impl='reference', or the CPU")
    if x.shape[2] > CHANNELS:
        raise Unsupported(f"shift_mix on a GPU takes at most {CHANNELS} channels, got {x.shape[2]}; use 'reference'")
    if h * w >= 2**30:
        raise ValueError(f"a grid must have fewer than 2^30 pixels on a GPU, got {h} x {w}; split it up")
    power = triton.next_power_of_2(max(x.shape[2], 1))
    return {"ROWS": max(1, TILE // power), "WIDTH": power}, min(16, max(1, power // TILE) * warps)


def _parameters(weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor]) -> list[Tensor | None]:
    """Return weight, bias and three mixes, ``None`` for absent ones."""
    parameters = [weight, bias, *mixes, *[None] * (3 - len(mixes))]
    return [None if p is None else p.contiguous() for p in parameters]
