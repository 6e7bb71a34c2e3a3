"""The suite ``latency``: one forward of a backbone, batch 1, against resolution (MEASUREMENT.md, 1-5, 9-15, 19).

Input already on the device, random weights, eval mode, no pixel normalisation, no decoder. The parent process
never computes; each round of each cell runs in a process of its own (``rounds.py``).
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch
from numba.core import event
from torch import Tensor, nn

from linbench.backbones import backbone, build_backbone
from linbench.environment import cores, cpu_name, environment
from linbench.kernels.impl import Impl, Unsupported
from linbench.kernels.threads import engine
from linbench.provenance import code_hash
from linbench.records import Status
from linbench.suites import gpu
from linbench.suites.complexity import complexity
from linbench.suites.contract import Cell, Choices, Key, Outcome, Suite, suite
from linbench.suites.gate import gate
from linbench.suites.load import shares
from linbench.suites.memory import peak, resident_bytes
from linbench.suites.sampling import sample
from linbench.suites.settings import Preset, Settings, settings

VERSION = 1
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
#: What measures; a change in one of them makes records stale.
CODE = tuple(
    f"linbench.suites.{name}" for name in ("latency", "sampling", "gate", "memory", "load", "gpu", "settings")
)


@suite("latency", version=VERSION)
def latency() -> Suite:
    """Latency of the backbone alone against resolution."""
    return Suite(cells=cells, measure=measure)


def cells(choices: Choices) -> list[Cell]:
    """Every backbone × resolution × dtype × preset; raises UnknownName and ValueError that teach."""
    device = find_device(choices.device)
    made: dict[str, Cell] = {}
    for name in choices.backbones:
        entry = backbone[name]
        _refuse_sizes(name, entry.facts.get("multiple_of", 1), choices)
        if name not in set(backbone):
            _refuse_member(name)
        unknown = [option for option in choices.options if option not in entry.options]
        if unknown:
            raise ValueError(
                f"--option {unknown[0]}: {name} has none of that name; it has {', '.join(entry.options)}"
            )
        for preset in choices.presets:
            chosen = settings(Preset(preset), device.type, **choices.given)
            for dtype in choices.dtypes:
                for size in choices.resolutions:
                    key = _key(entry.name, size, dtype, device, chosen, choices)
                    if "attention" not in entry.options:
                        key["attention"] = "none"
                    variables = {"OMP_NUM_THREADS": str(key["threads"])} | chosen.variables
                    modules = {"suite": CODE, "backbone": entry.source}
                    made[str(key)] = Cell(key, code_hash(CODE, entry.source), modules, variables)
    return list(made.values())


def find_device(asked: str) -> torch.device:
    """The device named ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``; raises ValueError."""
    if asked == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {asked}: allowed are auto, cpu, cuda and cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise ValueError(f"--device {asked}: torch sees {found} CUDA devices here; `linbench doctor` says why")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _refuse_sizes(name: str, multiple: int, choices: Choices) -> None:
    for height, width in choices.resolutions:
        if height % multiple or width % multiple:
            near = sorted({max(multiple, side // multiple * multiple) for side in (height, width)})
            near += [side + multiple for side in near]
            raise ValueError(
                f"--res {height}x{width}: {name} takes heights and widths that {multiple} divides, "
                f"such as {' or '.join(map(str, sorted(near)))}; leave it out with --backbone to keep this size"
            )


def _refuse_member(name: str) -> None:
    """A family such as ``timm/*`` knows its members only when it builds one: try, on no data."""
    try:
        with torch.device("meta"):
            build_backbone(name, image_size=224)
    except ImportError as error:
        raise ValueError(f"{name} cannot be built here: {error}") from error
    except ValueError:
        return  # this size does not fit it; a cell of its own will say what does


def _key(
    name: str, size: tuple[int, int], dtype: str, device: torch.device, chosen: Settings, choices: Choices
) -> dict[str, Any]:
    if dtype not in DTYPES:
        raise ValueError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}")
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    threads = cores() if choices.threads is None else choices.threads
    if not 1 <= threads <= cores():
        raise ValueError(f"--threads {threads}: this process may use 1 to {cores()} cores")
    return {
        "suite": "latency",
        "suite_version": VERSION,
        "backbone": name,
        "options": dict(choices.options),
        "height": size[0],
        "width": size[1],
        "batch": 1,
        "dtype": dtype,
        "device": device_name,
        "device_type": device.type,
        "mode": "latency",
        "threads": threads,
        **asdict(chosen),
        "preset": str(chosen.preset),
    }


def measure(key: Key, seconds: float, seed: int) -> Outcome:
    """One round of one cell: build, first forward, gate, warm-up, samples. Runs in a fresh process."""
    device = torch.device(key["device_type"])
    _pin(key)
    torch.manual_seed(seed)
    try:
        metrics = dict(_metrics(key))
        empty = resident_bytes()
        start = time.perf_counter()
        model, image = _build(key, device)
    except (ValueError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error))
    found: dict[str, Any] = {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "kernel_threads": engine(),
        "load_s": time.perf_counter() - start,
    }
    run = torch.compile(model) if key["compile"] else model
    try:
        found |= _first_forward(run, image, device)
        verdict = gate(model, image)
    except (NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, _first_line(error), metrics=metrics, environment=environment())
    found |= {"kernel_errors": verdict.errors, "kernel_calls": verdict.calls, "kernel_checked": verdict.checked}
    if verdict.wrong:
        return Outcome(Status.WRONG, "; ".join(verdict.wrong), found, metrics, environment())
    if device.type == "cuda" and (pids := gpu.others(device)):
        reason = f"{len(pids)} other processes compute on this GPU: {', '.join(map(str, pids))}"
        return Outcome(Status.CONTENDED, reason, metrics=metrics, environment=environment())
    found |= _samples(run, image, device, seconds, key["threads"])
    found["peak_memory"]["empty_process_bytes"] = empty
    if device.type == "cuda":
        found["gpu"] = gpu.state(device)
    return Outcome(Status.OK, "", found, metrics, environment())


def _first_forward(run: Callable[[Tensor], Any], image: Tensor, device: torch.device) -> dict[str, float]:
    """Seconds of the first forward, and those within it that numba compiled: 0 where its cache on disk held all."""
    with torch.inference_mode(), event.install_recorder("numba:compile") as recorder:
        start = time.perf_counter()
        run(image)
        _wait(device)
        seconds = time.perf_counter() - start
    spans = [(when, what.is_start) for when, what in recorder.buffer]
    return {"first_forward_s": seconds, "kernel_compile_s": _covered(spans)}


def _samples(
    run: Callable[[Tensor], Any], image: Tensor, device: torch.device, seconds: float, threads: int
) -> dict[str, Any]:
    """Raw samples, and while they were taken the peak of memory and what of the processor this and others used."""
    forward_ms = _timer(run, image, device)
    with torch.inference_mode(), peak(device) as memory, shares(threads) as taken:
        samples = sample(forward_ms, seconds)
    found = asdict(samples) | {"peak_memory": memory} | taken
    if device.type == "cuda":  # rule 1: one wall-clock reading beside the events
        start = time.perf_counter_ns()
        with torch.inference_mode():
            run(image)
        _wait(device)
        found["wall_ms"] = (time.perf_counter_ns() - start) / 1e6
    return found


def _pin(key: Key) -> None:
    torch.set_num_threads(key["threads"])
    torch.set_float32_matmul_precision(key["matmul"])
    torch.backends.cuda.matmul.allow_tf32 = key["tf32"]
    torch.backends.cudnn.allow_tf32 = key["tf32"]


def _build(key: Key, device: torch.device) -> tuple[nn.Module, Tensor]:
    size = (key["height"], key["width"])
    overrides = dict(key["options"])
    if key["attention"] != "none":
        overrides["attention"] = key["attention"]
    with torch.device(device):
        model = build_backbone(key["backbone"], image_size=size, impl=Impl(key["impl"]), **overrides)
        image = torch.randn(1, 3, *size)
    assert isinstance(model, nn.Module)
    return model.eval().to(DTYPES[key["dtype"]]), image.to(DTYPES[key["dtype"]])


def _metrics(key: Key) -> Iterator[tuple[str, Any]]:
    """Parameters and FLOPs, from the model on ``meta``: no memory, no clock."""
    model, image = _build(key, torch.device("meta"))
    yield from complexity(model, image).items()
    yield "tokens", {"value": key["height"] * key["width"] / 256, "unit": "1"}


def _timer(run: Callable[[Tensor], Any], image: Tensor, device: torch.device) -> Callable[[], float]:
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

    return on_cuda if device.type == "cuda" else on_cpu


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _covered(spans: list[tuple[float, bool]]) -> float:
    """Seconds covered by nested start and end events."""
    depth, since, total = 0, 0.0, 0.0
    for when, is_start in sorted(spans):
        if is_start:
            since = when if depth == 0 else since
            depth += 1
        else:
            depth -= 1
            total += when - since if depth == 0 else 0.0
    return total


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on the CPU or the GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
