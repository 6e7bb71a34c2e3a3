"""The curves of a run as a picture, from its log: every loss, and the learning rate below.

linbench train --curves runs/rwkv-sam-t-paper
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linbench.reports.render.plain_text import plain
from linbench.train.log import NAME, read

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = "curves.png"
#: A curve is drawn with a mean over so large a share of its steps on top.
SMOOTHED = 0.05
MOST_STEPS = 2**53  # what a float tells apart
DOLLAR = r"\$"  # which would begin a formula
COLOURS = ("#2a6fbb", "#c4541a", "#3d8b40", "#7a4fa3", "#8a6d1d")


def write_curves(folder: Path) -> list[Path]:
    """Draw the curves of the runs in a folder: its own, or those of its stages; return the pictures.

    Raises ValueError where there is no log with a step.
    """
    logs = sorted(folder.glob(NAME)) or sorted(folder.glob(f"*/{NAME}"))
    found = {log.parent: _steps(log) for log in logs}
    pictures = []
    for run, steps in found.items():
        if steps:
            figure(run.name, steps).savefig(run / PICTURE, dpi=110)
            pictures.append(run / PICTURE)
    if not pictures:
        raise ValueError(f"{folder}: there is no {NAME} with a step in it, nor in a folder of a stage below")
    return pictures


def _steps(log: Path) -> list[Mapping[str, Any]]:
    """The lines of steps, but those that lack what is drawn: numbers, or text of numbers that JSON does not have."""
    found: list[Mapping[str, Any]] = []
    for line in read(log):
        losses = line.get("losses")
        if not isinstance(losses, dict) or not losses or not 0 <= line.get("step", -1) <= MOST_STEPS:
            continue
        if found and losses.keys() != found[0]["losses"].keys():
            continue
        numbers = [_number(value) for value in (*losses.values(), line.get("lr"))]
        if None not in numbers:
            found.append({**line, "losses": dict(zip(losses, numbers, strict=False)), "lr": numbers[-1]})
    return found


def _number(value: Any) -> float | None:
    """A number as the log has it, ``nan`` and ``inf`` as text; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def figure(title: str, steps: Sequence[Mapping[str, Any]]) -> "Figure":
    """Losses and learning rate against the step."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(8, 5.4), layout="constrained")
    above, below = made.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    x = np.array([step["step"] for step in steps])
    for name, colour in zip(steps[0]["losses"], COLOURS, strict=False):
        y = np.array([step["losses"][name] for step in steps])
        above.plot(x, y, color=colour, alpha=0.3, linewidth=0.8)
        above.plot(
            x,
            smoothed(y),
            color=colour,
            linewidth=1.8,
            label=f"{plain(name).replace('$', DOLLAR)} (last {smoothed(y)[-1]:.4g})",
        )
    above.set_yscale("log")
    above.set_ylabel("loss")
    above.set_title(
        f"{plain(title).replace('$', DOLLAR)}: {len(steps)} steps; bold: mean of the last {_window(len(x))}",
        loc="left",
        fontsize=10,
    )
    above.legend(frameon=False)
    below.plot(x, [step["lr"] for step in steps], color="#444444", linewidth=1.2)
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    below.set_ylim(bottom=0)
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return made


def smoothed(y: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Each value's mean with those before it, as many as SMOOTHED says; fewer at the start."""
    window = _window(len(y))
    total = np.concatenate([[0.0], np.cumsum(y)])
    end = np.arange(1, len(y) + 1)
    start = np.maximum(0, end - window)
    return (total[end] - total[start]) / (end - start)


def _window(count: int) -> int:
    return max(1, round(SMOOTHED * count))
