"""The suite ``kernels``: each op at the models' shapes beside a copy, a linear layer and attention (rules 2-6, 8-13).

A cell is an op, a case, an implementation, a dtype and a direction. It passes its check first (``check.py``). The op
and its baselines are timed in turn in one process, so that the machine's moods fall on all; on a GPU the L2 is
flushed before each sample.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from linbench.environment import environment
from linbench.kernels.bench_cases import BenchCase, is_floating, leaves, load_bench_cases, outputs
from linbench.kernels.impl import Unsupported
from linbench.records import Status
from linbench.suites.kernels.baselines import Baseline, Clock, InterleavedTimer, affordable, baselines
from linbench.suites.kernels.check import check, work
from linbench.suites.kernels.key import KernelKey
from linbench.suites.kernels.options import Direction
from linbench.suites.runner import gpu
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.process import pin, start_conditions, wait, wall_ms
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Outcome

LOAD = 50  # products queued on a GPU while its state is read


def measure(key: KernelKey, seconds: float, seed: int) -> Outcome:
    """Measure one round of one cell: check, warm-up, turns of the op and its baselines, in a fresh process."""
    device = torch.device(key.machine.device_type)
    pin(key.machine.threads, key.matmul, key.tf32)
    torch.manual_seed(seed)
    case = load_bench_cases()[key.case.op][key.case.name]
    metrics = work(case, key.dtype.torch, key.direction)
    inputs = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in case.inputs(key.dtype.torch).items()}
    entries = start_conditions(seed)
    try:
        call = _timed_call(case, inputs, key)
        entries["first_call_s"] = _first_call(call, device)
        errors, wrong = check(case, inputs, key.impl, [key.direction])
    except (NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, str(error).strip() or type(error).__name__, {}, metrics, environment())
    entries["kernel_errors"] = errors
    if wrong:
        return Outcome(Status.WRONG, "; ".join(wrong), entries, metrics, environment())
    if reason := gpu.contention(device):
        return Outcome(Status.CONTENDED, reason, {}, metrics, environment())
    entries |= _samples(call, key, metrics["bytes"]["value"], seconds)
    return Outcome(Status.OK, "", entries, metrics, environment())


def _timed_call(case: BenchCase, inputs: Mapping[str, Any], key: KernelKey) -> Callable[[], object]:
    """Return the call that is timed: a forward without gradients, or the backward of a forward that has run."""
    if key.direction is Direction.FORWARD:
        return lambda: case.function(**inputs, impl=key.impl)
    arguments = leaves(inputs)
    ys = outputs(case.function(**arguments, impl=key.impl))
    wanted = [x for x in arguments.values() if is_floating(x)]
    gys = [torch.randn_like(y) for y in ys]
    return lambda: torch.autograd.grad(ys, wanted, gys, retain_graph=True)


def _first_call(call: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the first call, compilation included."""
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def _samples(call: Callable[[], object], key: KernelKey, moved: int, seconds: float) -> dict[str, Any]:
    """Return raw samples of the op and of each baseline, and the use of the processor.

    moved: Bytes that the op has to move.
    """
    device = torch.device(key.machine.device_type)
    clock = Clock(device)
    beside, left_out = affordable(baselines(key.case, moved, key.dtype.torch, device, key.direction), clock, seconds)
    before = _state_under_load(beside["matmul"], device)
    with cpu_usage(key.machine.threads) as usage, torch.inference_mode(key.direction is Direction.FORWARD):
        samples = sample(InterleavedTimer(call, beside, clock), seconds)
        wall = wall_ms(call, device)
    times = {name: baseline.to_json(samples.warmup) for name, baseline in beside.items()}
    after = _state_under_load(beside["matmul"], device)
    states = {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)} if after else {}
    return asdict(samples) | {"yardsticks": times, "left_out": left_out, "wall_ms": wall} | states | usage


def _state_under_load(matmul: Baseline, device: torch.device) -> dict[str, Any]:
    """Return NVML's state of a GPU at work, since an idle one would give its idle clocks; nothing for a CPU."""
    if device.type != "cuda":
        return {}
    for _ in range(LOAD):
        matmul.call()
    state = gpu.state(device)
    wait(device)
    return state
