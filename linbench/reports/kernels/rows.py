"""Kernel records as a table with one row each: the op's time, what it is of each yardstick and of the roofline.

Ratios are taken within a round, whose process timed both in turn, and their median over the rounds stands. The
roofline is the larger of bytes / measured copy rate and FLOPs / measured rate of matrix products.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from linbench.records import BadRecord, Record, Status, key_hash
from linbench.reports.latency.rows import phases, times, timings

SUITE = "kernels"
VARIES = ("op", "case", "batch", "tokens", "width", "direction", "impl")
YARDSTICKS = ("copy", "linear", "sdpa")
SHORT = {"forward": "fwd", "backward": "bwd"}


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row for each record of the suite; of two records with one key the later counts.

    code_hashes: The present hash of the measuring code for each op; a row of another one is ``stale``.

    Raises BadRecord where a key lacks an op, a case or a direction.
    """
    kept = {key_digest(record): record for record in records if record.key.get("suite") == SUITE}
    frame = pd.DataFrame([_row(digest, record, code_hashes or {}) for digest, record in kept.items()])
    if frame.empty:
        return frame
    order = ["comparison", "op", "width", "tokens", "case", "impl", "direction"]
    down = [name != "direction" for name in order]
    return frame.sort_values(order, ascending=down, kind="stable").reset_index(drop=True)


def key_digest(record: Record) -> str:
    """The hash of a kernel record's key; raises BadRecord where the key lacks an op, a case or a direction."""
    for name in ("op", "case", "direction"):
        if not isinstance(record.key.get(name), str) or not record.key[name]:
            raise BadRecord(f"key: a kernel record needs {name}, found {record.key.get(name)!r:.80}")
    try:
        return key_hash(record.key)
    except ValueError as error:
        raise BadRecord(f"key: {record.key['op']:.80} holds a number that is none: {error}") from error


def _row(digest: str, record: Record, code_hashes: Mapping[str, str]) -> dict[str, Any]:
    key, status, reason = dict(record.key), record.status, record.reason
    samples = [timings(entry) for entry in record.rounds]
    if status is Status.OK and (not samples or None in samples):
        status, reason = Status.FAILED, "the record says ok, but a round of it has no samples that are times"
    present = code_hashes.get(key["op"])
    entries = record.rounds if status is Status.OK else ()
    known = phases(record.rounds)
    return {
        **key,
        "label": _label(key),
        "status": status.value,
        "reason": reason,
        "stale": present is not None and present != record.code_hash,
        **times([part for part in samples if part] if status is Status.OK else []),
        "converged": status is Status.OK and all(entry.get("converged") is True for entry in record.rounds),
        **{name: known[name] for name in ("kernel_error", "throttled", "others_share", "cpu_share")},
        **_beside(entries, _work(record.metrics, "bytes"), _work(record.metrics, "flops")),
        "left_out": _left_out(entries),
        "torch": str(record.environment.get("torch", "")),
        "git_commit": str(record.environment.get("git_commit", "")),
        "git_dirty": bool(record.environment.get("git_dirty", False)),
        "code_hash": record.code_hash,
        "key_hash": digest,
        "comparison": json.dumps({k: v for k, v in key.items() if k not in VARIES}, sort_keys=True),
    }


def _label(key: Mapping[str, Any]) -> str:
    impl = "" if key.get("impl") == "fast" else f" {key.get('impl')}"
    return f"{key['op']} {key['case']} {SHORT.get(key['direction'], key['direction'])}{impl}"


def _beside(entries: Sequence[Mapping[str, Any]], moved: float, flops: float) -> dict[str, Any]:
    """Of each round the op's time over each yardstick's and over the roofline; NaN where one was not taken."""
    ops = np.array([_median(entry) for entry in entries])
    each = {name: np.array([_median(_yardstick(entry, name)) for entry in entries]) for name in YARDSTICKS}
    copied = np.array([_rate(entry, "stream", "bytes") for entry in entries])  # bytes/ms
    product = np.array([_rate(entry, "matmul", "flops") for entry in entries])  # FLOP/ms
    by_bytes, by_flops = moved / copied, flops / product
    roof = np.maximum(by_bytes, by_flops)
    over = ops / roof
    return {
        "bytes": moved,
        "flops": flops,
        **{f"{name}_ms": _middle(ms) for name, ms in each.items()},
        **{f"of_{name}": _middle(ops / ms) for name, ms in each.items()},
        "copy_gb_s": _middle(copied) / 1e6,
        "product_gflop_s": _middle(product) / 1e6,
        "roofline_ms": _middle(roof),
        "bound": "" if not len(ops) else "bytes" if _middle(by_bytes) >= _middle(by_flops) else "FLOPs",
        "of_roofline": _middle(over),
        "of_roofline_low": float(np.min(over)) if len(over) else math.nan,
        "of_roofline_high": float(np.max(over)) if len(over) else math.nan,
    }


def _middle(values: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    return float(np.median(values)) if len(values) else math.nan


def _yardstick(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = entry.get("yardsticks")
    part = found.get(name) if isinstance(found, dict) else None
    return part if isinstance(part, dict) else {}


def _median(part: Mapping[str, Any]) -> float:
    """The median of its samples in ms; NaN where there are none."""
    found = timings(part)
    return float(np.median(found)) if found else math.nan


def _rate(entry: Mapping[str, Any], name: str, work: str) -> float:
    part = _yardstick(entry, name)
    return _number(part.get(work)) / _median(part)


def _work(metrics: Mapping[str, Mapping[str, Any]], name: str) -> float:
    return _number(metrics.get(name, {}).get("value"))


def _number(value: Any) -> float:
    """A number >= 0; NaN for all else."""
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e300
    return float(value) if whole else math.nan


def _left_out(entries: Sequence[Mapping[str, Any]]) -> str:
    """Which yardsticks were not taken, and why."""
    left: dict[str, str] = {}
    for entry in entries:
        found = entry.get("left_out")
        left |= {str(name): str(why) for name, why in found.items()} if isinstance(found, dict) else {}
    return "; ".join(f"{name}: {why}" for name, why in left.items())
