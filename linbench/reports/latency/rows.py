"""Latency records as a table with one row each, and which rows may be compared.

Rows of one comparison agree in all of their key but the backbone, its options, what only some models have (attention,
its backend, fused chains, a design of fusion) and the resolution. In the presets ``best`` and ``deployed`` each model
also has the settings that its search chose, its engine among them. Devices, presets, dtypes, engines, parts of a
segmenter and numbers of prompts never mix.

| column | contains |
|---|---|
| ``part`` | ``backbone``, ``encoder`` (with neck), ``decoder``, ``end-to-end``: what was measured |
| ``prompts`` | decoded box prompts; 0 where nothing is decoded |
| ``fusion`` | design of RWKV-SAM's refine module, ``none`` where nothing is fused |
| ``label`` | the backbone, and where one comparison has several of it: attention, fusion, options |
| ``median_ms``, ``low_ms``, ``high_ms`` | the estimate and its 95 % interval; ``interval`` names its source |
| ``parameters_m``, ``gflops``, ``peak_mib`` | of the part |
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import pandas as pd

from linbench.records import BadRecord, Record, Status, key_hash, preferred_by_key
from linbench.reports.latency.best_settings import check_search, describe_search
from linbench.reports.statistics.latency_summary import summarize
from linbench.reports.statistics.quality import MOST_BY_OTHERS

SUITE = "latency"
VARIES = ("backbone", "options", "height", "width", "attention", "sdpa_backend", "fused", "fusion")
SEARCHES = ("best", "deployed")  # the presets whose settings a search chooses
ENGINE = ("engine", "engine_version", "engine_provider", "engine_options")
#: Settings that also vary within them; `compile` is what records had before they had an engine.
SEARCHED = ("allocator", "compile", "cuda_graph", "matmul", "memory_format", *ENGINE)
WHOLE = {
    "part": "backbone",
    "prompts": 0,
    "fusion": "none",
}  # of records without parts
EAGER = "eager"  # the engine that needs no mention
DESIGN = "conv"  # the fusion that needs no mention
PIXELS_PER_TOKEN = 256
MIB = 2**20
MOST = 1e300  # a larger number in a record is none
FEWEST_MS_IN_SECONDS = 10_000
#: Seconds that each process pays once, or that one process paid for all.
PAID_ONCE = ("export_s", "load_s", "first_forward_s", "kernel_compile_s", "compile_s")
PEAKS = {"allocated": "allocated on the GPU", "rss": "resident, above the process before its model"}
#: The columns of a cell's timings, in the order of the CSV.
SUMMARY = (
    *("median_ms", "low_ms", "high_ms", "interval", "iqr_ms", "p5_ms", "p95_ms", "p99_ms", "n", "rounds"),
    *("log_mean", "log_error", "freedom"),
)
HIDDEN = ("log_mean", "log_error", "freedom", "comparison", "search")  # inputs of statistics, of no use in a file


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None, suite: str = SUITE) -> pd.DataFrame:
    """Return one row for each record of the suite; of several with one key the preferred one counts (``records``).

    code_hashes: The present hash of the measuring code by ``measured``; a row of another one is ``stale``.

    Raises BadRecord where a key lacks a backbone, a height or a width.
    """
    latest = _latest(preferred_by_key((r for r in records if r.key.get("suite") == suite), key_digest))
    frame = pd.DataFrame([_row(digest, record, code_hashes or {}) for digest, record in latest.items()])
    if frame.empty:
        return frame
    frame["label"] = _labels(frame)
    first = ~frame["backbone"].str.startswith("vit-")  # the reference stands on top
    order = ["comparison", "_first", "label", "pixels", "height"]
    frame = frame.assign(_first=first).sort_values(order, kind="stable").drop(columns="_first")
    return frame.reset_index(drop=True)


def comparisons(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the groups of rows that may be compared, each with all of its rows."""
    if frame.empty:
        return []
    return [group.reset_index(drop=True) for _, group in frame.groupby("comparison", sort=False)]


def conditions(group: pd.DataFrame) -> dict[str, Any]:
    """Return the part of the key that all rows of one comparison share; raises ValueError on several comparisons."""
    keys = group["comparison"].unique()
    if len(keys) != 1:
        raise ValueError(f"rows must be of one comparison, got {len(keys)}; split them with comparisons()")
    return dict(json.loads(keys[0]))


def visible(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without the columns that serve computations only."""
    return frame.drop(columns=[name for name in HIDDEN if name in frame])


def measured(key: Mapping[str, Any], subject: str = "backbone") -> str:
    """Name the code behind a record: its subject, of a segmenter the part and fusion, of an evaluation the suite."""
    has_parts = "part" in key or "protocol" in key
    parts = [key[name] for name in ("part", "fusion") if has_parts and key.get(name) not in (None, WHOLE[name])]
    parts += [name for name in [engine_of(key)] if name != EAGER]
    return " ".join(map(str, (*([key["suite"]] if "protocol" in key else []), key[subject], *parts)))


def engine_of(key: Mapping[str, Any]) -> str:
    """Return the engine of a record; one without is older than engines are, and was eager or compiled."""
    return str(key.get("engine") or ("compile" if key.get("compile") is True else EAGER))


def key_digest(record: Record) -> str:
    """Return the hash of a latency record's key; raises BadRecord where it lacks a backbone, a height or a width."""
    key = record.key
    if not isinstance(key.get("backbone"), str) or not key["backbone"]:
        raise BadRecord(f"key: a latency record needs a backbone, got {key.get('backbone')!r:.80}")
    for side in ("height", "width"):
        value = key.get(side)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**20:
            raise BadRecord(f"key: {side} of {key['backbone']:.80} is {value!r:.80}; it must be below 2^20")
    if type(key.get("prompts", 0)) is not int or key.get("prompts", 0) < 0:
        raise BadRecord(f"key: prompts of {key['backbone']:.80} is {key['prompts']!r:.80}; it must be at least 0")
    check_search(record.search)
    try:
        return key_hash(key)
    except ValueError as error:
        raise BadRecord(f"key: {key['backbone']:.80} holds a number that is none: {error}") from error


def _latest(records: Mapping[str, Record]) -> dict[str, Record]:
    """Return the records without those of ``best`` whose cell was searched again later."""
    searched: dict[str, tuple[str, str]] = {}
    for digest, record in records.items():
        if record.search:
            candidate = (str(record.search.get("started", "")), digest)
            cell = _comparison(record.key) + _cell(record)
            searched[cell] = max(candidate, searched.get(cell, candidate))
    newest = {digest for _, digest in searched.values()}
    return {digest: record for digest, record in records.items() if not record.search or digest in newest}


def _cell(record: Record) -> str:
    names = ("backbone", "options", "height", "width", "fusion")
    return json.dumps({name: record.key.get(name) for name in names}, sort_keys=True)


def _comparison(key: Mapping[str, Any]) -> str:
    """Return what all rows of one comparison share, as text."""
    varies = (*VARIES, *SEARCHED) if key.get("preset") in SEARCHES else VARIES
    return json.dumps({k: v for k, v in key.items() if k not in varies}, sort_keys=True)


def _row(digest: str, record: Record, code_hashes: Mapping[str, str]) -> dict[str, Any]:
    key: dict[str, Any] = {**WHOLE, **record.key}
    status, reason = record.status, record.reason
    samples = [timings(entry) for entry in record.rounds]
    if status is Status.OK and (not samples or None in samples):
        status, reason = Status.FAILED, "the record says ok, but a round of it has no samples that are times"
    height, width = key["height"], key["width"]
    present = code_hashes.get(measured(key))
    return {
        **{name: _scalar(value) for name, value in key.items()},
        "options": json.dumps(key.get("options") or {}, sort_keys=True),
        "attention": str(key.get("attention", "none")),
        "engine": engine_of(key),
        "size": f"{height}²" if height == width else f"{height}×{width}",
        "pixels": height * width,
        "status": status.value,
        "reason": reason,
        "stale": present is not None and present != record.code_hash,
        **times([round_ms for round_ms in samples if round_ms] if status is Status.OK else []),
        "converged": status is Status.OK and all(entry.get("converged") is True for entry in record.rounds),
        **phases(record.rounds),
        **_metrics(record.metrics),
        "torch": str(record.environment.get("torch", "")),
        "git_commit": str(record.environment.get("git_commit", "")),
        "git_dirty": bool(record.environment.get("git_dirty", False)),
        "code_hash": record.code_hash,
        "key_hash": digest,
        "comparison": _comparison(record.key),
        "search": dict(record.search),
        "chosen": describe_search(record.search) if record.search else "",
    }


def times(samples: list[list[float]]) -> dict[str, Any]:
    """Return the columns of one cell's timings; NaN, 0 and "none" where there are no samples.

    samples: Milliseconds, for each round.
    """
    if not samples:
        return {**dict.fromkeys(SUMMARY, math.nan), "interval": "none", "n": 0, "rounds": 0}
    summary = summarize(samples)
    return {name: getattr(summary, name.removesuffix("_ms")) for name in SUMMARY}


def phases(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return medians over the rounds of what happens once in each process, and the peaks of memory."""
    memory = [part if isinstance(part := entry.get("peak_memory"), dict) else {} for entry in entries]
    kind = "allocated" if any("allocated_bytes" in part for part in memory) else "rss"
    errors = [part if isinstance(part := entry.get("kernel_errors"), dict) else {} for entry in entries]
    return {
        **{name: _median(entries, name) for name in PAID_ONCE},
        "artifact_mib": _largest([entry.get("artifact_bytes") for entry in entries]) / MIB,
        "engine_error": _largest([entry.get("error") for entry in entries]),
        "engine_error_allowed": _largest([entry.get("error_allowed") for entry in entries]),
        "peak_mib": _largest([_above_empty(part, f"{kind}_bytes") for part in memory]) / MIB,
        "peak_kind": PEAKS[kind] if any(f"{kind}_bytes" in part for part in memory) else "",
        "reserved_mib": _largest([part.get("reserved_bytes") for part in memory]) / MIB,
        "kernel_error": _largest([value for part in errors for value in part.values()]),
        "dtype_error": _largest([entry.get("dtype_error") for entry in entries]),
        **_energy([part if isinstance(part := entry.get("energy"), dict) else {} for entry in entries]),
        "throttled": ", ".join(dict.fromkeys(str(word) for entry in entries for word in _throttle_reasons(entry))),
        "others_share": (others := _largest([entry.get("others_share") for entry in entries])),
        "disturbed": others > MOST_BY_OTHERS,
        "cpu_share": -_largest([-_number(entry.get("cpu_share")) for entry in entries]),
    }


def _energy(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: _median(entries, name) for name in ("joules_per_image", "idle_share")}


def _throttle_reasons(entry: Mapping[str, Any]) -> list[Any]:
    return reasons if isinstance(reasons := entry.get("throttled"), list) else []


def _above_empty(memory: Mapping[str, Any], name: str) -> float:
    """Return a peak less the memory of the process before its model, where that is known."""
    empty = _number(memory.get("empty_process_bytes"))
    return _number(memory.get(name)) - (0.0 if math.isnan(empty) else empty)


def _metrics(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    flops = metrics.get("flops", {})
    billions = _number(flops.get("value")) / 1e9
    missing = flops.get("missing") or []
    is_complete = _number(flops.get("coverage")) >= 1 and not missing
    return {
        "parameters_m": _number(metrics.get("parameters", {}).get("value")) / 1e6,
        "gflops": "" if math.isnan(billions) else ("" if is_complete else "≥ ") + significant(billions),
        "flops_missing": ", ".join(map(str, missing)) if isinstance(missing, list) else str(missing),
        "tokens": _number(metrics.get("tokens", {}).get("value")),
    }


def significant(value: float) -> str:
    """Return three digits, or all before the decimal point: 0.123, 1.23, 12.3, 123, 1234."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    return f"{value:.{min(max(2 - math.floor(math.log10(abs(value))), 0), 9)}f}"


def duration(milliseconds: float) -> str:
    """Return a time in the unit that a person would write: "0.123 ms", "1234 ms", from 10,000 ms on "12.3 s"."""
    if milliseconds >= FEWEST_MS_IN_SECONDS:
        return f"{significant(milliseconds / 1000)} s"
    return f"{significant(milliseconds)} ms"


def parameters(cells: Iterable[Mapping[str, Any]]) -> tuple[float, str]:
    """Return a model's parameters, in millions, and the size of image they are for: the largest that has them.

    The size belongs to the number: a backbone with an embedding of positions has more of them at a larger image.
    NaN and "" where no cell has them.
    """
    counted = [cell for cell in cells if not math.isnan(cell["parameters_m"])]
    largest = max(counted, key=lambda cell: (cell["pixels"], cell["height"]), default=None)
    return (math.nan, "") if largest is None else (float(largest["parameters_m"]), str(largest["size"]))


def _labels(frame: pd.DataFrame) -> list[str]:
    """Return each row's backbone with its options, and with attention and fusion where a comparison has several."""
    attention, fusion = (_several(frame, name) for name in ("attention", "fusion"))
    # The notes name what the search chose.
    attention &= ~frame["preset"].isin(SEARCHES) if "preset" in frame else True
    fusion |= ~frame["fusion"].isin([WHOLE["fusion"], DESIGN])
    labels = []
    for (_, row), with_attention, with_fusion in zip(frame.iterrows(), attention, fusion, strict=True):
        details = [row["attention"]] * with_attention + [f"{row['fusion']} fusion"] * with_fusion
        options = row["options"].strip("{}").replace('"', "").replace(": ", "=")
        labels.append(
            row["backbone"] + (f" ({', '.join(details)})" if details else "") + (f" {options}" if options else "")
        )
    return labels


def _several(frame: pd.DataFrame, column: str) -> pd.Series:
    """Return whether each row's backbone has several values of the column in one comparison."""
    return frame.groupby(["comparison", "backbone"])[column].transform("nunique") > 1


def timings(entry: Mapping[str, Any]) -> list[float] | None:
    """Return a round's milliseconds; None where there are none, or where one is no positive number."""
    samples = entry.get("samples_ms")
    if not isinstance(samples, list | tuple) or not samples:
        return None
    if all(type(value) is float and 0 < value < MOST for value in samples):  # most are; one by one is slow
        return list(samples)
    numbers = [_number(value) for value in samples]
    return numbers if all(number > 0 for number in numbers) else None


def _median(entries: Sequence[Mapping[str, Any]], name: str) -> float:
    numbers = [number for entry in entries if not math.isnan(number := _number(entry.get(name)))]
    return median(numbers) if numbers else math.nan


def _largest(values: Sequence[Any]) -> float:
    return max((number for value in values if not math.isnan(number := _number(value))), default=math.nan)


def _number(value: Any) -> float:
    """Return a finite float; NaN for all else, booleans and text included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > MOST:
        return math.nan
    return float(value)


def _scalar(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value
