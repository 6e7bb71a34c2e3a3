"""One forward as a key describes it: the process pinned, the model built, its forward wrapped, its time taken."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from linbench.kernels.impl import Impl
from linbench.kernels.threads import set_threads
from linbench.suites.latency import part
from linbench.suites.latency.part import Maps, Part, choices_of
from linbench.suites.runner.device import DTYPES as DTYPES
from linbench.suites.runner.suite import Key

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
CAPTURE_AFTER = 3  # forwards on the capturing stream, as torch's notes on CUDA graphs ask for

#: A model with what goes into it: called with nothing.
Forward: TypeAlias = Callable[[], Maps]


def pin(key: Key) -> None:
    """Set what holds for the whole process: threads, and how float32 products are computed.

    Raises TooFewThreads where the process does not get the threads that the key names.
    """
    set_threads(key["threads"])
    torch.set_float32_matmul_precision(key["matmul"])
    torch.backends.cuda.matmul.allow_tf32 = key["tf32"]
    torch.backends.cudnn.allow_tf32 = key["tf32"]


def build(key: Key, device: torch.device) -> tuple[nn.Module, Maps]:
    """The part that the key names, with random weights, and what goes into it; from torch's present random state."""
    of, size = Part(key["part"]), (key["height"], key["width"])
    settled = choices_of(key["backbone"], of)
    options = dict(key["options"])
    if key["attention"] != "none":
        options["attention"] = key["attention"]
    if "fused" in settled:
        options["fused"] = key["fused"]
    given = (key["backbone"], size, key["prompts"], key["fusion"], Impl(key["impl"]), options)
    with torch.device(device):
        model = part.build(of, *given)
        image = torch.randn(1, 3, *size) if of.encodes else None
    if image is not None:
        return cast(key, model.eval(), (image.contiguous(memory_format=FORMATS[key["memory_format"]]),))
    with torch.device("meta"):
        encoder, (absent,) = cast(key, part.build(Part.ENCODER, *given).eval(), (torch.empty(1, 3, *size),))
    with torch.device(device):
        return cast(key, model.eval(), part.embedding(encoder, absent))


def cast(key: Key, model: nn.Module, given: Maps) -> tuple[nn.Module, Maps]:
    """``model`` in the key's dtype and memory format, and what goes into it in that dtype, laid out as it is."""
    dtype, layout = DTYPES[key["dtype"]], FORMATS[key["memory_format"]]
    return model.to(dtype).to(memory_format=layout), tuple(x.to(dtype) for x in given)


def eager(key: Key, run: Forward) -> Forward:
    """``run``, its fused attention held to the key's backend."""
    if key["sdpa_backend"] == "auto":
        return run
    backend = BACKENDS[key["sdpa_backend"]]

    def held() -> Maps:
        with sdpa_kernel(backend):
            return run()

    return held


def prepared(key: Key, model: nn.Module, given: Maps) -> Forward:
    """The forward that is timed: compiled and captured where the key says so, and run once.

    A captured forward gives its maps in the same memory each time.
    """
    device = given[0].device
    run = eager(key, partial(torch.compile(model) if key["compile"] else model, *given))
    if key["cuda_graph"]:
        run = _captured(run, device)
    with torch.inference_mode():
        run()
    wait(device)
    return run


def _captured(run: Forward, device: torch.device) -> Forward:
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode():
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_AFTER):
                run()
        torch.cuda.current_stream(device).wait_stream(side)
        with torch.cuda.graph(graph):
            maps = run()

    def replay() -> Maps:
        graph.replay()
        return maps

    return replay


def timer(run: Forward, device: torch.device) -> Callable[[], float]:
    """One forward in ms: CUDA events on a GPU, the monotonic clock on a CPU (rule 1)."""

    def on_cpu() -> float:
        start = time.perf_counter_ns()
        run()
        return (time.perf_counter_ns() - start) / 1e6

    def on_cuda() -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        run()
        last.record()
        last.synchronize()
        return first.elapsed_time(last)

    return on_cuda if device.type == "cuda" else on_cpu


def wait(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def distance(maps: Any, truth: Any) -> float:
    """The largest max|maps - truth| / max|truth| over all maps, in float64; NaN where a value is no number.

    Predicted IoUs, ``m k`` beside mask logits, are left out: a number or two near zero would tell of luck.
    """
    found = [_share(a.double(), b.double()) for a, b in zip(maps, truth, strict=True) if b.ndim != 2]
    return float("nan") if any(share != share for share in found) else max(found)


def _share(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().amax() / b.abs().amax().clamp_min(torch.finfo(b.dtype).tiny)).item()
