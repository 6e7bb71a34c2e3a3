"""Which implementation of an op runs. It is always an argument and always stored with the number."""

from enum import StrEnum


class Impl(StrEnum):
    """``reference``: the equation in plain torch, differentiable, any device. ``fast``: linear time.

    ``vendor``: the authors' own compiled package, where one is installed.
    """

    REFERENCE = "reference"
    FAST = "fast"
    VENDOR = "vendor"

    @classmethod
    def _missing_(cls, value: object) -> "Impl":
        raise ValueError(f"impl={value!r} is unknown; allowed are {', '.join(cls)}")


class Unsupported(RuntimeError):
    """An implementation that this op does not have, or not here; the text says what to do instead."""
