"""Training steps against resolution as a figure: images per second, or the largest batch, beside peak memory."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from linbench.reports.latency.figure import MEMORY, Quantity, curves
from linbench.reports.latency.notes import disturbed
from linbench.reports.render.figure import literal, style
from linbench.reports.render.palette import looks_of
from linbench.reports.training_step.table import is_largest, title

INCHES = (12.5, 5.2)
RATE = Quantity("training", "images/s", "images_per_s", "low_per_s", "high_per_s")
LARGEST_BATCH = Quantity("largest batch", "images", "largest")


def figure(rows: pd.DataFrame) -> Figure | None:
    """Draw one comparison's steps; None where nothing was measured."""
    rows = rows.assign(label=_curves(rows))
    left = LARGEST_BATCH if is_largest(rows) else RATE
    if left.measured(rows).empty:
        return None
    looks = looks_of(dict.fromkeys(rows["label"]))
    nothing = dict.fromkeys(looks)  # crossovers are of latencies
    with style():
        result = Figure(figsize=INCHES, layout="constrained")
        for axes, quantity in zip(result.subplots(1, 2), (left, MEMORY), strict=True):
            curves(axes, rows, looks, quantity=quantity, legend=_text, crossings=nothing)
            axes.set(xlabel="resolution, px", ylabel=f"{quantity.name}, {quantity.unit}")
        heading = [*disturbed(rows, "steps"), literal(title(rows), 140)]
        result.suptitle("\n".join(line for text in heading for line in textwrap.wrap(text, 100)), x=0.01, ha="left")
        handles = result.axes[0].get_legend_handles_labels()
        result.legend(*handles, loc="outside right upper", frameon=False, fontsize=9)
    return result


def _text(label: str, *_: object) -> str:
    """Describe a curve in the legend."""
    return literal(label, 40)


def _curves(rows: pd.DataFrame) -> list[str]:
    """Return the name of each row's curve: the model, with batch and checkpointing where there are several."""
    has_batches = not is_largest(rows) and rows["batch"].nunique() > 1
    has_both = rows["gradient_checkpointing"].nunique() > 1
    return [
        str(row["label"])
        + (f", batch {row['batch']}" if has_batches else "")
        + (", checkpointing" if has_both and row["gradient_checkpointing"] != "none" else "")
        for _, row in rows.iterrows()
    ]
