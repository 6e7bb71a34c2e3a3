"""Records of every suite as one tidy frame: a row for each model × size × batch × …, for Python and notebooks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from linbench.records import Record
from linbench.reports.accuracy.rows import rows as accuracy_rows
from linbench.reports.kernels.rows import rows as kernel_rows
from linbench.reports.latency.rows import rows as latency_rows
from linbench.reports.statistics.quality import quality
from linbench.reports.training_step.rows import LARGEST
from linbench.reports.training_step.rows import rows as step_rows

#: The columns, and what each contains. A column that means nothing for a row is empty there, or NaN.
COLUMNS = {
    "suite": "latency, kernels, training-step, or an accuracy suite such as dis",
    "model": "the backbone's or module's name, or the op's",
    "part": "backbone, encoder, decoder, end-to-end, or module for one of your own",
    "case": "of an op: its named input and the direction",
    "options": "of the backbone, as JSON",
    "fusion": "design of RWKV-SAM's refine module",
    "prompts": "decoded box prompts",
    "height": "px",
    "width": "px",
    "batch": "images in one forward or training step; the smallest of the rounds' largest batches",
    "mode": "how it was measured, such as latency, training step or largest batch",
    "gradient_checkpointing": "of a training step: none, or blocks",
    "dtype": "of the model and its input",
    "device": "the device's own name",
    "threads": "CPU threads",
    "preset": "paper, best, deployed or custom",
    "engine": "eager, compile, onnxruntime, openvino, …: what ran the model",
    "process": "fresh: a process for each round; this one: the caller's",
    "protocol": "of a score: how images and prompts are prepared",
    "dataset": "of a score",
    "weights": "of a score: the checkpoint's file, recipe and first digits of its SHA-256",
    "metric": "of a score: its name",
    "status": "ok, oom, timeout, unsupported, wrong, contended or failed",
    "reason": "why the status is not ok",
    "median_ms": "time of one forward or training step (of a largest batch, per image): the median over the rounds "
    "of each round's median, ms",
    "low_ms": "lower end of its 95 % interval, ms",
    "high_ms": "upper end, ms",
    "interval": "what the interval rests on: rounds, samples (of single processes), or none",
    "value": "the score, %",
    "low": "lower end of its 95 % interval over images, %",
    "high": "upper end, %",
    "n": "samples in all rounds, or images",
    "rounds": "fresh processes",
    "doubt": "why nothing may be derived from the time, such as few rounds or a disturbance; empty where it may",
    "converged": "whether the interval within each round closed to ±1 %",
    "stale": "whether the code that measured it has changed since; False where that was not checked",
    "p5_ms": "5th percentile of all samples, ms",
    "p95_ms": "95th percentile, ms",
    "peak_mib": "peak memory above the process before its model, MiB",
    "parameters_m": "parameters of the part, millions",
    "gflop": "FLOPs of one forward or training step, 10⁹; a multiply-add is two; ≥ marks operators without a formula",
    "others_share": "what other programs used of the cores in the most disturbed round, 0 to 1",
    "git_commit": "of linbench, where it ran from a checkout",
    "key_hash": "SHA-256 of the record's key",
}
_RENAMED = {"backbone": "model", "op": "model", "gflops": "gflop"}


def tidy_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row for each timed record and for each metric of a scored one, with the columns ``COLUMNS``.

    Raises BadRecord for a record whose key lacks what its suite needs.
    """
    every = list(records)
    timed = (latency_rows(every), kernel_rows(every), _with_batch(step_rows(every)))
    parts = [*map(_timed, timed), accuracy_rows(every)]
    frames = [part.rename(columns=_RENAMED) for part in parts if not part.empty]
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat([frame.reindex(columns=list(COLUMNS)) for frame in frames], ignore_index=True)


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return timed rows with the columns that only the tidy frame has."""
    if rows.empty:
        return rows
    columns = ["rounds", "others_share", "converged", "throttled", "stale"]
    qualities = [quality(row) for row in rows[columns].to_dict("records")]
    is_ok = (rows["status"] == "ok").to_numpy()
    process = rows["process"].fillna("fresh") if "process" in rows else "fresh"
    added = {"doubt": np.where(is_ok, [known.doubt for known in qualities], ""), "process": process}
    if "op" in rows:
        added |= {"case": rows["case"] + " " + rows["direction"]}
    return rows.assign(**added)


def _with_batch(rows: pd.DataFrame) -> pd.DataFrame:
    """Return training steps with the batch as a number."""
    if rows.empty:
        return rows
    given = pd.to_numeric(rows["batch"], errors="coerce")
    return rows.assign(batch=rows["largest"].where(rows["mode"] == LARGEST, given))
