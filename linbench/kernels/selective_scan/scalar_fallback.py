"""The selective scan channel by channel in float64, for float64 and for groups of fewer than sixteen channels.

Letters as in ``reference`` and ``cpu``; it costs some twenty times the time of ``cpu``'s vectors.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from linbench.kernels.compiled import compiled

LN2 = math.log(2)
_jit = {"error_model": "numpy"}


@njit(forceinline=True, error_model="numpy")
def _softplus(x: float) -> float:
    return x if x > 20.0 else math.log1p(math.exp(x))


@njit(forceinline=True, error_model="numpy")
def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


@njit(forceinline=True, error_model="numpy")
def _step(scan: Any, i: int, d: int, t: int) -> float:
    x = scan.delta.flat[i * scan.delta.batch + t * scan.delta.token + d] + scan.bias[d]
    return _softplus(x) if scan.softplus else x


@njit(forceinline=True, error_model="numpy")
def _advance(scan: Any, h: Any, d: int, step: float, drive: float, row: int) -> None:
    """Advance a channel's states by one token: h = exp(step A) h + B drive."""
    for n in range(len(h)):
        h[n] = math.exp(step * scan.rate[d, n] * LN2) * h[n] + scan.B[row + n] * drive


@njit(forceinline=True, error_model="numpy")
def _read(scan: Any, h: Any, d: int, x: float, row: int) -> float:
    """Return C h + D u, before the gate."""
    out = scan.D[d] * x
    for n in range(len(h)):
        out += scan.C[row + n] * scan.F[d, n] * h[n]
    return out


@compiled(**_jit)
def forward(scan: Any, y: Any, last: Any, start: int, stop: int) -> None:
    """Write y and the last state for the channels ``start:stop``, counted over the batch; all float64."""
    channels, states = scan.rate.shape
    for index in range(start, stop):
        i, d = index // channels, index % channels
        group = (i * scan.groups + d // (channels // scan.groups)) * scan.tokens * states
        h = last[i, d]
        h[:] = 0
        for t in range(scan.tokens):
            x = scan.u.flat[i * scan.u.batch + t * scan.u.token + d]
            step = _step(scan, i, d, t)
            _advance(scan, h, d, step, step * x, group + t * states)
            out = _read(scan, h, d, x, group + t * states)
            if scan.gated:
                z = scan.z.flat[i * scan.z.batch + t * scan.z.token + d]
                out *= z * _sigmoid(z)
            y.flat[i * y.batch + t * y.token + d] = out


@compiled(**_jit)
def backward(
    scan: Any, gy: Any, glast: Any, gz: Any, gu: Any, gdelta: Any, gA: Any, gB: Any, gC: Any, gF: Any, gD: Any,
    gbias: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Write all gradients for the groups ``start:stop``, counted over the batch; gB and gC have one part.

    gA, gF: ``b d n``.  gB, gC: ``b g 1 t n``.  gD, gbias: ``b d``.  All float64, gB and gC zero before.
    """
    channels, states = scan.rate.shape
    size = channels // scan.groups
    h = np.empty((scan.tokens + 1, states))
    for index in range(start, stop):
        i, g = index // scan.groups, index % scan.groups
        for d in range(g * size, (g + 1) * size):
            h[0] = 0
            for t in range(scan.tokens):
                step = _step(scan, i, d, t)
                h[t + 1] = h[t]
                drive = step * scan.u.flat[i * scan.u.batch + t * scan.u.token + d]
                _advance(scan, h[t + 1], d, step, drive, (index * scan.tokens + t) * states)
            gA[i, d], gF[i, d], gD[i, d], gbias[i, d] = 0, 0, 0, 0
            carry = glast[i, d].copy()
            for back in range(scan.tokens):
                t = scan.tokens - 1 - back
                row = (index * scan.tokens + t) * states
                x, step = scan.u.flat[i * scan.u.batch + t * scan.u.token + d], _step(scan, i, d, t)
                G = gy.flat[i * gy.batch + t * gy.token + d]
                if scan.gated:
                    z = scan.z.flat[i * scan.z.batch + t * scan.z.token + d]
                    gate = _sigmoid(z)
                    out = _read(scan, h[t + 1], d, x, row)
                    gz.flat[i * gz.batch + t * gz.token + d] = G * out * gate * (1 + z * (1 - gate))
                    G *= z * gate
                gstep, gdrive = 0.0, 0.0
                for n in range(states):
                    rate = scan.rate[d, n] * LN2
                    gh = carry[n] + scan.C[row + n] * scan.F[d, n] * G
                    carry[n] = gh * math.exp(step * rate)
                    gstep += carry[n] * h[t, n] * rate
                    gA[i, d, n] += carry[n] * h[t, n] * step
                    gdrive += gh * scan.B[row + n]
                    gF[i, d, n] += G * scan.C[row + n] * h[t + 1, n]
                    gB[i, g, 0, t, n] += gh * step * x
                    gC[i, g, 0, t, n] += G * scan.F[d, n] * h[t + 1, n]
                gstep += gdrive * x
                if scan.softplus:
                    gstep *= _sigmoid(scan.delta.flat[i * scan.delta.batch + t * scan.delta.token + d] + scan.bias[d])
                gu.flat[i * gu.batch + t * gu.token + d] = gdrive * step + scan.D[d] * G
                gdelta.flat[i * gdelta.batch + t * gdelta.token + d] = gstep
                gD[i, d] += G * x
                gbias[i, d] += gstep
