"""One round of the suite ``throughput``: images/s at the best batch (docs/throughput.md).

Forwards are queued, and the device is waited for once a window (rule 1); on a CPU they run back to back. A sample is
a window's milliseconds per image, so that the statistics of latencies hold for it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import nn

from linbench.engines.contract import COMPILE, EAGER, exported
from linbench.engines.contract import build as engine_of
from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.records import Status
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import (
    Forward,
    build,
    cast,
    eager,
    images,
    pin,
    prepare,
    run_config,
    run_once,
    wrap,
)
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.measure import judge_wrapped
from linbench.suites.latency.part import Maps
from linbench.suites.runner import gpu
from linbench.suites.runner.correctness import Verdict, check_kernels
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.memory import available_bytes, is_out_of_memory, peak, resident_bytes
from linbench.suites.runner.process import first_line, start_conditions, wait
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Outcome
from linbench.suites.throughput.doubling import SEARCHING, WINDOW_S, WINDOWS, Doubling, Trial, double
from linbench.suites.throughput.key import ThroughputKey


def measure(key: ThroughputKey, seconds: float, seed: int) -> Outcome:
    """Measure one round of one cell: build, check at batch 1, find the batch, check there, samples."""
    if exported(key.settings.engine.name):
        outcome: Outcome = import_module("linbench.suites.throughput.exported").measure(key, seconds, seed)
        return outcome
    device = torch.device(key.machine.device_type)
    if reason := engine_of(key.settings.engine.name).available(run_config(key)):
        return Outcome(Status.UNSUPPORTED, reason, environment=environment())
    pin(key)
    try:
        metrics = dict(complexity(*_flat(build(key, torch.device("meta")))))
        empty = resident_bytes()
        torch.manual_seed(seed)
        start = time.perf_counter()
        model, first = build(key, device)
        entries = start_conditions(seed) | {"load_s": time.perf_counter() - start}
        entries["first_forward_s"] = run_once(eager(key, partial(model, *first)), device)
        verdict = check_kernels(partial(model, *first))
    except (ValueError, NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, first_line(error), environment=environment())
    if verdict.wrong:
        return _wrong(verdict, 1, entries, metrics)
    if key.settings.engine.name != EAGER:
        judgement, entries["compile_s"] = judge_wrapped(key, model, wrap(key, model), device)
        entries |= judgement.to_json()
        if judgement.reason:
            return Outcome(Status.WRONG, f"at batch 1: {judgement.reason}", entries, metrics, environment())
    if reason := gpu.contention(device):
        return Outcome(Status.CONTENDED, reason, metrics=metrics, environment=environment())
    search = double(partial(_try, key, model, device), partial(available_bytes, device), SEARCHING * seconds)
    if not search.trials[0].images_per_s:
        return Outcome(Status.OOM, search.stopped, metrics=metrics, environment=environment())
    batch = search.best.batch
    entries |= _entries(search)
    inputs = _inputs(key, batch, model, device)
    verdict = check_kernels(partial(model, *inputs))
    entries |= {"kernel_errors": verdict.errors, "kernel_calls": verdict.calls, "kernel_checked": verdict.checked}
    if verdict.wrong:
        return _wrong(verdict, batch, entries, metrics)
    entries |= _samples(_prepared(key, model, inputs), batch, device, (1 - SEARCHING) * seconds, key.machine.threads)
    entries["peak_memory"]["empty_process_bytes"] = empty
    return Outcome(Status.OK, "", entries, metrics, environment())


def _flat(built: tuple[nn.Module, Maps]) -> tuple[Any, ...]:
    return (built[0], *built[1])


def _wrong(verdict: Verdict, batch: int, entries: dict[str, Any], metrics: dict[str, Any]) -> Outcome:
    return Outcome(Status.WRONG, f"at batch {batch}: {'; '.join(verdict.wrong)}", entries, metrics, environment())


def _entries(search: Doubling) -> dict[str, Any]:
    tried = [trial.to_json() for trial in search.trials]
    return {"batch": search.best.batch, "batches": tried, "stopped": search.stopped}


def _inputs(key: LatencyKey, batch: int, model: nn.Module, device: torch.device) -> Maps:
    with torch.device(device):
        return cast(key, model, (images(key, batch),))[1]


def _prepared(key: LatencyKey, model: nn.Module, inputs: Maps) -> Forward:
    """Return the forward of a batch; one that was compiled for another batch is compiled anew."""
    if key.settings.engine.name == COMPILE:
        torch.compiler.reset()
    return prepare(key, model, inputs)


def _try(key: LatencyKey, model: nn.Module, device: torch.device, batch: int) -> Trial:
    """Return the images/s of a few windows at a batch; of none where the memory does not suffice."""
    before = _used_bytes(device)
    try:
        run = _prepared(key, model, _inputs(key, batch, model, device))
        run_once(run, device)
        with torch.inference_mode(), peak(device) as memory:
            window = image_ms(run, batch, device)
            rates = tuple(1e3 / window() for _ in range(WINDOWS))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return Trial(batch)
    used = memory.get("reserved_bytes", memory.get("rss_bytes", 0))
    return Trial(batch, rates, dict(memory), max(0, used - before))


def _used_bytes(device: torch.device) -> int:
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else resident_bytes() or 0


def image_ms(run: Callable[[], object], batch: int, device: torch.device) -> Callable[[], float]:
    """Return a function that runs one window and returns its milliseconds per image.

    A window holds as many forwards as take WINDOW_S, at least one.
    """
    forwards = max(1, round(WINDOW_S / run_once(run, device)))

    def window() -> float:
        start = time.perf_counter_ns()
        for _ in range(forwards):
            run()
        wait(device)
        return (time.perf_counter_ns() - start) / 1e6 / (forwards * batch)

    return window


def _samples(run: Forward, batch: int, device: torch.device, seconds: float, threads: int) -> dict[str, Any]:
    """Return raw windows, the peak of memory, and the use of processor and GPU while they were taken."""
    with torch.inference_mode():
        first_s = run_once(run, device)
        window = image_ms(run, batch, device)
        before = gpu.state(device) if device.type == "cuda" else {}
        with peak(device) as memory, cpu_usage(threads) as usage:
            samples = sample(window, seconds, first_s)
        entries = asdict(samples) | {"peak_memory": memory} | usage
        if device.type == "cuda":
            after = gpu.state(device)
            entries |= {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)}
    return entries
