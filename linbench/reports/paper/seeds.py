"""Scores of one line in one column as one number: by checkpoint, then over the seeds.

One training is printed with the interval over images; of three or more the mean and the standard deviation are, as
the variation between trainings is the larger one. Of two the mean is given, without an interval.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from linbench.reports.paper.cell import Measured
from linbench.reports.paper.evidence import Found
from linbench.reports.paper.scores import Score

FEWEST_SEEDS = 3


def found(scores: Iterable[Score], closed: dict[str, str]) -> list[Found]:
    """One number for each set of conditions that the scores have.

    closed: Hash of each recipe of ours.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Score]] = {}
    for score in scores:
        conditions = {**score.conditions, "recipe": recipe_text(score, closed)}
        groups.setdefault(tuple(conditions.items()), []).append(score)
    return [Found(dict(conditions), joined(group)) for conditions, group in groups.items()]


def joined(scores: Sequence[Score]) -> Measured:
    """One number of scores that differ by their checkpoints; of two with one checkpoint the later counts."""
    latest = {score.checkpoint: score for score in sorted(scores, key=lambda score: score.started)}
    ok = [score for score in latest.values() if score.status == "ok"]
    shown = ok or list(latest.values())
    first = shown[0]
    low, high, interval, n = first.low, first.high, "none" if math.isnan(first.low) else "images", first.n
    value = fmean(score.value for score in shown)
    if len(ok) > 1:
        low = high = math.nan
        interval, n = "none", len(ok)
    if len(ok) >= FEWEST_SEEDS:
        spread = stdev(score.value for score in ok)
        low, high, interval = value - spread, value + spread, "seeds"
    provenance = {
        **first.conditions,
        "recipe": " ".join(filter(None, [first.recipe[0], first.recipe[1][:8]])) or "none of ours",
        "checkpoint": ", ".join(score.checkpoint[:8] for score in shown),
        "trainings": str(len(ok)),
        "seed": ", ".join(score.seed for score in shown if score.seed),
        "commit": first.commit,
    }
    return Measured(
        value,
        low,
        high,
        interval=interval,
        n=n,
        status=first.status,
        device=first.device,
        provenance={name: text for name, text in provenance.items() if text},
    )


def recipe_text(score: Score, closed: dict[str, str]) -> str:
    """The recipe of a score for the head of a column; empty for weights that no recipe of ours made."""
    name, digest = score.recipe
    if not digest:
        return ""
    return f"{name} {digest[:8]}" + ("" if closed.get(name) == digest else ", open")
