"""What a reader is to the fuzzer, and what becomes of an input."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True)
class Link:
    """A symbolic link in an input's folder."""

    target: str


#: The files of an input by their path in its folder: bytes, a link, or None for an empty folder.
Files = Mapping[str, bytes | Link | None]


class Outcome(StrEnum):
    """What becomes of an input; see the package."""

    READ = "read"
    FAULT = "fault"
    REFUSED = "refused"
    TRACEBACK = "traceback"
    UNCLEAR = "unclear"
    HANG = "hang"
    MEMORY = "memory"
    EXECUTED = "executed"


FAILURES = (Outcome.TRACEBACK, Outcome.UNCLEAR, Outcome.HANG, Outcome.MEMORY, Outcome.EXECUTED)


@dataclass(frozen=True)
class Reader:
    """One place where linbench opens a user's file or takes a user's text.

    seeds: Makes valid inputs; a folder for scratch files is given.
    read: Reads the input in a folder; returns how many faults were named. What it raises is judged.
    refusals: The errors that the reader documents.
    weight: Its part of all inputs, relative to the other readers.
    names_file: Whether a refusal must name a file of the input, or its folder.
    hostile: Makes inputs that attack, without a mutation: bombs, code. Given like ``seeds``.
    every: Each how many inputs one of these comes, in turn.
    valid: What becomes of a valid input; None: anything that is no failure.
    """

    name: str
    seeds: Callable[[Path], Sequence[Files]]
    read: Callable[[Path], int]
    refusals: Callable[[], tuple[type[BaseException], ...]]
    weight: int = 4
    names_file: bool = True
    hostile: Callable[[Path], Sequence[Files]] | None = None
    every: int = 6
    valid: Outcome | None = Outcome.READ


def value_error() -> tuple[type[BaseException], ...]:
    """Return the refusals of a reader that documents ValueError."""
    return (ValueError,)


@dataclass(frozen=True)
class Input:
    """Files, and how they came about from a valid input, in words."""

    files: Files
    made: str


@dataclass(frozen=True)
class Result:
    """What became of one input.

    detail: The message or the traceback.
    location: Of an error, ``module:line type``: failures at one location are one finding.
    seconds: Without the time that the process waited for a core.
    mib: Most memory above the start's.
    """

    reader: str
    number: int
    outcome: Outcome
    detail: str = ""
    location: str = ""
    made: str = ""
    seconds: float = 0.0
    mib: float = 0.0
