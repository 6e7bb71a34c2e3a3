"""The page: template, style, script and figures around the columns of all records.

A browser may run the one script and apply the one style whose hashes the page names, and may load nothing: the
policy stands in the page itself. The script makes every element by itself and sets texts as text, so that a name
from a record is never markup; the data stand in a block that no browser runs. Figures are matplotlib's SVG, whose
texts are escaped and which has no style or script of its own.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from linbench import __version__
from linbench.records import Record, key_hash
from linbench.reports.kernels import table as kernel_table
from linbench.reports.latency.figure import ACCURACY, LATENCY, MEMORY, bare_figure
from linbench.reports.latency.rows import comparisons, conditions
from linbench.reports.page.accuracy import MOST_SCORES, measure_groups, measures, scores
from linbench.reports.page.columns import STEP, TextPool, as_columns, samples_per_round
from linbench.reports.page.latency import cells, scenes
from linbench.reports.render.figure import embedded_svg, mark_paths, style
from linbench.reports.render.palette import SERIES, SERIES_ON_DARK, Look, looks_of
from linbench.reports.render.table import Table

HERE = Path(__file__).parent
#: Joined in this order into one script.
SCRIPTS = ("elements", "state", "points", "curves", "front", "tables", "details", "start")
#: What would end a block of data, or a line of it, too early for some reader.
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class PageContent:
    """All that a page shows.

    latency, accuracy, kernels: Rows of the records of these kinds; empty where there are none.
    tables: The latency table of each comparison of ``latency``.
    faults: Path and reason of each record that was skipped.
    """

    records: Sequence[Record]
    latency: pd.DataFrame
    accuracy: pd.DataFrame
    kernels: pd.DataFrame
    tables: Sequence[Table]
    faults: Sequence[tuple[str, str]] = ()


def html(content: PageContent) -> str:
    """Return the page as text."""
    groups, measured = comparisons(content.latency), measure_groups(content.accuracy)
    looks = looks_of(dict.fromkeys(label for group in (*groups, *measured) for label in group["label"]))
    template = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    css = template.get_template("style.css.j2").render(light=SERIES, dark=SERIES_ON_DARK)
    script = "".join(["'use strict';\n", *((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)])
    return template.get_template("page.html.j2").render(
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(css)}'; base-uri 'none'; "
        "form-action 'none'",
        style=Markup(css),
        script=Markup(script),
        data=Markup(json_block(page_data(content, groups, measured, looks))),
        marks=mark_paths(),
        figures=[(name, Markup(svg)) for name, svg in figures(groups, measured, looks)],
        kernels=[
            (conditions(group).get("device", ""), kernel_table.build(group)) for group in comparisons(content.kernels)
        ],
        version=__version__,
        records=len(content.records),
        faults=content.faults,
    )


def page_data(
    content: PageContent, groups: list[pd.DataFrame], measured: list[pd.DataFrame], looks: Mapping[str, Look]
) -> dict[str, Any]:
    """Return everything that the script shows, as plain values."""
    pool = TextPool()
    records = {key_hash(record.key): record for record in content.records}
    limit = samples_per_round(len(content.latency))
    most_scores = min(3 * limit, MOST_SCORES)
    return {
        **scenes(groups, content.tables, pool),
        "looks": [
            {"label": pool.index(label), "series": look.series, "mark": look.mark, "dash": look.dash_array}
            for label, look in looks.items()
        ],
        "cells": as_columns(cells(groups, records, pool, limit)),
        "measures": measures(measured, pool),
        "scores": as_columns(scores(measured, records, pool, most_scores)),
        "limits": {"samples": limit, "scores": most_scores, "step": STEP},
        "latest": max(_starts(content.records), default=""),
        "texts": pool.texts,
        "environments": pool.environments,
    }


def figures(
    groups: Sequence[pd.DataFrame], measured: Sequence[pd.DataFrame], looks: Mapping[str, Look]
) -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG of each figure in which something was measured.

    A name is the quantity and the index of the comparison or measure: ``latency-0``, ``memory-0``, ``accuracy-2``.
    The marks of a model stand in the order of its measured rows, from the smallest resolution to the largest.
    """
    wanted = [
        *((f"latency-{i}", rows, LATENCY) for i, rows in enumerate(groups)),
        *((f"memory-{i}", rows, MEMORY) for i, rows in enumerate(groups)),
        *((f"accuracy-{i}", rows[rows["status"] == "ok"], ACCURACY) for i, rows in enumerate(measured)),
    ]
    with style():
        for name, rows, quantity in wanted:
            figure = bare_figure(rows, looks, quantity)
            if figure is not None:
                yield name, embedded_svg(figure)


def json_block(values: Mapping[str, Any]) -> str:
    """Return JSON that may stand inside a script element of any page; raises ValueError on NaN and infinity."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter, escape in UNSAFE.items():
        text = text.replace(letter, escape)
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _starts(records: Iterable[Record]) -> Iterable[str]:
    return (str(entry["started"]) for record in records for entry in record.rounds if entry.get("started"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
