"""Images per second against resolution as a figure, with the curves of the latency figure."""

import textwrap

import pandas as pd
from matplotlib.figure import Figure

from linbench.reports.latency.figure import INCHES, Quantity, curves
from linbench.reports.latency.notes import disturbed
from linbench.reports.render.figure import literal, style
from linbench.reports.render.palette import looks_of
from linbench.reports.throughput.table import title

THROUGHPUT = Quantity("throughput", "images/s", "images_per_s", "low_per_s", "high_per_s")


def figure(rows: pd.DataFrame) -> Figure | None:
    """Draw one comparison's throughputs; None where nothing was measured."""
    if THROUGHPUT.measured(rows).empty:
        return None
    looks = looks_of(dict.fromkeys(rows["label"]))
    with style():
        result = Figure(figsize=INCHES, layout="constrained")
        axes = result.add_subplot()
        nothing = dict.fromkeys(looks)  # crossovers are of latencies
        curves(axes, rows, looks, quantity=THROUGHPUT, legend=lambda label, *_: literal(label, 28), crossings=nothing)
        axes.set_title("\n".join(textwrap.wrap(literal(title(rows), 140), 66)))
        axes.set(xlabel="resolution, px", ylabel="images/s at the best batch")
        if heading := disturbed(rows, "throughputs"):
            result.suptitle("\n".join(textwrap.wrap(heading[0], 74)), x=0.01, ha="left", fontsize=9)
        result.legend(loc="outside right upper", frameon=False, fontsize=9)
    return result
