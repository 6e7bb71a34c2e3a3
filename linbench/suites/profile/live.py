"""Profile a live module in this process, as it is."""

from functools import partial

import torch
from torch import nn

from linbench.environment import cpu_name
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.live import device_and_dtype
from linbench.suites.profile.measure import Forward, measure
from linbench.suites.profile.result import Profile, Subject
from linbench.suites.runner.resolutions import Size


def profile_module(model: nn.Module, size: Size, batch: int, seconds: float, seed: int) -> Profile:
    """Profile a module that takes images ``b 3 h w``, in its own dtype, device and mode, on random images.

    Raises ValueError for a compiled module, NotProfiled where an operator of linbench is wrong on them.
    """
    if hasattr(model, "_orig_mod") or isinstance(model, torch.jit.ScriptModule):
        raise ValueError(f"model is a compiled {type(model).__name__}: its modules do not run; profile the original")
    device, dtype = device_and_dtype(model)
    torch.manual_seed(seed)
    image = torch.randn(batch, 3, *size, dtype=dtype, device=device)
    forward = Forward(model, partial(model, image), device, dtype, complexity(model, image)["flops"])
    subject = Subject(
        model=type(model).__name__,
        part="module",
        size=size,
        batch=batch,
        dtype=str(dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        device_type=device.type,
        threads=torch.get_num_threads(),
        process="this one",
    )
    return measure(forward, subject, seconds, seed)
