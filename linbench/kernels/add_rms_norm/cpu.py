"""Residual addition and RMS norm on the CPU: squares are summed while z is written; z is scaled from the cache."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linbench.kernels import half_floats
from linbench.kernels.compiled import compiled
from linbench.kernels.half_floats import flat
from linbench.kernels.memory import on_huge_pages
from linbench.kernels.simd import LANES, load, splat, store, total
from linbench.kernels.threads import parallel_for


@compiled(error_model="numpy", fastmath={"contract", "nsz"})
def _forward(x: Any, residual: Any, weight: Any, eps: Any, n: Any, z: Any, c: int, start: int, stop: int) -> None:
    """Write the tokens ``start:stop`` of all images."""
    real = type(eps)
    nothing = splat(real(0))
    whole = c - c % (2 * LANES)
    for token in range(start, stop):
        at = token * c
        a0, a1 = nothing, nothing
        for i in range(at, at + whole, 2 * LANES):
            s0 = load(residual, i) + load(x, i)
            s1 = load(residual, i + LANES) + load(x, i + LANES)
            store(z, i, s0)
            store(z, i + LANES, s1)
            a0 = a0 + s0 * s0
            a1 = a1 + s1 * s1
        square = total(a0 + a1)
        for i in range(at + whole, at + c):
            z[i] = residual[i] + real(half_floats.load(x[i]))
            square += z[i] * z[i]
        scale = real(1) / np.sqrt(square / real(c) + eps)
        s = splat(scale)
        for i in range(0, whole, LANES):
            store(n, at + i, load(z, at + i) * s * load(weight, i))
        for i in range(whole, c):
            n[at + i] = half_floats.narrow(z[at + i] * scale * weight[i], n[0])


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return n and z, ``b t c``; arguments as of ``op``, copied where they are not contiguous.

    With a float64 residual everything is computed in float64.
    """
    kind = residual.dtype
    n, z = (on_huge_pages(residual.new_empty(residual.shape, dtype=dtype)) for dtype in (weight.dtype, kind))
    if not z.numel():
        return n, z
    wide = kind == torch.float64  # vectors of two widths do not mix
    out = n.double() if wide else n
    arrays = (
        flat(x.to(kind) if wide else x),
        flat(residual),
        flat(weight.to(kind)),
    )
    run = partial(_forward, *arrays, arrays[1].dtype.type(eps), flat(out), flat(z), x.shape[2])
    parallel_for(run, x.shape[0] * x.shape[1], grain=16)
    return n if out is n else n.copy_(out), z


def add_rms_norm_backward(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the gradient of x and of residual alike, and weight's, by torch's own operators."""
    scale = torch.rsqrt(z.square().mean(-1, keepdim=True) + eps)
    standard = z * scale
    gweight = (gn.to(z.dtype) * standard).sum((0, 1))
    g = gn.to(z.dtype) * weight.to(z.dtype)
    along = (g * standard).mean(-1, keepdim=True)
    return torch.addcmul(gz, g - standard * along, scale), gweight.to(weight.dtype)
