"""One forward as a key describes it: the model built, its forward wrapped, and the distance of its maps."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from linbench.engines.contract import RunConfig, TorchEngine
from linbench.engines.contract import build as build_engine
from linbench.kernels.impl import Impl
from linbench.suites.latency import part
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.part import Maps, Part, tunable_options
from linbench.suites.runner import process
from linbench.suites.runner.process import wait

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
CAPTURE_AFTER = 3  # forwards on the capturing stream, as torch's notes on CUDA graphs recommend

#: A model with its inputs: called with nothing.
Forward: TypeAlias = Callable[[], Maps]


def pin(key: LatencyKey) -> None:
    """Set the threads and products of the process as the key names them; raises TooFewThreads."""
    process.pin(key.machine.threads, key.settings.matmul, key.settings.tf32)


def build(key: LatencyKey, device: torch.device) -> tuple[nn.Module, Maps]:
    """Build the part that the key names, with random weights, and its inputs, from torch's present random state."""
    model, settings = key.model, key.settings
    options = dict(model.options)
    if settings.attention != "none":
        options["attention"] = settings.attention
    if "fused" in tunable_options(model.backbone, model.part):
        options["fused"] = settings.fused
    arguments = (model.backbone, key.size, model.prompts, model.fusion, Impl(settings.impl), options)
    with torch.device(device):
        module = part.build(model.part, *arguments)
        batch = images(key, key.batch) if model.part.encodes else None
    if batch is not None:
        return cast(key, module.eval(), (batch,))
    with torch.device("meta"):
        whole = part.build(Part.ENCODER, *arguments).eval()
        encoder, (placeholder,) = cast(key, whole, (torch.empty(1, 3, *key.size),))
    with torch.device(device):
        return cast(key, module.eval(), part.embedding(encoder, placeholder))


def images(key: LatencyKey, count: int) -> Tensor:
    """Return random images on torch's present device, in the key's size and memory format, in float32."""
    return torch.randn(count, 3, *key.size).contiguous(memory_format=FORMATS[key.settings.memory_format])


def cast(key: LatencyKey, model: nn.Module, inputs: Maps) -> tuple[nn.Module, Maps]:
    """Return ``model`` in the key's dtype and memory format, and its inputs in that dtype, in their own layout."""
    dtype, layout = key.dtype.torch, FORMATS[key.settings.memory_format]
    return model.to(dtype).to(memory_format=layout), tuple(x.to(dtype) for x in inputs)


def eager(key: LatencyKey, run: Forward) -> Forward:
    """Return ``run`` with its fused attention restricted to the key's backend."""
    if key.settings.sdpa_backend == "auto":
        return run
    backend = BACKENDS[key.settings.sdpa_backend]

    def restricted() -> Maps:
        with sdpa_kernel(backend):
            return run()

    return restricted


def wrap(key: LatencyKey, model: nn.Module) -> Callable[..., Maps]:
    """Return the model under the key's engine, one of PyTorch; its first call compiles where that compiles."""
    engine = build_engine(key.settings.engine.name)
    assert isinstance(engine, TorchEngine)
    return engine.wrap(model, run_config(key))


def run_config(key: LatencyKey) -> RunConfig:
    """Return how the key's engine is to run."""
    return RunConfig(key.machine.device_type, str(key.dtype), key.machine.threads)


def prepare(key: LatencyKey, model: nn.Module, inputs: Maps) -> Forward:
    """Return the forward that is timed: compiled and captured where the key says so; its first call compiles.

    A captured forward gives its maps in the same memory each time.
    """
    return bound(key, wrap(key, model), inputs)


def bound(key: LatencyKey, wrapped: Callable[..., Maps], inputs: Maps) -> Forward:
    """Return the forward of a wrapped model on its inputs, captured where the key says so."""
    run = eager(key, partial(wrapped, *inputs))
    return _capture(run, inputs[0].device) if key.settings.cuda_graph else run


def run_once(run: Callable[[], object], device: torch.device) -> float:
    """Run a forward to its end, and return the seconds that it took."""
    start = time.perf_counter()
    with torch.inference_mode():
        run()
    wait(device)
    return time.perf_counter() - start


def _capture(run: Forward, device: torch.device) -> Forward:
    """Return the replay of a CUDA graph of ``run``."""
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


def in_float32(key: LatencyKey) -> LatencyKey:
    """Return the key of the same forward in float32: no chain fused, contiguous, strict products."""
    plain = replace(key.settings, fused=False, memory_format="contiguous", matmul="highest")
    return replace(key, dtype=type(key.dtype).FLOAT32, settings=plain)


def distance(maps: Any, truth: Any) -> float:
    """Return the largest max|maps - truth| / max|truth| over all maps, in float64; NaN where a value is no number.

    Predicted IoUs, ``m k`` beside mask logits, are left out: a number or two near zero would measure luck.
    """
    errors = [_relative_error(a.double(), b.double()) for a, b in zip(maps, truth, strict=True) if b.ndim != 2]
    return float("nan") if any(error != error for error in errors) else max(errors)


def _relative_error(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().amax() / b.abs().amax().clamp_min(torch.finfo(b.dtype).tiny)).item()
