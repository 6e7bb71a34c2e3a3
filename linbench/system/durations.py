"""Durations as a person writes them: 97.3 ms, 41.4 s, 12 min; and ranges of them."""

import math

_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0))
_MOST = 90  # of a unit, before the next one is written


def format_ms(ms: float) -> str:
    """Return milliseconds as 97.3 ms, and from a second on as 41.4 s."""
    return f"{ms:.4g} ms" if ms < 1000 else format_seconds(ms / 1000)


def format_seconds(seconds: float) -> str:
    """Return seconds as 0.42 s, 41.4 s, 12 min or 3.2 h."""
    if seconds < _MOST:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 60 * _MOST else f"{seconds / 3600:.1f} h"


def format_range(low: float, high: float) -> str:
    """Return a range of seconds in whole units, rounded outwards: about 4 to 7 min; up to 2 s from zero."""
    unit, size = next(((unit, size) for unit, size in _UNITS if low < _MOST * size), _UNITS[-1])
    first, last = math.floor(low / size), max(1, math.ceil(high / size))
    if first == last:
        return f"about {last} {unit}"
    return f"about {first} to {last} {unit}" if first else f"up to {last} {unit}"
