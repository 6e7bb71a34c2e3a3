"""Profile one forward in this process: its work counted, its memory traced, then plain and profiled forwards in turn.

Order: correctness check (docs/measurement.md, rule 12), FLOPs and bytes, memory, warm-up, then turns of a plain
forward, a profiled one and the machine's rates. The parts are means over the half of the profiled forwards whose
times are nearest the median, so that they sum to ``whole_ms`` exactly and no outlier moves them.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from linbench.environment import environment
from linbench.suites.profile.result import ModuleProfile, OperatorProfile, Profile, Subject
from linbench.suites.profile.roofline import Roofline
from linbench.suites.profile.trace import Trace, peak_memory, trace
from linbench.suites.profile.work import Site, Work, count_work
from linbench.suites.runner.correctness import check_kernels
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.memory import peak
from linbench.suites.runner.process import start_conditions, timer

FEWEST = 4  # turns, however slow
WARM_UP = 1  # turns before them, after the forwards that count, check and trace memory


class NotProfiled(RuntimeError):
    """A forward that gives no profile; the message says why."""


@dataclass(frozen=True)
class Forward:
    """A model that runs on inputs it holds.

    run: Calls ``model`` once, in any way that goes through its ``__call__``.  flops: As ``complexity`` counts them.
    """

    model: nn.Module
    run: Callable[[], object]
    device: torch.device
    dtype: torch.dtype
    flops: Mapping[str, Any]


def measure(forward: Forward, subject: Subject, seconds: float, seed: int) -> Profile:
    """Profile a forward; raises NotProfiled where an operator of linbench is wrong on these inputs.

    seconds: For the turns; at least ``FEWEST`` are made.
    """
    conditions = start_conditions(seed)
    _check(forward)
    work = count_work(forward.model, forward.run)
    with torch.inference_mode():
        peaks = peak_memory(forward.model, forward.run, forward.device)
        roofline = Roofline(forward.dtype, forward.device)
        with peak(forward.device) as memory, cpu_usage(subject.threads) as usage:
            plain, traces = _in_turn(forward, roofline, {operator for _, operator in work}, seconds)
    chosen = middle_half(traces)
    modules = tuple(_modules(forward.model, chosen, peaks))
    whole = fmean(t.whole for t in chosen)
    return Profile(
        subject=subject,
        plain_ms=tuple(plain),
        profiled_ms=tuple(t.whole for t in traces),
        whole_ms=whole,
        outside_ms=whole - sum(module.own_ms for module in modules),
        rates=roofline.rates(),
        modules=modules,
        operators=tuple(_operators(chosen, work)),
        flops=forward.flops,
        conditions={**conditions, **usage, "peak_memory": memory, "environment": environment()},
    )


def _check(forward: Forward) -> None:
    """Run the kernels' check on a forward, whatever holds the tensors that it returns."""
    verdict = check_kernels(lambda: [x for x in tree_leaves(forward.run()) if isinstance(x, Tensor)])
    if verdict.wrong:
        raise NotProfiled("; ".join(verdict.wrong))


def _in_turn(
    forward: Forward, roofline: Roofline, counted: set[str], seconds: float
) -> tuple[list[float], list[Trace]]:
    """Return the times of plain forwards in ms, and traces of as many profiled ones, taken in turn."""
    plain: list[float] = []
    traces: list[Trace] = []
    clock = timer(forward.run, forward.device)
    until = time.perf_counter() + seconds
    while len(traces) < WARM_UP + FEWEST or time.perf_counter() < until:
        plain.append(clock())
        traces.append(trace(forward.model, forward.run, forward.device, counted))
        roofline.take_turn()
    return plain[WARM_UP:], traces[WARM_UP:]


def middle_half(traces: Sequence[Trace]) -> list[Trace]:
    """Return the half of the traces whose whole times are nearest the median; all where there are fewer than four."""
    ordered = sorted(traces, key=lambda t: t.whole)
    quarter = len(ordered) // 4
    return ordered[quarter : len(ordered) - quarter]


def _modules(model: nn.Module, traces: Sequence[Trace], peaks: Mapping[str, int]) -> Iterator[ModuleProfile]:
    for name, module in model.named_modules():
        yield ModuleProfile(
            name=name,
            type=type(module).__name__,
            calls=traces[0].calls[name],
            own_ms=fmean(t.own.get(name, 0.0) for t in traces),
            parameters=sum(p.numel() for p in module.parameters(recurse=False)),
            peak_bytes=peaks.get(name),
        )


def _operators(traces: Sequence[Trace], work: Mapping[Site, Work]) -> Iterator[OperatorProfile]:
    for site in dict.fromkeys(site for t in traces for site in t.operators):
        does = work.get(site, Work())
        calls = traces[0].operator_calls[site]
        ms = fmean(t.operators.get(site, 0.0) for t in traces)
        yield OperatorProfile(*site, calls, ms, does.flops, does.bytes)
