"""The search behind the preset ``best``: what it tries, what it keeps, when it stops, and what it writes down."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linbench.engines.contract import EngineKey
from linbench.records import Record, Status, Store
from linbench.registry import load_plugin
from linbench.suites import Cell, Outcome
from linbench.suites.latency.cells import cells
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.search import (
    LEAST_FOR_ENGINES,
    MARGIN,
    SearchResult,
    SettingsSearch,
    axes,
    explore,
    plain_settings,
    run_search,
    search_size,
    to_record,
    wins,
)
from linbench.suites.latency.settings import Preset, Settings, preset_settings
from linbench.suites.runner.resuming import required_searches, search_record
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import SearchStep

CPU = (
    ("attention", ("sdpa", "chunked")),
    ("matmul", ("highest", "medium")),
    ("allocator", ("default", "keep")),
)
START = Settings(Preset.BEST, attention="sdpa", matmul="medium", allocator="keep")


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    for name in ("toy", "accidents"):
        load_plugin(Path(__file__).parents[2] / "plugins" / f"{name}.py")


class Machine:
    """Candidates whose outcomes are recorded, each taking a second of a clock that only it moves."""

    def __init__(
        self, ms: dict[str, float], wrong: tuple[str, ...] = (), takes: Callable[[Settings], float] = lambda _: 1.0
    ) -> None:
        self.ms, self.wrong, self.takes = ms, wrong, takes
        self.now = 0.0
        self.tried: list[Settings] = []
        self.left: list[float | None] = []
        self.steps: list[SearchStep] = []

    def attempt(self, chosen: Settings, left: float | None) -> Outcome:
        self.tried.append(chosen)
        self.left.append(left)
        self.now += self.takes(chosen)
        values = [str(value) for value in chosen.to_json().values()]
        if any(value in self.wrong for value in values):
            return Outcome(Status.WRONG, "off", {"samples_ms": [0.1] * 6})
        median = 100.0
        for value in values:
            median *= self.ms.get(value, 1.0)
        return Outcome(Status.OK, round={"samples_ms": [median] * 6})

    def explore(self, start: Settings = START, seconds: float = 100.0, along: Any = CPU) -> SearchResult:
        steps = explore(start, along, self.attempt, seconds, lambda: self.now)
        while True:
            try:
                self.steps.append(next(steps))
            except StopIteration as end:
                result: SearchResult = end.value
                return result


def test_each_axis_is_tried_from_what_is_in_hand_and_the_fastest_is_kept() -> None:
    machine = Machine({"chunked": 0.5, "highest": 2.0, "default": 0.8})
    found = machine.explore()
    assert found.best == replace(START, attention="chunked", allocator="default")
    assert [(t.attention, t.matmul, t.allocator) for t in machine.tried] == [
        ("sdpa", "medium", "keep"),
        ("chunked", "medium", "keep"),
        ("chunked", "highest", "keep"),
        ("chunked", "medium", "default"),
    ]


ENGINES = (("engine", (EngineKey(), EngineKey("compile"), EngineKey("openvino", "1"))),)


def test_engines_are_held_against_the_best_of_eager_and_load_what_their_graph_depends_on() -> None:
    machine = Machine({"chunked": 0.5, "compile": 0.9, "openvino": 0.8})
    chosen = machine.explore(along=(*CPU, *ENGINES)).best
    assert chosen == Settings(Preset.BEST, attention="chunked", engine=EngineKey("openvino", "1"))
    assert [t.engine.name for t in machine.tried[-2:]] == ["compile", "openvino"]
    assert machine.tried[-2] == replace(START, attention="chunked", engine=EngineKey("compile"))


def test_a_wrong_engine_is_never_kept_however_fast() -> None:
    machine = Machine({"compile": 0.9, "openvino": 0.1}, wrong=("openvino",))
    chosen = machine.explore(along=ENGINES).best
    assert chosen is not None and chosen.engine.name == "compile"


def test_the_time_of_a_search_does_not_end_an_engine_but_a_short_search_tries_none() -> None:
    slow = Machine({"compile": 0.9}, takes=lambda chosen: 99.0 if chosen.engine.name != "eager" else 4.0)
    chosen = slow.explore(seconds=LEAST_FOR_ENGINES, along=ENGINES)
    assert chosen.best is not None and chosen.best.engine.name == "compile"
    assert (slow.left, chosen.untried) == ([None, None, None], ())
    short = Machine({"compile": 0.9}).explore(seconds=LEAST_FOR_ENGINES - 1, along=ENGINES)
    assert (short.best, len(short.untried)) == (START, 2)


def test_a_fast_candidate_that_is_wrong_is_never_kept() -> None:
    found = Machine({"chunked": 0.01}, wrong=("chunked",)).explore()
    assert found.best == START
    assert [outcome.status for _, outcome in found.attempts].count(Status.WRONG) == 1


@pytest.mark.parametrize(("share", "attention"), [(1 - MARGIN + 0.01, "sdpa"), (1 - MARGIN - 0.01, "chunked")])
def test_a_candidate_must_win_by_more_than_the_margin(share: float, attention: str) -> None:
    kept = Machine({"chunked": share}).explore().best
    assert kept is not None and kept.attention == attention


def test_noise_is_no_victory() -> None:
    steady = [10.0, 10.1, 9.9, 10.0, 10.2, 9.8, 10.0, 10.1]
    assert wins([ms * 0.9 for ms in steady], steady)
    wild = [6.0, 9.0, 12.0, 7.0, 9.1, 14.0, 8.9, 9.2]
    assert not wins(wild, steady)  # its median is lower by 9 %, and may as well be higher
    assert not wins([9.0, 9.1, 9.85], [9.8, 10.0, 10.2])  # too few for an interval: all must be lower
    assert wins([9.0, 9.1, 9.75], [9.8, 10.0, 10.2])


def test_when_the_time_is_spent_the_rest_is_named_as_untried() -> None:
    found = Machine({"highest": 0.5}).explore(seconds=2.5)  # a third candidate would end at 3
    assert [chosen.attention for chosen, _ in found.attempts] == ["sdpa", "chunked"]
    assert [(u.matmul, u.allocator) for u in found.untried] == [("highest", "keep"), ("medium", "default")]
    assert found.best == START


def test_a_candidate_that_cannot_finish_in_time_is_not_started() -> None:
    machine = Machine({}, takes=lambda settings: 4.0 if settings == START else 1.0)
    result = machine.explore(seconds=7.9)  # the start took 4 of them: another like it does not fit
    assert (machine.tried, len(result.untried), machine.now) == ([START], 3, 4)
    machine = Machine({}, takes=lambda settings: 4.0)
    assert (len(machine.explore(seconds=8.1).attempts), machine.now) == (2, 8)
    assert machine.left == [None, 4.1]  # the first one may take what it needs, the second what is left


def test_without_time_the_start_alone_runs_however_slow_it_is() -> None:
    machine = Machine({"chunked": 0.1}, takes=lambda settings: 100.0)
    result = machine.explore(seconds=0)
    assert (machine.tried, result.best, len(result.untried)) == ([START], START, 3)


def test_progress_names_each_candidate_before_it_runs_by_what_it_changes() -> None:
    machine = Machine({"chunked": 0.5})
    machine.explore()
    assert [(step.number, dict(step.changed), step.seconds) for step in machine.steps] == [
        (1, {}, 0.0),
        (2, {"attention": "chunked"}, 1.0),
        (3, {"matmul": "highest"}, 2.0),
        (4, {"allocator": "default"}, 3.0),
    ]


def test_where_the_start_is_wrong_the_plain_settings_take_its_place() -> None:
    found = Machine({"keep": 0.5, "chunked": 0.9}, wrong=("medium", "sdpa")).explore()
    assert found.attempts[1][0] == plain_settings(START)
    assert found.best == Settings(Preset.BEST, attention="chunked", allocator="keep")


def test_where_nothing_is_right_nothing_is_kept_and_the_axes_are_left_alone() -> None:
    machine = Machine({}, wrong=("best",))
    assert (machine.explore().best, len(machine.tried)) == (None, 2)
    machine = Machine({}, wrong=("best",))
    found = machine.explore(seconds=0.5)
    assert (found.best, len(machine.tried), found.untried) == (None, 1, (plain_settings(START),))


def test_the_axes_are_those_that_the_device_and_the_backbone_have() -> None:
    names = [
        name for name, _ in axes("cuda", "bfloat16", ("attention", "fused"), (EngineKey(), EngineKey("compile")))
    ]
    assert names == ["cuda_graph", "attention", "sdpa_backend", "fused", "memory_format", "engine"]
    assert "attention" not in dict(axes("cpu", "float32", ("image_size",)))
    assert "matmul" not in dict(axes("cpu", "bfloat16", ()))  # no float32 products to choose for
    assert dict(axes("cpu", "float32", ("attention", "fused"))).keys() >= {"attention", "fused", "memory_format"}


def test_a_cpu_whose_matrix_unit_rounds_products_is_not_offered_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, offered in ((["avx2"], True), (["avx2", "amx_bf16"], False)):
        monkeypatch.setattr("linbench.suites.latency.settings.cpu_features", lambda features=features: features)
        assert ("matmul" in dict(axes("cpu", "float32", ()))) is offered
        assert (preset_settings(Preset.BEST, "cpu").matmul == "medium") is offered


@pytest.mark.parametrize(
    ("sizes", "at"),
    [
        ([(512, 512), (1024, 1024), (2048, 2048)], (1024, 1024)),
        ([(256, 256), (512, 384), (512, 256)], (512, 384)),
        ([(4096, 4096), (2048, 2048)], (2048, 2048)),
    ],
)
def test_it_searches_at_the_largest_size_of_at_most_a_megapixel(
    sizes: list[tuple[int, int]], at: tuple[int, int]
) -> None:
    assert search_size(sizes) == at


def plan(*backbones: str, **choices: Any) -> list[Cell]:
    base = {"resolutions": ((64, 64), (96, 96)), "presets": ("paper", "best"), "device": "cpu"}
    return cells(LatencyOptions(backbones=backbones, **(base | choices)))


def test_there_is_one_search_for_each_backbone_and_dtype_and_none_for_other_presets() -> None:
    made = plan("toy", "vit-t", dtypes=("float32", "bfloat16"))
    searches = required_searches(made)
    assert {(s.base.model.backbone, s.base.dtype, s.base.size[0]) for s in searches} == {
        (backbone, dtype, 96) for backbone in ("toy", "vit-t") for dtype in ("float32", "bfloat16")
    }
    assert {cell.key.settings.preset for cell in made if cell.required_search} == {"best"}
    assert required_searches(plan("vit-t", attention="naive")) == []


def recorded(search: SettingsSearch, kept: Settings | None) -> Record:
    outcome = Outcome(Status.OK, round={"median_ms": 5.0, "samples_ms": [5.0], "error": 1e-7})
    return to_record(
        search, SearchResult(((search.base.settings, outcome),), kept, ()), "2026-11-21T08:00:00+00:00", 3.0
    )


def test_every_setting_that_was_kept_is_in_the_key_and_in_the_process_and_the_search_in_the_record() -> None:
    (cell,) = [c for c in plan("vit-t", resolutions=((64, 64),)) if c.required_search]
    search = cell.required_search
    assert isinstance(search, SettingsSearch)
    kept = replace(search.base.settings, attention="chunked", memory_format="channels_last", allocator="keep")
    found = search.with_settings(cell, recorded(search, kept))
    assert (found.key.settings.attention, found.key.settings.memory_format) == ("chunked", "channels_last")
    assert (found.key.settings.preset, found.required_search) == ("best", None)
    assert found.variables["MALLOC_MMAP_MAX_"] == "0"
    assert found.search["candidates"][0]["median_ms"] == 5.0
    assert "samples_ms" not in found.search["candidates"][0]
    plain = search.with_settings(cell, recorded(search, replace(kept, allocator="default")))
    assert "MALLOC_MMAP_MAX_" not in plain.variables and "OMP_NUM_THREADS" in plain.variables
    unproven = search.with_settings(cell, recorded(search, None))
    assert unproven.key.settings.attention == search.base.settings.attention == "sdpa"


def test_a_search_by_other_code_is_made_again(tmp_path: Path) -> None:
    (search,) = required_searches(plan("toy"))
    store = Store(tmp_path)
    store.put(recorded(search, search.base.settings))
    assert search_record(search, store) is not None
    assert search_record(replace(search, code_hash="other"), store) is None


def test_a_real_search_tries_candidates_in_processes_and_keeps_one_that_is_right(plugins: Path) -> None:
    (search,) = required_searches(plan("toy"))
    search = replace(search, seconds=60, axes=(("memory_format", ("contiguous", "channels_last")),))
    *steps, last = run_search(search, SamplingConfig(timeout_s=60), plugins=[plugins / "toy.py"])
    assert [step.number for step in steps] == [1, 2] and search.candidates == 2
    record = last.record
    assert record is not None
    assert record.status is Status.OK, record.reason
    assert [r["settings"]["memory_format"] for r in record.rounds] == ["contiguous", "channels_last"]
    assert [r["kept"] for r in record.rounds].count(True) == 1
    assert all(r["status"] == "ok" and r["error"] <= 1e-5 and len(r["samples_ms"]) >= 3 for r in record.rounds)
    assert Record.from_json(record.to_json()).search == record.search


@pytest.mark.slow
def test_a_real_search_with_a_slow_candidate_ends_when_its_time_is_spent(plugins: Path) -> None:
    (search,) = required_searches(plan("slow-layout"))
    search = replace(search, seconds=16, axes=(("memory_format", ("contiguous", "channels_last")),))
    begin = time.monotonic()
    *_, last = run_search(search, SamplingConfig(timeout_s=600), plugins=[plugins / "accidents.py"])
    assert time.monotonic() - begin < 60  # of 600 s that the second candidate would take
    assert last.record is not None and last.record.status is Status.OK
    assert last.record.search["kept"]["memory_format"] == "contiguous"
    for slow in last.record.rounds[1:]:  # none where the first one took more than half of the time
        assert (slow["status"], slow["reason"]) == ("timeout", "still running when --search-seconds 16 were spent")


@pytest.mark.parametrize("kept", ["naive", {}, {"attention": "sdpa"}, [1]])
def test_a_record_that_does_not_say_which_settings_were_kept_is_no_search(tmp_path: Path, kept: Any) -> None:
    (search,) = required_searches(plan("toy"))
    store, record = Store(tmp_path), recorded(search, search.base.settings)
    for block in ({**record.search, "kept": kept}, {k: v for k, v in record.search.items() if k != "kept"}):
        store.put(replace(record, search=block))
        assert search_record(search, store) is None
    store.put(replace(record, search={**record.search, "kept": None}))
    assert search_record(search, store) is not None
