"""Made-up accuracy records and counts, the same in every run."""

from collections.abc import Mapping
from typing import Any

from linbench.records import Record, Status
from linbench.reports.paper import tables
from linbench.reports.paper.evidence import BackboneStage, Evidence, ModelCounts, read_records
from linbench.reports.paper.layout import PaperTable
from linbench.reports.paper.spec import CountedModel, counted_models, image_counts, table_specs
from tests.reports.cases import KEY, power_law, record

DEVICE = str(KEY["device"])
JOINT = "ab" * 32  # hash of the recipe sam-joint as it stands
SETS = {"dis": "DIS-VD", "coift": "COIFT", "hrsod": "HRSOD", "coco": "COCO", "imagenet": "ImageNet", "ade20k": "ADE"}
SIZES = {"imagenet": 224, "ade20k": 512}


def score(
    backbone: str,
    suite: str,
    values: Mapping[str, float],
    *,
    weights: Mapping[str, Any] | None = None,
    status: Status = Status.OK,
    started: str = "2026-11-21T08:00:00Z",
    **key: Any,
) -> Record:
    """A record of an accuracy suite: each metric with an interval of two points to each side.

    weights: What is known of the checkpoint; by default the recipe sam-joint trained it.
    """
    size = SIZES.get(suite, 1024)
    images = image_counts()[suite][1]
    fields = {
        "suite": suite,
        "suite_version": 1,
        "backbone": backbone,
        "options": {},
        "fusion": "none",
        "height": size,
        "width": size,
        "dtype": "float32",
        "device": DEVICE,
        "device_type": "cpu",
        "threads": 2,
        "impl": "fast",
        "attention": "none",
        "protocol": "keep-aspect",
        "dataset": SETS[suite],
        "split": "val",
        "dataset_checksum": "d1" * 16,
        "box_source": "ground truth",
        "box_checksum": "",
        "checkpoint": "c1" * 32,
        "images": images,
        **key,
    }
    trained = {"recipe": "sam-joint", "recipe_hash": JOINT, "scale": "full", "seed": 0}
    return Record(
        key=fields,
        status=status,
        rounds=({"seed": 0, "started": started},),
        metrics={
            name: {"value": value, "unit": "%", "low": value - 2, "high": value + 2, "n": fields["images"]}
            for name, value in values.items()
        }
        if status is Status.OK
        else {},
        environment={"git_commit": "0123456789abcdef", "checkpoint": trained if weights is None else weights},
    )


def counts() -> dict[CountedModel, ModelCounts]:
    """Some true counts, and for all others one that fits nothing; tests of the command compute the models' own."""
    true = {
        CountedModel("sam-vit-h", 1024): 637_026_048,
        CountedModel("vim-s", 1024, head=True): 27_294_184,
        CountedModel("vim-s", 1024): 26_909_184,
        CountedModel("rwkv-sam-s", 1024): 19_727_296,
        CountedModel("vrwkv-s", 224): 23_435_136,
    }
    return {
        model: ModelCounts(true.get(model, 1_234_567), 384) for model in counted_models([*table_specs().values()])
    }


def stages() -> dict[str, list[BackboneStage]]:
    """The paper's stages, but for one block too many in the last one of rwkv-sam-b."""
    widths = {"rwkv-sam-t": (32, 64, 192), "rwkv-sam-s": (64, 128, 384), "rwkv-sam-b": (128, 256, 768)}
    return {
        name: [BackboneStage(4, 2, c1), BackboneStage(8, 4, c2), BackboneStage(16, 14 + (name == "rwkv-sam-b"), c3)]
        for name, (c1, c2, c3) in widths.items()
    }


def evidence(records: list[Record], device: str = DEVICE, **rest: Any) -> Evidence:
    """What the tables are built from, of all records."""
    latency, scores, faults = read_records(records)
    assert not faults
    counted: dict[str, Any] = {"models": counts(), "stages": stages(), "recipe_hashes": {"sam-joint": JOINT}, **rest}
    return Evidence(device, latency, scores, **counted)


def build_table(name: str, evidence: Evidence) -> PaperTable:
    """One of the paper's tables or figures by its name, ``table-3``."""
    return tables.build(table_specs()[name], evidence)


def some() -> list[Record]:
    """A user's records: rates of two presets, a failure, scores that agree and one that does not, two protocols."""
    best = {"preset": "best", "matmul": "medium", "allocator": "keep"}
    return [
        *power_law("rwkv-sam-s", 380, 1.0, (512, 1024)),
        *power_law("rwkv-sam-s", 240, 1.0, (512, 1024), **best),
        *power_law("vit-s", 330, 1.6, (512, 1024)),
        record("sam-vit-h", 1024, status=Status.OOM, reason="9.1 GB asked for, 6.0 GB free"),
        score("rwkv-sam-s", "dis", {"miou": 80.1, "mbiou": 73.0}, fusion="conv"),
        score("rwkv-sam-s", "coift", {"miou": 93.9, "mbiou": 88.6}, fusion="conv", checkpoint="c1" * 32),
        score("vim-s", "dis", {"miou": 77.6, "mbiou": 71.5}, checkpoint="c2" * 32),
        score("hq-sam-l", "dis", {"miou": 78.5, "mbiou": 70.2}, protocol="squash-1024", weights={"recipe": ""}),
        score("sam-vit-h", "dis", {"miou": 58.4, "mbiou": 49.9}, weights={"recipe": ""}, checkpoint="c4" * 32),
        score("vrwkv-s", "hrsod", {}, status=Status.FAILED, checkpoint="c5" * 32),
        score("rwkv-sam-s", "dis", {"miou": 99.0, "mbiou": 99.0}, dataset="shapes", images=64, fusion="conv"),
        score("rwkv-sam-t", "dis", {"miou": 12.0, "mbiou": 9.0}, weights={"random": True}, checkpoint="random-0"),
    ]
