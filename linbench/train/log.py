"""A run's log: one JSON object a line, and one line a step, however often the run was interrupted.

A line of a step has ``step`` (how many are done), ``epoch``, ``losses``, ``lr``, ``gradient``, ``images``,
``images_per_s``, ``memory_bytes`` and ``batch`` (the hash of its items). Other lines have an ``event``: ``start``,
``resume``, ``skipped``, ``stop``, ``end``.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from linbench.atomic import replacing
from linbench.train.files import writing

NAME = "log.jsonl"


class Log:
    """The log of a folder, open for appending; each line is with the system once it is written."""

    def __init__(self, folder: Path, step: int) -> None:
        """step: Where the run goes on; lines of later steps, which will be made again, are removed."""
        self.path = folder / NAME
        kept = [line for line in read(self.path) if line.get("step", 0) <= step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(_line(line) for line in kept), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, **values: Any) -> None:
        """Append a line. Raises CannotSave."""
        with writing(self.path, "a line of the log", "the states are whole"):
            self._file.write(_line(values))
            self._file.flush()

    def event(self, what: str, step: int, **values: Any) -> None:
        """Append what happened, with the time in UTC."""
        self.add(event=what, step=step, time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **values)


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines of a log that are whole, objects whose step, if they have one, is a number; none without a file."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):  # cut off when its writer was killed, or damaged
                continue
            if isinstance(line, dict) and type(line.get("step", 0)) is int:
                yield line


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(_plain(values), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Numbers that JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value


@contextmanager
def board(folder: Path) -> Iterator[Any]:
    """TensorBoard's writer of event files into the folder. Raises ValueError where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "--tensorboard: the package tensorboard is not installed; pip install tensorboard"
        ) from error
    writer = SummaryWriter(str(folder))
    try:
        yield writer
    finally:
        writer.close()
