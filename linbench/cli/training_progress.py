"""How a training is shown: a bar on a terminal, a line now and then elsewhere, and a table at its end."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from linbench.train.run import Run
    from linbench.train.training import Progress

SECONDS_BETWEEN_LINES = 10.0
FEW_IMAGES = 30  # fewer say nothing about a model


@contextmanager
def show_progress(enabled: bool) -> Iterator[Callable[["Progress"], None]]:
    """Yield a function that shows a progress on standard error, or does nothing unless ``enabled``."""
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled:
        yield lambda progress: None
    elif console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar(console: Any) -> Iterator[Callable[["Progress"], None]]:
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[summary]}"),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=console) as bar:
        tasks: dict[str, Any] = {}
        meters: dict[str, SpeedMeter] = {}

        def show(progress: "Progress") -> None:
            name = progress.run.name
            meter = meters.setdefault(name, SpeedMeter(progress.step))
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=progress.steps, completed=progress.step, summary="")
            for note in progress.notes:
                bar.console.print(f"{name}: {note}", markup=False, highlight=False)
            bar.update(tasks[name], completed=progress.step, total=progress.steps)
            if progress.result:
                bar.update(tasks[name], summary=format_progress(progress, meter))

        yield show


def _lines() -> Callable[["Progress"], None]:
    meters: dict[str, SpeedMeter] = {}
    last = 0.0

    def show(progress: "Progress") -> None:
        nonlocal last
        name = progress.run.name
        is_first = name not in meters
        meter = meters.setdefault(name, SpeedMeter(progress.step))
        for note in progress.notes:
            typer.echo(f"{name}: {note}", err=True)
        if not progress.result:
            return
        if is_first or progress.step == progress.steps or time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            typer.echo(f"[{progress.step}/{progress.steps}] {name}: {format_progress(progress, meter)}", err=True)

    return show


class SpeedMeter:
    """The speed of a run since a step.

    step: Number of steps done at the start.
    """

    def __init__(self, step: int) -> None:
        self.step = step
        self.start = time.monotonic()

    def rate(self, progress: "Progress") -> float:
        """Return steps per second so far."""
        return (progress.step - self.step) / max(time.monotonic() - self.start, 1e-9)


def format_progress(progress: "Progress", meter: SpeedMeter) -> str:
    """Return loss, learning rate, images/s, remaining time and memory in one line."""
    result = progress.result
    assert result is not None
    rate = meter.rate(progress)
    remaining = (progress.steps - progress.step) / rate if rate else 0.0
    memory = f", {progress.memory / 2**30:.1f} GiB" if progress.memory else ""
    return (
        f"loss {result.losses['loss']:.4g}, lr {result.lr:.2g}, {rate * result.images:.3g} images/s, "
        f"{format_duration(remaining)} left{memory}"
    )


#: Seconds of a unit, and those from which the next one is used.
UNITS = {"s": (1, 90), "min": (60, 90 * 60), "h": (3600, 36 * 3600), "days": (86400, 730 * 86400)}
YEAR_S = 365.25 * 86400


def format_duration(seconds: float) -> str:
    """Return seconds as 45 s, 12 min, 3.2 h, 14 days or 3.1 years."""
    unit, length = _unit(seconds)
    return (
        f"{_digits(seconds / length)} {unit}" if unit in ("h", "days", "years") else f"{seconds / length:.0f} {unit}"
    )


def format_range(low: float, high: float) -> str:
    """Return a range of seconds in the unit of its end, as 12–15 min."""
    unit, length = _unit(high)
    ends = dict.fromkeys(_digits(seconds / length) for seconds in (low, high))
    return f"{'–'.join(ends)} {unit}"


def _unit(seconds: float) -> tuple[str, float]:
    return next(((unit, length) for unit, (length, most) in UNITS.items() if seconds < most), ("years", YEAR_S))


def _digits(value: float) -> str:
    """Return a number with two digits, or all before the point."""
    return f"{value:.1f}" if 0.95 <= value < 9.95 else f"{value:.2g}" if value < 1 else f"{value:,.0f}"


@dataclass
class StageResult:
    """The result of a stage.

    last: Its last progress.
    losses: Of the first and the last step of this command.
    """

    last: "Progress"
    losses: tuple[float, ...] = ()


class TrainingResults:
    """The results of all stages.

    runs: The stages in their order.
    last: The last progress of any; None before the first.
    """

    def __init__(self, runs: "Sequence[Run]") -> None:
        self.runs = runs
        self.last: Progress | None = None
        self._stages: dict[str, StageResult] = {}

    def add(self, progress: "Progress") -> None:
        """Note a progress."""
        self.last = progress
        stage = self._stages.setdefault(progress.run.name, StageResult(progress))
        stage.last = progress
        if progress.result:
            stage.losses = (*stage.losses[:1], progress.result.losses["loss"])

    @property
    def finished(self) -> bool:
        """Whether the last stage is finished."""
        return self.last is not None and self.last.finished and self.last.run == self.runs[-1]

    def print(self, as_json: bool) -> None:
        """Print the stages on standard output, as a table or as JSON."""
        rows = [self._row(run) for run in self.runs if run.name in self._stages]
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
            return
        from linbench.reports.render.table import Table, to_terminal

        heads = ("stage", "steps", "loss")
        lines = tuple(
            (row["stage"], f"{row['step']} of {row['steps']}", " → ".join(f"{x:.4g}" for x in row["losses"]))
            for row in rows
        )
        typer.echo(to_terminal(Table("Training", heads, lines), 80))
        for row in rows:
            for line in (_scores_line(row["scores"]), row["checkpoint"]):
                if line:
                    typer.echo(f"{row['stage']}: {line}")

    def _row(self, run: "Run") -> dict[str, Any]:
        stage = self._stages[run.name]
        last = stage.last
        return {
            "stage": run.name,
            "recipe_hash": run.recipe.hash,
            "scale": run.recipe.scale,
            "step": last.step,
            "steps": last.steps,
            "losses": list(stage.losses),
            "scores": dict(last.scores),
            "finished": last.finished,
            "checkpoint": str(run.model) if last.finished else None,
        }


def _scores_line(scores: dict[str, float]) -> str:
    """Return the scores on held-out images in a line, empty without any; few images are said to be few."""
    if not scores:
        return ""
    n = int(scores.get("images", 0))
    few = ", too few to compare" if n < FEW_IMAGES else ""
    values = ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if name != "images")
    return f"{values} ({n} held-out image{'s' * (n != 1)}{few})"
