"""Random numbers and angles in whole numbers, the same on every platform and in every version of Python and numpy.

It relies on Python's integers, and on 64-bit integer products of numpy that wrap. No floating point takes part.
"""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

TURN = 1024  # steps of a full turn
ONE = 1 << 14  # a sine of 1
_WORD = (1 << 64) - 1


def mixed(word: int) -> int:
    """Apply SplitMix64's finaliser (Steele et al., OOPSLA 2014): each of the 64 bits depends on every bit."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & _WORD
    return word ^ (word >> 31)


class Rng:
    """A stream of random whole numbers, seeded by a key of numbers and words."""

    def __init__(self, *key: int | str) -> None:
        self._state = 0
        for part in key:
            data = part.encode() if isinstance(part, str) else part.to_bytes(16, "little", signed=True)
            for byte in (len(data), *data):
                self._state = mixed(self._state * 257 + byte + 1 & _WORD)

    def bits(self) -> int:
        """Return 64 random bits."""
        self._state = self._state + 0x9E3779B97F4A7C15 & _WORD
        return mixed(self._state)

    def between(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + self.bits() % (high - low + 1)

    def jitter(self, middle: int, percent: int = 20) -> int:
        """Return ``middle`` plus or minus at most that percentage of it."""
        spread = abs(middle) * percent // 100
        return self.between(middle - spread, middle + spread)

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.bits() % len(options)]

    def bernoulli(self, percent: int) -> bool:
        """Return True with that probability in percent."""
        return self.bits() % 100 < percent


@cache
def _quarter() -> tuple[int, ...]:
    """Return the sines of the first quarter turn, by Taylor's series in 80-bit fixed point."""
    one = 1 << 80
    pi = 3_141_592_653_589_793_238_462_643 * one // 10**24
    sines = []
    for step in range(TURN // 4 + 1):
        angle = 2 * pi * step // TURN
        term = total = angle
        for n in range(1, 16):
            term = -term * angle // one * angle // one // (2 * n * (2 * n + 1))
            total += term
        sines.append((total * ONE + one // 2) // one)
    return tuple(sines)


def sine(angle: int) -> int:
    """Return the sine of ``angle``/TURN of a turn, times ONE."""
    part, rest = divmod(angle % TURN, TURN // 4)
    value = _quarter()[rest] if part % 2 == 0 else _quarter()[TURN // 4 - rest]
    return value if part < 2 else -value


def cosine(angle: int) -> int:
    """Return the cosine of ``angle``/TURN of a turn, times ONE."""
    return sine(angle + TURN // 4)


@cache
def grain() -> NDArray[np.uint8]:
    """Return the table that all textures read: ``256 256`` random bytes."""
    word = np.arange(1, 2**16 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (word >> np.uint64(56)).astype(np.uint8).reshape(256, 256)
