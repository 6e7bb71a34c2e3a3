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
def _step(job: Any, i: int, d: int, t: int) -> float:
    x = job.delta.flat[i * job.delta.batch + t * job.delta.token + d] + job.bias[d]
    return _softplus(x) if job.softplus else x


@njit(forceinline=True, error_model="numpy")
def _advance(job: Any, h: Any, d: int, step: float, drive: float, row: int) -> None:
    """h = exp(step A) h + B drive for one channel's states, one token on."""
    for n in range(len(h)):
        h[n] = math.exp(step * job.rate[d, n] * LN2) * h[n] + job.B[row + n] * drive


@njit(forceinline=True, error_model="numpy")
def _read(job: Any, h: Any, d: int, x: float, row: int) -> float:
    """Return C h + D u, before the gate."""
    out = job.D[d] * x
    for n in range(len(h)):
        out += job.C[row + n] * job.F[d, n] * h[n]
    return out


@compiled(**_jit)
def forward(job: Any, y: Any, last: Any, start: int, stop: int) -> None:
    """Write y and the last state for the channels ``start:stop``, counted over the batch; all float64."""
    channels, states = job.rate.shape
    for index in range(start, stop):
        i, d = index // channels, index % channels
        group = (i * job.groups + d // (channels // job.groups)) * job.tokens * states
        h = last[i, d]
        h[:] = 0
        for t in range(job.tokens):
            x = job.u.flat[i * job.u.batch + t * job.u.token + d]
            step = _step(job, i, d, t)
            _advance(job, h, d, step, step * x, group + t * states)
            out = _read(job, h, d, x, group + t * states)
            if job.gated:
                z = job.z.flat[i * job.z.batch + t * job.z.token + d]
                out *= z * _sigmoid(z)
            y.flat[i * y.batch + t * y.token + d] = out


@compiled(**_jit)
def backward(
    job: Any, gy: Any, glast: Any, gz: Any, gu: Any, gdelta: Any, gA: Any, gB: Any, gC: Any, gF: Any, gD: Any,
    gbias: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Write all gradients for the groups ``start:stop``, counted over the batch; one part of gB and gC a group.

    gA, gF: ``b d n``.  gB, gC: ``b g 1 t n``.  gD, gbias: ``b d``.  All float64, gB and gC zero before.
    """
    channels, states = job.rate.shape
    size = channels // job.groups
    h = np.empty((job.tokens + 1, states))
    for index in range(start, stop):
        i, g = index // job.groups, index % job.groups
        for d in range(g * size, (g + 1) * size):
            h[0] = 0
            for t in range(job.tokens):
                step = _step(job, i, d, t)
                h[t + 1] = h[t]
                drive = step * job.u.flat[i * job.u.batch + t * job.u.token + d]
                _advance(job, h[t + 1], d, step, drive, (index * job.tokens + t) * states)
            gA[i, d], gF[i, d], gD[i, d], gbias[i, d] = 0, 0, 0, 0
            carry = glast[i, d].copy()
            for back in range(job.tokens):
                t = job.tokens - 1 - back
                row = (index * job.tokens + t) * states
                x, step = job.u.flat[i * job.u.batch + t * job.u.token + d], _step(job, i, d, t)
                G = gy.flat[i * gy.batch + t * gy.token + d]
                if job.gated:
                    z = job.z.flat[i * job.z.batch + t * job.z.token + d]
                    share = _sigmoid(z)
                    out = _read(job, h[t + 1], d, x, row)
                    gz.flat[i * gz.batch + t * gz.token + d] = G * out * share * (1 + z * (1 - share))
                    G *= z * share
                gstep, gdrive = 0.0, 0.0
                for n in range(states):
                    rate = job.rate[d, n] * LN2
                    gh = carry[n] + job.C[row + n] * job.F[d, n] * G
                    carry[n] = gh * math.exp(step * rate)
                    gstep += carry[n] * h[t, n] * rate
                    gA[i, d, n] += carry[n] * h[t, n] * step
                    gdrive += gh * job.B[row + n]
                    gF[i, d, n] += G * job.C[row + n] * h[t + 1, n]
                    gB[i, g, 0, t, n] += gh * step * x
                    gC[i, g, 0, t, n] += G * job.F[d, n] * h[t + 1, n]
                gstep += gdrive * x
                if job.softplus:
                    gstep *= _sigmoid(job.delta.flat[i * job.delta.batch + t * job.delta.token + d] + job.bias[d])
                gu.flat[i * gu.batch + t * gu.token + d] = gdrive * step + job.D[d] * G
                gdelta.flat[i * gdelta.batch + t * gdelta.token + d] = gstep
                gD[i, d] += G * x
                gbias[i, d] += gstep
