"""What an op is timed beside, in the same process and in turn: a copy, a linear layer, attention, two device rates.

``copy``: as many bytes as the op has to move, half read and half written.
``linear``: a layer of the op's width, without bias, on its tokens.
``sdpa``: torch's attention at the op's length, heads of 64 channels.
``stream``, ``matmul``: a copy and a matrix product too large for caches and launches to matter; their rates are the
roofline that the op is compared with.
The backward of a copy is a copy; that of the others gives all gradients, the weight's too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linbench.suites.kernels.key import TimedCase

HEAD = 64  # channels of an attention head
STREAM = {"cpu": 2**28, "cuda": 2**31}  # bytes moved
MATMUL = {"cpu": 1024, "cuda": 8192}  # side of the square matrices
FLUSH = 2**30  # bytes: many times any L2, and long enough to write that a call's launches queue up meanwhile
TURN = 4  # a baseline takes its turn while it has taken no more than 1/TURN of the time


@dataclass
class Baseline:
    """A call to time, and its work: ``flops`` and ``bytes``, 0 where they do not matter.

    make: Prepares the call; only a baseline that will be timed is made.
    times: In ms, each with the number of its turn.
    """

    make: Callable[[], Callable[[], object]]
    flops: int = 0
    bytes: int = 0
    times: list[tuple[int, float]] = field(default_factory=list)

    @cached_property
    def call(self) -> Callable[[], object]:
        """The call that is timed."""
        return self.make()

    def to_json(self, warmup: int) -> dict[str, Any]:
        """Return the work and the raw samples since the op's warm-up; all samples where none is that late."""
        since = [ms for turn, ms in self.times if turn >= warmup]
        return {"samples_ms": since or [ms for _, ms in self.times], "flops": self.flops, "bytes": self.bytes}


def baselines(
    case: TimedCase, moved: int, dtype: torch.dtype, device: torch.device, direction: str
) -> dict[str, Baseline]:
    """Return every baseline by name.

    moved: Bytes that the op has to move.
    """
    heads = max(1, case.width // HEAD)
    rows, side = case.batch * case.tokens, MATMUL[device.type]
    is_backward = direction == "backward"

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, device=device, requires_grad=is_backward)

    def linear() -> Callable[[], object]:
        return _call(functional.linear, [normal(rows, case.width), normal(case.width, case.width)], is_backward)

    def sdpa() -> Callable[[], object]:
        qkv = [normal(case.batch, heads, case.tokens, HEAD) for _ in range(3)]
        return _call(functional.scaled_dot_product_attention, qkv, is_backward)

    def matmul() -> Callable[[], object]:
        a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
        return lambda: a @ b

    products = (2, 5) if is_backward else (1, 2)  # matrix products of a linear layer, and of attention
    return {
        "copy": _copy(moved, device),
        "linear": Baseline(linear, products[0] * 2 * rows * case.width**2),
        "sdpa": Baseline(sdpa, products[1] * 2 * case.batch * heads * case.tokens**2 * HEAD),
        "stream": _copy(STREAM[device.type], device),
        "matmul": Baseline(matmul, 2 * side**3),
    }


def _copy(moved: int, device: torch.device) -> Baseline:
    """Return a copy that moves so many bytes."""
    count = max(1, moved // 8)  # float32: half of the bytes

    def make() -> Callable[[], object]:
        source, target = torch.rand(count, device=device), torch.ones(count, device=device)
        return lambda: target.copy_(source)

    return Baseline(make, bytes=8 * count)


def _call(function: Callable[..., Tensor], inputs: list[Tensor], is_backward: bool) -> Callable[[], object]:
    """Return the forward itself, or the backward of a forward that has run."""
    if not is_backward:
        return lambda: function(*inputs)
    y = function(*inputs)
    gy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, gy, retain_graph=True)


class Clock:
    """A timer of single calls in ms: the monotonic clock on a CPU, events behind a flush of the L2 on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.flush = torch.empty(FLUSH, dtype=torch.uint8, device=device) if device.type == "cuda" else None

    def __call__(self, call: Callable[[], object]) -> float:
        """Return the milliseconds of one call."""
        if self.flush is None:
            start = time.perf_counter_ns()
            call()
            return (time.perf_counter_ns() - start) / 1e6
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.flush.zero_()
        first.record()
        call()
        last.record()
        last.synchronize()
        return first.elapsed_time(last)


class InterleavedTimer:
    """A timer of the op and, in turn, of each baseline that has not used up its fraction of the time."""

    def __init__(self, op: Callable[[], object], beside: Mapping[str, Baseline], clock: Clock) -> None:
        self.op, self.beside, self.clock = op, beside, clock
        self.number = 0
        self.start = time.perf_counter()
        self.spent = dict.fromkeys(beside, 0.0)

    def __call__(self) -> float:
        """Return the milliseconds of the op in this turn."""
        for name, baseline in self.beside.items():
            begin = time.perf_counter()
            if TURN * self.spent[name] <= begin - self.start:
                baseline.times.append((self.number, self.clock(baseline.call)))
                self.spent[name] += time.perf_counter() - begin
        self.number += 1
        return self.clock(self.op)


def affordable(
    beside: dict[str, Baseline], clock: Clock, seconds: float
) -> tuple[dict[str, Baseline], dict[str, str]]:
    """Warm the baselines up, without those whose work alone would take over a quarter of ``seconds``.

    Returns those that stay, and by name why another is left out: its FLOPs at the matrix rate just measured.
    """
    matmul = beside["matmul"]
    clock(matmul.call)
    rate = matmul.flops / clock(matmul.call)  # FLOP/ms
    left_out = {
        name: f"about {baseline.flops / rate / 1000:.2g} s a call, too long for {seconds:g} s of samples"
        for name, baseline in beside.items()
        if baseline.flops / rate / 1000 > seconds / TURN and name != "matmul"
    }
    chosen = {name: baseline for name, baseline in beside.items() if name not in left_out}
    for baseline in chosen.values():
        clock(baseline.call)
    return chosen, left_out
