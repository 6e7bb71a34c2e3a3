"""Latency against resolution, the paper's Figure 3 in numbers; below it costs paid once, and energy."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from linbench.reports.latency.notes import notes, percent, warnings
from linbench.reports.latency.rows import EAGER, conditions, duration, engine_of, parameters, significant
from linbench.reports.render.table import MISSING, Table
from linbench.reports.statistics.crossover import Crossover, crossing_of, reference_of
from linbench.reports.statistics.doubts import SUPPORTED, doubts
from linbench.reports.statistics.quality import STALE, quality
from linbench.reports.statistics.scaling import Exponent, area_tokens, curve, exponent

Row = Mapping[str, Any]


#: Columns of what is paid once, and of what is checked before the first sample; those of ALWAYS in every table.
ONCE = {
    "load_s": "load\ns",
    "first_forward_s": "first forward\ns",
    "kernel_compile_s": "kernel compile\ns",
    "compile_s": "compile, capture\ns",
    "export_s": "export\ns",
    "artifact_mib": "artifact\nMiB",
    "engine_error": "error",
}
ALWAYS = ("load_s", "first_forward_s", "kernel_compile_s")
ONCE_NOTES = {
    "compile_s": "compile, capture: torch.compile and a CUDA graph; the first forward does not contain them.",
    "export_s": "export: once for all rounds, in a process of its own. load: reading and compiling the artifact.",
    "engine_error": "error: max|diff| / max|eager float32| of the outputs, on drawn weights and two images.",
}


@dataclass(frozen=True)
class Scaling:
    """What the curve of one model supports; None where nothing is stated.

    stale: The labels of all models of the comparison that have a stale cell.
    """

    label: str
    exponent: Exponent | None
    crossover: Crossover | None
    stale: frozenset[str]

    def texts(self) -> tuple[str, str, str]:
        """Return the exponent, that of the last doubling, and the crossover as cells of a table."""
        fit, mark = self.exponent, self._mark(self.label)
        crossing, both = self.crossover, (self.label, self.crossover.reference if self.crossover else "")
        return (
            MISSING if fit is None else exponent_text(fit) + mark,
            MISSING if fit is None or math.isnan(fit.last_doubling) else f"{fit.last_doubling:.2f}{mark}",
            MISSING if crossing is None else f"{crossing}{self._mark(*both)}",
        )

    def _mark(self, *labels: str) -> str:
        return "" if self.stale.isdisjoint(labels) else STALE


def build(rows: pd.DataFrame) -> Table:
    """Return the latency table of one comparison: a line for each model, a column for each resolution.

    Exponents and crossovers have columns only where one is stated.

    rows: From ``rows.comparisons``.
    """
    sizes = _sizes(rows)
    largest = sizes[-1]
    models = _models(rows)
    scaling = scalings(rows)
    is_fitted = any(model.exponent for model in scaling.values())
    is_crossed = len(sizes) > 1 and any(model.crossover for model in scaling.values())
    shown = [*[0, 1] * is_fitted, *[2] * is_crossed]  # of Scaling.texts
    lines = []
    for label, cells in models.items():
        by_size = {str(row["size"]): row for row in cells}
        top = by_size.get(largest)
        texts = scaling[label].texts()
        lines.append(
            (
                label,
                *(latency(by_size.get(size)) for size in sizes),
                _parameters(cells, largest),
                str(top["gflops"]) or MISSING if top is not None else MISSING,
                _peak(top),
                *(texts[i] for i in shown),
            )
        )
    heads = ("exponent\nof tokens", "last\ndoubling", "crossover\nwith ViT, px")
    columns = (
        *("backbone", *sizes),
        *(f"params M\n{largest}", f"GFLOP\n{largest}", f"peak MiB\n{largest}"),
        *(heads[i] for i in shown),
    )
    exponents = {label: model.exponent for label, model in scaling.items()}
    crossings = {label: model.crossover for label, model in scaling.items() if is_crossed}
    return Table(title(rows), columns, tuple(lines), notes(rows, exponents, crossings), tuple(warnings(rows)))


def scalings(rows: pd.DataFrame) -> dict[str, Scaling]:
    """Return what the curve of each model of one comparison supports."""
    lean = rows[list(SUPPORTED)]  # a frame of sixty columns is slow to cut
    return dict(_scalings(json.dumps(lean.to_dict(orient="list"))))


@lru_cache(maxsize=256)  # the table and the page state the same
def _scalings(content: str) -> Mapping[str, Scaling]:
    """Return the scaling of each model of a frame, which is written as JSON so that equal frames are one key."""
    rows = pd.DataFrame(json.loads(content))
    models = {str(label): group for label, group in rows.groupby("label", sort=False)}
    curves = {label: curve(group, area_tokens(group)) for label, group in models.items()}
    doubtful = {doubt.label for doubt in doubts(rows)}
    stale = frozenset(rows.loc[rows["stale"], "label"])
    result = {}
    for label, group in models.items():
        other = reference_of(label, rows)
        is_crossed = other is not None and doubtful.isdisjoint((label, other))
        result[label] = Scaling(
            label,
            None if label in doubtful else exponent(group),
            crossing_of(other, curves[label], curves[other]) if other is not None and is_crossed else None,
            stale,
        )
    return result


def phases(rows: pd.DataFrame) -> Table:
    """Return what each process pays once, at the largest resolution that ran; it is part of no latency."""
    lines = []
    shown = {name: head for name, head in ONCE.items() if name in ALWAYS or bool(rows[name].notna().any())}
    for label, cells in _models(rows[["label", "status", "size", *shown]]).items():
        last = next((row for row in reversed(cells) if row["status"] in ("ok", "wrong")), None)
        values = [MISSING if last is None else _once(name, float(last[name])) for name in shown]
        lines.append((label, MISSING if last is None else str(last["size"]), *values))
    texts = ["Each process pays these costs once; no latency above contains them. Medians over the rounds."]
    texts += [text for name, text in ONCE_NOTES.items() if name in shown]
    heading = f"Before the first sample of the {timed(rows)}: {subject(rows)}"
    return Table(heading, ("backbone", "at", *shown.values()), tuple(lines), tuple(texts))


def _once(name: str, value: float) -> str:
    return f"{value:.0e}" if name == "engine_error" and not math.isnan(value) else _first_number([value])


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
    return f"{name} for {boxes(prompts)}" if prompts else name


def boxes(count: int) -> str:
    """Return a number of box prompts with its noun."""
    return f"{count:g} {'box' if count == 1 else 'boxes'}"


def subject(rows: pd.DataFrame) -> str:
    """Return device, preset, dtype, threads and a batch other than 1 of one comparison."""
    key = conditions(rows)
    threads = f"{key['threads']} threads" if "threads" in key and key.get("device_type") == "cpu" else ""
    engine = engine_of(key) if engine_of(key) != EAGER else ""
    parts = [key.get("device", "unknown device"), key.get("preset", ""), engine, key.get("dtype", ""), threads]
    parts += [f"batch {batch}"] if (batch := key.get("batch", 1)) != 1 and "backbone" in rows else []
    return ", ".join(str(part) for part in parts if part)


def latency(row: "Row | pd.Series | None") -> str:
    """Return one cell: "123 ms ±1.2 %" or "17.1 s" with its marks, the status where it is not ok, or a dash."""
    if row is None:
        return MISSING
    if row["status"] != "ok":
        return str(row["status"]) + (STALE if row["stale"] else "")
    known = quality(dict(row))
    text = f"{known.prefix}{duration(row['median_ms'])}"
    if row["interval"] != "none":
        half = max(row["high_ms"] - row["median_ms"], row["median_ms"] - row["low_ms"]) / row["median_ms"] * 100
        text += f" ±{percent(half)}"
    return text + known.suffix


def exponent_text(fit: Exponent) -> str:
    """Return an exponent with its interval, "1.98 ±0.02"; the interval is rounded up."""
    half = max(fit.high - fit.value, fit.value - fit.low)
    return f"{fit.value:.2f}" + ("" if math.isnan(half) else f" ±{math.ceil(half * 100 - 1e-9) / 100:.2f}")


def _models(rows: pd.DataFrame) -> dict[str, list[Row]]:
    """Return the cells of each model, in their order; as dictionaries, since a frame is slow to take rows from."""
    models: dict[str, list[Row]] = {}
    for row in rows.to_dict(orient="records"):
        models.setdefault(str(row["label"]), []).append({str(name): value for name, value in row.items()})
    return models


def _sizes(rows: pd.DataFrame) -> list[str]:
    return [str(size) for size in rows.sort_values(["pixels", "height"])["size"].unique()]


def _parameters(cells: Sequence[Row], largest: str) -> str:
    """Return the parameters in millions, with their size where it is not the ``largest`` of the table."""
    millions, size = parameters(cells)
    if not size:
        return MISSING
    return significant(millions) + ("" if size == largest else f" at {size}")


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
