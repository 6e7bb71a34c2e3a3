"""The suite latency: its cells, its measurement in a fresh process, and every way a cell can end."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from linbench.records import Record, Status
from linbench.registry import load_plugin
from linbench.suites import Cell, Outcome
from linbench.suites.latency.cells import cells
from linbench.suites.latency.dtype_error import dtype_error
from linbench.suites.latency.forward import build
from linbench.suites.latency.measure import _covered_seconds
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.settings import Preset, preset_settings
from linbench.suites.runner.rounds import RoundEnd, order, run, sweep, with_outcome
from linbench.suites.runner.sampling import SamplingConfig

SAMPLING = SamplingConfig(rounds=1, cell_seconds=0.2, timeout_s=60)


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    for name in ("toy", "accidents"):
        load_plugin(Path(__file__).parents[2] / "plugins" / f"{name}.py")


def plan(*backbones: str, **choices: Any) -> list[Cell]:
    base = {"resolutions": ((64, 64),), "presets": ("best",), "device": "cpu"}
    return cells(LatencyOptions(backbones=backbones, **(base | choices)))


def measured(name: str, plugins: Path, pace: SamplingConfig = SAMPLING, **choices: Any) -> Outcome:
    (cell,) = plan(name, **choices)
    return run("latency", cell, pace, seed=0, plugins=[plugins / "toy.py", plugins / "accidents.py"])


def test_cells_are_every_backbone_at_every_resolution_dtype_and_preset() -> None:
    made = plan(
        "toy", "vit-t", resolutions=((64, 64), (64, 96)), dtypes=("float32", "bfloat16"), presets=("paper", "best")
    )
    assert len(made) == 2 * 2 * 2 * 2
    assert len({str(cell.key) for cell in made}) == len(made)


def test_the_key_holds_what_moves_the_number() -> None:
    (cell,) = plan("vit-t")
    moving = {"attention", "engine", "matmul", "tf32", "allocator", "threads", "dtype", "batch", "impl", "device"}
    moving |= {"memory_format", "fused", "sdpa_backend", "cuda_graph", "mode"}
    entries = cell.key.to_json()
    assert moving <= entries.keys()
    assert entries["batch"] == 1


def test_a_setting_given_by_hand_makes_its_own_column() -> None:
    (cell,) = plan("vit-t", attention="naive")
    assert (cell.key.settings.preset, cell.key.settings.attention) == ("custom", "naive")
    (same,) = plan("vit-t", attention="sdpa", compile=None)
    assert (same.key.settings.preset, same.required_search) == ("custom", None)  # nothing was searched
    (paper,) = plan("vit-t", presets=("paper",), attention="naive")
    assert paper.key.settings.preset == "paper"
    (energy,) = plan("vit-t", energy=True)
    assert energy.key.to_json()["mode"] != cell.key.to_json()["mode"]


def test_paper_is_eager_naive_attention_in_strict_float32_under_the_default_allocator() -> None:
    paper = preset_settings(Preset.PAPER, "cpu")
    assert (paper.attention, paper.engine.name, paper.matmul, paper.tf32) == ("naive", "eager", "highest", False)
    assert paper.variables == {}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"resolutions": ((500, 500),)},
            "--res 500x500: vit-t takes heights and widths that 16 divides",
        ),
        ({"device": "cuda:99"}, "--device cuda:99: torch sees"),
        ({"device": "tpu"}, "--device tpu: allowed are auto, cpu, cuda"),
        ({"dtypes": ("int8",)}, "--dtype int8: allowed are float32"),
        ({"threads": 4096}, "--threads 4096: this process may use 1 to"),
        ({"options": {"colour": 1}}, "--option colour: vit-t has none of that name"),
        ({"options": {"attention": "naive"}}, "--option attention: it has a flag of its own; write --attention"),
        ({"setting": {"layout": 1}}, "--setting layout: unknown; allowed are allocator, attention"),
        ({"setting": {"fused": 1}}, "--setting fused=1: allowed are false, true"),
        ({"setting": {"cuda_graph": True}}, "--setting cuda_graph=true: needs a CUDA device, this one is cpu"),
    ],
)
def test_a_choice_that_cannot_be_measured_is_refused_before_anything_runs(
    choices: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan("vit-t", **choices)


def test_a_round_yields_raw_samples_with_their_conditions(plugins: Path) -> None:
    outcome = measured("vit-t", plugins, resolutions=((64, 96),))
    assert outcome.status is Status.OK, outcome
    assert len(outcome.round["samples_ms"]) >= 3
    assert all(ms > 0 for ms in outcome.round["samples_ms"])
    assert outcome.round["first_forward_s"] > 0
    memory = outcome.round["peak_memory"]
    assert memory["rss_bytes"] > memory["empty_process_bytes"] > 2**20
    assert outcome.metrics["flops"]["coverage"] == 1
    assert outcome.environment["torch"]
    assert outcome.log == ""


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("crashes", Status.FAILED, "its process was ended by SIGSEGV"),
        ("is-killed", Status.FAILED, "its process was ended by SIGKILL"),
        ("raises", Status.FAILED, "RuntimeError: the forward failed"),
        ("hogs", Status.OOM, "allocate memory"),
        ("is-wrong", Status.WRONG, "bi_wkv((3,), (3,), (1, 16, 3), (1, 16, 3)) is off by"),
    ],
)
def test_whatever_happens_to_a_cell_is_its_status(plugins: Path, name: str, status: Status, message: str) -> None:
    outcome = measured(name, plugins)
    assert (outcome.status, message in outcome.reason) == (status, True), outcome
    assert "samples_ms" not in outcome.round


def test_a_cell_that_hangs_is_ended_at_its_timeout(plugins: Path) -> None:
    outcome = measured("hangs", plugins, replace(SAMPLING, timeout_s=5))
    assert (outcome.status, outcome.reason) == (Status.TIMEOUT, "still running after --timeout 5 s")


@pytest.mark.slow
def test_a_compiled_forward_has_its_seconds_of_compilation_apart(plugins: Path) -> None:
    outcome = measured("toy", plugins, replace(SAMPLING, timeout_s=300), compile=True)
    assert outcome.status is Status.OK, outcome
    assert outcome.round["compile_s"] > outcome.round["first_forward_s"]


def test_a_half_dtype_carries_its_distance_from_float32(plugins: Path) -> None:
    outcome = measured("vit-t", plugins, dtypes=("bfloat16",), setting={"memory_format": "channels_last"})
    assert outcome.status is Status.OK, outcome
    assert 1e-4 < outcome.round["dtype_error"] < 0.1
    assert "dtype_error" not in measured("toy", plugins).round


def test_weights_that_do_not_follow_from_the_seed_have_no_distance() -> None:
    (cell,) = plan("toy", dtypes=("bfloat16",))
    cpu = torch.device("cpu")
    torch.manual_seed(1)
    model, given = build(cell.key, cpu)
    told = dtype_error(cell.key, model, partial(model, *given), cpu, 0, {"rss_bytes": 0})
    assert told == {"dtype_error_missing": "the weights do not follow from torch's seed"}
    torch.manual_seed(0)
    model, given = build(cell.key, cpu)
    assert dtype_error(cell.key, model, partial(model, *given), cpu, 0, {"rss_bytes": 0})["dtype_error"] > 0
    told = dtype_error(cell.key, model, partial(model, *given), cpu, 0, {"rss_bytes": 2**60})
    assert "might not fit" in told["dtype_error_missing"]


def test_an_implementation_that_an_op_has_not_is_unsupported(plugins: Path) -> None:
    outcome = measured("vrwkv-t", plugins, impl="vendor")
    assert outcome.status is Status.UNSUPPORTED
    assert "no vendor implementation" in outcome.reason


@pytest.mark.slow
def test_with_too_little_memory_one_cell_is_oom_and_its_neighbour_is_ok(plugins: Path) -> None:
    # 4097 tokens: the score matrices of 3 heads take 192 MiB, and naive attention holds several; 17 take nothing.
    small, large = plan("vit-t", resolutions=((64, 64), (1024, 1024)), attention="naive")
    code = (
        "import resource, sys, json\n"
        "from linbench.suites.latency.key import LatencyKey\n"
        "from linbench.suites.runner.rounds import run\n"
        "from linbench.suites.runner.sampling import SamplingConfig\n"
        "from linbench.suites.runner.suite import Cell\n"
        "limit = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for line in sys.stdin:\n"
        "    entries, variables = json.loads(line)\n"
        "    cell = Cell(LatencyKey.from_json(entries), '', {}, variables)\n"
        "    outcome = run('latency', cell, SamplingConfig(cell_seconds=0.2, timeout_s=60), 0)\n"
        "    print(outcome.status, outcome.reason)\n"
    )
    requests = "\n".join(json.dumps([cell.key.to_json(), dict(cell.variables)]) for cell in (small, large, small))
    limit = _address_space_of_a_child() + 2**28
    done = subprocess.run(
        [sys.executable, "-c", code, str(limit)], input=requests, capture_output=True, text=True, check=False
    )
    statuses = [line.split()[0] for line in done.stdout.splitlines()]
    assert statuses == ["ok", "oom", "ok"], done.stdout + done.stderr


def _address_space_of_a_child() -> int:
    """Bytes of address space that a process takes which measured a toy cell."""
    code = (
        "import linbench.suites, numba, torch, linbench.kernels.threads as t; torch.set_num_threads(2)\n"
        "x = torch.randn(512, 512); x @ x; t.engine()\n"
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmPeak')][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    return int(done.stdout) * 1024


def test_rounds_are_interleaved_and_each_has_its_own_order() -> None:
    made = plan("toy", "vit-t", resolutions=((64, 64), (64, 96), (96, 96), (128, 128)))
    first, second = order(made, 0, seed=7), order(made, 1, seed=7)
    assert first != second
    assert {id(c) for c in first} == {id(c) for c in second} == {id(c) for c in made}
    assert order(made, 0, seed=7) == first


def test_a_sweep_measures_only_rounds_that_are_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan("toy", resolutions=((64, 64), (96, 96), (128, 128)))
    monkeypatch.setattr(
        "linbench.suites.runner.rounds.run", lambda *_: Outcome(Status.OK, round={"samples_ms": [1.0]})
    )
    events = sweep("latency", made, {0: 3, 1: 1}, SamplingConfig(rounds=3))
    seen = [event.cell for event in events if isinstance(event, RoundEnd)]
    assert [seen.count(cell) for cell in made] == [0, 2, 3]


def test_a_cell_that_failed_gets_no_further_round(monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = plan("toy")
    monkeypatch.setattr("linbench.suites.runner.rounds.run", lambda *_: Outcome(Status.OOM))
    events = sweep("latency", [cell], {}, SamplingConfig(rounds=3))
    assert sum(isinstance(event, RoundEnd) for event in events) == 1


def test_rounds_gather_in_one_record_and_the_last_status_stands() -> None:
    (cell,) = plan("toy")
    record: Record | None = None
    for i in range(2):
        record = with_outcome(
            record, cell, Outcome(Status.OK, round={"samples_ms": [float(i)]}, metrics={"m": {"value": 1}})
        )
    record = with_outcome(record, cell, Outcome(Status.TIMEOUT, "too slow"))
    assert [r["samples_ms"] for r in record.rounds] == [[0.0], [1.0]]
    assert (record.status, record.reason, record.metrics) == (Status.TIMEOUT, "too slow", {"m": {"value": 1}})


def test_nested_compilations_are_counted_once() -> None:
    assert _covered_seconds([(0.0, True), (1.0, True), (2.0, False), (3.0, False), (5.0, True), (6.0, False)]) == 4
