"""What an op is timed beside, in the same process and in turn: a copy, a linear layer, attention, two device rates.

``copy``: as many bytes as the op has to move, half read and half written.
``linear``: a layer of the op's width, without bias, on its tokens.
``sdpa``: torch's attention at the op's length, heads of 64 channels.
``stream``, ``matmul``: a copy and a matrix product too large for caches and launches to matter; their rates are the
roofline that the op is held against.
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

HEAD = 64  # channels of an attention head
STREAM = {"cpu": 2**28, "cuda": 2**31}  # bytes moved
MATMUL = {"cpu": 1024, "cuda": 8192}  # side of the square matrices
FLUSH = 2**30  # bytes: many times any L2, and long enough to write that a call's launches queue up meanwhile
SHARE = 4  # a yardstick takes its turn while it has taken no more than 1/SHARE of the time


@dataclass
class Baseline:
    """A call to time, and what it does: ``flops`` and ``bytes``, 0 where they do not matter.

    make: Prepares the call; only a yardstick that will be timed is made.
    taken: Its times in ms, each with the number of its turn.
    """

    make: Callable[[], Callable[[], object]]
    flops: int = 0
    bytes: int = 0
    taken: list[tuple[int, float]] = field(default_factory=list)

    @cached_property
    def call(self) -> Callable[[], object]:
        """What is timed."""
        return self.make()

    def found(self, warmup: int) -> dict[str, Any]:
        """Its raw samples since the op's warm-up (all where it was too slow to have one since), and its work."""
        since = [ms for turn, ms in self.taken if turn >= warmup]
        return {"samples_ms": since or [ms for _, ms in self.taken], "flops": self.flops, "bytes": self.bytes}


def baselines(
    batch: int, tokens: int, width: int, moved: int, dtype: torch.dtype, device: torch.device, direction: str
) -> dict[str, Baseline]:
    """Every yardstick by name. moved: Bytes that the op has to move."""
    heads = max(1, width // HEAD)
    rows, side = batch * tokens, MATMUL[device.type]
    backward = direction == "backward"

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, device=device, requires_grad=backward)

    def linear() -> Callable[[], object]:
        return _call(functional.linear, [normal(rows, width), normal(width, width)], backward)

    def sdpa() -> Callable[[], object]:
        qkv = [normal(batch, heads, tokens, HEAD) for _ in range(3)]
        return _call(functional.scaled_dot_product_attention, qkv, backward)

    def matmul() -> Callable[[], object]:
        a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
        return lambda: a @ b

    products = (2, 5) if backward else (1, 2)  # matrix products of a linear layer, and of attention
    return {
        "copy": _copy(moved, device),
        "linear": Baseline(linear, products[0] * 2 * rows * width * width),
        "sdpa": Baseline(sdpa, products[1] * 2 * batch * heads * tokens**2 * HEAD),
        "stream": _copy(STREAM[device.type], device),
        "matmul": Baseline(matmul, 2 * side**3),
    }


def _copy(moved: int, device: torch.device) -> Baseline:
    count = max(1, moved // 8)  # float32: half of the bytes

    def make() -> Callable[[], object]:
        source, target = torch.rand(count, device=device), torch.ones(count, device=device)
        return lambda: target.copy_(source)

    return Baseline(make, bytes=8 * count)


def _call(function: Callable[..., Tensor], inputs: list[Tensor], backward: bool) -> Callable[[], object]:
    """The forward itself, or the backward of one that has been run."""
    if not backward:
        return lambda: function(*inputs)
    y = function(*inputs)
    gy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, gy, retain_graph=True)


class Clock:
    """Times one call in ms: the monotonic clock on a CPU, events behind a flush of the L2 on CUDA."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.flush = torch.empty(FLUSH, dtype=torch.uint8, device=device) if device.type == "cuda" else None

    def __call__(self, call: Callable[[], object]) -> float:
        """Milliseconds of one call."""
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
    """One turn runs the op and, beside it, each yardstick that has not used up its share of the time."""

    def __init__(self, op: Callable[[], object], beside: Mapping[str, Baseline], clock: Clock) -> None:
        self.op, self.beside, self.clock = op, beside, clock
        self.number = 0
        self.start = time.perf_counter()
        self.spent = dict.fromkeys(beside, 0.0)

    def __call__(self) -> float:
        """Milliseconds of the op in this turn."""
        for name, yardstick in self.beside.items():
            begun = time.perf_counter()
            if SHARE * self.spent[name] <= begun - self.start:
                yardstick.taken.append((self.number, self.clock(yardstick.call)))
                self.spent[name] += time.perf_counter() - begun
        self.number += 1
        return self.clock(self.op)


def affordable(
    beside: dict[str, Baseline], clock: Clock, seconds: float
) -> tuple[dict[str, Baseline], dict[str, str]]:
    """Call each yardstick once, to warm it; those whose work alone would take over a quarter of ``seconds`` go.

    Returns those that stay, and by name why another went: its FLOPs at the matrix rate just measured.
    """
    matmul = beside["matmul"]
    clock(matmul.call)
    rate = matmul.flops / clock(matmul.call)  # FLOP/ms
    left = {
        name: f"about {yardstick.flops / rate / 1000:.2g} s a call, too long for {seconds:g} s of samples"
        for name, yardstick in beside.items()
        if yardstick.flops / rate / 1000 > seconds / SHARE and name != "matmul"
    }
    kept = {name: yardstick for name, yardstick in beside.items() if name not in left}
    for yardstick in kept.values():
        clock(yardstick.call)
    return kept, left
