"""Latency against resolution, as the paper's Figure 3 has it, in numbers: one table for each comparison."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from linbench.reports import choices
from linbench.reports.crossover import Crossover, crossover, reference_of
from linbench.reports.plain_text import clip
from linbench.reports.rows import conditions, significant
from linbench.reports.scaling import CURVES, Exponent, exponent
from linbench.reports.statistics import FEWEST_ROUNDS
from linbench.reports.table import MISSING, Table

Row = Mapping[str, Any]

NOT_CONVERGED = "~"
STALE = "†"
DISTURBED = "‡"
THROTTLED = "§"
MOST_BY_OTHERS = 0.1  # of all cores: what other processes may take before a cell is marked
ONE_PROCESS = "¹"
MOST_REASONS = 12
#: What a part takes and gives, where that needs saying.
PARTS = {
    "encoder": "encoder: the backbone and the neck, from an image to the maps that the decoder reads.",
    "decoder": "decoder: prompt encoder and mask decoder, from maps on the device to mask logits at stride 4.",
    "end-to-end": "end to end: encoder and decoder, from an image on the device to mask logits at stride 4.",
}


def build(rows: pd.DataFrame, reference: str | None = None) -> Table:
    """The latency table of one comparison: a line for each model, a column for each resolution.

    rows: From ``rows.comparisons``.
    reference: The backbone that crossovers are with; see ``crossover.reference_of``.
    """
    sizes = _sizes(rows)
    largest = sizes[-1]
    models = _models(rows)
    lean = rows[list(CURVES)]  # a frame of sixty columns is slow to cut
    exponents = {str(label): exponent(group) for label, group in lean.groupby("label", sort=False)}
    crossings = {label: crossover(lean, label, reference) for label in models}
    lines = []
    for label, cells in models.items():
        by_size = {str(row["size"]): row for row in cells}
        top = by_size.get(largest)
        lines.append(
            (
                label,
                *(latency(by_size.get(size)) for size in sizes),
                _number(row["parameters_m"] for row in cells),
                str(top["gflops"]) or MISSING if top is not None else MISSING,
                _peak(top),
                exponent_text(exponents[label]),
                _two_digits(found.last_doubling if (found := exponents[label]) else math.nan),
                crossover_text(crossings[label]),
            )
        )
    columns = (
        *("backbone", *sizes),
        *("params\nM", f"GFLOP\n{largest}", f"peak MiB\n{largest}"),
        *("exponent\nof tokens", "last\ndoubling", "crossover\nwith ViT, px"),
    )
    notes = [
        *_conditions(rows),
        *choices.notes(rows),
        *_rounding(rows),
        *marks(rows),
        *_scaling(exponents),
        *_crossings(rows, crossings, reference),
    ]
    return Table(title(rows), columns, tuple(lines), (*notes, *_missing_operators(rows), *_reasons(rows)))


def phases(rows: pd.DataFrame) -> Table:
    """What is paid once for each process, at the largest resolution that worked; never part of a latency."""
    lines = []
    compiled = bool(rows["compile_s"].notna().any())
    seconds = [*("load_s", "first_forward_s", "kernel_compile_s"), *(["compile_s"] if compiled else [])]
    for label, cells in _models(rows).items():
        last = next((row for row in reversed(cells) if row["status"] == "ok"), None)
        paid = [MISSING if last is None else _number([last[name]]) for name in seconds]
        lines.append((label, MISSING if last is None else str(last["size"]), *paid))
    columns = ["backbone", "at", "load\ns", "first forward\ns", "kernel compile\ns"]
    notes = ["Paid once for each process and in no latency above; medians over the rounds."]
    if compiled:
        columns.append("compile, capture\ns")
        notes.append("compile, capture: torch.compile and a CUDA graph, which are not in the first forward.")
    heading = f"Before the first sample of the {timed(rows)}: {subject(rows)}"
    return Table(heading, tuple(columns), tuple(lines), tuple(notes))


def _models(rows: pd.DataFrame) -> dict[str, list[Row]]:
    """The cells of each model, in their order; as dictionaries, since a frame is slow to take rows from."""
    found: dict[str, list[Row]] = {}
    for row in rows.to_dict(orient="records"):
        found.setdefault(str(row["label"]), []).append({str(name): value for name, value in row.items()})
    return found


def title(rows: pd.DataFrame) -> str:
    """What the rows of one comparison are."""
    return f"Latency of the {timed(rows)}: {subject(rows)}"


def timed(rows: pd.DataFrame) -> str:
    """The part that was timed, and for how many prompts: "decoder for 8 boxes", "segmenter end to end for 1 box"."""
    part, prompts = str(rows["part"].iloc[0]), rows["prompts"].iloc[0]
    whole = "segmenter end to end" if part == "end-to-end" else part
    return f"{whole} for {prompts:g} {'box' if prompts == 1 else 'boxes'}" if prompts else whole


def latency(row: "Row | pd.Series | None") -> str:
    """One cell: "123 ms ±1.2 %" with its marks, the status where it is not ok, or a dash."""
    if row is None:
        return MISSING
    stale = STALE if row["stale"] else ""
    if row["status"] != "ok":
        return str(row["status"]) + stale
    text = f"{'' if row['converged'] else NOT_CONVERGED}{significant(row['median_ms'])} ms"
    if row["interval"] != "none":
        half = max(row["high_ms"] - row["median_ms"], row["median_ms"] - row["low_ms"]) / row["median_ms"] * 100
        text += f" ±{_percent(half)}"
    disturbed = DISTURBED if row["others_share"] > MOST_BY_OTHERS else ""
    return text + _few(row["interval"]) + disturbed + (THROTTLED if row["throttled"] else "") + stale


def exponent_text(found: Exponent | None) -> str:
    """The exponent with its interval, "1.98 ±0.02"; the interval is rounded up."""
    if found is None:
        return MISSING
    half = max(found.high - found.value, found.value - found.low)
    text = f"{found.value:.2f}" + ("" if math.isnan(half) else f" ±{math.ceil(half * 100 - 1e-9) / 100:.2f}")
    return text + _few(found.interval)


def crossover_text(found: Crossover | None) -> str:
    """The crossover with its interval, in px of the side, "1130 (1090–1170)"."""
    return MISSING if found is None else str(found) + _few(found.interval)


def _few(interval: str) -> str:
    return "" if interval == "rounds" else ONE_PROCESS


def subject(rows: pd.DataFrame) -> str:
    """Device, preset, dtype and threads of one comparison."""
    key = conditions(rows)
    threads = f"{key['threads']} threads" if "threads" in key and key.get("device_type") == "cpu" else ""
    parts = [key.get("device", "unknown device"), key.get("preset", ""), key.get("dtype", ""), threads]
    return ", ".join(str(part) for part in parts if part)


def _sizes(rows: pd.DataFrame) -> list[str]:
    return [str(size) for size in rows.sort_values(["pixels", "height"])["size"].unique()]


def _conditions(rows: pd.DataFrame) -> list[str]:
    key = conditions(rows)
    named = [f"{name} {value}" for name, value in key.items() if name not in ("suite", "device", "device_type")]
    measured = rows[rows["status"] == "ok"]
    notes = [
        f"{key.get('device', 'unknown device')}; torch {counted(rows['torch'])}; attention "
        f"{counted(rows.loc[rows['attention'] != 'none', 'attention'])}; commit {commits(rows)}.",
        f"{', '.join(named)}.",
    ]
    if (said := PARTS.get(str(rows["part"].iloc[0]))) is not None:
        notes.append(said)
    if "part" not in key:
        notes.append("Measured by an earlier version of the suite, before the parts of a segmenter were timed apart.")
    if any("×" in size for size in rows["size"]):
        notes.append("A resolution is height × width.")
    if len(measured):
        kinds = "; peak memory: " + counted(measured.loc[measured["peak_kind"] != "", "peak_kind"])
        notes.append(
            f"Median over the rounds (fresh processes) of each round's median; {_range(measured['rounds'])} rounds, "
            f"{_range(measured['n'])} samples a cell{kinds}. One multiply-add is 2 FLOP."
        )
    return notes


def marks(rows: pd.DataFrame) -> list[str]:
    measured = rows[rows["status"] == "ok"]
    notes = []
    if (measured["interval"] == "rounds").any():
        notes.append(
            "±: half of the 95 % interval, its wider side; Student's t over the logarithms of the rounds' medians "
            "(five rounds halve the interval of three)."
        )
    few = measured[measured["interval"] != "rounds"]
    if len(few):
        count = _range(few["rounds"])
        notes.append(
            f"{ONE_PROCESS} {count} {'round' if count == '1' else 'rounds'}: fewer than {FEWEST_ROUNDS}, so the "
            f"interval (exact order statistics) is of the samples within a process and does not hold what differs "
            f"between processes; without ± there were too few samples."
        )
    if not measured["converged"].all():
        notes.append(f"{NOT_CONVERGED} not converged: the time was spent before the interval was within ±1 %.")
    if (measured["others_share"] > MOST_BY_OTHERS).any():
        most = measured["others_share"].max() * 100
        notes.append(f"{DISTURBED} disturbed: other processes took up to {_percent(most)} of the machine's cores.")
    if (measured["throttled"] != "").any():
        reasons = counted(measured.loc[measured["throttled"] != "", "throttled"])
        notes.append(f"{THROTTLED} throttled, also when the round was repeated: {reasons}.")
    if rows["stale"].any():
        notes.append(f"{STALE} stale: measured by other code than the present.")
    return notes


def _rounding(rows: pd.DataFrame) -> list[str]:
    """What the dtype costs in accuracy: the worst of each model's sizes."""
    worst = rows.groupby("label", sort=False)["dtype_error"].max().dropna()
    if worst.empty:
        return []
    each = ", ".join(f"{label} {error:.1e}" for label, error in worst.items())
    return [f"Off the same model in float32 by max|diff| / max|float32| over all maps, at most: {each}."]


def _scaling(exponents: dict[str, Exponent | None]) -> list[str]:
    found = {label: each for label, each in exponents.items() if each is not None}
    if not found:
        return []
    most = max(each.sizes for each in found.values())
    fewer = [f"{label} ({each.sizes})" for label, each in found.items() if each.sizes < most]
    worst = max(found, key=lambda label: found[label].misfit)
    return [
        "exponent of tokens: p of latency ∝ tokens^p, least squares over all sizes measured; last doubling: p "
        "between the largest side and half of it.",
        *([f"Fitted over fewer than {most} sizes, so not quite comparable: {', '.join(fewer)}."] if fewer else []),
        f"The interval of p holds the noise of the measurements, not the misfit of a power law: {worst} is up to "
        f"{_percent(found[worst].misfit * 100)} off its own.",
    ]


def _crossings(rows: pd.DataFrame, crossings: dict[str, Crossover | None], reference: str | None) -> list[str]:
    found = {label: each for label, each in crossings.items() if each is not None}
    if not found:
        return []
    partners: dict[str, list[str]] = {}
    for label in found:
        partners.setdefault(reference_of(label, rows, reference) or "", []).append(label)
    pairs = "; ".join(f"{', '.join(labels)} with {other}" for other, labels in partners.items())
    several = [f"{label} ({each.count})" for label, each in found.items() if each.count > 1]
    return [
        "crossover: the side of the square from which on the backbone is the faster one, with its 95 % interval; "
        "below or above the range that both were measured in where there is none, never extrapolated.",
        f"crossover of {pairs}.",
        *([f"More than one crossing, the last is given: {', '.join(several)}."] if several else []),
    ]


def _missing_operators(rows: pd.DataFrame) -> list[str]:
    lacking = rows[rows["gflops"].str.startswith("≥")].drop_duplicates("label")
    named = [f"{row['label']} ({clip(row['flops_missing'] or 'not named', 80)})" for _, row in lacking.iterrows()]
    return [f"≥: some operators have no FLOP formula: {'; '.join(named)}."] if named else []


def _reasons(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    notes = [
        f"{row['label']} at {row['size']}: {row['status']}" + (f", {row['reason']}" if row["reason"] else "")
        for _, row in failed.iterrows()
    ]
    left = len(notes) - MOST_REASONS
    return notes[:MOST_REASONS] + ([f"and {left} more, see the CSV."] if left > 0 else [])


def _peak(row: Row | None) -> str:
    if row is None:
        return MISSING
    if row["status"] != "ok":
        return str(row["status"])
    return MISSING if math.isnan(row["peak_mib"]) else f"{row['peak_mib']:.0f}"


def _number(values: Iterable[float]) -> str:
    """The first that is one."""
    return next((significant(float(value)) for value in values if not math.isnan(value)), MISSING)


def _two_digits(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 0.1 else f"{value:.2g} %"


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def counted(values: Iterable[object]) -> str:
    """The distinct values; where there are several, with how many rows have each."""
    counts = pd.Series([str(value) for value in values]).value_counts(sort=False)
    if len(counts) <= 1:
        return next(iter(map(str, counts.index)), "none")
    return ", ".join(f"{value} ({count} cells)" for value, count in counts.items())


def commits(rows: pd.DataFrame) -> str:
    dirty = rows["git_dirty"].map({True: " with changes", False: ""})
    return counted(rows["git_commit"].str.slice(0, 9).replace("", "unknown") + dirty)
