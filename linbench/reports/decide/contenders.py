"""The contenders of a decision: one model at one resolution, with what it is ranked by and what limits it.

For a metric of speed a contender is a timed cell, for a metric of accuracy a score with the latency measured for the
same model, size and dtype. All times are of one device and one set of conditions, all scores of one dataset and
protocol; where a folder holds several, the request must name one. Scores are of one device too, but it may be another
than that of the times.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from linbench.reports.accuracy.rows import EMBEDDED
from linbench.reports.accuracy.table import SHOWN
from linbench.reports.decide.commands import scoring, timing
from linbench.reports.decide.comparable_cells import ComparableCell, group_cells
from linbench.reports.decide.conditions import AmbiguousRequest, Size, refuse_unknown, select, select_device
from linbench.reports.decide.speed import LATENCY, SPEEDS, Speed

SCORES = tuple(f"{suite}_{name}" for suite, names in SHOWN.items() for name in names)
METRICS = (*SPEEDS, *SCORES)
PARAMETERS = "params_m"  # as the axis of a front
MIB_PER_GB = 1e9 / 2**20


@dataclass(frozen=True)
class Request:
    """A metric to be best in, its limits, and the conditions of the numbers.

    metric: One of ``METRICS``.
    axis: What else is to be good, of a front: ``PARAMETERS`` or one of ``SCORES``; empty for a single best.
    sizes: Height and width, px; empty for all.
    latency_ms, memory_gb, params_m: Limits, None for none; a GB is 10⁹ bytes.
    preset, part, dataset: None for the only one there is; of several presets ``best``.
    conditions: Further parts of keys that must have these values, as text.
    """

    metric: str
    sizes: Sequence[Size] = ()
    latency_ms: float | None = None
    memory_gb: float | None = None
    params_m: float | None = None
    device: str | None = None
    preset: str | None = None
    part: str | None = None
    dataset: str | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    axis: str = ""

    @property
    def speed(self) -> Speed:
        """What is timed: the metric where it is one of speed, else the latency."""
        return SPEEDS.get(self.metric, LATENCY)

    @property
    def score(self) -> str:
        """The metric of accuracy; empty where there is none."""
        return next((name for name in (self.metric, self.axis) if name and name not in (*SPEEDS, PARAMETERS)), "")

    @property
    def needs_times(self) -> bool:
        """Whether the metric or a limit needs a timed record."""
        limits = (self.latency_ms, self.memory_gb, self.params_m)
        return self.metric in SPEEDS or any(limit is not None for limit in limits)


@dataclass(frozen=True)
class Contender:
    """A model at a resolution.

    score: None where no metric of accuracy is requested.
    timed: Its latency or throughput; None where none is needed.
    """

    label: str
    score: ComparableCell | None
    timed: ComparableCell | None

    @property
    def cell(self) -> ComparableCell:
        """The cell of the metric."""
        cell = self.score or self.timed
        assert cell is not None
        return cell

    @property
    def pixels(self) -> int:
        """The pixels of its image."""
        return int(self.cell.key["height"]) * int(self.cell.key["width"])


@dataclass(frozen=True)
class Excluded:
    """A model left out, the reason, and the command that would measure what is missing, but for its size."""

    label: str
    size: str
    reason: str
    command: str = ""


@dataclass(frozen=True)
class Contenders:
    """All contenders of a request.

    excluded: Models that lack a number.
    times, scores: The conditions that all times and all scores share, as text.
    """

    contenders: list[Contender]
    excluded: list[Excluded]
    times: dict[str, str]
    scores: dict[str, str]


def gather(request: Request, cells: Iterable[ComparableCell]) -> Contenders:
    """Return the contenders; raise AmbiguousRequest where the request must name more or there is nothing to rank."""
    latest = list(group_cells(cells, ()).cells.values())
    excluded: list[Excluded] = []
    refuse_unknown(request.conditions, latest)
    times, conditions = _times(request, [cell for cell in latest if cell.key["suite"] == request.speed.suite])
    if not request.score:
        return Contenders([Contender(_name(cell, times), None, cell) for cell in times], excluded, conditions, {})
    suite = request.score.partition("_")[0]
    metrics = (request.score, f"{suite}_")  # a record that failed has no metric
    scores = [cell for cell in latest if cell.key["suite"] == suite and cell.key.get("metric") in metrics]
    scores, score_conditions = _scores(request, scores, conditions.get("device", ""), excluded)
    joined = list(_join(request, scores, times, conditions, excluded))
    return Contenders(joined, excluded, conditions, score_conditions)


def _times(request: Request, known: list[ComparableCell]) -> tuple[list[ComparableCell], dict[str, str]]:
    """Return the times to choose from, and the conditions that they share."""
    speed = request.speed
    if not known and request.needs_times:
        raise AmbiguousRequest(f"no {speed.suite} is recorded; `linbench run --suite {speed.suite}` measures some")
    known = select_device(known, request.device)
    named = {name: value for name in ("preset", "part") if (value := getattr(request, name)) is not None}
    if "preset" not in named and "best" in {cell.labels["preset"] for cell in known}:
        named["preset"] = "best"
    further = {name: value for name, value in request.conditions.items() if name != "device"}
    return select(known, request.sizes, {**named, **further}, speed.noun, set(named))


def _scores(
    request: Request, known: list[ComparableCell], device: str, excluded: list[Excluded]
) -> tuple[list[ComparableCell], dict[str, str]]:
    """Return the scores that count, and the conditions that they share; of ``device`` where it has any."""
    if not known:
        raise AmbiguousRequest(f"no score {request.score} is recorded; `{scoring(request.score)}` measures some")
    counted = []
    for cell in known:
        is_embedded = cell.key.get("dataset") == EMBEDDED
        if request.dataset is not None and cell.labels["dataset"] != request.dataset:
            continue
        if cell.standing and not (is_embedded and request.dataset == EMBEDDED):
            excluded.append(Excluded(_name(cell, known), cell.labels["size"], f"not counted: {cell.standing}"))
        else:
            counted.append(cell)
    if not counted:
        datasets = ", ".join(sorted({cell.labels["dataset"] for cell in known}))
        standings = sorted({cell.standing for cell in known if cell.standing})
        raise AmbiguousRequest(
            f"no score {request.score} counts: those recorded are of {datasets}"
            + (f" ({'; '.join(standings)})" if standings else "")
            + (f"; --dataset {EMBEDDED} chooses from them all the same" if EMBEDDED in datasets else "")
        )
    devices = {cell.labels["device"] for cell in counted}
    counted = [cell for cell in counted if cell.labels["device"] == device] if device in devices else counted
    further = {name: value for name, value in request.conditions.items() if name != "threads"}
    return select(counted, request.sizes, further, "scores", set())


def _join(
    request: Request,
    scores: Sequence[ComparableCell],
    times: Sequence[ComparableCell],
    conditions: Mapping[str, str],
    excluded: list[Excluded],
) -> Iterable[Contender]:
    """Yield each score with its time; exclude a model that lacks one, with the command that would measure it."""
    by_model: dict[str, list[ComparableCell]] = {}
    for cell in times:
        by_model.setdefault(_model(cell, cell.key["fusion"] != "none"), []).append(cell)
    joined: set[int] = set()
    for score in scores:
        label, size = _name(score, scores), score.labels["size"]
        matching = by_model.get(_model(score, True)) or by_model.get(_model(score, False), [])
        joined |= {id(cell) for cell in matching}
        if score.status != "ok" or math.isnan(score.value):
            excluded.append(Excluded(label, size, f"the score is {score.status}: {score.reason}"))
        elif matching:
            for cell in matching:
                settings = f" ({_settings(cell, matching)})" if len(matching) > 1 else ""
                yield Contender(label + settings, score, cell)
        elif request.needs_times:
            reason = f"no {request.speed.suite} under these conditions"
            excluded.append(Excluded(label, size, reason, timing(score, conditions)))
        else:
            yield Contender(label, score, None)
    for cell in times:
        if id(cell) not in joined:
            reason = f"no score {request.score} in {cell.key['dtype']}"
            command = scoring(request.score, cell)
            excluded.append(Excluded(_name(cell, times), cell.labels["size"], reason, command))


def fits(request: Request, contender: Contender, excluded: list[Excluded]) -> bool:
    """Return whether a contender is within every limit, or may be; the reasons against it go to ``excluded``."""
    cell = contender.timed
    if cell is None:
        return True
    reasons = []
    if cell.times is None:
        if request.needs_times:
            reasons.append(f"{cell.status}: {cell.reason}" if cell.reason else cell.status)
    elif request.latency_ms is not None and not cell.doubt and cell.times.median > request.latency_ms:
        within = ", though its 95 % interval reaches below" if cell.times.low <= request.latency_ms else ""
        reasons.append(f"too slow: {cell.times.median:.4g} ms{within}")
    reasons += _excess("memory", cell.peak_mib / MIB_PER_GB, request.memory_gb, "GB") * (cell.times is not None)
    reasons += _excess("parameters", cell.parameters_m, request.params_m, "M")
    if reasons:
        excluded.append(Excluded(contender.label, cell.labels["size"], "; ".join(reasons)))
    return not reasons


def _excess(quantity: str, value: float, limit: float | None, unit: str) -> list[str]:
    if limit is None or value <= limit:
        return []
    return [f"{quantity} not recorded"] if math.isnan(value) else [f"too much: {quantity} {value:.3g} {unit}"]


def _model(cell: ComparableCell, with_fusion: bool) -> str:
    """Return what a score and a time of one model at one size have in common."""
    names = ("backbone", "options", "height", "width", "dtype", *(("fusion",) if with_fusion else ()))
    return json.dumps([cell.key.get(name) or None for name in names], sort_keys=True)


def _name(cell: ComparableCell, others: Sequence[ComparableCell]) -> str:
    """Return the backbone, and the labels that distinguish it from others of its name and size."""
    same = [c for c in others if all(c.labels[name] == cell.labels[name] for name in ("backbone", "size"))]
    labels = [
        cell.labels[name]
        for name in ("fusion", "options", "dtype", "checkpoint")
        if len({c.labels[name] for c in same}) > 1 and cell.labels[name]
    ]
    return cell.labels["backbone"] + (f" ({', '.join(labels)})" if labels else "")


def _settings(cell: ComparableCell, others: Sequence[ComparableCell]) -> str:
    """Return the settings that distinguish a time from others of one model."""
    names = [name for name in cell.labels if len({other.labels[name] for other in others}) > 1]
    return ", ".join(f"{name} {cell.labels[name]}" for name in names)
