"""A run's log, one JSON object a line and one line a step however often the run was interrupted; and its curves.

A line of a step has ``step`` (how many are done), ``epoch``, ``losses``, ``lr``, ``gradient``, ``images``,
``images_per_s``, ``memory_bytes`` and ``batch`` (the hash of its items). Other lines have an ``event``: ``start``,
``resume``, ``skipped``, ``stop``, ``end``. ``linbench train --curves runs/rwkv-sam-t-paper`` draws it.
"""

import importlib.util
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from linbench.system.files import replacing
from linbench.train.states import saving

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

LOG_NAME = "log.jsonl"
CURVES_NAME = "curves.png"
#: Each curve gets a running mean over this fraction of its steps.
SMOOTHED_FRACTION = 0.05
MAX_STEP = 2**53  # a float holds every integer up to here
MAX_NAME = 60  # characters of a loss or a run that a figure has room for
COLORS = ("#2a6fbb", "#c4541a", "#3d8b40", "#7a4fa3", "#8a6d1d")


class Log:
    """The log of a folder, open for appending; each line reaches the operating system as it is written.

    folder: Of the run.
    step: The step that the run resumes from; lines of later steps, which will be done again, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LOG_NAME
        lines = [line for line in read_log(self.path) if line.get("step", 0) <= step]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(_line(line) for line in lines), encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, **values: Any) -> None:
        """Append a line. Raises CannotSave."""
        with saving(self.path, "a line of the log", "the states are whole"):
            self._file.write(_line(values))
            self._file.flush()

    def event(self, name: str, step: int, **values: Any) -> None:
        """Append an event, with the time in UTC. Raises CannotSave."""
        self.add(event=name, step=step, time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **values)


def read_log(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the whole lines of a log: objects whose ``step``, if any, is an integer; none without a file."""
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
    return json.dumps(_finite_json(values), allow_nan=False) + "\n"


def _finite_json(value: Any) -> Any:
    """Return the value with NaN and infinities, which JSON lacks, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _finite_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite_json(part) for part in value]
    return value


def require_tensorboard() -> None:
    """Raise ValueError if TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard: the package tensorboard is not installed; pip install tensorboard")


@contextmanager
def tensorboard_writer(folder: Path) -> Iterator[Any]:
    """Yield TensorBoard's writer of event files into the folder. Raises ValueError if it is not installed."""
    require_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    try:
        yield writer
    finally:
        writer.close()


def write_curves(folder: Path) -> list[Path]:
    """Draw the curves of the run in a folder, or of the stages below it; return the paths of the images.

    Raises ValueError if no log has a step.
    """
    logs = sorted(folder.glob(LOG_NAME)) or sorted(folder.glob(f"*/{LOG_NAME}"))
    paths = []
    for log in logs:
        if steps := _read_steps(log):
            path = log.with_name(CURVES_NAME)
            draw_curves(log.parent.name, steps).savefig(path, dpi=110)
            paths.append(path)
    if not paths:
        raise ValueError(f"{folder}: there is no {LOG_NAME} with a step in it, nor in the folder of a stage below")
    return paths


def _read_steps(log: Path) -> list[Mapping[str, Any]]:
    """Return the lines of steps with their numbers as floats, without lines that lack what the first step has."""
    steps: list[Mapping[str, Any]] = []
    for line in read_log(log):
        losses = line.get("losses")
        if not isinstance(losses, dict) or not losses or not 0 <= line.get("step", -1) <= MAX_STEP:
            continue
        if steps and losses.keys() != steps[0]["losses"].keys():
            continue
        values = {name: _as_float(value) for name, value in losses.items()}
        lr = _as_float(line.get("lr"))
        if lr is not None and None not in values.values():
            steps.append({**line, "losses": values, "lr": lr})
    return steps


def _as_float(value: Any) -> float | None:
    """Return a number of the log, which has NaN and infinities as text; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def draw_curves(title: str, steps: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw every loss, and the learning rate below, against the step."""
    from matplotlib.figure import Figure

    from linbench.reports.render.figure import literal

    figure = Figure(figsize=(8, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    x = np.array([step["step"] for step in steps])
    for name, color in zip(steps[0]["losses"], COLORS, strict=False):
        y = np.array([step["losses"][name] for step in steps])
        mean = running_mean(y)
        above.plot(x, y, color=color, alpha=0.3, linewidth=0.8)
        above.plot(x, mean, color=color, linewidth=1.8, label=f"{literal(name, MAX_NAME)} (last {mean[-1]:.4g})")
    above.set_yscale("log")
    above.set_ylabel("loss")
    heading = f"{literal(title, MAX_NAME)}: {len(steps)} steps; bold: mean of the last {_window(len(x))}"
    above.set_title(heading, loc="left", fontsize=10)
    above.legend(frameon=False)
    below.plot(x, [step["lr"] for step in steps], color="#444444", linewidth=1.2)
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    below.set_ylim(bottom=0)
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def running_mean(y: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return each value's mean with those before it, over SMOOTHED_FRACTION of all; fewer at the start."""
    window = _window(len(y))
    total = np.concatenate([[0.0], np.cumsum(y)])
    end = np.arange(1, len(y) + 1)
    start = np.maximum(0, end - window)
    return (total[end] - total[start]) / (end - start)


def _window(count: int) -> int:
    return max(1, round(SMOOTHED_FRACTION * count))
