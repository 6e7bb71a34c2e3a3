"""The depthwise convolution between two GELUs on the CPU: x is read from memory once and y is written once.

A thread goes down the rows of the output with 64 channels at a time. The GELU of the three rows of x that it needs is
in a ring buffer in the cache, with an empty pixel at either end and an empty row for those outside of the map.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.compiled import compiled
from linbench.kernels.gelu_depthwise import reference
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.simd import LANES, gelu, load, store
from linbench.kernels.threads import parallel_for

CHANNELS = 64  # processed together: three rows of 512 pixels then have 0.4 MB


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _forward(
    x: Any, weight: Any, bias: Any, y: Any, h: int, w: int, stride: int, rows: int, pixels: int, start: int, stop: int
) -> None:
    """Write the rows ``start:stop`` of all images' outputs.

    x: ``b h w c``.  weight: ``9 c``.  y: ``b rows pixels c``. At least 16 channels.
    """
    c = bias.size
    width = min(CHANNELS, c) // LANES * LANES
    step = (w + 2) * width
    ring = np.zeros(4 * step, np.float32)  # the last row stays empty
    for block in range((c + width - 1) // width):
        first = min(block * width, c - width)  # the last block overlaps the one before it
        filled = -1
        for row in range(start, stop):
            image, out = row // rows, row % rows
            top = out * stride - 1
            if row == start or out == 0:
                filled = max(top, 0) - 1
            while filled < min(top + 2, h - 1):
                filled += 1
                at, to = (image * h + filled) * w * c + first, filled % 3 * step + width
                for _ in range(w):
                    for q in range(0, width, LANES):
                        store(ring, to + q, gelu(load(x, at + q)))
                    at += c
                    to += width
            above = top % 3 * step if top >= 0 else 3 * step
            middle_row = (top + 1) % 3 * step
            below = (top + 2) % 3 * step if top + 2 < h else 3 * step
            for q in range(0, width, LANES):
                i = first + q
                b = load(bias, i)
                w0, w1, w2 = load(weight, i), load(weight, c + i), load(weight, 2 * c + i)
                w3, w4, w5 = load(weight, 3 * c + i), load(weight, 4 * c + i), load(weight, 5 * c + i)
                w6, w7, w8 = load(weight, 6 * c + i), load(weight, 7 * c + i), load(weight, 8 * c + i)
                for j in range(pixels):
                    left = j * stride * width + q
                    middle, right = left + width, left + 2 * width
                    u = b + w0 * load(ring, above + left) + w1 * load(ring, above + middle)
                    v = w2 * load(ring, above + right) + w3 * load(ring, middle_row + left)
                    u = u + w4 * load(ring, middle_row + middle) + w5 * load(ring, middle_row + right)
                    v = v + w6 * load(ring, below + left) + w7 * load(ring, below + middle)
                    u = u + w8 * load(ring, below + right)
                    store(y, (row * pixels + j) * c + i, gelu(u + v))


def gelu_depthwise(x: Tensor, weight: Tensor, bias: Tensor, stride: int, y: Tensor) -> Tensor:
    """Fill y, channel-last, and return it; arguments as of ``op``. float64 goes through torch's own operators."""
    if not y.numel():
        return y
    x, weight, bias = x.detach(), weight.detach(), bias.detach()
    if x.dtype == torch.float64:
        return y.copy_(reference.gelu_depthwise(x, weight, bias, stride))
    if (missing := LANES - x.shape[1]) > 0:  # channels of zeros fill the vector
        x, weight, bias = (
            functional.pad(p, (0, 0) * (p.ndim - 1 - axis) + (0, missing))
            for p, axis in ((x, 1), (weight, 0), (bias, 0))
        )
        out = y.new_empty(y.shape[0], *y.shape[2:], LANES).permute(0, 3, 1, 2)
        return y.copy_(gelu_depthwise(x, weight, bias, stride, out)[:, :-missing])
    on_huge_pages(y)
    run = partial(
        _forward,
        flat(x.permute(0, 2, 3, 1)),
        *(flat(p.float()) for p in (weight.flatten(1).T, bias)),
        flat(y.permute(0, 2, 3, 1)),
        *(*x.shape[2:], stride, *y.shape[2:]),
    )
    parallel_for(run, y.shape[0] * y.shape[2])
    return y
