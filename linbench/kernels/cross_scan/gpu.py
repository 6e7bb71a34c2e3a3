"""Cross-scan and cross-merge on a GPU: one kernel each, which only move numbers (Triton).

A program takes a few pixels and channels. It reads a pixel's channels once and writes them to the pixel's four
positions, or reads four positions and writes their sum. Where the channels are neighbours in memory, both sides are
whole rows of channels. Where they are not, a program takes one channel: orders 0 and 2 are rows of pixels, and
1 and 3 are strided.

    position of pixel (y, x) in the orders 0 to 3: y w + x;  x h + y;  t - 1 - (y w + x);  t - 1 - (x h + y)
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

WARPS = 4
CHANNEL_LAST = {"PIXELS": 16, "CHANNELS": 64}
PLAIN = {"PIXELS": 512, "CHANNELS": 1}

# The sizes of images would compile the kernels anew; strides and channels that are multiples of 16 let a thread
# move 16 bytes at once.
unspecialised = triton.jit(do_not_specialize=["height", "width", "pixel_blocks", "channel_blocks"])


@triton.jit
def _program(channels, height, width, pixel_blocks, channel_blocks, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the program's image, its pixels' rows and columns, its channels, and which of them exist."""
    index = tl.program_id(0)
    c = (index % channel_blocks * CHANNELS + tl.arange(0, CHANNELS)).to(tl.int64)
    pixel = index // channel_blocks % pixel_blocks * PIXELS + tl.arange(0, PIXELS)
    known = (pixel < height * width)[:, None] & (c < channels)[None, :]
    image = (index // channel_blocks // pixel_blocks).to(tl.int64)
    return image, pixel, pixel % width * height + pixel // width, c, known


@triton.jit
def _read(x, position, width, x_c, x_h, x_w, c, known):  # type: ignore[no-untyped-def]
    """Return the numbers of x, whose memory has the map's shape, at positions counted along its rows."""
    row, column = (position // width).to(tl.int64), (position % width).to(tl.int64)
    return tl.load(x + (row * x_h + column * x_w)[:, None] + c[None, :] * x_c, mask=known)


@triton.jit
def _write(out, position, out_t, c, out_c, known, value):  # type: ignore[no-untyped-def]
    where = out + position.to(tl.int64)[:, None] * out_t + c[None, :] * out_c
    tl.store(where, value.to(out.dtype.element_ty), mask=known)


@unspecialised
def _scan(  # type: ignore[no-untyped-def]
    out, out_b, out_d, out_c, out_t, x, x_b, x_c, x_h, x_w, channels, height, width, pixel_blocks, channel_blocks,
    PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write out, ``b 4 c t``, from x, ``b c h w``."""
    i, row, column, c, known = _program(channels, height, width, pixel_blocks, channel_blocks, PIXELS, CHANNELS)
    end = height * width - 1
    value = _read(x + i * x_b, row, width, x_c, x_h, x_w, c, known)
    out += i * out_b
    _write(out, row, out_t, c, out_c, known, value)
    _write(out + out_d, column, out_t, c, out_c, known, value)
    _write(out + tl.full([], 2, tl.int64) * out_d, end - row, out_t, c, out_c, known, value)
    _write(out + tl.full([], 3, tl.int64) * out_d, end - column, out_t, c, out_c, known, value)


@unspecialised
def _merge(  # type: ignore[no-untyped-def]
    out, out_b, out_c, out_t, ys, ys_b, ys_d, ys_c, ys_h, ys_w,
    channels, height, width, pixel_blocks, channel_blocks, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write out, ``b c t``, from ys, ``b 4 c h w``; the order of the sum is the reference's."""
    i, row, column, c, known = _program(channels, height, width, pixel_blocks, channel_blocks, PIXELS, CHANNELS)
    end = height * width - 1
    ys += i * ys_b
    real: tl.constexpr = tl.float64 if ys.dtype.element_ty == tl.float64 else tl.float32
    rows = _read(ys, row, width, ys_c, ys_h, ys_w, c, known).to(real)
    rows += _read(ys + tl.full([], 2, tl.int64) * ys_d, end - row, width, ys_c, ys_h, ys_w, c, known)
    columns = _read(ys + ys_d, column, width, ys_c, ys_h, ys_w, c, known).to(real)
    columns += _read(ys + tl.full([], 3, tl.int64) * ys_d, end - column, width, ys_c, ys_h, ys_w, c, known)
    _write(out + i * out_b, row, out_t, c, out_c, known, rows + columns)


def cross_scan(x: Tensor, out: Tensor) -> Tensor:
    """Write the map x, ``b c h w``, to out, ``b 4 c (h w)``, of any strides, and return it."""
    strides = _named("out", out, "bdct") | _named("x", x, "bchw")
    return _run(_scan, strides, out, x.shape, channel_last=x.stride(1) == 1)


def cross_merge(ys: Tensor, out: Tensor) -> Tensor:
    """Write the sum of ys, ``b 4 c h w``, in map order to out, ``b c (h w)``, and return it."""
    strides = _named("out", out, "bct") | _named("ys", ys, "bdchw")
    return _run(_merge, strides, out, (ys.shape[0], *ys.shape[2:]), channel_last=ys.stride(2) == 1)


def _run(kernel: Any, arguments: dict[str, Any], out: Tensor, sizes: Sequence[int], *, channel_last: bool) -> Tensor:
    batch, channels, height, width = sizes
    if height * width >= 2**31:
        raise ValueError(f"a map must have fewer than 2^31 pixels on a GPU, got {height} x {width}; split it up")
    block = CHANNEL_LAST if channel_last else PLAIN
    pixels, depth = -(-height * width // block["PIXELS"]), -(-channels // block["CHANNELS"])
    arguments |= {"channels": channels, "height": height, "width": width}
    arguments |= {"pixel_blocks": pixels, "channel_blocks": depth} | block
    if out.numel():
        with torch.cuda.device_of(out):
            kernel[(batch * pixels * depth,)](**arguments, num_warps=WARPS, enable_fp_fusion=True)
    return out


def _named(name: str, x: Tensor, axes: str) -> dict[str, Any]:
    """Return x and its strides under the names of the kernels' arguments."""
    return {name: x} | dict(zip((f"{name}_{axis}" for axis in axes), x.stride(), strict=True))
