"""Which backbone under a budget: what fits, what is best of it, and whether that is more than noise.

A candidate is one model at one resolution: of an objective of accuracy a score, with the latency that was measured
of the same model, size and dtype; of the objective ``latency_ms`` a latency. All latencies are of one device and
under one set of conditions, all scores of one data set and protocol; where a folder holds several, the question must
say which. Scores are of one device too, but it may be another than that of the latencies.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from linbench.reports.accuracy.rows import EMBEDDED
from linbench.reports.accuracy.table import SHOWN
from linbench.reports.decide.comparable_cells import Cell, side
from linbench.reports.decide.compare import SCORE_MARGIN, TIME_MARGIN, of_pairs, why
from linbench.reports.decide.conditions import Size, Unclear, narrowed, one_device, refuse_unknown
from linbench.reports.statistics.verdicts import SCORES, TIMES, Difference, Judged, judge, of_times

LATENCY = "latency_ms"
METRICS = (LATENCY, *(f"{suite}_{name}" for suite, names in SHOWN.items() for name in names))
MIB_PER_GB = 1e9 / 2**20


@dataclass(frozen=True)
class Question:
    """metric: The objective, of ``METRICS``.  sizes: Height and width, px; empty for all.

    latency_ms, memory_gb, params_m: Limits; None for none.  A GB is 10⁹ bytes.
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
    def limited(self) -> bool:
        """Whether a limit needs a latency record."""
        return any(limit is not None for limit in (self.latency_ms, self.memory_gb, self.params_m))


@dataclass(frozen=True)
class Candidate:
    """A model at a resolution.

    score: None where the objective is the latency.  latency: None where none is needed.
    """

    label: str
    score: Cell | None
    latency: Cell | None

    @property
    def cell(self) -> Cell:
        """What the objective is of."""
        found = self.score or self.latency
        assert found is not None
        return found


@dataclass(frozen=True)
class Excluded:
    """What does not count, why, and the command that would measure what lacks, but for its size; empty if none."""

    label: str
    size: str
    why: str
    command: str = ""


@dataclass(frozen=True)
class Beside:
    """A candidate that fits, beside the best: how much it loses, and whether that is shown.

    difference: None where only the intervals can be compared; then ``why`` says for which reason, and ``apart``
        whether they do not meet.
    """

    candidate: Candidate
    difference: Difference | None
    judged: Judged
    why: str
    apart: bool


@dataclass(frozen=True)
class Answer:
    """best: None where nothing fits.  others: From the runner-up on.

    latencies, scores: The conditions that all share, in words.
    """

    question: Question
    best: Candidate | None
    others: list[Beside]
    excluded: list[Excluded]
    latencies: dict[str, str]
    scores: dict[str, str]


def choose(question: Question, known: Iterable[Cell]) -> Answer:
    """Answer a question from cells; raises Unclear where it must say more or there is nothing to choose from."""
    latest = list(side(known, ()).cells.values())
    excluded: list[Excluded] = []
    refuse_unknown(question.conditions, latest)
    latencies, of_latencies = _latencies(question, [cell for cell in latest if cell.key["suite"] == "latency"])
    scores: list[Cell] = []
    of_scores: dict[str, str] = {}
    if question.metric == LATENCY:
        candidates = [Candidate(_name(cell, latencies), None, cell) for cell in latencies]
    else:
        mine = [
            cell for cell in latest if cell.key.get("metric") == question.metric or _failed(cell, question.metric)
        ]
        scores, of_scores = _scores(question, mine, of_latencies.get("device", ""), excluded)
        candidates = list(_joined(question, scores, latencies, of_latencies, excluded))
    fitting = [one for one in candidates if _fits(question, one, excluded)]
    sign = 1 if question.metric == LATENCY else -1
    fitting.sort(key=lambda one: (sign * one.cell.number, one.label))
    others = _beside(fitting)
    return Answer(question, fitting[0] if fitting else None, others, excluded, of_latencies, of_scores)


def _failed(cell: Cell, metric: str) -> bool:
    """Whether it is of a record of the metric's suite that has no metric, as it failed."""
    return cell.key.get("metric") == f"{cell.key['suite']}_" and metric.startswith(f"{cell.key['suite']}_")


def _latencies(question: Question, known: list[Cell]) -> tuple[list[Cell], dict[str, str]]:
    """The latencies that may be chosen from, and the conditions that they share."""
    if not known and (question.limited or question.metric == LATENCY):
        raise Unclear("no latency is recorded; `linbench run --suite latency` measures some")
    known = one_device(known, question.device)
    asked = {name: value for name in ("preset", "part") if (value := getattr(question, name)) is not None}
    if "preset" not in asked and "best" in {cell.names["preset"] for cell in known}:
        asked["preset"] = "best"
    further = {name: value for name, value in question.conditions.items() if name != "device"}
    return narrowed(known, question.sizes, {**asked, **further}, "latencies", set(asked))


def _scores(
    question: Question, known: list[Cell], device: str, excluded: list[Excluded]
) -> tuple[list[Cell], dict[str, str]]:
    """The scores that count, and what they share; those of another device than the latencies' only if all are."""
    if not known:
        raise Unclear(f"no score {question.metric} is recorded; `{_scoring(question.metric)}` measures some")
    counted = []
    for cell in known:
        embedded = cell.key.get("dataset") == EMBEDDED
        if question.dataset is not None and cell.names["dataset"] != question.dataset:
            continue
        if cell.standing and not (embedded and question.dataset == EMBEDDED):
            excluded.append(Excluded(_name(cell, known), cell.names["size"], f"not counted: {cell.standing}"))
        else:
            counted.append(cell)
    if not counted:
        there = ", ".join(sorted({cell.names["dataset"] for cell in known}))
        uncounted = sorted({cell.standing for cell in known if cell.standing})
        raise Unclear(
            f"no score {question.metric} counts: those recorded are of {there}"
            + (f" ({'; '.join(uncounted)})" if uncounted else "")
            + (f"; --dataset {EMBEDDED} chooses from them all the same" if EMBEDDED in there else "")
        )
    devices = {cell.names["device"] for cell in counted}
    counted = [cell for cell in counted if cell.names["device"] == device] if device in devices else counted
    further = {name: value for name, value in question.conditions.items() if name != "threads"}
    return narrowed(counted, question.sizes, further, "scores", set())


def _joined(
    question: Question,
    scores: Sequence[Cell],
    latencies: Sequence[Cell],
    conditions: Mapping[str, str],
    excluded: list[Excluded],
) -> Iterable[Candidate]:
    """Each score with its latency; what lacks one of both is excluded, with the command that would measure it."""
    by_model: dict[str, list[Cell]] = {}
    for cell in latencies:
        by_model.setdefault(_model(cell, cell.key["fusion"] != "none"), []).append(cell)
    met: set[int] = set()
    for score in scores:
        label = _name(score, scores)
        found = by_model.get(_model(score, True)) or by_model.get(_model(score, False), [])
        met |= {id(cell) for cell in found}
        if score.status != "ok" or math.isnan(score.value):
            excluded.append(Excluded(label, score.names["size"], f"the score is {score.status}: {score.reason}"))
        elif not found and question.limited:
            command = _timing(score, conditions)
            excluded.append(Excluded(label, score.names["size"], "no latency under these conditions", command))
        else:
            for cell in found:
                yield Candidate(label if len(found) == 1 else f"{label} ({_settings(cell, found)})", score, cell)
            if not found:
                yield Candidate(label, score, None)
    for cell in latencies:
        if id(cell) not in met:
            command = _scoring(question.metric, cell)
            lacking = f"no score {question.metric} in {cell.key['dtype']}"
            excluded.append(Excluded(_name(cell, latencies), cell.names["size"], lacking, command))


def _fits(question: Question, candidate: Candidate, excluded: list[Excluded]) -> bool:
    """Whether a candidate is within every limit; why it is not goes to ``excluded``."""
    cell = candidate.latency
    if cell is None:
        return True
    reasons = []
    if cell.times is None:
        if question.limited or candidate.score is None:
            reasons.append(f"{cell.status}: {cell.reason}" if cell.reason else cell.status)
    elif question.latency_ms is not None and cell.times.median > question.latency_ms:
        within = ", though its 95 % interval reaches below" if cell.times.low <= question.latency_ms else ""
        reasons.append(f"too slow: {cell.times.median:.4g} ms{within}")
    reasons += _over("memory", cell.peak_mib / MIB_PER_GB, question.memory_gb, "GB") * (cell.times is not None)
    reasons += _over("parameters", cell.parameters_m, question.params_m, "M")
    if reasons:
        excluded.append(Excluded(candidate.label, cell.names["size"], "; ".join(reasons)))
    return not reasons


def _over(what: str, value: float, limit: float | None, unit: str) -> list[str]:
    if limit is None or value <= limit:
        return []
    return [f"{what} not recorded"] if math.isnan(value) else [f"too much: {what} {value:.3g} {unit}"]


def _beside(fitting: Sequence[Candidate]) -> list[Beside]:
    """Every candidate beside the first."""
    if not fitting:
        return []
    best = fitting[0].cell
    pairs = [(best, other.cell) for other in fitting[1:]]
    if best.timed:
        found = [of_times(a.times, b.times, TIME_MARGIN) if a.times and b.times else None for a, b in pairs]
        judged = judge(found, TIMES)
    else:
        found = of_pairs(pairs, SCORE_MARGIN)
        judged = judge(found, SCORES)
    return [
        Beside(other, difference, said, "" if difference else why(best, other.cell), _apart(best, other.cell))
        for other, difference, said in zip(fitting[1:], found, judged, strict=True)
    ]


def _apart(a: Cell, b: Cell) -> bool:
    """Whether the intervals of two cells do not meet."""
    (low, high), (other_low, other_high) = (
        (cell.times.low, cell.times.high) if cell.times else (cell.low, cell.high) for cell in (a, b)
    )
    return high < other_low or other_high < low


def _model(cell: Cell, fused: bool) -> str:
    """What a score and a latency of one model at one size have in common."""
    names = ("backbone", "options", "height", "width", "dtype", *(("fusion",) if fused else ()))
    return json.dumps([cell.key.get(name) or None for name in names], sort_keys=True)


def _name(cell: Cell, among: Sequence[Cell]) -> str:
    """The backbone, and what tells it from others of its name and size."""
    same = [c for c in among if all(c.names[name] == cell.names[name] for name in ("backbone", "size"))]
    telling = [
        cell.names[name]
        for name in ("fusion", "options", "dtype", "checkpoint")
        if len({c.names[name] for c in same}) > 1 and cell.names[name]
    ]
    return cell.names["backbone"] + (f" ({', '.join(telling)})" if telling else "")


def _settings(cell: Cell, among: Sequence[Cell]) -> str:
    """What was set by hand and tells a latency from others of one model."""
    names = [name for name in cell.names if len({other.names[name] for other in among}) > 1]
    return ", ".join(f"{name} {cell.names[name]}" for name in names)


def _timing(score: Cell, conditions: Mapping[str, str]) -> str:
    """The command that measures the latency of a score's model."""
    key = score.key
    part = conditions.get("part", "backbone")
    more = f" --part {part}" if part != "backbone" else ""
    more += f" --fusion {key['fusion']}" if part in ("decoder", "end-to-end") and key["fusion"] != "none" else ""
    more += f" --dtype {key['dtype']}" if key["dtype"] != "float32" else ""
    preset = conditions.get("preset", "best")
    return f"linbench run --backbone {key['backbone']} --preset {preset}{more}"


def _scoring(metric: str, latency: Cell | None = None) -> str:
    """The command that measures a score, of the model of a latency."""
    suite = metric.partition("_")[0]
    if latency is None:
        return f"linbench run --suite {suite} --checkpoint CHECKPOINT --data DATA"
    key = latency.key
    more = f" --dtype {key['dtype']}" if key["dtype"] != "float32" else ""
    return f"linbench run --suite {suite} --backbone {key['backbone']} --checkpoint CHECKPOINT --data DATA{more}"
