"""Kernel records as columns of a page: each op beside its yardsticks."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from linbench.reports.latency.rows import comparisons, visible
from linbench.reports.latency.table import subject
from linbench.reports.page.columns import Texts, number

NUMBERS = (
    *("median_ms", "low_ms", "high_ms", "roofline_ms", "of_roofline", "of_copy", "of_linear", "of_sdpa"),
    *("kernel_error", "n", "rounds"),
)


def kernels(frame: pd.DataFrame, texts: Texts) -> Iterator[dict[str, Any]]:
    """Every row of ``kernel_rows.rows``, with the device and conditions of its comparison in words."""
    for group in comparisons(frame):
        where = subject(group)
        for row in visible(group).to_dict(orient="records"):
            yield {
                "where": texts.place(where),
                **{name: texts.place(row[name]) for name in ("device", "label", "status", "reason", "bound")},
                **{name: number(row[name]) for name in NUMBERS},
                "stale": int(bool(row["stale"])),
                "converged": int(bool(row["converged"])),
            }
