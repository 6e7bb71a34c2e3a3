"""Kernel records as a table with one row each: the op's time, and its ratio to each baseline and to the roofline.

Ratios are taken within a round, whose process timed both in turn, and their median over the rounds is reported. The
roofline is the larger of bytes / measured copy rate and FLOPs / measured rate of matrix products.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from linbench.records import Record, Status, as_number, preferred_by_key
from linbench.reports.latency.rows import phases, times, timings
from linbench.reports.validation import kernel_key

SUITE = "kernels"
VARIES = ("op", "case", "batch", "tokens", "width", "direction", "impl")
BASELINES = ("copy", "linear", "sdpa")
SHORT = {"forward": "fwd", "backward": "bwd"}


def rows(records: Iterable[Record], code_hashes: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return one row for each record of the suite; of several with one key the preferred one counts (``records``).

    code_hashes: The present hash of the measuring code for each op; a row of another hash is ``stale``.

    Raises BadRecord where a key lacks an op, a case or a direction.
    """
    chosen = preferred_by_key((record for record in records if record.key.get("suite") == SUITE), kernel_key)
    frame = pd.DataFrame([_row(digest, record, code_hashes or {}) for digest, record in chosen.items()])
    if frame.empty:
        return frame
    order = ["comparison", "op", "width", "tokens", "case", "impl", "direction"]
    ascending = [name != "direction" for name in order]
    return frame.sort_values(order, ascending=ascending, kind="stable").reset_index(drop=True)


def _row(digest: str, record: Record, code_hashes: Mapping[str, str]) -> dict[str, Any]:
    key, status, reason = dict(record.key), record.status, record.reason
    samples = [timings(entry) for entry in record.rounds]
    if status is Status.OK and (not samples or None in samples):
        status, reason = Status.FAILED, "the record says ok, but a round of it has no samples that are times"
    present = code_hashes.get(key["op"])
    entries = record.rounds if status is Status.OK else ()
    measured = phases(record.rounds)
    work = {name: as_number(record.metrics.get(name, {}).get("value"), least=0) for name in ("bytes", "flops")}
    return {
        **key,
        "label": _label(key),
        "status": status.value,
        "reason": reason,
        "stale": present is not None and present != record.code_hash,
        **times([part for part in samples if part] if status is Status.OK else []),
        "converged": status is Status.OK and all(entry.get("converged") is True for entry in record.rounds),
        **{name: measured[name] for name in ("kernel_error", "throttled", "others_share", "disturbed", "cpu_share")},
        **work,
        **_ratios(entries, work["bytes"], work["flops"]),
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


def _ratios(entries: Sequence[Mapping[str, Any]], moved: float, flops: float) -> dict[str, Any]:
    """Return the op's time over each baseline's and over the roofline; NaN where one was not measured."""
    op = np.array([_median(entry) for entry in entries])
    baselines = {name: np.array([_median(_baseline(entry, name)) for entry in entries]) for name in BASELINES}
    copied = np.array([_rate(entry, "stream", "bytes") for entry in entries])  # bytes/ms
    product = np.array([_rate(entry, "matmul", "flops") for entry in entries])  # FLOP/ms
    by_bytes, by_flops = moved / copied, flops / product
    roofline = np.maximum(by_bytes, by_flops)
    over = op / roofline
    return {
        **{f"{name}_ms": _middle(ms) for name, ms in baselines.items()},
        **{f"of_{name}": _middle(op / ms) for name, ms in baselines.items()},
        "copy_gb_s": _middle(copied) / 1e6,
        "product_gflop_s": _middle(product) / 1e6,
        "roofline_ms": _middle(roofline),
        "bound": "" if not len(op) else "bytes" if _middle(by_bytes) >= _middle(by_flops) else "FLOPs",
        "of_roofline": _middle(over),
        "of_roofline_low": float(np.min(over)) if len(over) else math.nan,
        "of_roofline_high": float(np.max(over)) if len(over) else math.nan,
    }


def _middle(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else math.nan


def _baseline(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    baselines = entry.get("yardsticks")
    part = baselines.get(name) if isinstance(baselines, dict) else None
    return part if isinstance(part, dict) else {}


def _median(part: Mapping[str, Any]) -> float:
    """Return the median of its samples in ms; NaN where there are none."""
    samples = timings(part)
    return float(np.median(samples)) if samples else math.nan


def _rate(entry: Mapping[str, Any], name: str, work: str) -> float:
    part = _baseline(entry, name)
    return as_number(part.get(work), least=0) / _median(part)


def _left_out(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the baselines that were not measured, with the reasons."""
    reasons: dict[str, str] = {}
    for entry in entries:
        left_out = entry.get("left_out")
        reasons |= {str(k): str(v) for k, v in left_out.items()} if isinstance(left_out, dict) else {}
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
