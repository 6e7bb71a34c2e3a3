"""The suite throughput: how it finds a batch, what its record holds, and that it agrees with latency."""

from pathlib import Path
from statistics import median
from typing import Any

import pytest

from linbench.records import Record, Status
from linbench.registry import load_plugin
from linbench.reports.throughput.report import rows, sections, write_files
from linbench.suites import Cell
from linbench.suites.latency.artifact import export
from linbench.suites.latency.cells import cells as latency_cells
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.rounds import run
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.throughput import exported
from linbench.suites.throughput.cells import cells
from linbench.suites.throughput.doubling import Doubling, Trial, double
from linbench.suites.throughput.key import ThroughputKey
from linbench.suites.throughput.options import ThroughputOptions

TOY = Path(__file__).parents[2] / "plugins" / "toy.py"
SAMPLING = SamplingConfig(rounds=1, cell_seconds=1.0, timeout_s=60)
COMMON: dict[str, Any] = {"resolutions": ((64, 64),), "presets": ("paper",), "device": "cpu", "threads": 1}


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    load_plugin(TOY)


def plan(*backbones: str, **choices: Any) -> list[Cell]:
    return cells(ThroughputOptions(backbones=backbones, **(COMMON | choices)))


def trials(*rates: float, size: int = 0) -> Any:
    made = {2**i: Trial(2**i, (rate,) if rate else (), {}, size * 2**i) for i, rate in enumerate(rates)}
    return made.__getitem__


def test_the_batch_doubles_until_it_gains_less_than_three_percent() -> None:
    search = double(trials(10, 15, 20, 20.5), lambda: None, 60)
    assert [trial.batch for trial in search.trials] == [1, 2, 4, 8]
    assert search.best.batch == 4
    assert search.stopped == "a batch of 8 gains less than 3 %"


def test_a_batch_that_does_not_fit_ends_the_search_and_is_recorded() -> None:
    search = double(trials(10, 15, 0), lambda: None, 60)
    assert search.best.batch == 2
    assert search.trials[-1].to_json()["status"] == "oom"
    assert "does not fit" in search.stopped


def test_a_batch_that_would_exceed_the_free_memory_is_not_tried() -> None:
    search = double(trials(10, 15, 30, size=100), lambda: 300, 60)
    assert [trial.batch for trial in search.trials] == [1, 2]
    assert "might not fit" in search.stopped


def test_without_time_only_one_image_is_tried() -> None:
    search = double(trials(10, 15), lambda: None, 0)
    assert search.best.batch == 1
    assert search.stopped == "no time was left for a batch of 2"


def test_the_key_survives_its_record_and_has_no_batch() -> None:
    (cell,) = plan("toy")
    entries = cell.key.to_json()
    assert ThroughputKey.from_json(entries) == cell.key
    assert entries["mode"] == "throughput"
    assert "batch" not in entries


def test_a_part_that_decodes_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="--part decoder: it takes one image"):
        plan("toy", parts=("decoder",))


def test_throughput_at_batch_one_agrees_with_latency() -> None:
    (cell,) = plan("vit-t", resolutions=((128, 128),))
    outcome = run("throughput", cell, SAMPLING, 0, plugins=[TOY])
    assert outcome.status is Status.OK, outcome.reason
    (of_one, *_) = outcome.round["batches"]
    (latency,) = latency_cells(LatencyOptions(backbones=("vit-t",), **(COMMON | {"resolutions": ((128, 128),)})))
    forward_ms = median(run("latency", latency, SAMPLING, 0).round["samples_ms"])
    assert of_one["batch"] == 1
    assert 0.5 < median(of_one["images_per_s"]) * forward_ms / 1e3 < 2
    assert outcome.round["batch"] in [entry["batch"] for entry in outcome.round["batches"]]
    assert outcome.round["stopped"]


def record(backbone: str, size: int, ms: float, rounds: int = 3, batch: int = 4) -> Record:
    (cell,) = plan(backbone, resolutions=((size, size),))
    memory = {"rss_bytes": 300 * 2**20, "empty_process_bytes": 200 * 2**20}
    entries = [
        {"samples_ms": [ms * (1 + 0.001 * i)] * 7, "converged": True, "batch": batch, "peak_memory": memory}
        for i in range(rounds)
    ]
    return Record(cell.key.to_json(), Status.OK, "", tuple(entries), {}, {}, "hash", "")


def test_the_table_has_images_per_second_the_batch_and_the_fastest(tmp_path: Path) -> None:
    records = [record("vit-t", 64, 2.0), record("toy", 64, 4.0), record("vit-t", 128, 20.0), record("toy", 128, 8.0)]
    frame = rows(records)
    by_cell = {(row["backbone"], row["height"]): row for _, row in frame.iterrows()}
    assert by_cell["toy", 128]["images_per_s"] == pytest.approx(125, rel=0.01)
    assert by_cell["toy", 128]["batch"] == "4"
    ((table,),) = sections(frame)
    assert any("64²: vit-t is fastest" in note for note in table.notes)
    assert any("128²: toy is fastest" in note for note in table.notes)
    written = write_files(frame, sections(frame), tmp_path, True)
    assert {path.suffix for path in written} == {".md", ".csv", ".tex", ".svg", ".png"}
    assert "images_per_s" in (tmp_path / "throughput.csv").read_text().splitlines()[0]


def test_a_doubtful_throughput_ranks_nothing() -> None:
    frame = rows([record("vit-t", 64, 2.0, rounds=2), record("toy", 64, 4.0)])
    ((table,),) = sections(frame)
    assert not any("is fastest" in note for note in table.notes)
    assert any("64²: nothing is stated: vit-t: fewer than 3 rounds" in note for note in table.notes)


def test_an_engine_has_an_artifact_for_each_batch_and_its_export_is_no_time_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "linbench.suites.latency.exported.run_process", lambda suite, cell, *_, call: export(cell.key, 0, 0)
    )
    monkeypatch.setattr("linbench.suites.throughput.exported.double", lambda run, *_: Doubling((run(1), run(2)), ""))
    (cell,) = plan("toy", engines=("onnxruntime",))
    outcome = exported.measure(cell.key, 0.2, 0)
    assert outcome.status is Status.OK, outcome
    assert [trial["batch"] for trial in outcome.round["batches"]] == [1, 2]
    assert outcome.round["error"] <= 2e-5 and outcome.round["samples_ms"]
    assert len(list((tmp_path / "linbench" / "artifacts").iterdir())) == 2
    assert ThroughputKey.from_json(cell.key.to_json()) == cell.key
