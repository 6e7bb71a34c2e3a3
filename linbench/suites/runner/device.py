"""The device that ``--device`` names, and the dtypes of ``--dtype``."""

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
