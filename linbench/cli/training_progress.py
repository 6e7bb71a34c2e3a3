"""How a training is shown: a bar on a terminal, a line now and then elsewhere, and a table at its end."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from linbench.train.job import Job
    from linbench.train.run import Progress

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown(speaks: bool) -> Iterator[Callable[["Progress"], None]]:
    """Yield what shows a progress on standard error.

    speaks: Whether this process is the one that does.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not speaks:
        yield lambda progress: None
    elif console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar(console: Any) -> Iterator[Callable[["Progress"], None]]:
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[told]}"),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=console) as bar:
        tasks: dict[str, Any] = {}
        clocks: dict[str, Clock] = {}

        def show(progress: "Progress") -> None:
            name = progress.job.name
            clock = clocks.setdefault(name, Clock(progress.step))
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=progress.steps, completed=progress.step, told="")
            for note in progress.notes:
                bar.console.print(f"{name}: {note}", markup=False, highlight=False)
            bar.update(tasks[name], completed=progress.step, total=progress.steps)
            if progress.outcome:
                bar.update(tasks[name], told=told(progress, clock))

        yield show


def _lines() -> Callable[["Progress"], None]:
    clocks: dict[str, Clock] = {}
    last = 0.0

    def show(progress: "Progress") -> None:
        nonlocal last
        name = progress.job.name
        first = name not in clocks
        clock = clocks.setdefault(name, Clock(progress.step))
        for note in progress.notes:
            typer.echo(f"{name}: {note}", err=True)
        if not progress.outcome:
            return
        if first or progress.step == progress.steps or time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            typer.echo(f"[{progress.step}/{progress.steps}] {name}: {told(progress, clock)}", err=True)

    return show


class Clock:
    """Images/s and the time that is left, from what was done since ``step``."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.start = time.monotonic()

    def rate(self, progress: "Progress") -> float:
        """Steps per second so far."""
        return (progress.step - self.step) / max(time.monotonic() - self.start, 1e-9)


def told(progress: "Progress", clock: Clock) -> str:
    """Loss, learning rate, images/s, time left and memory in one line."""
    outcome = progress.outcome
    assert outcome is not None
    rate = clock.rate(progress)
    left = (progress.steps - progress.step) / rate if rate else 0.0
    memory = f", {progress.memory / 2**30:.1f} GiB" if progress.memory else ""
    return (
        f"loss {outcome.losses['loss']:.4g}, lr {outcome.lr:.2g}, {rate * outcome.images:.3g} images/s, "
        f"{duration(left)} left{memory}"
    )


def duration(seconds: float) -> str:
    """Seconds as 45 s, 12 min or 3.2 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


@dataclass
class Stage:
    """What became of a stage: its last progress, and the losses of the first and the last step that were seen."""

    end: "Progress"
    losses: tuple[float, ...] = ()


class Results:
    """What became of each stage."""

    def __init__(self, jobs: "Sequence[Job]") -> None:
        self.jobs = jobs
        self.last: Progress | None = None
        self._stages: dict[str, Stage] = {}

    def add(self, progress: "Progress") -> None:
        self.last = progress
        stage = self._stages.setdefault(progress.job.name, Stage(progress))
        stage.end = progress
        if progress.outcome:
            stage.losses = (*stage.losses[:1], progress.outcome.losses["loss"])

    @property
    def finished(self) -> bool:
        return self.last is not None and self.last.finished and self.last.job == self.jobs[-1]

    def print(self, as_json: bool) -> None:
        """On standard output: a table, or JSON."""
        rows = [self._row(job) for job in self.jobs if job.name in self._stages]
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
            return
        from tabulate import tabulate

        shown = [
            {
                "stage": row["stage"],
                "steps": f"{row['step']} of {row['steps']}",
                "loss": " → ".join(f"{x:.4g}" for x in row["losses"]),
                "held-out images": ", ".join(f"{k} {v:.4g}" for k, v in row["scores"].items()),
                "checkpoint": row["checkpoint"] or "",
            }
            for row in rows
        ]
        typer.echo(tabulate(shown, headers="keys", disable_numparse=True))

    def _row(self, job: "Job") -> dict[str, Any]:
        stage = self._stages[job.name]
        end = stage.end
        return {
            "stage": job.name,
            "recipe_hash": job.recipe.hash,
            "scale": job.recipe.scale,
            "step": end.step,
            "steps": end.steps,
            "losses": list(stage.losses),
            "scores": dict(end.scores),
            "finished": end.finished,
            "checkpoint": str(job.model) if end.finished else None,
        }
