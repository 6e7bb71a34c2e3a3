"""The suite throughput: how it finds a batch, what its record holds, and that it agrees with latency."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from linbench.cli.run_progress import round_text
from linbench.cli.run_summary import summary_lines
from linbench.records import Record, Status
from linbench.registry import load_plugin
from linbench.reports.throughput.report import rows, sections, write_files
from linbench.suites import Cell, suite
from linbench.suites.latency.artifact import export
from linbench.suites.latency.cells import cells as latency_cells
from linbench.suites.latency.forward import build
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.estimate import Calibration, round_seconds
from linbench.suites.runner.process import timer
from linbench.suites.runner.rounds import run
from linbench.suites.runner.sampling import SamplingConfig, median_interval
from linbench.suites.throughput import exported
from linbench.suites.throughput.cells import cells
from linbench.suites.throughput.doubling import Doubling, Trial, double
from linbench.suites.throughput.key import ThroughputKey
from linbench.suites.throughput.measure import image_ms
from linbench.suites.throughput.options import ThroughputOptions

TOY = Path(__file__).parents[2] / "plugins" / "toy.py"
SAMPLING = SamplingConfig(rounds=1, cell_seconds=1.0, timeout_s=60)
TURNS = 40
TOLERATED = 0.03  # beyond the interval
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


@pytest.mark.parametrize("batch", [1, 2])
def test_throughput_agrees_with_latency_within_its_interval(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short windows and as many forwards timed one by one take turns, so that other programs disturb both alike."""
    monkeypatch.setattr("linbench.suites.throughput.measure.WINDOW_S", 0.02)
    (cell,) = latency_cells(LatencyOptions(backbones=("vit-t",), batches=(batch,), **COMMON))
    cpu = torch.device("cpu")
    model, inputs = build(cell.key, cpu)
    forward = partial(model, *inputs)
    with torch.inference_mode():
        forward()
        window, one_by_one = image_ms(forward, batch, cpu), timer(forward, cpu)
        in_window = max(1, round(20 / one_by_one()))
        ratios = [batch * window() / fmean(one_by_one() for _ in range(in_window)) for _ in range(TURNS)]
    bounds = median_interval(ratios)
    assert bounds is not None
    assert bounds[0] - TOLERATED <= 1 <= bounds[1] + TOLERATED


def test_a_real_round_tries_one_image_first_and_keeps_what_it_tried() -> None:
    (cell,) = plan("toy")
    outcome = run("throughput", cell, SAMPLING, 0, plugins=[TOY])
    assert outcome.status is Status.OK, outcome.reason
    (of_one, *_) = outcome.round["batches"]
    assert of_one["batch"] == 1
    assert outcome.round["batch"] in [entry["batch"] for entry in outcome.round["batches"]]
    assert outcome.round["stopped"]


def test_the_estimate_counts_the_windows_and_the_search_for_a_batch() -> None:
    (cell,) = plan("toy")
    declared = suite["throughput"].build()
    assert declared.work is not None
    work = declared.work(cell.key)
    machine = Calibration(start_s=2.0, flops_per_s=1e11)
    sampling = SamplingConfig(cell_seconds=10.0)
    span = round_seconds(work, None, sampling, machine)
    plain = round_seconds(replace(work, window_s=0.0, search=0.0, windows=0), None, sampling, machine)
    least = 3 * 0.2 + 16 * 0.2  # the windows of one batch; warm-up and samples
    assert span.low >= 0.9 * machine.start_s + least > plain.low
    assert machine.start_s + sampling.cell_seconds <= span.high <= plain.high + 1.0


def test_the_search_of_best_has_an_estimate_as_for_latencies() -> None:
    (cell,) = plan("toy", presets=("best",))
    declared = suite["throughput"].build()
    assert declared.work is not None and cell.required_search is not None
    assert declared.work(cell.required_search.base).flops == declared.work(cell.key).flops > 0


def test_the_line_of_progress_has_images_per_second_and_the_batch() -> None:
    assert round_text(record("toy", 64, 4.0, rounds=1)) == "250 images/s at batch 4 (round 1, n = 7)"


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


def test_a_run_of_throughputs_ends_with_the_command_of_their_front(tmp_path: Path) -> None:
    *_, head, command = summary_lines([record("toy", 64, 4.0)], [], tmp_path / "r")[:2]
    assert head == "Next, the front of throughput:"
    assert command.strip().startswith("linbench choose --metric images_per_s --front params_m")


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
