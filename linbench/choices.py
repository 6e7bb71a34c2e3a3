"""Named choices that options, keys and models share, and how a user's text becomes one.

No torch here, so that ``--help`` costs no import of it.
"""

import json
from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, TypeVar

S = TypeVar("S", bound=str)


class Impl(StrEnum):
    """An implementation of an op.

    ``reference`` is the equation in plain torch, differentiable, on any device. ``fast`` takes linear time.
    ``vendor`` is the authors' own compiled package, where one is installed.
    """

    REFERENCE = "reference"
    FAST = "fast"
    VENDOR = "vendor"

    @classmethod
    def _missing_(cls, value: object) -> "Impl":
        raise ValueError(f"impl={value!r} is unknown; allowed are {', '.join(cls)}")


class Attention(StrEnum):
    """Implementations of softmax attention."""

    NAIVE = "naive"
    SDPA = "sdpa"
    CHUNKED = "chunked"


class Fusion(StrEnum):
    """Designs of the refine module of RWKV-SAM's decoder."""

    CONV = "conv"
    MAMBA = "mamba"
    RWKV = "rwkv"
    DCN = "dcn"

    @classmethod
    def _missing_(cls, value: object) -> "Fusion":
        raise ValueError(f"fusion={value!r} is unknown; allowed are {', '.join(cls)}")


def read_pair(flag: str, text: str, example: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``; the value as JSON where it is JSON, and as text otherwise. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{flag} {text}: write NAME=VALUE, such as {example}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):  # thousands of digits, or of brackets, are no JSON either
        return name, value


def choose(flag: str, value: str, allowed: Sequence[S]) -> S:
    """Return the allowed member that equals ``value``; raises ValueError with the nearest one."""
    for member in allowed:
        if member == value:
            return member
    nearest = get_close_matches(str(value), [str(member) for member in allowed], n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    raise ValueError(f"{flag} {value}: {hint}allowed are {', '.join(allowed)}")


def split(text: str) -> list[str]:
    """Return the parts of a comma-separated list without blanks."""
    return [part.strip() for part in text.split(",") if part.strip()]
