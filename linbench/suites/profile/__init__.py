"""Where the time of a forward goes, by module and by operator: the function behind ``linbench profile``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from linbench.registry import load_plugin
from linbench.suites.profile.live import profile_module
from linbench.suites.profile.measure import NotProfiled
from linbench.suites.profile.named import QUIET, plan, profile_cell, settle
from linbench.suites.profile.result import ModuleProfile, OperatorProfile, Profile, Rates, Subject
from linbench.suites.runner.resolutions import resolutions

__all__ = ["ModuleProfile", "NotProfiled", "OperatorProfile", "Profile", "Rates", "Subject", "profile"]

SECONDS = 10.0  # of forwards

for _variable, _value in QUIET.items():
    os.environ.setdefault(_variable, _value)  # read when the profiler first starts


def profile(
    model: nn.Module | str,
    image_size: int | tuple[int, int] = 1024,
    *,
    batch: int = 1,
    seconds: float = SECONDS,
    seed: int = 0,
    results: str | Path = "results",
    plugins: Sequence[Path] = (),
    **settings: Any,
) -> Profile:
    """Profile one forward: the time, FLOPs, bytes and memory of each module and of each operator.

    model: A registered name, profiled in a fresh process; or a module that takes images ``b 3 h w``, profiled in
        this process in its own dtype, device and mode.
    image_size: Side, or height and width, px.
    seconds: Of forwards; a plain and a profiled one in turn.
    results: Folder of records, for the settings that a search chose for the preset ``best``.
    plugins: Files that register the name.
    settings: For a name: part, preset, dtype, device, threads, impl and others of ``linbench run --suite latency``.

    Raises UnknownName, ValueError, and NotProfiled where the forward fails or an operator of linbench is wrong.
    """
    text = f"{image_size[0]}x{image_size[1]}" if isinstance(image_size, tuple) else str(image_size)
    (size,) = resolutions(text)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    if isinstance(model, nn.Module):
        if settings:
            raise ValueError(f"{', '.join(settings)}: for a registered name only; a live module runs as it is")
        return profile_module(model, size, batch, seconds, seed)
    for plugin in plugins:
        load_plugin(plugin)
    cell = settle(plan(model, size, batch=batch, **settings), Path(results), seed, plugins)
    return profile_cell(cell, seconds, seed, plugins)
