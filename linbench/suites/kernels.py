"""The suite ``kernels``: each op at the models' shapes beside a copy, a linear layer and attention (rules 2-6, 8-13).

A cell is an op, a case, an implementation, a dtype and a direction. It passes its check first (``kernel_check``).
The op and its yardsticks are timed in turn in one process, so that the machine's moods fall on all; on a GPU the L2
is flushed before each sample.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from linbench.environment import cpu_name, environment
from linbench.kernels.bench_cases import BenchCase, case_module, is_floating, leaves, load_bench_cases, outputs
from linbench.kernels.impl import Impl, Unsupported
from linbench.kernels.threads import engine
from linbench.provenance import code_hash
from linbench.records import Status
from linbench.suites import gpu, rounds
from linbench.suites.contract import Cell, Choices, Key, Outcome, Suite, suite
from linbench.suites.device import find_device
from linbench.suites.forward import DTYPES, pin, wait
from linbench.suites.kernel_check import check
from linbench.suites.kernel_work import work
from linbench.suites.load import shares
from linbench.suites.options import KERNELS
from linbench.suites.sampling import sample
from linbench.suites.settings import Preset, settings
from linbench.suites.yardsticks import Clock, Turns, Yardstick, within, yardsticks
from linbench.system.threads import thread_count

VERSION = 1
DIRECTIONS = ("forward", "backward")
LOAD = 50  # products queued on a GPU while its state is read
TOY = "toy"  # timed only where it is asked for
#: Where it measures; a change in what they import makes records stale (``provenance``).
ENTRIES = ("linbench.suites.kernels", *rounds.ENTRIES)
WITHOUT = ("linbench.suites.part",)  # a model's part: no op needs one
NAMED_BY = ("op", "case", "direction", "impl", "dtype")


@suite("kernels", version=VERSION)
def kernels() -> Suite:
    """Each op, forward and backward, beside a copy, a linear layer, attention and the roofline."""
    return Suite(cells=cells, measure=measure, takes=KERNELS, named_by=NAMED_BY)


def cells(choices: Choices) -> list[Cell]:
    """Every op × case × implementation × dtype × direction; raises ValueError that teaches."""
    device = find_device(choices.device)
    threads = thread_count(choices.threads)
    made = []
    for op, case_name, case in _chosen(choices):
        modules = {"suite": ENTRIES, "op": case_module(op), "without": WITHOUT}
        digest = code_hash(ENTRIES, case_module(op), WITHOUT)
        for impl in _impls(choices, case):
            for dtype in choices.dtypes:
                best = settings(Preset.BEST, device.type, dtype)
                variables = {"OMP_NUM_THREADS": str(threads)} | best.variables
                for direction in choices.directions or DIRECTIONS:
                    key = {
                        "suite": "kernels",
                        "suite_version": VERSION,
                        "op": op,
                        "case": case_name,
                        "batch": case.batch,
                        "tokens": case.tokens,
                        "width": case.width,
                        "direction": direction,
                        "impl": str(impl),
                        "dtype": dtype,
                        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
                        "device_type": device.type,
                        "threads": threads,
                        "matmul": best.matmul,
                        "tf32": best.tf32,
                        "allocator": best.allocator,
                        "l2_flushed": device.type == "cuda",
                    }
                    made.append(Cell(key, digest, modules, variables))
    return made


def _chosen(choices: Choices) -> list[tuple[str, str, BenchCase]]:
    """The ops and cases asked for; by default all but the toys. Patterns such as ``*1024`` choose cases."""
    known = load_bench_cases()
    for op in choices.ops:
        if op not in known:
            raise ValueError(f"--op {op}: allowed are {', '.join(known)}")
    found = [
        (op, name, case)
        for op in choices.ops or known
        for name, case in known[op].items()
        if any(fnmatchcase(name, pattern) for pattern in choices.cases) or (not choices.cases and name != TOY)
    ]
    if not found:
        names = dict.fromkeys(name for op in choices.ops or known for name in known[op])
        raise ValueError(f"--case {','.join(choices.cases)}: allowed are {', '.join(names)}, and patterns as '*1024'")
    return found


def _impls(choices: Choices, case: BenchCase) -> list[Impl]:
    """The one asked for; else ``fast``, and ``vendor`` where its package is installed, working or not."""
    if choices.given.get("impl"):
        return [Impl(choices.given["impl"])]
    return [Impl.FAST, Impl.VENDOR] if case.has_vendor() else [Impl.FAST]


def measure(key: Key, seconds: float, seed: int) -> Outcome:
    """One round of one cell: check, warm-up, turns of the op and its yardsticks. Runs in a fresh process."""
    device, dtype = torch.device(key["device_type"]), DTYPES[key["dtype"]]
    pin(key)
    torch.manual_seed(seed)
    case = load_bench_cases()[key["op"]][key["case"]]
    metrics = work(case, dtype, key["direction"])
    inputs = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in case.inputs(dtype).items()}
    found: dict[str, Any] = {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "kernel_threads": engine(),
    }
    try:
        op = _op(case, inputs, key)
        found["first_call_s"] = _first_call(op, device)
        errors, wrong = check(case, inputs, key["impl"], [key["direction"]])
    except (NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, str(error).strip() or type(error).__name__, {}, metrics, environment())
    found["kernel_errors"] = errors
    if wrong:
        return Outcome(Status.WRONG, "; ".join(wrong), found, metrics, environment())
    if device.type == "cuda" and (pids := gpu.others(device)):
        reason = f"{len(pids)} other processes compute on this GPU: {', '.join(map(str, pids))}"
        return Outcome(Status.CONTENDED, reason, {}, metrics, environment())
    found |= _samples(op, case, metrics, key, seconds)
    return Outcome(Status.OK, "", found, metrics, environment())


def _op(case: BenchCase, inputs: Mapping[str, Any], key: Key) -> Callable[[], object]:
    """The call that is timed: a forward without gradients, or the backward of one that has been run."""
    if key["direction"] == "forward":
        return lambda: case.function(**inputs, impl=key["impl"])
    given = leaves(inputs)
    ys = outputs(case.function(**given, impl=key["impl"]))
    wanted = [x for x in given.values() if is_floating(x)]
    gys = [torch.randn_like(y) for y in ys]
    return lambda: torch.autograd.grad(ys, wanted, gys, retain_graph=True)


def _first_call(op: Callable[[], object], device: torch.device) -> float:
    """Seconds of the first call, what is compiled then included."""
    start = time.perf_counter()
    op()
    wait(device)
    return time.perf_counter() - start


def _samples(
    op: Callable[[], object], case: BenchCase, metrics: Mapping[str, Mapping[str, Any]], key: Key, seconds: float
) -> dict[str, Any]:
    """Raw samples of the op and of each yardstick, and what of the processor this and others used."""
    device, dtype, direction = torch.device(key["device_type"]), DTYPES[key["dtype"]], key["direction"]
    clock = Clock(device)
    every = yardsticks(case.batch, case.tokens, case.width, metrics["bytes"]["value"], dtype, device, direction)
    beside, left = within(every, clock, seconds)
    before = _state_under_load(beside["matmul"], device)
    with shares(key["threads"]) as taken, torch.inference_mode(direction == "forward"):
        samples = sample(Turns(op, beside, clock), seconds)
        start = time.perf_counter_ns()
        op()
        wait(device)
        wall_ms = (time.perf_counter_ns() - start) / 1e6  # rule 1: one reading of the clock, beside the events
    found = {name: yardstick.found(samples.warmup) for name, yardstick in beside.items()}
    after = _state_under_load(beside["matmul"], device)
    states = {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)} if after else {}
    return asdict(samples) | {"yardsticks": found, "left_out": left, "wall_ms": wall_ms} | states | taken


def _state_under_load(matmul: Yardstick, device: torch.device) -> dict[str, Any]:
    """What NVML says of a GPU at work, which an idle one would not; nothing for a CPU."""
    if device.type != "cuda":
        return {}
    for _ in range(LOAD):
        matmul.call()
    found = gpu.state(device)
    wait(device)
    return found
