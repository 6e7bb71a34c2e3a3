"""Collect what was measured and counted, and look it up for the paper's tables."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from linbench.records import BadRecord, Record
from linbench.reports.latency.rows import SUITE, key_digest, rows
from linbench.reports.paper.cell import Measurement
from linbench.reports.paper.scores import Score, average_by_conditions, read_scores
from linbench.reports.paper.spec import CountedModel, RowSpec
from linbench.reports.statistics.quality import quality

PRESETS = ("paper", "best")
#: Parts of a latency record's key that are the same in all cells of the paper, or that a row states itself.
COMMON_KEYS = ("suite", "suite_version", "device", "device_type", "batch", "mode", "part", "prompts", "fusion")


@dataclass(frozen=True)
class ModelCounts:
    """Counts of a model.

    width: Channels of its last feature map, one at stride 32 left out.
    """

    parameters: int
    width: int


@dataclass(frozen=True)
class BackboneStage:
    """A stage of a backbone, as Table 1 has it."""

    stride: int
    blocks: int
    channels: int


@dataclass(frozen=True)
class Evidence:
    """All numbers that are known, of one device or of all devices.

    latency: From ``latency.rows.rows``.
    models, stages: Counted on the models themselves; stages by backbone.
    recipe_hashes: The present hash of each recipe.
    datasets: Images and masks of training sets, by the names of their readers.
    """

    device: str = ""
    latency: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Sequence[Score] = ()
    models: Mapping[CountedModel, ModelCounts] = field(default_factory=dict)
    stages: Mapping[str, Sequence[BackboneStage]] = field(default_factory=dict)
    recipe_hashes: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def devices(self) -> list[str]:
        """Return every device with a measurement, sorted."""
        names = set() if self.latency.empty else {str(name) for name in self.latency["device"]}
        return sorted(names | {score.evaluation.device for score in self.scores})

    def of_device(self, name: str) -> "Evidence":
        """Return what was measured on one device, with all that was counted."""
        latency = self.latency
        if not latency.empty:
            latency = latency[latency["device"] == name].reset_index(drop=True)
        scores = [score for score in self.scores if score.evaluation.device == name]
        return replace(self, device=name, latency=latency, scores=scores)

    def parameters(self, model: CountedModel) -> list[Measurement]:
        """Return the parameters of a model, in millions."""
        if model not in self.models:
            return []
        return [Measurement(self.models[model].parameters / 1e6, provenance={"counted": str(model)})]

    def width(self, model: CountedModel) -> list[Measurement]:
        """Return the channels of a model's last feature map."""
        if model not in self.models:
            return []
        return [Measurement(self.models[model].width, provenance={"counted": f"{model.backbone} as built"})]

    def stage(self, backbone: str, stage: int, quantity: str) -> list[Measurement]:
        """Return stride, blocks or channels of a stage, counted from 1."""
        if backbone not in self.stages:
            return []
        value = getattr(self.stages[backbone][stage - 1], quantity)
        return [Measurement(value, provenance={"counted": f"{backbone} as built"})]

    def dataset(self, name: str, quantity: str) -> list[Measurement]:
        """Return the images or masks of a training set."""
        if quantity not in self.datasets.get(name, {}):
            return []
        return [Measurement(self.datasets[name][quantity], provenance={"counted": f"the reader {name}"})]

    def rates(self, backbone: str, size: int, part: str = "backbone", fusion: str = "none") -> list[Measurement]:
        """Return images per second of ``size``², batch 1, for each comparison of PRESETS that has the backbone."""
        frame = self.latency
        if frame.empty:
            return []
        matches = (frame["backbone"] == backbone) & (frame["options"] == "{}") & frame["preset"].isin(PRESETS)
        matches &= (frame["height"] == size) & (frame["width"] == size)
        matches &= _key_column(frame, "mode", "latency") == "latency"
        matches &= _key_column(frame, "part", "backbone") == part
        if part != "backbone":
            matches &= (_key_column(frame, "fusion", "none") == fusion) & (_key_column(frame, "prompts", 1) == 1)
        return [self._rate(row) for _, row in frame[matches].iterrows()]

    def scores_of(self, row: RowSpec, metric: str, size: int) -> list[Measurement]:
        """Return what was measured of a row's metric at ``size``², without excluded scores."""
        scores = [score for score in self.scores if score.metric == metric and _belongs(score, row, size)]
        return average_by_conditions(scores, self.recipe_hashes)

    def _rate(self, row: pd.Series) -> Measurement:
        comparison = json.loads(row["comparison"])
        conditions = {name: str(value) for name, value in comparison.items() if name not in COMMON_KEYS}
        provenance = {
            **conditions,
            "attention": str(row["attention"]),
            "chosen": str(row["chosen"]),
            "samples": str(row["n"]),
            "converged": "yes" if row["converged"] else "no",
            "torch": str(row["torch"]),
            "commit": str(row["git_commit"])[:9],
            "stale": "measured by other code than the present" if row["stale"] else "",
        }
        is_ok = row["status"] == "ok"
        value, low, high = (1000 / row[name] if is_ok else math.nan for name in ("median_ms", "high_ms", "low_ms"))
        return Measurement(
            value,
            low,
            high,
            interval=row["interval"] if is_ok else "none",
            n=int(row["rounds"]),
            status=row["status"],
            device=self.device,
            conditions=conditions,
            provenance={name: text for name, text in provenance.items() if text not in ("", "none")},
            quality=quality({str(k): v for k, v in row.items()}) if is_ok else None,
        )


def read_records(
    records: Iterable[Record], code_hashes: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, list[Score], list[str]]:
    """Return the rows of the latency records, the scores of the accuracy records, and the faults of the others."""
    records = list(records)
    scores, faults = read_scores(records)
    latency = []
    for record in records:
        if record.key.get("suite") == SUITE:
            try:
                key_digest(record)
            except BadRecord as error:
                faults.append(str(error))
                continue
            latency.append(record)
    return rows(latency, code_hashes), scores, faults


def _key_column(frame: pd.DataFrame, name: str, default: str | int) -> pd.Series:
    """Return a column of the key; records older than that part of the key have the default."""
    return frame[name].fillna(default) if name in frame else pd.Series(default, index=frame.index)


def _belongs(score: Score, row: RowSpec, size: int) -> bool:
    """Tell whether a score is of this row at a size of input, and may stand beside the paper's number."""
    evaluation = score.evaluation
    pipelines = (row.recipe,) if row.recipe == "no-distillation" else ("", "paper")
    return (
        not evaluation.exclusion
        and evaluation.backbone == row.model
        and evaluation.options == "{}"
        and evaluation.fusion in ((row.fusion,) if row.fusion else ("conv", "none"))
        and evaluation.training.pipeline in pipelines
        and evaluation.size == (size, size)
    )
