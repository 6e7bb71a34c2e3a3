"""One round of the suite ``throughput`` for an engine that loads artifacts: one for each batch, each of them checked.

The search for the best batch is that of the other engines; the seconds of exports do not count as its time.
"""

import time
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch

from linbench.engines.contract import EngineUnsupported, ExportedEngine, exported
from linbench.environment import environment
from linbench.records import Status
from linbench.suites.latency import key as latency
from linbench.suites.latency.artifact import Artifact
from linbench.suites.latency.exported import Loaded, check, load, obtain
from linbench.suites.latency.forward import run_config
from linbench.suites.latency.key import LatencyKey
from linbench.suites.runner import gpu
from linbench.suites.runner.cpu_usage import cpu_usage
from linbench.suites.runner.memory import available_bytes, is_out_of_memory, peak, resident_bytes
from linbench.suites.runner.process import start_conditions
from linbench.suites.runner.sampling import sample
from linbench.suites.runner.suite import Outcome
from linbench.suites.throughput.doubling import SEARCHING, WINDOWS, Trial, double
from linbench.suites.throughput.key import ThroughputKey
from linbench.suites.throughput.measure import image_ms


class _Ended(Exception):
    """An artifact that cannot be made or is wrong; its outcome is that of the round."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


@dataclass
class _Search:
    """The artifacts of one search. exporting_s: Seconds that exports took so far.  metrics: Of the model."""

    key: ThroughputKey
    engine: ExportedEngine
    seed: int
    device: torch.device
    exporting_s: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)

    def clock(self) -> float:
        """Return the time without exports."""
        return time.perf_counter() - self.exporting_s

    def attempt(self, batch: int) -> Trial:
        """Return the images/s of a few windows at a batch; of none where the memory does not suffice."""
        before = resident_bytes() or 0
        try:
            loaded, _ = self.loaded(batch)
            with peak(self.device) as memory:
                window = image_ms(loaded.forward, batch, self.device)
                rates = tuple(1e3 / window() for _ in range(WINDOWS))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return Trial(batch)
        used = memory.get("reserved_bytes", memory.get("rss_bytes", 0))
        return Trial(batch, rates, dict(memory), max(0, used - before))

    def loaded(self, batch: int) -> tuple[Loaded, dict[str, Any]]:
        """Return the artifact of a batch in the engine, and the entries of its check; raises _Ended."""
        key = _of_latency(self.key, batch)
        begin = time.perf_counter()
        got = obtain(key, self.engine, self.seed)
        self.exporting_s += time.perf_counter() - begin
        if isinstance(got, Outcome):
            raise _Ended(got)
        self.metrics = dict(got.manifest["metrics"])
        loaded = load(self.engine, got, run_config(key), self.device)
        judgement = check(loaded.session, got, key.dtype)
        entries = loaded.entries | judgement.to_json() | _of_export(got)
        if judgement.reason:
            reason = f"at batch {batch}: {judgement.reason}"
            raise _Ended(Outcome(Status.WRONG, reason, entries, self.metrics, environment()))
        return loaded, entries


def measure(key: ThroughputKey, seconds: float, seed: int) -> Outcome:
    """Measure one round: find the batch, check there, samples."""
    engine, device = exported(key.settings.engine.name), torch.device(key.machine.device_type)
    assert engine is not None
    if reason := engine.available(run_config(key)):
        return Outcome(Status.UNSUPPORTED, reason, environment=environment())
    search = _Search(key, engine, seed, device)
    try:
        return _round(search, seconds)
    except _Ended as ended:
        return ended.outcome
    except EngineUnsupported as error:
        return Outcome(Status.UNSUPPORTED, str(error), metrics=search.metrics, environment=environment())


def _round(search: _Search, seconds: float) -> Outcome:
    device, key = search.device, search.key
    empty = resident_bytes()
    entries = start_conditions(search.seed)
    if reason := gpu.contention(device):
        return Outcome(Status.CONTENDED, reason, environment=environment())
    tried = double(search.attempt, partial(available_bytes, device), SEARCHING * seconds, search.clock)
    if not tried.trials[0].images_per_s:
        return Outcome(Status.OOM, tried.stopped, metrics=search.metrics, environment=environment())
    batch = tried.best.batch
    entries |= {"batch": batch, "batches": [trial.to_json() for trial in tried.trials], "stopped": tried.stopped}
    loaded, of_check = search.loaded(batch)
    with peak(device) as memory, cpu_usage(key.machine.threads) as usage:
        samples = sample(image_ms(loaded.forward, batch, device), (1 - SEARCHING) * seconds)
    entries |= of_check | asdict(samples) | usage | {"peak_memory": memory | {"empty_process_bytes": empty}}
    return Outcome(Status.OK, "", entries, search.metrics, environment())


def _of_latency(key: ThroughputKey, batch: int) -> LatencyKey:
    """Return the key of one forward of a batch, whose artifact is exported."""
    entries = {entry.name: getattr(key, entry.name) for entry in fields(LatencyKey)}
    return replace(LatencyKey(**entries), batch=batch, version=latency.VERSION)


def _of_export(got: Artifact) -> dict[str, Any]:
    return {"export_s": got.manifest["export_s"], "artifact_bytes": got.manifest["bytes"]}
