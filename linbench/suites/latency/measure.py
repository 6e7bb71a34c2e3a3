"""The suite ``latency``: one forward, batch 1, against resolution (docs/measurement.md, rules 1-5, 9-15, 19).

Of a backbone, or of another part of a segmenter (``part.py``). The input is already on the device; weights are
random; eval mode, no pixel normalisation. The parent process never computes; each round of each cell runs in a
process of its own (``runner/rounds.py``).
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from importlib import import_module
from typing import Any

import torch
from numba.core import event

from linbench.engines.contract import EAGER, exported
from linbench.engines.contract import build as engine_of
from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.records import Status
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.dtype_error import dtype_error
from linbench.suites.latency.forward import Forward, bound, build, eager, pin, run_config, run_once, wrap
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.part import Maps
from linbench.suites.runner import gpu
from linbench.suites.runner.correctness import Verdict, check_kernels
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.energy import counter, energy
from linbench.suites.runner.memory import peak, resident_bytes
from linbench.suites.runner.process import first_line, start_conditions, timer, wait, wall_ms
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Outcome

LOAD_MS = 50.0  # forwards queued on a GPU while its state is read


def measure(key: LatencyKey, seconds: float, seed: int) -> Outcome:
    """Measure one round of one cell: build, first forward, correctness check, warm-up, samples."""
    if exported(key.settings.engine.name):
        return by_artifact("measure", key, seconds, seed)
    device = torch.device(key.machine.device_type)
    if reason := engine_of(key.settings.engine.name).available(run_config(key)):
        return Outcome(Status.UNSUPPORTED, reason, environment=environment())
    pin(key)
    torch.manual_seed(seed)
    try:
        metrics = dict(_metrics(key))
        empty = resident_bytes()
        torch.manual_seed(seed)
        start = time.perf_counter()
        model, inputs = build(key, device)
    except (ValueError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error))
    entries = start_conditions(seed) | {"load_s": time.perf_counter() - start}
    try:
        entries |= _first_forward(eager(key, partial(model, *inputs)), device)
        start = time.perf_counter()
        verdict = check_kernels(partial(model, *inputs))
        checked_s = time.perf_counter() - start
        first_s = min(entries["first_forward_s"] - entries["kernel_compile_s"], checked_s)
    except (NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, first_line(error), metrics=metrics, environment=environment())
    entries |= _kernel_entries(verdict)
    if verdict.wrong:
        return Outcome(Status.WRONG, "; ".join(verdict.wrong), entries, metrics, environment())
    if reason := gpu.contention(device):
        return Outcome(Status.CONTENDED, reason, metrics=metrics, environment=environment())
    wrapped: Callable[..., Maps] = model
    if key.settings.engine.name != EAGER:
        wrapped = wrap(key, model)
        judgement, entries["compile_s"] = judge_wrapped(key, model, wrapped, device)
        entries |= judgement.to_json()
        if judgement.reason:
            return Outcome(Status.WRONG, judgement.reason, entries, metrics, environment())
        first_s = 0.0  # of another forward than the one that is timed
    start = time.perf_counter()
    run = bound(key, wrapped, inputs)
    if key.settings.cuda_graph:
        run_once(run, device)
        entries["compile_s"] = entries.get("compile_s", 0.0) + time.perf_counter() - start
        first_s = 0.0
    entries |= samples_of(run, device, seconds, first_s, key.machine.threads)
    entries["peak_memory"]["empty_process_bytes"] = empty
    if key.dtype is not Dtype.FLOAT32 and "error" in entries:
        entries["dtype_error"] = entries["error"]
    elif key.dtype is not Dtype.FLOAT32:
        entries |= dtype_error(key, model, run, device, seed, entries["peak_memory"])
    if key.with_energy:
        with torch.inference_mode():
            entries["energy"] = energy(run, lambda: wait(device), counter(device))
    return Outcome(Status.OK, "", entries, metrics, environment())


def by_artifact(call: str, key: LatencyKey, seconds: float, seed: int) -> Outcome:
    """Return the outcome of an engine that loads an artifact. Its module is named, not imported: other code."""
    outcome: Outcome = getattr(import_module("linbench.suites.latency.exported"), call)(key, seconds, seed)
    return outcome


def judge_wrapped(key: LatencyKey, model: Any, wrapped: Any, device: torch.device) -> tuple[Any, float]:
    """Return the judgement of a compiled model, and the seconds that its first call took, the compilation's."""
    reference = import_module("linbench.suites.latency.reference")
    return reference.judge_compiled(key, model, wrapped, device)


def _kernel_entries(verdict: Verdict) -> dict[str, Any]:
    return {
        "kernel_errors": verdict.errors,
        "kernel_calls": verdict.calls,
        "kernel_checked": verdict.checked,
    }


def _first_forward(run: Forward, device: torch.device) -> dict[str, float]:
    """Return the seconds of the first forward, and those in which numba compiled: 0 where its cache held all."""
    with torch.inference_mode(), event.install_recorder("numba:compile") as recorder:
        start = time.perf_counter()
        run()
        wait(device)
        seconds = time.perf_counter() - start
    spans = [(when, mark.is_start) for when, mark in recorder.buffer]
    return {"first_forward_s": seconds, "kernel_compile_s": _covered_seconds(spans)}


def samples_of(
    run: Callable[[], object], device: torch.device, seconds: float, first_s: float, threads: int
) -> dict[str, Any]:
    """Return raw samples, and the peak of memory and the use of the processor while they were taken.

    first_s: Seconds of a forward that ran before.
    On a GPU also its state under load before and after them, and one wall-clock reading beside the events (rule 1).
    """
    forward_ms = timer(run, device)
    is_cuda = device.type == "cuda"
    with torch.inference_mode():
        before = _state_under_load(forward_ms, run, device) if is_cuda else {}
        with peak(device) as memory, cpu_usage(threads) as usage:
            samples = sample(forward_ms, seconds, first_s)
        entries = asdict(samples) | {"peak_memory": memory} | usage
        if is_cuda:
            entries["wall_ms"] = wall_ms(run, device)
            after = _state_under_load(forward_ms, run, device)
            entries |= {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)}
    return entries


def _state_under_load(
    forward_ms: Callable[[], float], run: Callable[[], object], device: torch.device
) -> dict[str, Any]:
    """Return NVML's state of the GPU while forwards run; an idle GPU would give its idle clocks."""
    for _ in range(1 + int(LOAD_MS / forward_ms())):
        run()
    state = gpu.state(device)
    wait(device)
    return state


def _metrics(key: LatencyKey) -> Iterator[tuple[str, Any]]:
    """Yield parameters and FLOPs, from the model on ``meta``: no memory, no clock."""
    model, inputs = build(key, torch.device("meta"))
    yield from complexity(model, *inputs).items()
    yield "tokens", {"value": key.size[0] * key.size[1] / 256, "unit": "1"}


def _covered_seconds(spans: list[tuple[float, bool]]) -> float:
    """Return the seconds covered by nested start and end events."""
    depth, since, total = 0, 0.0, 0.0
    for when, is_start in sorted(spans):
        if is_start:
            since = when if depth == 0 else since
            depth += 1
        else:
            depth -= 1
            total += when - since if depth == 0 else 0.0
    return total
