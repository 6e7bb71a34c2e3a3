"""One round of an engine that loads an artifact: load, check, samples; nothing of the model is built here.

The artifact comes from the cache, or from a process of its own that exports it (``artifact.py``), so that the memory
of this process is the engine's. Its outputs are held against eager's before a time counts, and what ran is read back.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from linbench.engines.check import Judgement, judge
from linbench.engines.contract import EngineUnsupported, ExportedEngine, RunConfig, Session, exported
from linbench.environment import environment
from linbench.records import Status
from linbench.registry import plugin_files
from linbench.suites.latency import artifact
from linbench.suites.latency.artifact import Artifact
from linbench.suites.latency.forward import run_config
from linbench.suites.latency.key import SUITE, LatencyKey
from linbench.suites.latency.measure import samples_of
from linbench.suites.runner import gpu
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.energy import counter, energy
from linbench.suites.runner.memory import peak, resident_bytes
from linbench.suites.runner.process import start_conditions, timer, wait
from linbench.suites.runner.rounds import run as run_process
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Cell, Outcome

LONGEST_EXPORT = 3600.0  # seconds; the process that waits has a limit of its own


@dataclass
class Loaded:
    """An artifact in an engine, and what that took: entries of a round."""

    session: Session
    forward: Callable[[], None]
    entries: dict[str, Any]


def measure(key: LatencyKey, seconds: float, seed: int) -> Outcome:
    """Measure one round of a cell whose engine loads an artifact."""
    engine = exported(key.settings.engine.name)
    assert engine is not None
    if reason := engine.available(run_config(key)):
        return Outcome(Status.UNSUPPORTED, reason, environment=environment())
    got = obtain(key, engine, seed)
    if isinstance(got, Outcome):
        return got
    try:
        return _round(key, engine, got, seconds, seed)
    except EngineUnsupported as error:
        return Outcome(Status.UNSUPPORTED, str(error), metrics=_metrics(key, got), environment=environment())


def trial(key: LatencyKey, seconds: float, seed: int) -> Outcome:
    """Return the outcome of a candidate of a search: a round with its median."""
    outcome = measure(key, seconds, seed)
    if not outcome.round.get("samples_ms"):
        return outcome
    return replace(outcome, round={**outcome.round, "median_ms": statistics.median(outcome.round["samples_ms"])})


def obtain(key: LatencyKey, engine: ExportedEngine, seed: int) -> Artifact | Outcome:
    """Return the cell's artifact, exported now where the cache has none, or the outcome of the export that failed."""
    if (kept := artifact.stored(key, engine)) is not None:
        return kept
    sampling = SamplingConfig(timeout_s=LONGEST_EXPORT)
    outcome = run_process(SUITE, Cell(key, "", {}), sampling, seed, plugin_files(), call="export")
    if outcome.status is not Status.OK:
        reason = outcome.reason if outcome.reason.startswith("the export") else f"the export: {outcome.reason}"
        return replace(outcome, reason=reason)
    kept = artifact.stored(key, engine)
    return kept or Outcome(Status.FAILED, "the export left no artifact", log=outcome.log)


def _round(key: LatencyKey, engine: ExportedEngine, got: Artifact, seconds: float, seed: int) -> Outcome:
    """Load, check and sample; then check the graph in float32 where the dtype is another."""
    config, device = run_config(key), torch.device(key.machine.device_type)
    entries = start_conditions(seed) | {
        "export_s": got.manifest["export_s"],
        "artifact_bytes": got.manifest["bytes"],
    }
    empty = resident_bytes()
    loaded = load(engine, got, config, device)
    entries |= loaded.entries
    metrics = _metrics(key, got)
    judgement = check(loaded.session, got, key.dtype)
    entries |= judgement.to_json()
    if judgement.reason:
        return Outcome(Status.WRONG, judgement.reason, entries, metrics, environment())
    if reason := gpu.contention(device):
        return Outcome(Status.CONTENDED, reason, metrics=metrics, environment=environment())
    forward = loaded.session.bind(got.inputs()[0])
    first_s = timer(forward, device)() / 1e3
    entries |= samples_of(forward, device, seconds, first_s, key.machine.threads)
    entries["peak_memory"]["empty_process_bytes"] = empty
    if key.dtype is not Dtype.FLOAT32:
        entries["dtype_error"] = entries["error"]
        if reason := _wrong_in_float32(engine, got, config, device):
            return Outcome(Status.WRONG, reason, _without_times(entries), metrics, environment())
    if key.with_energy:
        entries["energy"] = energy(forward, lambda: wait(device), counter(device))
    return Outcome(Status.OK, "", entries, metrics, environment())


def load(engine: ExportedEngine, got: Artifact, config: RunConfig, device: torch.device) -> Loaded:
    """Load an artifact and run it once; raises EngineUnsupported where other than requested would run."""
    with peak(device) as memory:
        start = time.perf_counter()
        session = engine.load(got.file, config)
        load_s = time.perf_counter() - start
        forward = session.bind(got.inputs()[0])
        start = time.perf_counter()
        forward()
        wait(device)
        first_s = time.perf_counter() - start
    facts = session.facts()
    if reason := facts.mismatch(config):
        raise EngineUnsupported(reason)
    entries = {"load_s": load_s, "first_forward_s": first_s, "kernel_compile_s": 0.0}
    return Loaded(session, forward, entries | {"engine_facts": facts.to_json(), "load_peak_memory": dict(memory)})


def check(session: Session, got: Artifact, dtype: Dtype) -> Judgement:
    """Return the judgement of a session's outputs for the two images of an artifact."""
    outputs = []
    for image in got.inputs():
        session.bind(image)()
        outputs.append(session.outputs())
    return judge(outputs, got.truth(dtype))


def _wrong_in_float32(engine: ExportedEngine, got: Artifact, config: RunConfig, device: torch.device) -> str:
    """Return why the same graph is wrong in float32, where no noise hides a fault; empty if right."""
    plain = replace(config, dtype=str(Dtype.FLOAT32))
    if engine.typed or engine.available(plain):
        return ""
    reason = check(load(engine, got, plain, device).session, got, Dtype.FLOAT32).reason
    return f"in float32, {reason}" if reason else ""


def _without_times(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name != "samples_ms"}


def _metrics(key: LatencyKey, got: Artifact) -> dict[str, Any]:
    tokens = {"value": key.size[0] * key.size[1] / 256, "unit": "1"}
    return {**got.manifest["metrics"], "tokens": tokens}
