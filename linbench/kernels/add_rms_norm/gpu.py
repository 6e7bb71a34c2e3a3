"""Residual addition and RMS norm on a GPU: one kernel forward, one backward (Triton; letters: ``reference``).

A program takes a few tokens with all of their channels. Backward it stores its part of the weight's gradient, and the
parts are summed afterwards: no atomics, the same numbers on every run.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.impl import Unsupported

# Chosen by what the compiler takes, and not yet measured on a GPU (tests/golden/triton_add_rms_norm.json).
TILE = 2048  # numbers
WARPS = 4  # of a tile, and more where a token's channels are more than a tile; backward twice as many
STEPS = 4  # tiles of a program, backward
CHANNELS = 8192  # at most

unspecialised = triton.jit(do_not_specialize=["tokens"])


@triton.jit
def _load(x, image, token, channel, x_b, x_t, x_c, there):  # type: ignore[no-untyped-def]
    where = x + image[:, None] * x_b + token[:, None] * x_t + channel.to(tl.int64)[None, :] * x_c
    return tl.load(where, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _scale(z, eps, channels):  # type: ignore[no-untyped-def]
    return (1 / tl.sqrt_rn(tl.sum(z * z, 1) / channels + eps))[:, None]


@unspecialised
def _forward(  # type: ignore[no-untyped-def]
    n, z, x, x_b, x_t, x_c, residual, r_b, r_t, r_c, weight, eps, rows, tokens, channels,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write n and z, ``b t c``, counted over all ``rows`` of b and t."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.arange(0, WIDTH)
    there = (row < rows)[:, None] & (channel < channels)[None, :]
    image, token = row // tokens, row % tokens
    total = _load(residual, image, token, channel, r_b, r_t, r_c, there)
    total += _load(x, image, token, channel, x_b, x_t, x_c, there)
    gain = tl.load(weight + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
    where = row[:, None] * channels + channel[None, :]
    tl.store(z + where, total, mask=there)
    tl.store(n + where, total * _scale(total, eps, channels) * gain, mask=there)


@unspecialised
def _backward(  # type: ignore[no-untyped-def]
    g, parts, gn, n_b, n_t, n_c, gz, z_b, z_t, z_c, z, weight, eps, rows, tokens, channels,
    ROWS: tl.constexpr, WIDTH: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Write g, ``b t c``, and ``parts``, ``programs c``: each program's part of the weight's gradient."""
    channel = tl.arange(0, WIDTH)
    gain = tl.load(weight + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
    gweight = tl.zeros([WIDTH], tl.float32)
    for step in range(STEPS):
        row = (tl.program_id(0).to(tl.int64) * STEPS + step) * ROWS + tl.arange(0, ROWS)
        there = (row < rows)[:, None] & (channel < channels)[None, :]
        image, token = row // tokens, row % tokens
        where = row[:, None] * channels + channel[None, :]
        standard = tl.load(z + where, mask=there, other=0.0)
        scale = _scale(standard, eps, channels)
        standard *= scale
        outer = _load(gn, image, token, channel, n_b, n_t, n_c, there)
        gweight += tl.sum(outer * standard, 0)
        outer *= gain
        along = tl.sum(outer * standard, 1)[:, None] / channels
        inner = _load(gz, image, token, channel, z_b, z_t, z_c, there)
        tl.store(g + where, inner + (outer - standard * along) * scale, mask=there)
    at = tl.program_id(0).to(tl.int64) * channels + channel
    tl.store(parts + at, gweight, mask=channel < channels)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return n and z, ``b t c``, contiguous; arguments as of ``op``. x and residual are read in place.

    Raises Unsupported for float64 and for more than CHANNELS channels.
    """
    n = torch.empty(residual.shape, dtype=weight.dtype, device=residual.device)
    z = torch.empty(residual.shape, dtype=residual.dtype, device=residual.device)
    shape, warps = layout(residual, WARPS)
    rows, tokens, channels = residual.shape[0] * residual.shape[1], residual.shape[1], residual.shape[2]
    if z.numel():
        with torch.cuda.device_of(z):
            _forward[(triton.cdiv(rows, shape["ROWS"]),)](
                n, z, x, *x.stride(), residual, *residual.stride(), weight.contiguous(), eps, rows, tokens, channels,
                **shape, num_warps=warps, enable_fp_fusion=True,
            )  # fmt: skip
    return n, z


def add_rms_norm_backward(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the gradient of x and of residual alike, and weight's; gn and gz of any strides."""
    g = torch.empty(z.shape, dtype=z.dtype, device=z.device)
    shape, warps = layout(z, 2 * WARPS)
    rows, tokens, channels = z.shape[0] * z.shape[1], z.shape[1], z.shape[2]
    programs = triton.cdiv(rows, shape["ROWS"] * STEPS)
    parts = torch.empty((programs, channels), dtype=torch.float32, device=z.device)
    if g.numel():
        with torch.cuda.device_of(z):
            _backward[(programs,)](
                g, parts, gn, *gn.stride(), gz, *gz.stride(), z.contiguous(), weight.contiguous(), eps, rows, tokens,
                channels, **shape, STEPS=STEPS, num_warps=warps, enable_fp_fusion=True,
            )  # fmt: skip
    return g, parts.sum(0, dtype=torch.float64).to(weight.dtype)


def layout(z: Tensor, warps: int) -> tuple[dict[str, Any], int]:
    """Return tokens and channels of a tile, and its warps: ``warps`` for a tile of TILE numbers."""
    if z.dtype == torch.float64:
        raise Unsupported("add_rms_norm on a GPU computes in float32; for float64 use impl='reference', or the CPU")
    if z.shape[2] > CHANNELS:
        raise Unsupported(
            f"add_rms_norm on a GPU takes at most {CHANNELS} channels, got {z.shape[2]}; use impl='reference'"
        )
    power = triton.next_power_of_2(max(z.shape[2], 1))
    return {"ROWS": max(1, TILE // power), "WIDTH": power}, max(1, power // TILE) * warps
