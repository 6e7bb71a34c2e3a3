"""Latency against resolution, the paper's Figure 3 in numbers; below it costs paid once, and energy."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from linbench.reports.latency.notes import few_rounds_mark, notes, percent
from linbench.reports.latency.rows import conditions, significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.crossover import Crossover, crossover
from linbench.reports.statistics.quality import STALE, quality
from linbench.reports.statistics.scaling import CURVES, Exponent, exponent

Row = Mapping[str, Any]


def build(rows: pd.DataFrame) -> Table:
    """Return the latency table of one comparison: a line for each model, a column for each resolution.

    rows: From ``rows.comparisons``.
    """
    sizes = _sizes(rows)
    largest = sizes[-1]
    models = _models(rows)
    lean = rows[list(CURVES)]  # a frame of sixty columns is slow to cut
    exponents = {str(label): exponent(group) for label, group in lean.groupby("label", sort=False)}
    crossings = {label: crossover(lean, label) for label in models}
    lines = []
    for label, cells in models.items():
        by_size = {str(row["size"]): row for row in cells}
        top = by_size.get(largest)
        fit = exponents[label]
        lines.append(
            (
                label,
                *(latency(by_size.get(size)) for size in sizes),
                _first_number(row["parameters_m"] for row in cells),
                str(top["gflops"]) or MISSING if top is not None else MISSING,
                _peak(top),
                exponent_text(fit),
                MISSING if fit is None or math.isnan(fit.last_doubling) else f"{fit.last_doubling:.2f}",
                crossover_text(crossings[label]),
            )
        )
    columns = (
        *("backbone", *sizes),
        *("params\nM", f"GFLOP\n{largest}", f"peak MiB\n{largest}"),
        *("exponent\nof tokens", "last\ndoubling", "crossover\nwith ViT, px"),
    )
    return Table(title(rows), columns, tuple(lines), notes(rows, exponents, crossings))


def phases(rows: pd.DataFrame) -> Table:
    """Return what each process pays once, at the largest resolution that ran; it is part of no latency."""
    lines = []
    has_compiled = bool(rows["compile_s"].notna().any())
    seconds = [*("load_s", "first_forward_s", "kernel_compile_s"), *(["compile_s"] if has_compiled else [])]
    for label, cells in _models(rows).items():
        last = next((row for row in reversed(cells) if row["status"] == "ok"), None)
        values = [MISSING if last is None else _first_number([last[name]]) for name in seconds]
        lines.append((label, MISSING if last is None else str(last["size"]), *values))
    columns = ["backbone", "at", "load\ns", "first forward\ns", "kernel compile\ns"]
    texts = ["Each process pays these costs once; no latency above contains them. Medians over the rounds."]
    if has_compiled:
        columns.append("compile, capture\ns")
        texts.append("compile, capture: torch.compile and a CUDA graph; the first forward does not contain them.")
    heading = f"Before the first sample of the {timed(rows)}: {subject(rows)}"
    return Table(heading, tuple(columns), tuple(lines), tuple(texts))


def energy(rows: pd.DataFrame) -> Table | None:
    """Return the joules of one image; None where no device's counter was read.

    A line for each model, a column for each resolution: "12.3 J (31 % idle)". See Energy in docs/measurement.md.
    """
    if rows["joules_per_image"].isna().all():
        return None
    sizes = _sizes(rows)
    by_label = {label: {str(row["size"]): row for row in cells} for label, cells in _models(rows).items()}
    lines = tuple((label, *(_joules(cells.get(size)) for size in sizes)) for label, cells in by_label.items())
    note = (
        "Energy of the whole board or processor package by its own counter, one image at a time for ten seconds or "
        "more; in brackets the part that the idle device uses. Medians over the rounds."
    )
    return Table(f"Energy for one image, {timed(rows)}: {subject(rows)}", ("backbone", *sizes), lines, (note,))


def title(rows: pd.DataFrame) -> str:
    """Return what the rows of one comparison are."""
    return f"Latency of the {timed(rows)}: {subject(rows)}"


def timed(rows: pd.DataFrame) -> str:
    """Return the timed part and its prompts: "decoder for 8 boxes", "segmenter end to end for 1 box"."""
    part, prompts = str(rows["part"].iloc[0]), rows["prompts"].iloc[0]
    name = "segmenter end to end" if part == "end-to-end" else part
    return f"{name} for {prompts:g} {'box' if prompts == 1 else 'boxes'}" if prompts else name


def subject(rows: pd.DataFrame) -> str:
    """Return device, preset, dtype and threads of one comparison."""
    key = conditions(rows)
    threads = f"{key['threads']} threads" if "threads" in key and key.get("device_type") == "cpu" else ""
    parts = [key.get("device", "unknown device"), key.get("preset", ""), key.get("dtype", ""), threads]
    return ", ".join(str(part) for part in parts if part)


def latency(row: "Row | pd.Series | None") -> str:
    """Return one cell: "123 ms ±1.2 %" with its marks, the status where it is not ok, or a dash."""
    if row is None:
        return MISSING
    if row["status"] != "ok":
        return str(row["status"]) + (STALE if row["stale"] else "")
    known = quality(dict(row))
    text = f"{known.prefix}{significant(row['median_ms'])} ms"
    if row["interval"] != "none":
        half = max(row["high_ms"] - row["median_ms"], row["median_ms"] - row["low_ms"]) / row["median_ms"] * 100
        text += f" ±{percent(half)}"
    return text + known.suffix


def exponent_text(fit: Exponent | None) -> str:
    """Return an exponent with its interval, "1.98 ±0.02"; the interval is rounded up."""
    if fit is None:
        return MISSING
    half = max(fit.high - fit.value, fit.value - fit.low)
    text = f"{fit.value:.2f}" + ("" if math.isnan(half) else f" ±{math.ceil(half * 100 - 1e-9) / 100:.2f}")
    return text + few_rounds_mark(fit.interval)


def crossover_text(crossing: Crossover | None) -> str:
    """Return a crossover with its interval, in px of the side, "1130 (1090–1170)"."""
    return MISSING if crossing is None else str(crossing) + few_rounds_mark(crossing.interval)


def _models(rows: pd.DataFrame) -> dict[str, list[Row]]:
    """Return the cells of each model, in their order; as dictionaries, since a frame is slow to take rows from."""
    models: dict[str, list[Row]] = {}
    for row in rows.to_dict(orient="records"):
        models.setdefault(str(row["label"]), []).append({str(name): value for name, value in row.items()})
    return models


def _sizes(rows: pd.DataFrame) -> list[str]:
    return [str(size) for size in rows.sort_values(["pixels", "height"])["size"].unique()]


def _peak(row: Row | None) -> str:
    if row is None:
        return MISSING
    if row["status"] != "ok":
        return str(row["status"])
    return MISSING if math.isnan(row["peak_mib"]) else f"{row['peak_mib']:.0f}"


def _joules(row: Row | None) -> str:
    if row is None or math.isnan(row["joules_per_image"]):
        return MISSING
    return f"{significant(row['joules_per_image'])} J ({100 * row['idle_share']:.0f} % idle)"


def _first_number(values: Iterable[float]) -> str:
    """Return the first value that is a number."""
    return next((significant(float(value)) for value in values if not math.isnan(value)), MISSING)
