"""One training in one process or in many: who this process is, and what all of them agree on.

The same command runs alone, under ``torchrun`` and under Slurm's ``srun``; what differs is in the environment.
"""

import os
import re
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
SLURM_PORT, SLURM_PORTS = 20000, 20000


def accelerator(device: torch.device, precision: str) -> Accelerator:
    """Hugging Face's Accelerator on that kind of device; its gradients are averaged over processes.

    precision: One of PRECISIONS: ``fp32``, or ``bf16`` and ``fp16`` under autocast, the latter with a scaled loss.
    """
    adopt_slurm(os.environ)
    if device.type == "cuda" and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(device)
    AcceleratorState._reset_state()  # a precision of an earlier run in this process would stay
    # What a loss does not read, as SAM's encoder of masks, has no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=PRECISIONS[precision],
        kwargs_handlers=[unused],
        step_scheduler_with_optimizer=False,
    )


def adopt_slurm(environ: MutableMapping[str, str]) -> None:
    """Where ``srun`` started several tasks, say what ``torchrun`` would have said; elsewhere nothing changes."""
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
    """Of this node's list, as ``4(x2),3``; the first count."""
    return re.split(r"[(,]", environ["SLURM_STEP_TASKS_PER_NODE"])[0]


def first_host(nodes: str) -> str:
    """The first of Slurm's list of hosts, as ``gpu[007-010,12],login``."""
    found = re.match(r"([^\[,]+)(?:\[(\w+)[^\]]*\])?([^,]*)", nodes)
    if not found:
        raise ValueError(f"SLURM_STEP_NODELIST={nodes!r}: it names no host")
    return found[1] + (found[2] or "") + found[3]


def summed(accelerator: Accelerator, numbers: Sequence[float]) -> list[float]:
    """Each number's sum over all processes, in float64."""
    if accelerator.num_processes == 1:
        return list(numbers)
    total: Tensor = torch.tensor(numbers, dtype=torch.float64, device=accelerator.device)
    torch.distributed.all_reduce(total)
    return total.tolist()


def agreed(accelerator: Accelerator, number: int) -> int:
    """The largest of the processes' numbers: a signal that one of them got stops them all."""
    if accelerator.num_processes == 1:
        return number
    largest = torch.tensor(number, device=accelerator.device)
    torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
    return int(largest)


def facts(accelerator: Accelerator) -> dict[str, Any]:
    """What computes, as JSON has it."""
    device = accelerator.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "processes": accelerator.num_processes, "threads": torch.get_num_threads()}
