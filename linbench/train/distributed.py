"""One training in one process or in many: ranks, what all of them agree on, and the signals that stop them.

The same command runs alone, under ``torchrun`` and under Slurm's ``srun``; the difference is in the environment.
"""

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
SLURM_PORT, SLURM_PORTS = 20000, 20000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_MESSAGE = b"\nlinbench: stopping after this step, with a state on the disk; a second signal stops at once\n"


def build_accelerator(device: torch.device, precision: str) -> Accelerator:
    """Return Hugging Face's Accelerator on that kind of device; it averages gradients over the ranks.

    precision: One of PRECISIONS: ``fp32``, or ``bf16`` and ``fp16`` under autocast, the latter with a loss scaler.
    """
    adopt_slurm(os.environ)
    if device.type == "cuda" and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device)
    AcceleratorState._reset_state()  # the precision of an earlier run in this process would stay
    # Parameters that a loss does not read, as SAM's mask encoder, have no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=PRECISIONS[precision],
        kwargs_handlers=[unused],
        step_scheduler_with_optimizer=False,
    )


def adopt_slurm(environ: MutableMapping[str, str]) -> None:
    """Set the variables of ``torchrun`` where ``srun`` started several tasks; elsewhere change nothing."""
    if "RANK" in environ or "SLURM_STEP_ID" not in environ or int(environ.get("SLURM_NTASKS", "1")) == 1:
        return
    environ.update(
        RANK=environ["SLURM_PROCID"],
        WORLD_SIZE=environ["SLURM_NTASKS"],
        LOCAL_RANK=environ["SLURM_LOCALID"],
        LOCAL_WORLD_SIZE=_tasks_per_node(environ),
    )
    environ.setdefault("MASTER_ADDR", first_host(environ["SLURM_STEP_NODELIST"]))
    environ.setdefault("MASTER_PORT", str(SLURM_PORT + int(environ["SLURM_JOB_ID"]) % SLURM_PORTS))


def _tasks_per_node(environ: Mapping[str, str]) -> str:
    """Return the first count of a list such as ``4(x2),3``."""
    return re.split(r"[(,]", environ["SLURM_STEP_TASKS_PER_NODE"])[0]


def first_host(nodes: str) -> str:
    """Return the first of Slurm's list of hosts, as ``gpu[007-010,12],login``."""
    match = re.match(r"([^\[,]+)(?:\[(\w+)[^\]]*\])?([^,]*)", nodes)
    if not match:
        raise ValueError(f"SLURM_STEP_NODELIST={nodes!r} names no host")
    return match[1] + (match[2] or "") + match[3]


def all_reduce_sum(accelerator: Accelerator, numbers: Sequence[float]) -> list[float]:
    """Return each number's sum over all ranks, in float64."""
    if accelerator.num_processes == 1:
        return list(numbers)
    total: Tensor = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    torch.distributed.all_reduce(total)
    return total.tolist()


def all_reduce_max(accelerator: Accelerator, number: int) -> int:
    """Return the largest of the ranks' numbers: a signal that one rank received stops them all."""
    if accelerator.num_processes == 1:
        return number
    largest = torch.tensor(number, device=accelerator.device)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return int(largest)


def device_facts(accelerator: Accelerator) -> dict[str, Any]:
    """Return the device, the number of processes and the CPU threads, as JSON values."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "processes": accelerator.num_processes, "threads": torch.get_num_threads()}


@contextmanager
def deferred_signals() -> Iterator[Callable[[], int]]:
    """Defer SIGINT and SIGTERM, so that a step can end first.

    Yields a function that returns the number of the received signal, or 0. A second signal raises KeyboardInterrupt.
    """
    received: list[int] = []

    def defer(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        os.write(2, STOP_MESSAGE)

    before = {number: signal.signal(number, defer) for number in STOP_SIGNALS}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
