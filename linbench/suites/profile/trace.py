"""One forward under torch's profiler: the time of each operator by module, and the memory that each module reaches.

A module's own time is that of its range in the trace less the ranges of the modules that it calls. An operator's
time is that of the outermost event under a name that ``work.py`` counted; a composite operator above it, such as
``aten::linear`` above ``aten::addmm``, gives its few microseconds to the module. On a GPU the times are those of the
kernels that an operator launched.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from linbench.suites.profile.modules import MARK, marked
from linbench.suites.profile.work import Site
from linbench.suites.runner.process import timer


@dataclass
class Trace:
    """The times of one profiled forward, in ms.

    own: Of each module that ran, without the modules that it calls.  calls: Of each module.
    operators: Of each operator by the module that calls it.  operator_calls: Of each operator, likewise.
    """

    whole: float
    own: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)
    operators: dict[Site, float] = field(default_factory=lambda: defaultdict(float))
    operator_calls: Counter[Site] = field(default_factory=Counter)


def trace(model: nn.Module, run: Callable[[], object], device: torch.device, counted: Collection[str]) -> Trace:
    """Profile one forward.

    counted: The names of the operators that ``work.py`` saw.
    """
    with marked(model), profile(activities=_activities(device)) as profiler:
        result = Trace(timer(run, device)())
    reader = Reader(result, counted, device.type == "cuda")
    for event in profiler.events():
        if event.cpu_parent is None and event.name.startswith(MARK):
            reader.read_module(event)
    return result


def _activities(device: torch.device) -> list[ProfilerActivity]:
    return [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")


class Reader:
    """Reads the profiler's tree of events into a ``Trace``."""

    def __init__(self, result: Trace, counted: Collection[str], on_gpu: bool) -> None:
        self.result = result
        self.counted = counted
        self.on_gpu = on_gpu

    def read_module(self, event: Any) -> None:
        """Read the range of a module's call."""
        name = event.name.removeprefix(MARK)
        self.result.calls[name] += 1
        self.result.own[name] += self._own_ms(event)
        self._read_children(event, name)

    def _read_children(self, event: Any, module: str) -> None:
        for child in event.cpu_children:
            if child.name.startswith(MARK):
                self.read_module(child)
            elif child.name in self.counted or not child.cpu_children:
                ms = self._whole_ms(child)
                self.result.operators[module, child.name] += ms
                self.result.operator_calls[module, child.name] += 1
                self.result.own[module] += ms
            else:
                self.result.own[module] += self._own_ms(child)
                self._read_children(child, module)

    def _own_ms(self, event: Any) -> float:
        us: float = event.self_device_time_total if self.on_gpu else event.self_cpu_time_total
        return us / 1e3

    def _whole_ms(self, event: Any) -> float:
        us: float = event.device_time_total if self.on_gpu else event.cpu_time_total
        return us / 1e3


def peak_memory(model: nn.Module, run: Callable[[], object], device: torch.device) -> Mapping[str, int]:
    """Return for each module the most bytes that tensors made in the forward held while it ran.

    Memory that is not torch's, as the scratch of a kernel, is not seen.
    """
    with marked(model), profile(activities=_activities(device), profile_memory=True) as profiler:
        run()
    results: Any = profiler.profiler.kineto_results
    events = results.events()
    changes = [e for e in events if e.name() == "[memory]" and e.device_type().name == device.type.upper()]
    changes.sort(key=lambda e: e.start_ns())
    at = np.array([e.start_ns() for e in changes])
    held = np.cumsum([0] + [e.nbytes() for e in changes])
    peaks: dict[str, int] = {}
    for event in events:
        if event.name().startswith(MARK):
            first, last = np.searchsorted(at, [event.start_ns(), event.start_ns() + event.duration_ns()])
            name = event.name().removeprefix(MARK)
            peaks[name] = max(peaks.get(name, 0), int(held[first : last + 1].max()))
    return peaks
