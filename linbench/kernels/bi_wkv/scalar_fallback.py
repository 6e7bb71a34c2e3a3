"""bi-WKV channel by channel in float64 and the log domain: linear time, for float64 and for extreme w or u.

Each token has its own scale, so nothing bounds w, u or k; it costs some fifty times the time of ``cpu``'s blocks.
Letters as in ``reference``; P and S are the sums over the tokens before and after, G and H those of the gradient.
"""

import math
from typing import Any

import numpy as np
from numba import njit

from linbench.kernels.compiled import compiled

_NOTHING = -1e300
_jit = {"error_model": "numpy"}


@njit(forceinline=True, error_model="numpy")
def _step(n: float, d: float, scale: float, w: float, key: float, x: float, count: float) -> Any:
    """Decay the sum (n, d)·e^scale by one token and add e^key (x, count)."""
    old = scale - w
    top = max(old, key)
    keep, new = math.exp(old - top), math.exp(key - top)
    return n * keep + x * new, d * keep + count * new, top


@compiled(**_jit)
def _suffixes(w: float, k: Any, v: Any, S: Any) -> None:
    """Write S of each token of a column: numerator, denominator and scale."""
    n, d, scale = 0.0, 0.0, _NOTHING
    for i in range(len(k) - 1, -1, -1):
        S[0, i], S[1, i], S[2, i] = n, d, scale
        n, d, scale = _step(n, d, scale, w, k[i], v[i], 1.0)


@compiled(**_jit)
def _outputs(w: float, u: float, k: Any, v: Any, S: Any, y: Any, lse: Any) -> None:
    """Write y and lse of a column from S."""
    n, d, scale = 0.0, 0.0, _NOTHING
    for i in range(len(k)):
        top = max(max(scale, S[2, i]), u + k[i])
        before, after, here = math.exp(scale - top), math.exp(S[2, i] - top), math.exp(u + k[i] - top)
        D = d * before + S[1, i] * after + here
        y[i] = (n * before + S[0, i] * after + v[i] * here) / D
        lse[i] = top + math.log(D)
        n, d, scale = _step(n, d, scale, w, k[i], v[i], 1.0)


@compiled(**_jit)
def forward(w: Any, u: Any, k: Any, v: Any, y: Any, lse: Any, start: int, stop: int) -> None:
    """Write y and lse, ``b t c`` float64, for the columns ``start:stop`` of the ``b c`` columns."""
    _, t, c = k.shape
    S = np.empty((3, t))
    line = np.empty(t)
    for column in range(start, stop):
        i, j = column // c, column % c
        _suffixes(w[j], k[i, :, j], v[i, :, j], S)
        _outputs(w[j], u[j], k[i, :, j], v[i, :, j], S, y[i, :, j], lse[i, :, j] if lse.size else line)


@compiled(**_jit)
def backward(
    w: Any, u: Any, k: Any, v: Any, gy: Any, gw: Any, gu: Any, gk: Any, gv: Any, start: int, stop: int
) -> None:
    """Write gk, gv, ``b t c``, and gw, gu, ``b c``, float64, for the columns ``start:stop``."""
    _, t, c = k.shape
    S, G = np.empty((3, t)), np.empty((3, t))
    y, lse = np.empty(t), np.empty(t)
    for column in range(start, stop):
        i, j = column // c, column % c
        _suffixes(w[j], k[i, :, j], v[i, :, j], S)
        _outputs(w[j], u[j], k[i, :, j], v[i, :, j], S, y, lse)
        a, e, scale = 0.0, 0.0, _NOTHING
        for m in range(t - 1, -1, -1):
            G[0, m], G[1, m], G[2, m] = a, e, scale
            a, e, scale = _step(a, e, scale, w[j], -lse[m], gy[i, m, j], gy[i, m, j] * y[m])
        sum_w, sum_u = 0.0, 0.0
        pn, pd, p = 0.0, 0.0, _NOTHING
        ha, hb, h = 0.0, 0.0, _NOTHING
        for m in range(t):
            key, x, g = k[i, m, j], v[i, m, j], gy[i, m, j]
            current = math.exp(u[j] + key - lse[m]) * g
            after, before = math.exp(key + G[2, m]), math.exp(key + h)
            gv[i, m, j] = G[0, m] * after + ha * before + current
            gk[i, m, j] = (x * G[0, m] - G[1, m]) * after + (x * ha - hb) * before + current * (x - y[m])
            sum_u += current * (x - y[m])
            sum_w += math.exp(p + G[2, m] - w[j]) * (pn * G[0, m] - pd * G[1, m])
            sum_w += math.exp(S[2, m] + h - w[j]) * (S[0, m] * ha - S[1, m] * hb)
            pn, pd, p = _step(pn, pd, p, w[j], key, x, 1.0)
            ha, hb, h = _step(ha, hb, h, w[j], -lse[m], g, g * y[m])
        gw[i, j], gu[i, j] = -sum_w, sum_u
