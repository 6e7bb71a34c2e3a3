"""The seconds that a step takes, measured on a few small ones: a range, in seconds of wall time.

A step at the recipe's image size may take minutes, so steps are timed at growing sizes while they fit into a budget.
From the largest one the rest is extrapolated: in proportion to the pixels, and as time grew between the last two
sizes, or faster; the range holds both.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

BUDGET_S = 6.0  # of the timed steps of one calibration
MIN_TIMED_S = 0.5  # short steps are repeated until they add up to this
MIN_STEPS, MAX_STEPS = 2, 20
SMALLEST_SIDE = 128  # px
SIDE_MULTIPLE = 32  # of the sizes between; what most backbones take
FEW_IMAGES = 2  # at sizes below the recipe's
#: A run is slower or faster than its first steps by about so much, on a machine with other work.
MARGIN = 0.15
#: What is added to the exponent of the pixels, measured at smaller sizes: attention's grows from 1 towards 2.
EXPONENT_MARGIN = 0.25


@dataclass(frozen=True)
class Seconds:
    """A range of seconds."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: Self) -> "Seconds":
        return Seconds(self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> "Seconds":
        return Seconds(self.low * factor, self.high * factor)

    @classmethod
    def of(cls, times: Sequence[float]) -> "Seconds":
        """Return the range that further times lie in, as far as a few can tell."""
        return Seconds(min(times) * (1 - MARGIN), max(times) * (1 + MARGIN))


@dataclass(frozen=True)
class Timing:
    """Seconds of a step of ``images`` images of ``side`` px."""

    side: int
    images: int
    seconds: Seconds

    @property
    def pixels(self) -> float:
        """Of all images."""
        return self.side**2 * self.images


def sizes(side: int, images: int) -> list[tuple[int, int]]:
    """Return growing sizes and numbers of images up to the requested ones."""
    smaller: list[tuple[int, int]] = []
    part = side // 2
    while part >= SMALLEST_SIDE - SIDE_MULTIPLE:
        smaller.append((-(-part // SIDE_MULTIPLE) * SIDE_MULTIPLE, min(images, FEW_IMAGES)))
        part //= 2
    return [*smaller[::-1], (side, images)]


def calibrate(
    measure: Callable[[int, int], Seconds],
    side: int,
    images: int,
    is_too_long: Callable[[bool], bool] = bool,
    fewest: int = 2,
) -> Timing:
    """Return the time of a step at ``side`` and ``images``, measured there or extrapolated.

    measure: Returns the seconds of a step at a size and a number of images.
    is_too_long: Agrees with other processes whether a measurement would take too long.
    fewest: Sizes that are measured in any case; a single one does not tell a constant part.
    """
    timings: list[Timing] = []
    start = time.perf_counter()
    for candidate in sizes(side, images):
        if len(timings) >= fewest:
            needed = (1 + MIN_STEPS) * extrapolate(timings, *candidate).seconds.high
            if is_too_long(time.perf_counter() - start + needed > BUDGET_S):
                break
        timings.append(Timing(*candidate, measure(*candidate)))
    return extrapolate(timings, side, images)


def extrapolate(timings: Sequence[Timing], side: int, images: int) -> Timing:
    """Return the time at a size from those at smaller ones, the largest last."""
    last = timings[-1]
    if (last.side, last.images) == (side, images):
        return last
    area, count = (side / last.side) ** 2, images / last.images
    exponent = 1.0
    if len(timings) > 1 and timings[-2].images == last.images:
        before = timings[-2]
        growth = last.seconds.low / max(before.seconds.low, 1e-9)
        exponent = math.log(max(growth, 1e-9)) / math.log(last.pixels / before.pixels)
    low, high = min(exponent, 1.0), max(exponent, 1.0) + EXPONENT_MARGIN
    return Timing(side, images, Seconds(last.seconds.low * area**low * count, last.seconds.high * area**high * count))


def timed(step: Callable[[], object]) -> tuple[Seconds, float]:
    """Return the seconds of a repeated step, and how much longer the first one took, which compiles and allocates."""
    times: list[float] = []
    while len(times) < 1 + MIN_STEPS or (sum(times[1:]) < MIN_TIMED_S and len(times) < MAX_STEPS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return Seconds.of(times[1:]), max(0.0, times[0] - min(times[1:]))
