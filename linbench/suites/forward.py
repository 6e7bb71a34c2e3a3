"""One forward as a key describes it: the process pinned, the model built, its forward wrapped, its time taken."""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from linbench.backbones import backbone, build_backbone
from linbench.kernels.impl import Impl
from linbench.suites.contract import Key

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
CAPTURE_AFTER = 3  # forwards on the capturing stream, as torch's notes on CUDA graphs ask for

Maps: TypeAlias = tuple[Tensor, ...]
Forward: TypeAlias = Callable[[Tensor], Maps]


def pin(key: Key) -> None:
    """Set what holds for the whole process: threads, and how float32 products are computed."""
    torch.set_num_threads(key["threads"])
    torch.set_float32_matmul_precision(key["matmul"])
    torch.backends.cuda.matmul.allow_tf32 = key["tf32"]
    torch.backends.cudnn.allow_tf32 = key["tf32"]


def build(key: Key, device: torch.device) -> tuple[nn.Module, Tensor]:
    """The model with random weights, and an image; both from torch's present random state."""
    size = (key["height"], key["width"])
    overrides = dict(key["options"])
    if key["attention"] != "none":
        overrides["attention"] = key["attention"]
    if "fused" in backbone[key["backbone"]].options:
        overrides["fused"] = key["fused"]
    with torch.device(device):
        model = build_backbone(key["backbone"], image_size=size, impl=Impl(key["impl"]), **overrides)
        image = torch.randn(1, 3, *size)
    assert isinstance(model, nn.Module)
    return cast(key, model.eval(), image)


def cast(key: Key, model: nn.Module, image: Tensor) -> tuple[nn.Module, Tensor]:
    """``model`` and ``image`` in the key's dtype and memory format."""
    dtype, layout = DTYPES[key["dtype"]], FORMATS[key["memory_format"]]
    return model.to(dtype).to(memory_format=layout), image.to(dtype).contiguous(memory_format=layout)


def eager(key: Key, model: Forward) -> Forward:
    """The model's forward, its fused attention held to the key's backend."""
    if key["sdpa_backend"] == "auto":
        return model
    backend = BACKENDS[key["sdpa_backend"]]

    def held(image: Tensor) -> Maps:
        with sdpa_kernel(backend):
            return model(image)

    return held


def prepared(key: Key, model: nn.Module, image: Tensor) -> Forward:
    """The forward that is timed: compiled and captured where the key says so, and run once.

    A captured forward takes ``image`` and no other, and gives its maps in the same memory each time.
    """
    forward: Forward = torch.compile(model) if key["compile"] else model
    run = eager(key, forward)
    if key["cuda_graph"]:
        run = _captured(run, image)
    with torch.inference_mode():
        run(image)
    wait(image.device)
    return run


def _captured(run: Forward, image: Tensor) -> Forward:
    side = torch.cuda.Stream(image.device)
    side.wait_stream(torch.cuda.current_stream(image.device))
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode():
        with torch.cuda.stream(side):
            for _ in range(CAPTURE_AFTER):
                run(image)
        torch.cuda.current_stream(image.device).wait_stream(side)
        with torch.cuda.graph(graph):
            maps = run(image)

    def replay(given: Tensor) -> Maps:
        assert given is image, "a CUDA graph reads the image that it was captured with"
        graph.replay()
        return maps

    return replay


def timer(run: Forward, image: Tensor) -> Callable[[], float]:
    """One forward in ms: CUDA events on a GPU, the monotonic clock on a CPU (rule 1)."""

    def on_cpu() -> float:
        start = time.perf_counter_ns()
        run(image)
        return (time.perf_counter_ns() - start) / 1e6

    def on_cuda() -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        run(image)
        last.record()
        last.synchronize()
        return first.elapsed_time(last)

    return on_cuda if image.device.type == "cuda" else on_cpu


def wait(device: torch.device) -> None:
    """Until all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def distance(maps: Any, truth: Any) -> float:
    """The largest max|maps - truth| / max|truth| over all maps, in float64; NaN where a value is no number."""
    found = [_share(a.double(), b.double()) for a, b in zip(maps, truth, strict=True)]
    return float("nan") if any(share != share for share in found) else max(found)


def _share(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().amax() / b.abs().amax().clamp_min(torch.finfo(b.dtype).tiny)).item()
