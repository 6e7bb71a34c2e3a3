"""The process of a round: what holds for all of it, what is recorded at its start, and how a call is timed."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from linbench.kernels.threads import engine, set_threads
from linbench.system.contention import power


def pin(threads: int, matmul: str, tf32: bool) -> None:
    """Set the process's threads, and how it computes float32 products.

    matmul: torch's float32 matmul precision.  tf32: Whether CUDA products and convolutions may round to TF32.
    Raises TooFewThreads where the process does not get the threads.
    """
    set_threads(threads)
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def start_conditions(seed: int) -> dict[str, Any]:
    """Return what a round records at its start: seed, time, the machine's load and power, the kernels' threads."""
    return {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "kernel_threads": engine(),
        **{name: value for name, value in asdict(power()).items() if value is not None},
    }


def timer(run: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """Return a function that times one call in ms: CUDA events on a GPU, the monotonic clock on a CPU (rule 1)."""

    def on_cpu() -> float:
        start = time.perf_counter_ns()
        run()
        return (time.perf_counter_ns() - start) / 1e6

    def on_cuda() -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        run()
        last.record()
        last.synchronize()
        return first.elapsed_time(last)

    return on_cuda if device.type == "cuda" else on_cpu


def wall_ms(run: Callable[[], object], device: torch.device) -> float:
    """Return one reading of the wall clock over a call, which stands beside the events (rule 1)."""
    start = time.perf_counter_ns()
    run()
    wait(device)
    return (time.perf_counter_ns() - start) / 1e6


def wait(device: torch.device) -> None:
    """Wait until the device has done all that is queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
