"""Latency of a module that lives in this process: any module or function that takes an image (rules 1 to 4, 12, 22).

A registered backbone is measured in fresh processes (``runner/rounds.py``). A module of a notebook exists only here,
so it is sampled here: the same warm-up, sampling, correctness check, disturbance check and statistics. What a process
adds by itself (its memory, its threads, what ran before) cannot be seen from inside: the key says
``process: this one``, there is one round, and nothing is derived from it.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from linbench.engines.contract import COMPILE, EAGER, EngineKey
from linbench.environment import cpu_name, environment
from linbench.kernels.impl import Unsupported
from linbench.kernels.threads import engine
from linbench.provenance import code_hash
from linbench.records import Record, Status
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.key import MODES, SUITE, VERSION
from linbench.suites.runner.correctness import check_kernels
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.memory import is_out_of_memory, peak, resident_bytes
from linbench.suites.runner.process import first_line, timer, wait
from linbench.suites.runner.resolutions import Size
from linbench.suites.runner.sampling import sample

ENTRIES = ("linbench.suites.latency.live",)
PROCESS = "this one"


@dataclass(frozen=True)
class LiveModel:
    """A callable that takes an image ``b 3 h w``, and how to feed it.

    module: The module behind it: its parameters are counted and its mode is set; None for a plain function.
    """

    name: str
    forward: Callable[[Tensor], Any]
    module: nn.Module | None
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(
        cls,
        model: Callable[[Tensor], Any],
        name: str = "",
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> "LiveModel":
        """Return ``model`` in the dtype and on the device that are given, by default its own.

        A module of another dtype or device is copied, so that the caller's stays as it is. Raises TypeError for what
        cannot be called.
        """
        if not callable(model):
            raise TypeError(f"a model is a name, a module or a function of an image, got {type(model).__name__}")
        name = name or _name_of(model)
        if not isinstance(model, nn.Module):
            return cls(name, model, None, dtype or torch.float32, device or torch.device("cpu"))
        present_device, present_dtype = device_and_dtype(model)
        dtype, device = dtype or present_dtype, device or present_device
        if (device, dtype) != (present_device, present_dtype):
            model = copy.deepcopy(model).to(device=device, dtype=dtype)
        return cls(name, model, model, dtype, device)

    def run(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors in the output, whatever holds them: a tuple, a list, a dictionary."""
        outputs = tuple(leaf for leaf in tree_leaves(self.forward(image)) if isinstance(leaf, Tensor))
        if not outputs:
            raise TypeError(f"{self.name} returns no tensor, nor a tuple, list or dictionary with one")
        return outputs


def device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return those of the first floating parameter or buffer; CPU and float32 where there is none."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def measure_live(model: LiveModel, size: Size, batch: int, seconds: float) -> Record:
    """Measure one size and batch of a live model.

    size: Height and width, px.  seconds: Budget of warm-up and samples.
    A forward that raises gives a record with its reason, so that the other sizes of a sweep are measured.
    """
    key = _key(model, size, batch)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    conditions: dict[str, Any] = {"started": started, "kernel_threads": engine()}
    metrics: dict[str, Any] = {}
    status, reason = Status.OK, ""
    with _evaluating(model.module):
        try:
            image = torch.randn(batch, 3, *size, device=model.device, dtype=model.dtype)
            metrics = dict(_metrics(model, image))
            verdict = check_kernels(partial(_eager(model).run, image))
            conditions |= {"kernel_errors": verdict.errors, "kernel_calls": verdict.calls}
            if verdict.wrong:
                status, reason = Status.WRONG, "; ".join(verdict.wrong)
            else:
                with torch.inference_mode():
                    conditions |= _samples(model, image, seconds)
        except Exception as error:  # noqa: BLE001 - whatever a user's module raises is the outcome of this size
            status, reason = _failure(error), f"{type(error).__name__}: {first_line(error)}"
    return Record(
        key=key,
        status=status,
        reason=reason,
        rounds=(conditions,) if status is Status.OK else (),
        metrics=metrics,
        environment=environment(),
        code_hash=code_hash(ENTRIES, ()),
    )


def _key(model: LiveModel, size: Size, batch: int) -> dict[str, Any]:
    is_cuda = model.device.type == "cuda"
    return {
        "suite": SUITE,
        "suite_version": VERSION,
        "backbone": model.name,
        "part": "module",
        "fusion": "none",
        "prompts": 0,
        "options": {},
        "height": size[0],
        "width": size[1],
        "batch": batch,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": torch.cuda.get_device_name(model.device) if is_cuda else cpu_name(),
        "device_type": model.device.type,
        "mode": MODES[False],
        "threads": torch.get_num_threads(),
        "process": PROCESS,
        **EngineKey(EAGER if _uncompiled(model.forward) is model.forward else COMPILE).to_json(),
        "matmul": torch.get_float32_matmul_precision(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def _metrics(model: LiveModel, image: Tensor) -> Iterator[tuple[str, Any]]:
    """Yield the FLOPs of one forward, and of a module the parameters."""
    eager = _eager(model)
    counted = complexity(eager.module or _Function(eager.forward), image)
    if model.module is not None:
        yield "parameters", counted["parameters"]
    yield "flops", counted["flops"]


def _samples(model: LiveModel, image: Tensor, seconds: float) -> dict[str, Any]:
    """Return the first forward, raw samples, the peak of memory and the use of the processor while they ran."""
    run = partial(model.run, image)
    empty = resident_bytes()
    first = timer(run, model.device)() / 1e3
    wait(model.device)
    with peak(model.device) as memory, cpu_usage(torch.get_num_threads()) as usage:
        samples = sample(timer(run, model.device), seconds)
    memory["empty_process_bytes"] = empty
    return {"first_forward_s": first, **asdict(samples), "peak_memory": memory, **usage}


def _failure(error: Exception) -> Status:
    if is_out_of_memory(error):
        return Status.OOM
    return Status.UNSUPPORTED if isinstance(error, NotImplementedError | Unsupported) else Status.FAILED


def _eager(model: LiveModel) -> LiveModel:
    """Return the model before torch.compile: a compiled one runs outside the dispatcher, where nothing is seen."""
    original = _uncompiled(model.forward)
    module = original if isinstance(original, nn.Module) else None
    return replace(model, forward=original, module=module)


def _uncompiled(model: Any) -> Any:
    """Return the module or function that torch.compile was given; ``model`` itself where it is not compiled."""
    return getattr(model, "_orig_mod", None) or getattr(model, "_torchdynamo_orig_callable", model)


def _name_of(model: Any) -> str:
    original = _uncompiled(model)
    return str(getattr(original, "__name__", type(original).__name__))


class _Function(nn.Module):
    """A function as a module without parameters."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> Any:
        return self.function(image)


@contextmanager
def _evaluating(module: nn.Module | None) -> Iterator[None]:
    """Put a module into eval mode for the block, and each of its parts back into its own mode after it."""
    modes = [] if module is None else [(part, part.training) for part in module.modules()]
    if module is not None:
        module.eval()
    try:
        yield
    finally:
        for part, was_training in modes:
            part.training = was_training
