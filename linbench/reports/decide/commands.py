"""The commands that measure what a recommendation lacks, but for their resolutions."""

from collections.abc import Mapping

from linbench.reports.decide.comparable_cells import ComparableCell


def timing(cell: ComparableCell, conditions: Mapping[str, str]) -> str:
    """Return the command that measures the latency of a cell's model, again where it is measured."""
    key = cell.key
    part = conditions.get("part", "backbone")
    options = f" --part {part}" if part != "backbone" else ""
    options += f" --fusion {key['fusion']}" if part in ("decoder", "end-to-end") and key["fusion"] != "none" else ""
    options += f" --dtype {key['dtype']}" if key["dtype"] != "float32" else ""
    options += f" --prompts {key['prompts']}" if key.get("prompts", 0) > 1 else ""
    options += f" --redo {redo}" if (redo := _redo(cell)) else ""
    return f"linbench run --backbone {key['backbone']} --preset {conditions.get('preset', 'best')}{options}"


def _redo(cell: ComparableCell) -> str:
    """Return the kind of records that ``linbench run`` must measure anew; empty where it adds the missing rounds."""
    if cell.quality is None:
        return ""
    if cell.quality.is_disturbed or cell.quality.is_throttled:
        return "all"
    return "stale" if cell.is_stale else ""


def scoring(metric: str, latency: ComparableCell | None = None) -> str:
    """Return the command that measures a score, of the model of a latency."""
    suite = metric.partition("_")[0]
    if latency is None:
        return f"linbench run --suite {suite} --checkpoint CHECKPOINT --data DATA"
    key = latency.key
    options = f" --dtype {key['dtype']}" if key["dtype"] != "float32" else ""
    return f"linbench run --suite {suite} --backbone {key['backbone']} --checkpoint CHECKPOINT --data DATA{options}"
