"""Which backbone under a budget: what fits, what is best of it, and whether the difference is more than noise.

Only what can be ranked is recommended. A latency that is in doubt (few rounds, disturbed, throttled) is listed with
its reason: neither its rank nor whether it is within a limit is known.

A contender is one model at one resolution: for a metric of accuracy a score, with the latency measured for the same
model, size and dtype; for the metric ``latency_ms`` a latency. All latencies are of one device and one set of
conditions, all scores of one dataset and protocol; where a folder holds several, the request must name one. Scores
are of one device too, but it may be another than that of the latencies.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from linbench.reports.accuracy.rows import EMBEDDED
from linbench.reports.accuracy.table import SHOWN
from linbench.reports.decide.commands import scoring, timing
from linbench.reports.decide.comparable_cells import ComparableCell, group_cells
from linbench.reports.decide.compare import CellPair, Margins, compare_scores, compare_times
from linbench.reports.decide.conditions import AmbiguousRequest, Size, refuse_unknown, select, select_device

LATENCY = "latency_ms"
METRICS = (LATENCY, *(f"{suite}_{name}" for suite, names in SHOWN.items() for name in names))
MIB_PER_GB = 1e9 / 2**20
MARGINS = Margins()


@dataclass(frozen=True)
class Request:
    """A metric to be best in, its limits, and the conditions of the numbers.

    metric: One of ``METRICS``.
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

    @property
    def has_limits(self) -> bool:
        """Whether a limit needs a latency record."""
        return any(limit is not None for limit in (self.latency_ms, self.memory_gb, self.params_m))


@dataclass(frozen=True)
class Contender:
    """A model at a resolution.

    score: None where the metric is the latency.
    latency: None where none is needed.
    """

    label: str
    score: ComparableCell | None
    latency: ComparableCell | None

    @property
    def cell(self) -> ComparableCell:
        """The cell of the metric."""
        cell = self.score or self.latency
        assert cell is not None
        return cell


@dataclass(frozen=True)
class Excluded:
    """A model left out, the reason, and the command that would measure what is missing, but for its size."""

    label: str
    size: str
    reason: str
    command: str = ""


@dataclass(frozen=True)
class Rival:
    """A contender that fits, and its comparison with the best one."""

    contender: Contender
    pair: CellPair

    @property
    def is_apart(self) -> bool | None:
        """Whether the intervals of the two do not overlap; None where one is missing."""
        (low, high), (other_low, other_high) = self.pair.first.bounds, self.pair.second.bounds
        if any(map(math.isnan, (low, high, other_low, other_high))):
            return None
        return high < other_low or other_high < low


@dataclass(frozen=True)
class Unranked:
    """A contender whose rank, or whether it fits, is unknown; the reason, and the command that measures it again."""

    contender: Contender
    reason: str
    command: str


@dataclass(frozen=True)
class Recommendation:
    """The answer to a request.

    best: None where nothing fits, or nothing can be ranked.
    rivals: From the runner-up on.
    unranked: In the order of names and sizes.
    latencies, scores: The conditions that all share, as text.
    """

    request: Request
    best: Contender | None
    rivals: list[Rival]
    unranked: list[Unranked]
    excluded: list[Excluded]
    latencies: dict[str, str]
    scores: dict[str, str]

    @property
    def ranked(self) -> list[Contender]:
        """The best and the others, in this order."""
        return [*([self.best] if self.best else []), *(rival.contender for rival in self.rivals)]

    @property
    def shown(self) -> list[Contender]:
        """All whose numbers are shown."""
        return [*self.ranked, *(entry.contender for entry in self.unranked)]


def recommend(request: Request, cells: Iterable[ComparableCell]) -> Recommendation:
    """Answer a request; raise AmbiguousRequest where it must name more or there is nothing to choose from."""
    latest = list(group_cells(cells, ()).cells.values())
    excluded: list[Excluded] = []
    refuse_unknown(request.conditions, latest)
    latencies, conditions = _latencies(request, [cell for cell in latest if cell.key["suite"] == "latency"])
    score_conditions: dict[str, str] = {}
    if request.metric == LATENCY:
        contenders = [Contender(_name(cell, latencies), None, cell) for cell in latencies]
    else:
        suite = request.metric.partition("_")[0]
        metrics = (request.metric, f"{suite}_")  # a record that failed has no metric
        scores = [cell for cell in latest if cell.key["suite"] == suite and cell.key.get("metric") in metrics]
        scores, score_conditions = _scores(request, scores, conditions.get("device", ""), excluded)
        contenders = list(_join(request, scores, latencies, conditions, excluded))
    fitting = [contender for contender in contenders if _fits(request, contender, excluded)]
    unranked = [entry for contender in fitting if (entry := _unranked(request, contender, conditions))]
    unranked.sort(key=lambda entry: (entry.contender.label, _pixels(entry.contender)))
    in_doubt = {id(entry.contender) for entry in unranked}
    sign = 1 if request.metric == LATENCY else -1
    ranked = [contender for contender in fitting if id(contender) not in in_doubt]
    ranked.sort(key=lambda contender: (sign * contender.cell.estimate, contender.label))
    best = ranked[0] if ranked else None
    return Recommendation(request, best, _rivals(ranked), unranked, excluded, conditions, score_conditions)


def _latencies(request: Request, known: list[ComparableCell]) -> tuple[list[ComparableCell], dict[str, str]]:
    """Return the latencies to choose from, and the conditions that they share."""
    if not known and (request.has_limits or request.metric == LATENCY):
        raise AmbiguousRequest("no latency is recorded; `linbench run --suite latency` measures some")
    known = select_device(known, request.device)
    named = {name: value for name in ("preset", "part") if (value := getattr(request, name)) is not None}
    if "preset" not in named and "best" in {cell.labels["preset"] for cell in known}:
        named["preset"] = "best"
    further = {name: value for name, value in request.conditions.items() if name != "device"}
    return select(known, request.sizes, {**named, **further}, "latencies", set(named))


def _scores(
    request: Request, known: list[ComparableCell], device: str, excluded: list[Excluded]
) -> tuple[list[ComparableCell], dict[str, str]]:
    """Return the scores that count, and the conditions that they share; of ``device`` where it has any."""
    if not known:
        raise AmbiguousRequest(f"no score {request.metric} is recorded; `{scoring(request.metric)}` measures some")
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
            f"no score {request.metric} counts: those recorded are of {datasets}"
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
    latencies: Sequence[ComparableCell],
    conditions: Mapping[str, str],
    excluded: list[Excluded],
) -> Iterable[Contender]:
    """Yield each score with its latency; exclude a model that lacks one, with the command that would measure it."""
    by_model: dict[str, list[ComparableCell]] = {}
    for cell in latencies:
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
        elif request.has_limits:
            excluded.append(Excluded(label, size, "no latency under these conditions", timing(score, conditions)))
        else:
            yield Contender(label, score, None)
    for cell in latencies:
        if id(cell) not in joined:
            reason = f"no score {request.metric} in {cell.key['dtype']}"
            command = scoring(request.metric, cell)
            excluded.append(Excluded(_name(cell, latencies), cell.labels["size"], reason, command))


def _fits(request: Request, contender: Contender, excluded: list[Excluded]) -> bool:
    """Return whether a contender is within every limit, or may be; the reasons against it go to ``excluded``."""
    cell = contender.latency
    if cell is None:
        return True
    reasons = []
    if cell.times is None:
        if request.has_limits or contender.score is None:
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


def _unranked(request: Request, contender: Contender, conditions: Mapping[str, str]) -> Unranked | None:
    """Return the contender with the reason where its rank, or whether it fits, is unknown."""
    cell = contender.latency
    if cell is None or not cell.doubt:
        return None
    unknown = f"unknown whether within {request.latency_ms:g} ms: " if request.latency_ms is not None else ""
    if not unknown and contender.score is not None:
        return None
    return Unranked(contender, unknown + cell.doubt, timing(cell, conditions))


def _pixels(contender: Contender) -> int:
    return int(contender.cell.key["height"]) * int(contender.cell.key["width"])


def _rivals(fitting: Sequence[Contender]) -> list[Rival]:
    """Compare every contender with the first."""
    if not fitting:
        return []
    best, rest = fitting[0].cell, fitting[1:]
    pairs = [(best, contender.cell) for contender in rest]
    judged = compare_times(pairs, MARGINS.times) if best.is_timed else compare_scores(pairs, MARGINS.scores)
    return [Rival(contender, pair) for contender, pair in zip(rest, judged, strict=True)]


def _model(cell: ComparableCell, with_fusion: bool) -> str:
    """Return what a score and a latency of one model at one size have in common."""
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
    """Return the settings that distinguish a latency from others of one model."""
    names = [name for name in cell.labels if len({other.labels[name] for other in others}) > 1]
    return ", ".join(f"{name} {cell.labels[name]}" for name in names)
