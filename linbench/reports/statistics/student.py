"""Student's t distribution: what a few rounds can tell.

The chance of |T| ≤ t is ``c ∫ cos(θ)^(ν-1) dθ`` from 0 to ``atan(t / √ν)``, with ``c = 2 Γ((ν+1)/2) / (√π Γ(ν/2))``
(the density with ``T = √ν tan θ``), taken by Gauss's quadrature.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MOST_FREEDOM = 1e6  # from here on it is the normal distribution to six digits
MANY, FAR = 50, 12.0  # with more freedom than that a |T| beyond this has a chance below 10⁻¹⁵
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def two_sided(t: ArrayLike, freedom: ArrayLike) -> Floats:
    """The chance of a |T| larger than |t|, for degrees of freedom of 1 or more, which need not be whole."""
    size, degrees = np.broadcast_arrays(np.abs(np.asarray(t, np.float64)), np.asarray(freedom, np.float64))
    degrees = np.minimum(degrees, MOST_FREEDOM)
    size = np.where(degrees > MANY, np.minimum(size, FAR), size)  # else the nodes would miss a narrow peak
    half = np.arctan(size / np.sqrt(degrees)) / 2  # of the angle that is integrated over
    angles = half[..., None] * (1 + _NODES)
    within = half * (np.cos(angles) ** (degrees[..., None] - 1) @ _WEIGHTS)
    return np.clip(1 - _constant(degrees) * within, 0.0, 1.0)


@lru_cache(maxsize=4096)
def quantile(freedom: float, level: float = 0.95) -> float:
    """The t that |T| stays below with chance ``level``.

    Newton's steps from 0 come from below and never beyond, as the chance grows ever slower.
    """
    degrees = min(freedom, MOST_FREEDOM)
    slope = float(_constant(np.array(degrees))) / math.sqrt(degrees)
    t = 0.0
    while True:
        lacking = level - 1 + float(two_sided(t, degrees))
        step = lacking / (slope * (1 + t * t / degrees) ** (-(degrees + 1) / 2))
        t += step
        if step <= 1e-9 * t:
            return t


def _constant(degrees: Floats) -> Floats:
    logs = [math.lgamma((v + 1) / 2) - math.lgamma(v / 2) for v in degrees.ravel().tolist()]
    return 2 / math.sqrt(math.pi) * np.exp(np.reshape(logs, degrees.shape))
