"""The notes under a latency table: conditions, marks, fits, crossovers, and the reasons of failures."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from linbench.reports.latency import best_settings
from linbench.reports.latency.commands import measure_again
from linbench.reports.latency.rows import conditions, duration
from linbench.reports.render.plain_text import clip
from linbench.reports.statistics.crossover import Crossover, reference_of
from linbench.reports.statistics.doubts import doubts, inversions
from linbench.reports.statistics.latency_summary import FEWEST_ROUNDS
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
from linbench.reports.statistics.scaling import Exponent

MOST_REASONS = 12
#: Input and output of a part, where that needs saying.
PARTS = {
    "encoder": "encoder: the backbone and the neck, from an image to the maps that the decoder reads.",
    "decoder": "decoder: prompt encoder and mask decoder, from maps on the device to mask logits at stride 4.",
    "end-to-end": "end to end: encoder and decoder, from an image on the device to mask logits at stride 4.",
}


def notes(
    rows: pd.DataFrame,
    exponents: Mapping[str, Exponent | None],
    crossings: Mapping[str, Crossover | None],
) -> tuple[str, ...]:
    """Return all notes on one comparison's table."""
    return (
        *_conditions(rows),
        *best_settings.notes(rows),
        *_rounding(rows),
        *marks(rows),
        *doubt_notes(rows),
        *_scaling({label: fit for label, fit in exponents.items() if fit}),
        *_crossings(rows, {label: crossing for label, crossing in crossings.items() if crossing is not None}),
        *_missing_operators(rows),
        *_reasons(rows),
    )


def warnings(rows: pd.DataFrame) -> list[str]:
    """Return what stands above the first number of one comparison."""
    return [*disturbed(rows), *falling_curves(rows)]


def disturbed(rows: pd.DataFrame, noun: str = "latencies") -> list[str]:
    """Return the headline of disturbed cells, where there are any."""
    ok = rows.loc[rows["status"] == "ok", list(COLUMNS)].to_dict(orient="records")
    return list(filter(None, [headline((quality(row) for row in ok), noun)]))


def falling_curves(rows: pd.DataFrame) -> list[str]:
    """Name the models of one comparison of which a larger image is faster, beyond the intervals."""
    return [
        f"{inversion.label} is faster at {inversion.larger} ({duration(inversion.larger_ms)}) than at "
        f"{inversion.smaller} ({duration(inversion.smaller_ms)}), beyond the intervals: measure both again before "
        "you use either."
        for inversion in inversions(rows)
    ]


def doubt_text(rows: pd.DataFrame) -> str:
    """Name the times of one comparison from which nothing is derived, and why; empty where there are none."""
    cells: dict[str, list[tuple[str, str]]] = {}
    for doubt in doubts(rows):
        cells.setdefault(doubt.reason, []).extend((doubt.label, size) for size in doubt.sizes)
    return "; ".join(f"{by_sizes(names)}: {reason}" for reason, names in cells.items())


def by_sizes(cells: Iterable[tuple[str, str]]) -> str:
    """Name cells, labels and sizes, with the models of equal sizes together: "vit-t, vim-t at 512², 1024²"."""
    sizes: dict[str, list[str]] = {}
    for label, size in cells:
        sizes.setdefault(label, []).append(size)
    labels: dict[tuple[str, ...], list[str]] = {}
    for label, measured in sizes.items():
        labels.setdefault(tuple(measured), []).append(label)
    return "; ".join(f"{listed(names)} at {', '.join(shared)}" for shared, names in labels.items())


def doubt_notes(rows: pd.DataFrame) -> list[str]:
    """Say which times support nothing, and which commands would change that."""
    text = doubt_text(rows)
    if not text:
        return []
    again = [f"To measure them: `{command}`" for command in measure_again(rows)]
    return [f"Nothing is derived from these times (no exponent, crossover or ranking): {text}.", *again]


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names by comma, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def counted_noun(count: int | str, noun: str) -> str:
    """Return a count with its noun: "1 round", "2 rounds", "1 to 3 rounds"."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"


def marks(rows: pd.DataFrame) -> list[str]:
    """Explain the marks on the rows' latencies."""
    measured = rows[rows["status"] == "ok"]
    lines = []
    if (measured["interval"] == "rounds").any():
        lines.append(
            "±: half of the 95 % interval, its wider side; Student's t over the logarithms of the rounds' medians "
            "(five rounds halve the interval of three)."
        )
    few = measured[measured["interval"] != "rounds"]
    if len(few):
        lines.append(
            f"{FEW_ROUNDS} {counted_noun(_range(few['rounds']), 'round')}: fewer than {FEWEST_ROUNDS}, so the "
            "interval (exact order statistics) covers the samples within a process and not the differences between "
            "processes; a latency without ± has too few samples."
        )
    if not measured["converged"].all():
        lines.append(f"{NOT_CONVERGED} not converged: time ran out before the interval was within ±1 %.")
    if (measured["others_share"] > MOST_BY_OTHERS).any():
        most = measured["others_share"].max() * 100
        lines.append(f"{DISTURBED} disturbed: other processes used up to {percent(most)} of the allowed cores.")
    if (measured["throttled"] != "").any():
        reasons = counted(measured.loc[measured["throttled"] != "", "throttled"])
        lines.append(f"{THROTTLED} throttled, also when the round was repeated: {reasons}.")
    if rows["stale"].any():
        lines.append(f"{STALE} stale: the code that measured it has changed since.")
    return lines


def counted(values: Iterable[object]) -> str:
    """Return the distinct values; where there are several, with how many rows have each."""
    counts = pd.Series([str(value) for value in values]).value_counts(sort=False)
    if len(counts) <= 1:
        return next(iter(map(str, counts.index)), "none")
    return ", ".join(f"{value} ({count} cells)" for value, count in counts.items())


def commits(rows: pd.DataFrame) -> str:
    """Return the distinct commits behind the rows, with a word where files were changed."""
    dirty = rows["git_dirty"].map({True: " with changes", False: ""})
    return counted(rows["git_commit"].str.slice(0, 9).replace("", "unknown") + dirty)


def percent(value: float) -> str:
    """Return a percentage with two digits at least: ``12 %``, ``1.2 %``, ``0.012 %``."""
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 0.1 else f"{value:.2g} %"


def _conditions(rows: pd.DataFrame) -> list[str]:
    key = conditions(rows)
    unnamed = ("suite", "device", "device_type")
    named = [f"{name} {value}" for name, value in key.items() if name not in unnamed and value != ""]
    measured = rows[rows["status"] == "ok"]
    attention = rows.loc[rows["attention"] != "none", "attention"]
    described = f"attention {counted(attention)}; " if len(attention) else ""
    lines = [
        f"{key.get('device', 'unknown device')}; torch {counted(rows['torch'])}; {described}commit {commits(rows)}.",
        f"{', '.join(named)}.",
    ]
    if (part := PARTS.get(str(rows["part"].iloc[0]))) is not None:
        lines.append(part)
    if "part" not in key:
        lines.append("Measured by an earlier version of the suite, which timed backbones only.")
    if any("×" in size for size in rows["size"]):
        lines.append("A resolution is height × width.")
    if len(measured):
        kinds = measured.loc[measured["peak_kind"] != "", "peak_kind"]
        lines.append(
            f"Median over the rounds (fresh processes) of each round's median; "
            f"{counted_noun(_range(measured['rounds']), 'round')}, {counted_noun(_range(measured['n']), 'sample')} a "
            f"cell{f'; peak memory: {counted(kinds)}' if len(kinds) else ''}. One multiply-add is 2 FLOP."
        )
    return lines


def _rounding(rows: pd.DataFrame) -> list[str]:
    """State what the dtype costs in accuracy: the largest error over each model's sizes."""
    largest = rows.groupby("label", sort=False)["dtype_error"].max().dropna()
    if largest.empty:
        return []
    errors = ", ".join(f"{label} {error:.1e}" for label, error in largest.items())
    return [f"Largest error of this dtype against float32 (max|diff| / max|float32| over all maps): {errors}."]


def _scaling(fits: Mapping[str, Exponent]) -> list[str]:
    if not fits:
        return []
    most = max(fit.sizes for fit in fits.values())
    fewer = [f"{label} ({fit.sizes})" for label, fit in fits.items() if fit.sizes < most]
    worst = max(fits, key=lambda label: fits[label].misfit)
    return [
        "exponent of tokens: p of latency ∝ tokens^p, least squares over all measured sizes; last doubling: p "
        "between the largest side and half of it.",
        *([f"Fitted over fewer than {most} sizes, so less comparable: {', '.join(fewer)}."] if fewer else []),
        f"The interval of p covers the noise of the measurements, not the misfit of a power law: {worst} is up to "
        f"{percent(fits[worst].misfit * 100)} off its fit.",
    ]


def _crossings(rows: pd.DataFrame, crossings: Mapping[str, Crossover]) -> list[str]:
    if not crossings:
        return []
    partners: dict[str, list[str]] = {}
    for label in crossings:
        partners.setdefault(reference_of(label, rows) or "", []).append(label)
    pairs = "; ".join(f"{', '.join(labels)} with {other}" for other, labels in partners.items())
    several = [f"{label} ({crossing.count})" for label, crossing in crossings.items() if crossing.count > 1]
    return [
        "crossover: the side of the square above which the backbone is the faster one, with its 95 % interval; "
        '"below" and "above" mean that the curves do not cross in the range in which both were measured. '
        "Nothing is extrapolated.",
        f"crossover of {pairs}.",
        *([f"These curves cross again; the last crossing is given: {', '.join(several)}."] if several else []),
    ]


def _missing_operators(rows: pd.DataFrame) -> list[str]:
    partial = rows[rows["gflops"].str.startswith("≥")].drop_duplicates("label")
    names = [f"{row['label']} ({clip(row['flops_missing'] or 'not named', 80)})" for _, row in partial.iterrows()]
    return [f"≥: some operators have no FLOP formula: {'; '.join(names)}."] if names else []


def _reasons(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    lines = [
        f"{row['label']} at {row['size']}: {row['status']}" + (f", {row['reason']}" if row["reason"] else "")
        for _, row in failed.iterrows()
    ]
    more = len(lines) - MOST_REASONS
    return lines[:MOST_REASONS] + ([f"{more} more failed; the CSV has their reasons."] if more > 0 else [])


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"
