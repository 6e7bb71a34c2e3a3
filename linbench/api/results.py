"""What a measurement returns: records, as a frame, a table and a figure."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from linbench.records import Record, Store
from linbench.reports.frame import tidy_frame
from linbench.reports.latency.figure import INCHES, curves
from linbench.reports.latency.rows import comparisons, rows
from linbench.reports.latency.table import build, title
from linbench.reports.render.figure import style
from linbench.reports.render.palette import looks_of
from linbench.reports.render.table import Table, to_html, to_terminal


class ShownFigure(Figure):
    """A figure that a notebook shows by itself, where pyplot was not imported to do it."""

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png")
        return image.getvalue()


@dataclass(frozen=True)
class Results:
    """Records of timed cells. Printed, and shown by a notebook, as the tables of the report."""

    records: tuple[Record, ...]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each model × size × batch × …; ``reports.frame.COLUMNS`` explains the columns."""
        return tidy_frame(self.records)

    def plot(self, path: str | Path | None = None) -> ShownFigure:
        """Draw latency against resolution, a panel for each set of conditions, and write it to ``path`` if given.

        A notebook shows the figure that is returned. Raises ValueError where nothing was measured.
        """
        groups = [group for group in comparisons(rows(self.records)) if (group["status"] == "ok").any()]
        if not groups:
            reasons = sorted({f"{record.status}: {record.reason}" for record in self.records})
            raise ValueError(f"nothing to plot: {'; '.join(reasons) or 'no records'}")
        looks = looks_of(dict.fromkeys(label for group in groups for label in group["label"]))
        width, height = INCHES
        with style():
            figure = ShownFigure(figsize=(width, height * len(groups)), layout="constrained")
            for axes, group in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups, strict=True):
                curves(axes, group, looks)
                axes.set(title=title(group), xlabel="resolution, px", ylabel="latency, ms")
                axes.legend(loc="upper left")
        if path is not None:
            figure.savefig(path)
        return figure

    def tables(self) -> list[Table]:
        """Return the latency table of each set of conditions, as the report prints it."""
        return [build(group) for group in comparisons(rows(self.records))]

    def __repr__(self) -> str:
        return "\n\n".join(to_terminal(table, 80) for table in self.tables()) or "no results"

    def _repr_html_(self) -> str:
        return "\n".join(map(to_html, self.tables())) or "no results"


def load_results(*folders: str | Path) -> pd.DataFrame:
    """Return every record of results folders as one tidy frame, the same columns as ``Results.to_pandas``.

    A file that is no record is named in a warning and left out. Raises FileNotFoundError for a missing folder.
    """
    records: list[Record] = []
    for folder in folders or ("results",):
        records += read_records(folder)
    return tidy_frame(records)


def read_records(folder: str | Path) -> list[Record]:
    """Return the records of a folder; a file that is none is named in a warning. Raises FileNotFoundError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such results folder; `linbench run --results {folder}` makes one")
    store = Store(folder)
    records = list(store)
    for path, reason in store.faults:
        warnings.warn(f"left out: {path}: {reason}", stacklevel=3)
    return records
