"""One round of the suite ``training-step``: a step at a given batch, or at the largest that fits.

Before the samples the kernels of the forward pass their check, and the gradients theirs (rule 12). Each sample is one
whole step, taken as a latency is: CUDA events or the monotonic clock, warm-up, until the interval closes (rules 1-4).
"""

import time
from dataclasses import asdict
from functools import partial
from typing import Any

import torch

from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.records import Status
from linbench.suites.latency.forward import eager, images, pin
from linbench.suites.runner import gpu
from linbench.suites.runner.correctness import check_kernels
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.memory import is_out_of_memory, peak, resident_bytes
from linbench.suites.runner.process import first_line, start_conditions, timer, wait, wall_ms
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Outcome
from linbench.suites.training_step.gradient_check import check_gradients
from linbench.suites.training_step.key import TrainingStepKey
from linbench.suites.training_step.largest_batch import measure_largest
from linbench.suites.training_step.memory_limit import excess, guard, used_bytes
from linbench.suites.training_step.step import Step, build, step_complexity

TRIED_STEPS = 2  # the second has AdamW's moments beside the gradients
NAMED = 10  # parameters without a gradient that a record names


def measure(key: TrainingStepKey, seconds: float, seed: int) -> Outcome:
    """Measure one round of one cell."""
    if key.finds_batch:
        return measure_largest(key, seconds, seed)
    metrics: dict[str, Any] = {}
    return _guarded(key, lambda device: _measure(key, device, seconds, seed, metrics), metrics)


def trial(key: TrainingStepKey, seconds: float, seed: int) -> Outcome:
    """Try whether a batch fits, in a few steps; neither its time nor its numbers are checked."""
    return _guarded(key, lambda device: _try(key, device, seed), {})


def _guarded(key: TrainingStepKey, run: Any, metrics: dict[str, Any]) -> Outcome:
    """Return the outcome of ``run`` under the memory limit; what it raises becomes the status."""
    device = torch.device(key.machine.device_type)
    pin(key)
    try:
        with guard(device, key.memory_gib):
            outcome: Outcome = run(device)
            return outcome
    except (ValueError, NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, first_line(error), metrics=metrics, environment=environment())
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = f"a step of {key.batch} does not fit into memory: {first_line(error)}"
        return Outcome(Status.OOM, reason, metrics=metrics, environment=environment())


def _measure(
    key: TrainingStepKey, device: torch.device, seconds: float, seed: int, metrics: dict[str, Any]
) -> Outcome:
    metrics |= step_complexity(key)
    empty = resident_bytes()
    start = time.perf_counter()
    step = _build(key, device, seed)
    entries = start_conditions(seed) | {"load_s": time.perf_counter() - start}
    if reason := gpu.contention(device):
        return Outcome(Status.CONTENDED, reason, {}, metrics, environment())
    wrong, checks = _checks(key, step, seed)
    entries |= checks
    if wrong:
        return Outcome(Status.WRONG, "; ".join(wrong), entries, metrics, environment())
    entries |= _samples(key, step, device, seconds)
    entries["peak_memory"]["empty_process_bytes"] = empty
    if not torch.isfinite(step.loss):
        return Outcome(Status.WRONG, "the loss is not finite after the steps", entries, metrics, environment())
    if reason := excess(used_bytes(entries["peak_memory"], empty), key.memory_gib, key.batch):
        return Outcome(Status.OOM, reason, {}, metrics, environment())
    return Outcome(Status.OK, "", entries, metrics, environment())


def _try(key: TrainingStepKey, device: torch.device, seed: int) -> Outcome:
    step_complexity(key)  # loads what the process of a measurement has loaded, so that both begin with equal memory
    empty = resident_bytes()
    step = eager(key, _build(key, device, seed))
    with peak(device) as memory:
        for _ in range(TRIED_STEPS):
            step()
        wait(device)
    memory["empty_process_bytes"] = empty
    if reason := excess(used_bytes(memory, empty), key.memory_gib, key.batch):
        return Outcome(Status.OOM, reason, {"peak_memory": memory})
    return Outcome(Status.OK, "", {"peak_memory": memory})


def _build(key: TrainingStepKey, device: torch.device, seed: int) -> Step:
    torch.manual_seed(seed)
    with torch.device(device):
        return Step(build(key), images(key, key.batch), key.dtype)


def _checks(key: TrainingStepKey, step: Step, seed: int) -> tuple[list[str], dict[str, Any]]:
    """Return what is wrong, and the entries of both checks; the first forward of all is among them."""
    start = time.perf_counter()
    verdict = check_kernels(eager(key, partial(step.run.maps, step.image)))
    entries: dict[str, Any] = {"first_forward_s": time.perf_counter() - start}
    entries |= {"kernel_errors": verdict.errors, "kernel_calls": verdict.calls, "kernel_checked": verdict.checked}
    if verdict.wrong:
        return verdict.wrong, entries
    eager(key, partial(step.run, step.image))()
    idle = [name for name, p in step.run.model.named_parameters() if p.grad is None]
    step.run.zero_grad()
    error, reason = check_gradients(key, step.run, step.image, seed)
    entries |= {"slope_error": error, "parameters_without_gradient": len(idle), "without_gradient": idle[:NAMED]}
    return [reason] if reason else [], entries


def _samples(key: TrainingStepKey, step: Step, device: torch.device, seconds: float) -> dict[str, Any]:
    """Return raw samples, the loss before and after, the peak of memory, and the use of processor and GPU."""
    run = eager(key, step)
    step_ms = timer(run, device)
    first_s = step_ms() / 1e3
    loss = step.loss.item()
    before = gpu.state(device) if device.type == "cuda" else {}
    with peak(device) as memory, cpu_usage(key.machine.threads) as usage:
        samples = sample(step_ms, seconds, first_s)
    entries = asdict(samples) | {"peak_memory": memory, "loss": [loss, step.loss.item()]} | usage
    if device.type == "cuda":
        entries["wall_ms"] = wall_ms(run, device)
        after = gpu.state(device)
        entries |= {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)}
    return entries
