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
from torch import Tensor

from linbench.backbones import backbone, build_backbone
from linbench.environment import cores, cpu_name, environment
from linbench.kernels.impl import Unsupported
from linbench.kernels.threads import engine
from linbench.provenance import code_hash
from linbench.records import Status
from linbench.suites import gpu, search
from linbench.suites.complexity import complexity
from linbench.suites.contract import Cell, Choices, Key, Outcome, Suite, suite
from linbench.suites.dtype_error import dtype_error
from linbench.suites.energy import counter, energy
from linbench.suites.forward import DTYPES, Forward, build, eager, pin, prepared, timer, wait
from linbench.suites.gate import gate
from linbench.suites.load import shares
from linbench.suites.memory import peak, resident_bytes
from linbench.suites.sampling import sample
from linbench.suites.settings import Preset, Settings, settings
from linbench.suites.trial import trial

VERSION = 2
#: What measures; a change in one of them makes records stale.
CODE = (
    *(
        f"linbench.suites.{name}"
        for name in (
            *("latency", "forward", "sampling", "gate", "memory"),
            *("load", "gpu", "settings", "energy", "dtype_error"),
        )
    ),
    "linbench.order_statistics",
)
MODES = {False: "latency", True: "latency and energy"}
OWN_FLAGS = {"attention": "--attention", "impl": "--impl", "image_size": "--res", "fused": "--setting fused"}
LOAD_MS = 50.0  # forwards queued on a GPU while its state is read


@suite("latency", version=VERSION)
def latency() -> Suite:
    """Latency of the backbone alone against resolution."""
    return Suite(cells=cells, measure=measure, trial=trial)


def cells(choices: Choices) -> list[Cell]:
    """Every backbone × resolution × dtype × preset; raises UnknownName and ValueError that teach."""
    device = find_device(choices.device)
    made: dict[str, Cell] = {}
    for name in choices.backbones:
        entry = backbone[name]
        _refuse_sizes(name, entry.facts.get("multiple_of", 1), choices)
        if name not in set(backbone):
            _refuse_member(name)
        _refuse_options(name, entry.options, choices)
        modules = {"suite": CODE, "backbone": entry.source}
        hashed = code_hash(CODE, entry.source)
        for preset in choices.presets:
            for dtype in choices.dtypes:
                chosen = settings(Preset(preset), device.type, dtype, entry.options, **choices.given)
                first = _key(entry.name, choices.resolutions[0], dtype, device, chosen, choices)
                pending = None
                if chosen.preset is Preset.BEST:
                    of_search = code_hash((*CODE, *search.MODULES), entry.source)
                    pending = search.plan(first, choices.resolutions, entry.options, of_search, first["threads"])
                for height, width in choices.resolutions:
                    key = {**first, "height": height, "width": width}
                    variables = {"OMP_NUM_THREADS": str(key["threads"])} | chosen.variables
                    made[str(key)] = Cell(key, hashed, modules, variables, pending)
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


def _refuse_options(name: str, options: tuple[str, ...], choices: Choices) -> None:
    for option in choices.options:
        if option in OWN_FLAGS:
            raise ValueError(f"--option {option}: it has a flag of its own; write {OWN_FLAGS[option]}")
        if option not in options:
            raise ValueError(f"--option {option}: {name} has none of that name; it has {', '.join(options)}")


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
        "mode": MODES[choices.energy],
        "threads": threads,
        **chosen.key,
    }


def measure(key: Key, seconds: float, seed: int) -> Outcome:
    """One round of one cell: build, first forward, gate, warm-up, samples. Runs in a fresh process."""
    device = torch.device(key["device_type"])
    pin(key)
    torch.manual_seed(seed)
    try:
        metrics = dict(_metrics(key))
        empty = resident_bytes()
        torch.manual_seed(seed)
        start = time.perf_counter()
        model, image = build(key, device)
    except (ValueError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error))
    found: dict[str, Any] = {
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "kernel_threads": engine(),
        "load_s": time.perf_counter() - start,
    }
    try:
        found |= _first_forward(eager(key, model), image)
        verdict = gate(model, image)
    except (NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, _first_line(error), metrics=metrics, environment=environment())
    found |= {"kernel_errors": verdict.errors, "kernel_calls": verdict.calls, "kernel_checked": verdict.checked}
    if verdict.wrong:
        return Outcome(Status.WRONG, "; ".join(verdict.wrong), found, metrics, environment())
    if device.type == "cuda" and (pids := gpu.others(device)):
        reason = f"{len(pids)} other processes compute on this GPU: {', '.join(map(str, pids))}"
        return Outcome(Status.CONTENDED, reason, metrics=metrics, environment=environment())
    start = time.perf_counter()
    run = prepared(key, model, image)
    if key["compile"] or key["cuda_graph"]:
        found["compile_s"] = time.perf_counter() - start
    found |= _samples(run, image, seconds, key["threads"])
    found["peak_memory"]["empty_process_bytes"] = empty
    if key["dtype"] != "float32":
        found |= dtype_error(key, model, run, image, seed, found["peak_memory"])
    if key["mode"] == MODES[True]:
        with torch.inference_mode():
            found["energy"] = energy(lambda: run(image), lambda: wait(device), counter(device))
    return Outcome(Status.OK, "", found, metrics, environment())


def _first_forward(run: Forward, image: Tensor) -> dict[str, float]:
    """Seconds of the first forward, and those within it that numba compiled: 0 where its cache on disk held all."""
    with torch.inference_mode(), event.install_recorder("numba:compile") as recorder:
        start = time.perf_counter()
        run(image)
        wait(image.device)
        seconds = time.perf_counter() - start
    spans = [(when, what.is_start) for when, what in recorder.buffer]
    return {"first_forward_s": seconds, "kernel_compile_s": _covered(spans)}


def _samples(run: Forward, image: Tensor, seconds: float, threads: int) -> dict[str, Any]:
    """Raw samples, and while they were taken the peak of memory and what of the processor this and others used.

    On a GPU also its state under load before and after them, and one wall-clock reading beside the events (rule 1).
    """
    device, forward_ms = image.device, timer(run, image)
    cuda = device.type == "cuda"
    with torch.inference_mode():
        before = _state_under_load(forward_ms, run, image) if cuda else {}
        with peak(device) as memory, shares(threads) as taken:
            samples = sample(forward_ms, seconds)
        found = asdict(samples) | {"peak_memory": memory} | taken
        if cuda:
            start = time.perf_counter_ns()
            run(image)
            wait(device)
            found["wall_ms"] = (time.perf_counter_ns() - start) / 1e6
            after = _state_under_load(forward_ms, run, image)
            found |= {"gpu": after, "gpu_before": before, "throttled": gpu.throttled(before, after)}
    return found


def _state_under_load(forward_ms: Callable[[], float], run: Forward, image: Tensor) -> dict[str, Any]:
    """What NVML says while forwards are at work; an idle GPU would tell its idle clocks."""
    for _ in range(1 + int(LOAD_MS / forward_ms())):
        run(image)
    found = gpu.state(image.device)
    wait(image.device)
    return found


def _metrics(key: Key) -> Iterator[tuple[str, Any]]:
    """Parameters and FLOPs, from the model on ``meta``: no memory, no clock."""
    model, image = build(key, torch.device("meta"))
    yield from complexity(model, image).items()
    yield "tokens", {"value": key["height"] * key["width"] / 256, "unit": "1"}


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
