"""Right before fast: the outputs of an engine against eager float32 with the same weights on the same images.

Two images, neither of which the export saw, so that an engine that ignores its input, or has folded it away, fails.
float32 has a bound on max|diff| / max|truth|. A half dtype's noise is that of eager in the same dtype: an engine may
be TIMES_NOISE as far from float32, by the maximum and by the root of the mean square. numpy alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linbench.engines.contract import Arrays

BOUND = 2e-5  # in float32; engines that are right give at most 2.1e-6 on all families
TIMES_NOISE = 1.5
LEAST_SPREAD = 0.5  # of the difference that eager's outputs for the two images have


@dataclass(frozen=True)
class EngineError:
    """How far outputs are from the truth, the worst map over all images: fractions of max|truth|.

    rms: Of the root mean square of the difference and of the truth.
    """

    largest: float
    rms: float


@dataclass(frozen=True)
class Truth:
    """Outputs of eager float32. outputs: For each image.  noise: Of eager in the dtype; None in float32."""

    outputs: tuple[Arrays, ...]
    noise: EngineError | None = None


@dataclass(frozen=True)
class Judgement:
    """The result of a check. allowed: Of ``error.largest``.  reason: Why it is wrong; empty where it is right."""

    error: EngineError
    allowed: float
    reason: str = ""

    def to_json(self) -> dict[str, float | None]:
        """Return entries of a round; a number that is none is None."""
        numbers = {"error": self.error.largest, "error_rms": self.error.rms, "error_allowed": self.allowed}
        return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def judge(outputs: Sequence[Arrays], truth: Truth) -> Judgement:
    """Return how far the outputs for each image are from the truth, and why they are wrong, where they are."""
    allowed = BOUND if truth.noise is None else TIMES_NOISE * truth.noise.largest
    if reason := _unlike(outputs, truth.outputs):
        return Judgement(EngineError(math.nan, math.nan), allowed, reason)
    error = error_of(outputs, truth.outputs)
    return Judgement(error, allowed, _reason(error, truth, outputs, allowed))


def _reason(error: EngineError, truth: Truth, outputs: Sequence[Arrays], allowed: float) -> str:
    beyond = "" if truth.noise is None else f": {TIMES_NOISE:g} times what eager in this dtype is off"
    if not error.largest <= allowed:  # NaN is wrong too
        return f"its outputs are off eager float32 by {error.largest:.1e} of max|y|, allowed {allowed:.1e}{beyond}"
    if truth.noise is not None and not error.rms <= TIMES_NOISE * truth.noise.rms:
        most = TIMES_NOISE * truth.noise.rms
        return f"its outputs are off eager float32 by {error.rms:.1e} (rms), allowed {most:.1e}{beyond}"
    ours, theirs = spread(outputs), spread(truth.outputs)
    if ours < LEAST_SPREAD * theirs:
        return f"its outputs for two images differ by {ours:.1e} of max|y|, eager's by {theirs:.1e}"
    return ""


def error_of(outputs: Sequence[Arrays], truth: Sequence[Arrays]) -> EngineError:
    """Return the worst error over all maps of all images; shapes agree."""
    pairs = [(a, b) for ours, theirs in zip(outputs, truth, strict=True) for a, b in _maps(ours, theirs)]
    errors = [_error(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs]
    largest, rms = (max(values) for values in zip(*errors, strict=True))
    return EngineError(largest, rms)


def spread(outputs: Sequence[Arrays]) -> float:
    """Return how far the outputs for the first and for the last image are apart."""
    return error_of(outputs[-1:], outputs[:1]).largest


def _unlike(outputs: Sequence[Arrays], truth: Sequence[Arrays]) -> str:
    for ours, theirs in zip(outputs, truth, strict=True):
        shapes, expected = [a.shape for a in ours], [b.shape for b in theirs]
        if shapes != expected:
            return f"its outputs have the shapes {shapes}, eager's {expected}"
        if i := next((i for i, a in enumerate(ours, 1) if not np.isfinite(a).all()), 0):
            return f"output {i} of {len(ours)} holds values that are not finite"
    return ""


def _maps(ours: Arrays, theirs: Arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pairs that are compared. Predicted IoUs, ``m k``, are left out: few, and near zero."""
    pairs = list(zip(ours, theirs, strict=True))
    return [pair for pair in pairs if pair[1].ndim != 2] or pairs


def _error(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    tiny = np.finfo(np.float32).tiny
    difference = np.abs(a - b)
    largest = difference.max() / max(np.abs(b).max(), tiny)
    return float(largest), float(np.sqrt((difference**2).mean()) / max(np.sqrt((b**2).mean()), tiny))
