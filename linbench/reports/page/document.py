"""The page: template, style, script and figures around the columns of all records.

A browser may run the one script and apply the one style whose hashes the page names, and may load nothing: the
policy stands in the page itself. The script makes every element by itself and sets texts as text, so that a name
from a record is never markup; the data stand in a block that no browser runs.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from linbench import __version__
from linbench.records import Record, key_hash
from linbench.reports.kernels import table as kernel_table
from linbench.reports.latency.figure import ACCURACY, LATENCY, MEMORY
from linbench.reports.latency.rows import comparisons, conditions
from linbench.reports.latency.table import Scaling, scalings
from linbench.reports.page.accuracy import (
    FEW_IMAGES,
    FEWEST_IMAGES,
    MOST_SCORES,
    SKIPPED,
    measure_groups,
    measures,
    scores,
)
from linbench.reports.page.columns import STEP, TextPool, as_columns, dictionaries, samples_per_round
from linbench.reports.page.figure import figures, mark_paths
from linbench.reports.page.latency import cells, scenes
from linbench.reports.page.profile import KINDS, MOST_PROFILES, views
from linbench.reports.page.throughput import comparison_data, throughputs
from linbench.reports.render.palette import SERIES, SERIES_ON_DARK, Look, looks_of
from linbench.reports.render.table import Table
from linbench.reports.statistics.quality import (
    COLUMNS,
    DISTURBED,
    FEW_ROUNDS,
    MOST_BY_OTHERS,
    NOT_CONVERGED,
    STALE,
    THROTTLED,
    headline,
    quality,
)
from linbench.reports.throughput.figure import THROUGHPUT

HERE = Path(__file__).parent
#: Joined in this order into one script.
SCRIPTS = ("elements", "state", "points", "curves", "throughput", "front", "tables", "details", "start")
#: Name and meaning of each sign that the page shows beside a number.
SIGNS = {
    NOT_CONVERGED: ("not converged", "time ran out before the interval was within ±1 %."),
    FEW_ROUNDS: ("few rounds", "the interval covers only the differences within a process; three rounds tell more."),
    DISTURBED: ("disturbed", f"other programs used more than {MOST_BY_OTHERS:.0%} of the cores.".replace("%", " %")),
    THROTTLED: ("throttled", "the device was throttled, also when the round was repeated."),
    STALE: ("stale", "the code that measured it has changed; linbench run --redo stale measures it again."),
    FEW_IMAGES: ("few images", f"fewer than {FEWEST_IMAGES}: their interval is too narrow."),
    SKIPPED: ("images skipped", "faulty images or annotations are left out; the record lists them."),
}
#: What would end a block of data, or a line of it, too early for some reader.
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class PageContent:
    """All that a page shows.

    latency, accuracy, kernels, throughput: Rows of the records of these kinds; empty where there are none.
    tables: The latency table of each comparison of ``latency``.
    faults: Path and reason of each file that was skipped.
    profiles: Their documents.
    """

    records: Sequence[Record]
    latency: pd.DataFrame
    accuracy: pd.DataFrame
    kernels: pd.DataFrame
    tables: Sequence[Table]
    faults: Sequence[tuple[str, str]] = ()
    throughput: pd.DataFrame = field(default_factory=pd.DataFrame)
    profiles: Sequence[Mapping[str, Any]] = ()


def html(content: PageContent) -> str:
    """Return the page as text."""
    groups, measured = comparisons(content.latency), measure_groups(content.accuracy)
    rated = comparisons(content.throughput)
    looks = looks_of(dict.fromkeys(label for group in (*groups, *measured, *rated) for label in group["label"]))
    scaling = [scalings(group) for group in groups]
    drawn = [
        *figures(
            groups, looks, LATENCY, [{name: model.crossover for name, model in models.items()} for models in scaling]
        ),
        *figures(groups, looks, MEMORY),
        *figures([rows[rows["status"] == "ok"] for rows in measured], looks, ACCURACY),
        *figures(rated, looks, THROUGHPUT),
        *figures(rated, looks, MEMORY, prefix="throughput-"),
    ]
    template = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    css = template.get_template("style.css.j2").render(
        light=SERIES, dark=SERIES_ON_DARK, kinds=[kind.colour for kind in KINDS]
    )
    script = "".join(["'use strict';\n", *((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)])
    return template.get_template("page.html.j2").render(
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(css)}'; base-uri 'none'; "
        "form-action 'none'",
        style=Markup(css),
        script=Markup(script),
        data=Markup(json_block(page_data(content, groups, measured, looks, scaling, rated))),
        marks=mark_paths(),
        figures=[(name, Markup(svg)) for name, svg in drawn],
        kernels=[
            (conditions(group).get("device", ""), kernel_table.build(group)) for group in comparisons(content.kernels)
        ],
        profiles=views(content.profiles),
        hidden_profiles=max(0, len(content.profiles) - MOST_PROFILES),
        version=__version__,
        records=len(content.records),
        faults=content.faults,
        headlines=headlines(content),
    )


def page_data(
    content: PageContent,
    groups: list[pd.DataFrame],
    measured: list[pd.DataFrame],
    looks: Mapping[str, Look],
    scaling: Sequence[Mapping[str, Scaling]],
    rated: Sequence[pd.DataFrame] = (),
) -> dict[str, Any]:
    """Return everything that the script shows, as plain values.

    groups, rated: The comparisons of latencies and of throughputs.
    """
    pool = TextPool()
    records = {key_hash(record.key): record for record in content.records}
    limit = samples_per_round(len(content.latency))
    most_scores = min(3 * limit, MOST_SCORES)
    return {
        **scenes(groups, content.tables, scaling, pool),
        "looks": [
            {"label": pool.index(label), "series": look.series, "mark": look.mark, "dash": look.dash_array}
            for label, look in looks.items()
        ],
        "cells": as_columns(cells(groups, records, pool, limit)),
        "measures": measures(measured, pool),
        "scores": as_columns(scores(measured, records, pool, most_scores)),
        "comparisons": comparison_data(rated, pool),
        "throughputs": as_columns(throughputs(rated, records, pool)),
        "limits": {"samples": limit, "scores": most_scores, "step": STEP},
        "latest": max(_starts(content.records), default=""),
        "marks": [{"sign": sign, "name": name, "meaning": meaning} for sign, (name, meaning) in SIGNS.items()],
        "texts": pool.texts,
        "environments": pool.environments,
        "settings": pool.settings,
    }


def headlines(content: PageContent) -> list[str]:
    """Return the warnings on top of the page: how many times were disturbed."""
    nouns = {"latencies": content.latency, "throughputs": content.throughput, "kernel times": content.kernels}
    measured = {
        noun: rows.loc[rows["status"] == "ok", list(COLUMNS)] for noun, rows in nouns.items() if not rows.empty
    }
    return [text for noun, rows in measured.items() if (text := headline(map(quality, dictionaries(rows)), noun))]


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
