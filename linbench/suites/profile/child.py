"""The fresh process of a profile: ``python -m linbench.suites.profile.child`` reads a request, prints a profile.

Request (JSON on standard input): ``key`` of a latency, ``seconds``, ``seed``, ``plugins``.
Answer: one line of JSON on standard output, the profile or ``reason``; other output goes to standard error.
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from linbench.kernels.impl import Unsupported
from linbench.registry import load_plugin
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import build, eager, pin
from linbench.suites.latency.key import LatencyKey
from linbench.suites.profile.measure import Forward, NotProfiled, measure
from linbench.suites.profile.result import Profile, Subject
from linbench.suites.runner import gpu
from linbench.suites.runner.memory import is_out_of_memory
from linbench.suites.runner.process import first_line


def main() -> None:
    """Read the request, profile, and print the answer."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    json.dump(_answer(json.loads(sys.stdin.read())), answer, allow_nan=False)
    answer.close()


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile of a request as JSON, or the reason why there is none."""
    for plugin in request["plugins"]:
        load_plugin(Path(plugin))
    key = LatencyKey.from_json(request["key"])
    try:
        return profile_key(key, request["seconds"], request["seed"]).to_json()
    except (NotProfiled, ValueError, NotImplementedError, Unsupported) as error:
        return {"reason": first_line(error)}
    except Exception as error:
        if is_out_of_memory(error):
            return {"reason": f"out of memory: {first_line(error)}"}
        raise


def profile_key(key: LatencyKey, seconds: float, seed: int) -> Profile:
    """Profile the forward of a latency's key in this process."""
    device = torch.device(key.machine.device_type)
    pin(key)
    if reason := gpu.contention(device):
        raise NotProfiled(reason)
    torch.manual_seed(seed)
    flops = complexity(*_build(key, torch.device("meta")))["flops"]
    torch.manual_seed(seed)
    model, *inputs = _build(key, device)
    forward = Forward(model, eager(key, partial(model, *inputs)), device, key.dtype.torch, flops)
    return measure(forward, _subject(key), seconds, seed)


def _build(key: LatencyKey, device: torch.device) -> Any:
    """Return the model of a key and its inputs, one after the other."""
    model, inputs = build(key, device)
    return model, *inputs


def _subject(key: LatencyKey) -> Subject:
    model = key.model
    settings = {"fusion": model.fusion, "prompts": model.prompts, "options": dict(model.options)}
    return Subject(
        model=model.backbone,
        part=str(model.part),
        size=key.size,
        batch=key.batch,
        dtype=str(key.dtype),
        device=key.machine.device,
        device_type=key.machine.device_type,
        threads=key.machine.threads,
        process="fresh",
        settings=key.settings.to_json() | settings,
    )


if __name__ == "__main__":
    main()
