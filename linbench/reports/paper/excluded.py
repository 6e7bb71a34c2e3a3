"""Scores that are no answer to the paper, in tables of their own: of the embedded set, of shortened trainings, …"""

import math
from collections.abc import Iterable

from linbench.reports.paper.quantities import METRICS
from linbench.reports.paper.scores import Score
from linbench.reports.render.table import MISSING, Table

HEADS = ("model", "metric", "%", "interval", "n", "input", "protocol", "recipe", "checkpoint", "dtype", "data")
NOTE = (
    "None of these numbers stands in a table of the paper, and none of them may be compared with a quoted one. The "
    "interval is a 95 % bootstrap over the images."
)


def build(scores: Iterable[Score]) -> list[Table]:
    """One table for each reason; empty without such scores."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        if score.outside:
            groups.setdefault(score.outside, []).append(score)
    return [
        Table(f"Not the paper's numbers: {reason}", HEADS, tuple(_row(score) for score in _ordered(group)), (NOTE,))
        for reason, group in sorted(groups.items())
    ]


def _ordered(group: list[Score]) -> list[Score]:
    known = list(METRICS)
    place = {name: i for i, name in enumerate(known)}
    return sorted(group, key=lambda s: (s.backbone, s.fusion, place.get(s.metric, len(known)), s.metric, s.size))


def _row(score: Score) -> tuple[str, ...]:
    fusion = f" + {score.fusion}" if score.fusion not in ("", "none") else ""
    between = MISSING if math.isnan(score.low) else f"{score.low:.1f} to {score.high:.1f}"
    return (
        score.backbone + fusion,
        score.metric,
        f"{score.value:.1f}" if score.status == "ok" else score.status,
        between,
        str(score.n),
        f"{score.size[0]}²" if score.size[0] == score.size[1] else f"{score.size[0]}×{score.size[1]}",
        score.conditions["protocol"],
        " ".join(filter(None, [score.recipe[0], score.recipe[1][:8]])) or "none of ours",
        score.checkpoint[:8] if not score.checkpoint.startswith("random") else score.checkpoint,
        score.conditions["dtype"],
        score.conditions["data"],
    )
