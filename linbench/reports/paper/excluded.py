"""Show scores that cannot stand beside the paper's (embedded dataset, shortened training, …) in separate tables."""

import math
from collections.abc import Iterable

from linbench.reports.accuracy.table import FEW_IMAGES, FEW_IMAGES_NOTE, FEWEST_IMAGES
from linbench.reports.paper.scores import Score
from linbench.reports.paper.spec import metrics
from linbench.reports.render.table import MISSING, Table

HEADINGS = ("model", "metric", "%", "interval", "n", "input", "protocol", "recipe", "checkpoint", "dtype", "data")
NOTE = (
    "These numbers stand in no table of the paper and cannot be compared with quoted ones. The interval is a 95 % "
    "bootstrap over the images."
)


def build(scores: Iterable[Score]) -> list[Table]:
    """Return one table for each reason to exclude a score; none without such scores."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        if score.evaluation.exclusion:
            groups.setdefault(score.evaluation.exclusion, []).append(score)
    return [
        Table(f"Not the paper's numbers: {reason}", HEADINGS, tuple(map(_row, _sorted(group))), _notes(group))
        for reason, group in sorted(groups.items())
    ]


def _notes(scores: Iterable[Score]) -> tuple[str, ...]:
    has_few = any(0 < score.n < FEWEST_IMAGES for score in scores)
    return (NOTE, FEW_IMAGES_NOTE) if has_few else (NOTE,)


def _sorted(scores: list[Score]) -> list[Score]:
    ranks = {name: i for i, name in enumerate(metrics())}

    def order(score: Score) -> tuple[str, str, int, str, tuple[int, int]]:
        model = score.evaluation
        return model.backbone, model.fusion, ranks.get(score.metric, len(ranks)), score.metric, model.size

    return sorted(scores, key=order)


def _row(score: Score) -> tuple[str, ...]:
    evaluation = score.evaluation
    fusion = f" + {evaluation.fusion}" if evaluation.fusion not in ("", "none") else ""
    height, width = evaluation.size
    checkpoint = evaluation.checkpoint
    return (
        evaluation.backbone + fusion,
        score.metric,
        f"{score.value:.1f}" if evaluation.status == "ok" else evaluation.status,
        MISSING if math.isnan(score.low) else f"{score.low:.1f} to {score.high:.1f}",
        f"{score.n}{FEW_IMAGES * (0 < score.n < FEWEST_IMAGES)}",
        f"{height}²" if height == width else f"{height}×{width}",
        evaluation.conditions["protocol"],
        str(evaluation.training),
        checkpoint if checkpoint.startswith("random") else checkpoint[:8],
        evaluation.conditions["dtype"],
        evaluation.conditions["data"],
    )
