"""One candidate of a search, in a process of its own: how long its forward takes, and whether it is right.

A candidate is right where it gives the maps of the plain forward (``plain_key``) with the same weights on the same
image, up to the noise of the dtype. In float32 that is a bound on max|diff| / max|plain|, over all maps. A half
dtype's noise is measured: from the plain forward in float32, the candidate may be at most TIMES_NOISE as far as the
plain forward in its own dtype is.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, replace

import torch
from torch import nn

from linbench.engines.contract import build as engine_of
from linbench.engines.contract import exported
from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.records import Status
from linbench.suites.latency.forward import build, cast, distance, pin, prepare, run_config, run_once
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.measure import by_artifact
from linbench.suites.latency.part import Maps, tunable_options
from linbench.suites.latency.settings import Preset, preset_settings
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.process import first_line, timer
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Outcome

#: Fraction of max|plain|, for float32: a hundred times what reordered sums change in 24 blocks, and a tenth of what
#: products rounded to bfloat16 or TF32 do.
BOUND = 1e-4
TIMES_NOISE = 2.0


def trial(key: LatencyKey, seconds: float, seed: int) -> Outcome:
    """Time the candidate that ``key`` describes, then compare its maps with the plain forward's."""
    if exported(key.settings.engine.name):
        return by_artifact("trial", key, seconds, seed)
    device = torch.device(key.machine.device_type)
    if reason := engine_of(key.settings.engine.name).available(run_config(key)):
        return Outcome(Status.UNSUPPORTED, reason, environment=environment())
    pin(key)
    torch.manual_seed(seed)
    try:
        model, inputs = build(key, device)
        run = prepare(key, model, inputs)
        first_s = run_once(run, device)
        with torch.inference_mode():
            with cpu_usage(key.machine.threads) as usage:
                samples = sample(timer(run, device), seconds, first_s)
            maps = tuple(x.clone() for x in run())
    except (ValueError, NotImplementedError, Unsupported) as error:
        return Outcome(Status.UNSUPPORTED, first_line(error), environment=environment())
    entries = asdict(samples) | usage | {"median_ms": statistics.median(samples.samples_ms)}
    errors = errors_of(key, model, inputs, maps)
    entries |= {name: value if math.isfinite(value) else None for name, value in errors.items()}
    reason = reason_wrong(key.dtype, errors)
    return Outcome(Status.WRONG if reason else Status.OK, reason, entries, environment=environment())


def plain_key(key: LatencyKey) -> LatencyKey:
    """Return the key of the forward that every candidate is compared with: the preset ``paper``, same threads."""
    options = tunable_options(key.model.backbone, key.model.part)
    return replace(
        key,
        settings=preset_settings(Preset.PAPER, key.machine.device_type, key.dtype, options, impl=key.settings.impl),
    )


def errors_of(key: LatencyKey, model: nn.Module, inputs: Maps, maps: Maps) -> dict[str, float]:
    """Return how far the candidate's ``maps`` are from the plain forward's; in a half dtype both from float32's."""
    reference = plain_key(key)
    pin(reference)
    plain, _ = build(reference, inputs[0].device)
    plain.load_state_dict(model.state_dict())
    same = tuple(x.contiguous() for x in inputs)
    with torch.inference_mode():
        expected = plain(*same)
        errors = {"error": distance(maps, expected)}
        if key.dtype is not Dtype.FLOAT32:
            truth = _in_float32(reference, plain, same)
            errors["error_float32"] = distance(maps, truth)
            errors["plain_error_float32"] = distance(expected, truth)
    return errors


def _in_float32(key: LatencyKey, model: nn.Module, inputs: Maps) -> Maps:
    model, inputs = cast(replace(key, dtype=Dtype.FLOAT32), model, inputs)
    maps: Maps = model(*inputs)
    return maps


def reason_wrong(dtype: Dtype, errors: Mapping[str, float]) -> str:
    """Say in one sentence why a candidate with these errors is wrong; empty where it is right."""
    if dtype == Dtype.FLOAT32:
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
