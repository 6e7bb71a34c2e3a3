"""The suite ``latency``: one forward, batch 1, against resolution (MEASUREMENT.md, 1-5, 9-15, 19).

Of a backbone, or of another part of a segmenter (``part.py``). Input already on the device, random weights, eval
mode, no pixel normalisation. The parent process never computes; each round of each cell runs in a process of its
own (``rounds.py``).
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from numba.core import event

from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.kernels.threads import engine
from linbench.records import Status
from linbench.suites.latency.cells import MODES, VERSION, cells
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.dtype_error import dtype_error
from linbench.suites.latency.forward import Forward, build, eager, pin, prepared, timer, wait
from linbench.suites.latency.trial import trial
from linbench.suites.runner import gpu
from linbench.suites.runner.correctness import check_kernels
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.energy import counter, energy
from linbench.suites.runner.memory import peak, resident_bytes
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Key, Outcome, Suite, suite

NAMED_BY = ("backbone", "part", "fusion", "size", "dtype", "preset")
LOAD_MS = 50.0  # forwards queued on a GPU while its state is read


@suite("latency", version=VERSION)
def latency() -> Suite:
    """Latency of a backbone, or of a segmenter's encoder, decoder or both, against resolution."""
    return Suite(cells=cells, measure=measure, trial=trial, named_by=NAMED_BY)


def measure(key: Key, seconds: float, seed: int) -> Outcome:
    """One round of one cell: build, first forward, gate, warm-up, samples. Runs in a fresh process."""
    device = torch.device(key["device_type"])
    pin(key)
    torch.manual_seed(seed)
    try:
        metrics = dict(_metrics(key))
        empty = resident_bytes()
        torch.manual_seed(seed)
        start = time.perf_counter()
        model, given = build(key, device)
    except (ValueError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error))
    found: dict[str, Any] = {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "kernel_threads": engine(),
        "load_s": time.perf_counter() - start,
    }
    try:
        found |= _first_forward(eager(key, partial(model, *given)), device)
        verdict = check_kernels(partial(model, *given))
    except (NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, _first_line(error), metrics=metrics, environment=environment())
    found |= {"kernel_errors": verdict.errors, "kernel_calls": verdict.calls, "kernel_checked": verdict.checked}
    if verdict.wrong:
        return Outcome(Status.WRONG, "; ".join(verdict.wrong), found, metrics, environment())
    if device.type == "cuda" and (pids := gpu.others(device)):
        reason = f"{len(pids)} other processes compute on this GPU: {', '.join(map(str, pids))}"
        return Outcome(Status.CONTENDED, reason, metrics=metrics, environment=environment())
    start = time.perf_counter()
    run = prepared(key, model, given)
    if key["compile"] or key["cuda_graph"]:
        found["compile_s"] = time.perf_counter() - start
    found |= _samples(run, device, seconds, key["threads"])
    found["peak_memory"]["empty_process_bytes"] = empty
    if key["dtype"] != "float32":
        found |= dtype_error(key, model, run, device, seed, found["peak_memory"])
    if key["mode"] == MODES[True]:
        with torch.inference_mode():
            found["energy"] = energy(run, lambda: wait(device), counter(device))
    return Outcome(Status.OK, "", found, metrics, environment())


def _first_forward(run: Forward, device: torch.device) -> dict[str, float]:
    """Seconds of the first forward, and those within it that numba compiled: 0 where its cache on disk held all."""
    with torch.inference_mode(), event.install_recorder("numba:compile") as recorder:
        start = time.perf_counter()
        run()
        wait(device)
        seconds = time.perf_counter() - start
    spans = [(when, what.is_start) for when, what in recorder.buffer]
    return {"first_forward_s": seconds, "kernel_compile_s": _covered(spans)}


def _samples(run: Forward, device: torch.device, seconds: float, threads: int) -> dict[str, Any]:
    """Raw samples, and while they were taken the peak of memory and what of the processor this and others used.

    On a GPU also its state under load before and after them, and one wall-clock reading beside the events (rule 1).
    """
    forward_ms = timer(run, device)
    cuda = device.type == "cuda"
    with torch.inference_mode():
        before = _state_under_load(forward_ms, run, device) if cuda else {}
        with peak(device) as memory, cpu_usage(threads) as taken:
            samples = sample(forward_ms, seconds)
        found = asdict(samples) | {"peak_memory": memory} | taken
        if cuda:
            start = time.perf_counter_ns()
            run()
            wait(device)
            found["wall_ms"] = (time.perf_counter_ns() - start) / 1e6
            after = _state_under_load(forward_ms, run, device)
            found |= {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)}
    return found


def _state_under_load(forward_ms: Callable[[], float], run: Forward, device: torch.device) -> dict[str, Any]:
    """What NVML says while forwards are at work; an idle GPU would tell its idle clocks."""
    for _ in range(1 + int(LOAD_MS / forward_ms())):
        run()
    found = gpu.state(device)
    wait(device)
    return found


def _metrics(key: Key) -> Iterator[tuple[str, Any]]:
    """Parameters and FLOPs, from the model on ``meta``: no memory, no clock."""
    model, given = build(key, torch.device("meta"))
    yield from complexity(model, *given).items()
    yield "tokens", {"value": key["height"] * key["width"] / 256, "unit": "1"}


def _covered(spans: list[tuple[float, bool]]) -> float:
    """Seconds covered by nested start and end events."""
    depth, since, total = 0, 0.0, 0.0
    for when, is_start in sorted(spans):
        if is_start:
            since = when if depth == 0 else since
            depth += 1
        else:
            depth -= 1
            total += when - since if depth == 0 else 0.0
    return total


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
