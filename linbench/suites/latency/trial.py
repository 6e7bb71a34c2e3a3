"""One candidate of a search, in a process of its own: how long its forward takes, and whether it is right.

Right is what gives the maps of the plain forward (``plain``) with the same weights on the same image, up to the
noise of the dtype. In float32 that is a bound on max|diff| / max|plain|, over all maps. A half dtype's noise is
measured: of the plain forward in float32, the candidate may be at most TIMES_NOISE as far as the plain forward in
its own dtype is.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.records import Status
from linbench.suites.latency.forward import build, cast, distance, pin, prepared, timer
from linbench.suites.latency.part import Maps, Part, choices_of
from linbench.suites.latency.settings import Preset, settings
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Key, Outcome

#: Of max|plain|, for float32: a hundred times what reordered sums change in 24 blocks, and a tenth of what products
#: rounded to bfloat16 or TF32 do.
BOUND = 1e-4
TIMES_NOISE = 2.0


def trial(key: Key, seconds: float, seed: int) -> Outcome:
    """Time the candidate that ``key`` describes, then hold its maps against the plain forward's."""
    device = torch.device(key["device_type"])
    pin(key)
    torch.manual_seed(seed)
    try:
        model, given = build(key, device)
        run = prepared(key, model, given)
        with torch.inference_mode():
            with cpu_usage(key["threads"]) as taken:
                samples = sample(timer(run, device), seconds)
            maps = tuple(each.clone() for each in run())
    except (ValueError, NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, str(error).strip().partition("\n")[0], environment=environment())
    found = asdict(samples) | taken | {"median_ms": statistics.median(samples.samples_ms)}
    errors = compared(key, model, given, maps)
    found |= {name: value if math.isfinite(value) else None for name, value in errors.items()}
    wrong = verdict(key["dtype"], errors)
    return Outcome(Status.WRONG if wrong else Status.OK, wrong, found, environment=environment())


def plain(key: Key) -> dict[str, Any]:
    """The key of the forward that every candidate is held against: the preset ``paper``, under the same threads."""
    options = choices_of(key["backbone"], Part(key["part"]))
    chosen = settings(Preset.PAPER, key["device_type"], key["dtype"], options, impl=key["impl"])
    return {**key, **chosen.key}


def compared(key: Key, model: nn.Module, given: Maps, maps: Maps) -> dict[str, float]:
    """How far the candidate's ``maps`` are from the plain forward's, and in a half dtype both from float32's."""
    reference = plain(key)
    pin(reference)
    other, _ = build(reference, given[0].device)
    other.load_state_dict(model.state_dict())
    same = tuple(x.contiguous() for x in given)
    with torch.inference_mode():
        expected = other(*same)
        errors = {"error": distance(maps, expected)}
        if key["dtype"] != "float32":
            truth = _in_float32(reference, other, same)
            errors["error_float32"] = distance(maps, truth)
            errors["plain_error_float32"] = distance(expected, truth)
    return errors


def _in_float32(key: Key, model: nn.Module, given: Maps) -> Maps:
    model, given = cast({**key, "dtype": "float32"}, model, given)
    maps: Maps = model(*given)
    return maps


def verdict(dtype: str, errors: Mapping[str, float]) -> str:
    """Why a candidate with these errors is wrong, in one sentence; empty where it is right."""
    if dtype == "float32":
        if errors["error"] <= BOUND:  # NaN is wrong too
            return ""
        return f"its maps are off the plain forward's by {errors['error']:.1e} of max|plain|, allowed {BOUND:.0e}"
    allowed = TIMES_NOISE * errors["plain_error_float32"]
    if errors["error_float32"] <= allowed:
        return ""
    return (
        f"its maps are off those of float32 by {errors['error_float32']:.1e}, allowed {allowed:.1e}: "
        f"{TIMES_NOISE:g} times what the plain forward in {dtype} is"
    )
