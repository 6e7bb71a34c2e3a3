"""How far a dtype is from float32: the whole model's maps as timed, against the same model's in float32."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from linbench.suites.latency.forward import Forward, build, distance, in_float32, pin
from linbench.suites.latency.key import LatencyKey
from linbench.suites.runner.memory import available_bytes

ROOM = 3  # times the timed forward's peak: what float32, twice as wide, may take beside what is still allocated


def dtype_error(
    key: LatencyKey,
    model: nn.Module,
    run: Forward,
    device: torch.device,
    seed: int,
    memory: Mapping[str, Any],
) -> dict[str, Any]:
    """Return ``dtype_error``, max|diff| / max|float32| over all maps, or why there is none: ``dtype_error_missing``.

    The float32 model is built anew from ``seed``, with the weights before they were rounded. It runs last, after the
    samples and the peak of memory, and not at all where it might not fit.
    """
    used = memory.get("allocated_bytes") or memory.get("rss_bytes", 0) - (memory.get("empty_process_bytes") or 0)
    room = available_bytes(device)
    if room is not None and ROOM * used > room:
        return {"dtype_error_missing": f"a forward in float32 might not fit: {room / 2**20:.0f} MiB are free"}
    with torch.inference_mode():
        maps = tuple(x.float() for x in run())
    wide = in_float32(key)
    pin(wide)
    torch.manual_seed(seed)
    exact, inputs = build(wide, device)
    if not _has_same_weights(model, exact):
        return {"dtype_error_missing": "the weights do not follow from torch's seed"}
    with torch.inference_mode():
        error = distance(maps, exact(*inputs))
    return {"dtype_error": error} if math.isfinite(error) else {"dtype_error_missing": "the maps are not finite"}


def _has_same_weights(model: nn.Module, exact: nn.Module) -> bool:
    """Return whether the weights of ``model`` are those of ``exact``, rounded."""
    ours, theirs = model.state_dict(), exact.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(v, theirs[k].to(v.dtype)) for k, v in ours.items())
