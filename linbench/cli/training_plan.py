"""What ``linbench train --dry-run`` prints: the stages, what they need, and how long they take."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from linbench.cli.training_progress import format_range

if TYPE_CHECKING:
    from accelerate import Accelerator

    from linbench.train.calibration import Seconds
    from linbench.train.plan import TrainingPlan
    from linbench.train.requirements import Requirement
    from linbench.train.run import Run, TrainingOptions

WIDTH = 80
STAGE_HEADS = ("stage", "steps", "batch", "at once", "a step", "time", "disk")
NEED_HEADS = ("needed", "images", "size", "")


def print_plans(runs: "Sequence[Run]", options: "TrainingOptions", accelerator: "Accelerator", as_json: bool) -> None:
    """Print the plan of each stage, on the main process, as tables or as JSON."""
    from linbench.train.plan import plan, start_seconds

    start = start_seconds()
    plans = [plan(run, options, accelerator) for run in runs]
    if not accelerator.is_main_process:
        return
    if as_json:
        typer.echo(json.dumps([asdict(stage) for stage in plans], indent=1))
        return
    for text in texts(plans, start):
        typer.echo(text)


def texts(plans: "Sequence[TrainingPlan]", start: "Seconds") -> Iterator[str]:
    """Yield the plan in paragraphs: the stages, what they need, the notes.

    start: Of the process, before the first stage.
    """
    from linbench.reports.render.table import MISSING, Table, to_terminal

    first = plans[0]
    processes = f"{first.devices} {first.device}" + " processes" * (first.devices > 1)
    rows = tuple(_stage_row(stage) for stage in plans)
    total = start
    for stage in plans:
        total += stage.seconds
    yield to_terminal(Table(f"Plan, on {processes}", STAGE_HEADS, rows), WIDTH)
    if needs := list(dict.fromkeys(need for stage in plans for need in stage.requirements)):
        rows = tuple(_need_row(need, MISSING) for need in needs)
        missing = [f"{need.name}: {need.source}." for need in needs if not need.location and need.source]
        yield to_terminal(Table("Data and weights", NEED_HEADS, rows, tuple(missing)), WIDTH)
    yield "\n".join(_wrapped(note) for note in _notes(plans, format_range(total.low, total.high)))


def _stage_row(stage: "TrainingPlan") -> tuple[str, ...]:
    name = stage.stage.partition(" on ")[0]
    step, seconds = stage.seconds_per_step, stage.seconds
    disk = (stage.disk_bytes + stage.cache_bytes) / 1e9
    return (
        name,
        f"{stage.steps:,}",
        str(stage.batch),
        str(stage.micro_batch),
        format_range(step.low, step.high),
        format_range(seconds.low, seconds.high),
        f"{disk:.3g} GB" if disk >= 1 else f"{1000 * disk:.0f} MB",
    )


def _need_row(need: "Requirement", unknown: str) -> tuple[str, ...]:
    images = unknown if need.images is None else f"{need.images:,}"
    size = unknown if need.gigabytes is None else f"≈ {need.gigabytes:.3g} GB"
    return need.name, images, size, "found" if need.location else "not found"


def _notes(plans: "Sequence[TrainingPlan]", total: str) -> Iterator[str]:
    random = [stage.calibrated_on == "random images" for stage in plans]
    basis = "calibrated on random images" if all(random) else "calibrated on the data, random images where it lacks"
    basis = basis if any(random) else "calibrated on the data"
    missing = any(not need.location for stage in plans for need in stage.requirements)
    why = "no data here: " if missing and any(random) else ""
    stages = f"{len(plans)} stages" if len(plans) > 1 else "the stage"
    yield f"{total} for {stages}, with start, scoring and saving; {why}{basis}."
    if any(stage.embedded_steps is not None for stage in plans):
        steps = " + ".join(f"{stage.embedded_steps:,}" for stage in plans if stage.embedded_steps is not None)
        yield (
            "This is the plan for the paper's data. Without --data DIR the command trains on shapes, the embedded "
            f"dataset, for {steps} steps."
        )
    if any(need.name.startswith("teacher") and not need.location for stage in plans for need in stage.requirements):
        yield "Without --teacher FILE the run is refused."


def _wrapped(text: str) -> str:
    import textwrap

    return textwrap.fill(text, WIDTH)
