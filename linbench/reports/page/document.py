"""The page: template, style and script of this folder around the columns of all records.

A browser may run the one script and apply the one style whose hashes the page names, and may load nothing: the
policy stands in the page itself. The script makes every element by itself and sets texts as text, so that a name
from a record is never markup; the data stand in a block that no browser runs.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from linbench import __version__
from linbench.records import Record, key_hash
from linbench.reports.latency.rows import comparisons
from linbench.reports.page.cells import cells
from linbench.reports.page.columns import STEP, Texts, columns, samples_of_a_round
from linbench.reports.page.kernels import kernels
from linbench.reports.page.scenes import scenes
from linbench.reports.page.scores import MOST_SCORES, scores
from linbench.reports.render.palette import Colour, colour
from linbench.reports.render.table import Table

HERE = Path(__file__).parent
#: Joined in this order into one script.
SCRIPTS = ("elements", "state", "marks", "table", "axes", "points", "curves", "front", "scores", "drill", "start")
COLOURS = 12
#: Lightness and chroma of lines on a light and on a dark ground.
ON_LIGHT, ON_DARK = ((0.56, 0.47, 0.62), 0.13), ((0.78, 0.70, 0.86), 0.11)
#: What would end a block of data, or a line of it, too early for some reader.
UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True)
class Found:
    """What a page is made of.

    latency, accuracy, ops: Rows of the latency, accuracy and kernel records; empty where there are none.
    tables: The latency table of each comparison of ``latency``.
    faults: Path and reason of each record that was skipped.
    """

    records: Sequence[Record]
    latency: pd.DataFrame
    accuracy: pd.DataFrame
    ops: pd.DataFrame
    tables: Sequence[Table]
    faults: Sequence[tuple[str, str]] = ()


def html(found: Found) -> str:
    """The page as text."""
    template = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    style = template.get_template("style.css.j2").render(
        light=[_css(colour(i, *ON_LIGHT)) for i in range(COLOURS)],
        dark=[_css(colour(i, *ON_DARK)) for i in range(COLOURS)],
    )
    script = "".join(["'use strict';\n", *((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)])
    return template.get_template("page.html.j2").render(
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        data=Markup(embedded(data(found))),
        version=__version__,
        records=len(found.records),
        faults=found.faults,
    )


def data(found: Found) -> dict[str, Any]:
    """Everything that the script shows, as plain values."""
    texts = Texts()
    records = {key_hash(record.key): record for record in found.records}
    groups = comparisons(found.latency)
    limit = samples_of_a_round(len(found.latency))
    measures, rows = scores(found.accuracy, records, texts, min(3 * limit, MOST_SCORES))
    return {
        **scenes(groups, found.tables, texts),
        "cells": columns(cells(groups, records, texts, limit)),
        "measures": measures,
        "scores": columns(rows),
        "kernels": columns(kernels(found.ops, texts)),
        "limits": {"samples": limit, "scores": min(3 * limit, MOST_SCORES), "step": STEP},
        "latest": max(_starts(found.records), default=""),
        "texts": texts.all,
        "environments": texts.environments,
    }


def embedded(values: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element of any page; raises ValueError on a number that is none."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter, escaped in UNSAFE.items():
        text = text.replace(letter, escaped)
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _starts(records: Iterable[Record]) -> Iterable[str]:
    return (str(entry["started"]) for record in records for entry in record.rounds if entry.get("started"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _css(of: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*of)
