"""Engines that load artifacts: right before fast, what ran is read back, and whatever goes wrong is one line."""

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linbench.engines.contract import EngineUnsupported, ExportedEngine, RunConfig, exported
from linbench.records import Status
from linbench.registry import load_plugin
from linbench.suites.latency import artifact, search
from linbench.suites.latency import exported as rounds
from linbench.suites.latency.artifact import Artifact
from linbench.suites.latency.cells import cells
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.suite import Cell

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
CONFIG = RunConfig("cpu", "float32", 1)


def plan(backbone: str = "vit-t", **choices: Any) -> list[Cell]:
    base = {"resolutions": ((64, 64),), "presets": ("best",), "device": "cpu", "threads": 1}
    return cells(LatencyOptions(backbones=(backbone,), **(base | choices)))


def key_of(name: str, **choices: Any) -> LatencyKey:
    (cell,) = plan(engines=(name,), **choices)
    return cell.key


def built(name: str) -> ExportedEngine:
    engine = exported(name)
    assert engine is not None
    return engine


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> None:
    for name in ("engines", "toy", "accidents"):
        load_plugin(Path(__file__).parents[2] / "plugins" / f"{name}.py")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def vit(cache: Path) -> Artifact:
    """ViT-T at 64 px, exported with the noise of bfloat16; both engines load the same file."""
    key = key_of("openvino", dtypes=("bfloat16",))
    assert artifact.export(key, 0, 0).status is Status.OK
    got = artifact.stored(key, built("openvino"))
    assert got is not None
    return got


def judged(name: str, got: Artifact, dtype: str = "float32") -> Any:
    config = replace(CONFIG, dtype=dtype)
    return rounds.check(built(name).load(got.file, config), got, Dtype(dtype))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_right_engine_is_eager_up_to_rounding_in_float32(vit: Artifact, name: str) -> None:
    judgement = judged(name, vit)
    assert (judgement.reason, judgement.error.largest < 5e-6) == ("", True), judgement


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("permuted", "off eager float32 by"),
        ("overflowing", "values that are not finite"),
        ("dropping", "off eager float32 by"),
        ("blind", "off eager float32 by"),
    ],
)
def test_a_sabotaged_engine_is_wrong(vit: Artifact, name: str, message: str) -> None:
    assert message in judged(name, vit).reason


def test_bfloat16_sold_as_float32_is_wrong_and_as_bfloat16_right(vit: Artifact) -> None:
    if built("openvino").available(replace(CONFIG, dtype="bfloat16")):
        pytest.skip("this CPU has no bfloat16")
    assert "off eager float32 by" in judged("rounding", vit).reason
    assert judged("openvino", vit, "bfloat16").reason == ""
    assert judged("openvino", vit, "bfloat16").error.largest > 1e-4


def test_float16_that_is_answered_with_bfloat16_is_unsupported(vit: Artifact) -> None:
    import torch

    config = replace(CONFIG, dtype="float16")
    with pytest.raises(EngineUnsupported, match="float16 was requested, the engine answers"):
        rounds.load(built("openvino"), vit, config, torch.device("cpu"))


def test_a_session_that_fell_back_to_the_cpu_is_refused(vit: Artifact) -> None:
    session: Any = built("onnxruntime").load(vit.file, CONFIG)
    session.config = replace(CONFIG, device_type="cuda")
    with pytest.raises(EngineUnsupported, match="CUDAExecutionProvider was requested, ONNX Runtime took CPU"):
        session.facts()


def test_a_round_has_its_error_what_was_paid_once_and_what_ran(vit: Artifact, cache: Path) -> None:
    outcome = rounds.measure(key_of("openvino"), 0.05, 0)
    assert outcome.status is Status.OK, outcome
    round_ = outcome.round
    assert 0 < round_["error"] <= round_["error_allowed"] == 2e-5
    assert min(round_[name] for name in ("export_s", "load_s", "first_forward_s", "artifact_bytes")) > 0
    assert round_["peak_memory"]["rss_bytes"] > 0 and len(round_["samples_ms"]) >= 3
    facts = round_["engine_facts"]
    assert (facts["provider"], facts["precision"], facts["threads"]) == ("CPU", "float32", 1)
    assert outcome.metrics["flops"]["value"] > 1e8
    json.dumps(round_, allow_nan=False)


def test_a_wrong_engine_gives_its_error_and_bound_and_no_times(
    vit: Artifact, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "obtain", lambda *_: vit)
    outcome = rounds.measure(key_of("permuted"), 0.05, 0)
    assert outcome.status is Status.WRONG
    assert outcome.round["error"] > 0.1 and outcome.round["error_allowed"] == 2e-5
    assert "samples_ms" not in outcome.round


def test_a_cut_artifact_is_one_line(vit: Artifact, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(vit.file.read_bytes()[:5000])
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(EngineUnsupported, match="does not load the artifact") as caught:
            built(name).load(cut, CONFIG)
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(built("onnxruntime")), "save", full)
    key = key_of("onnxruntime", backbone="toy")
    outcome = artifact.export(key, 0, 0)
    assert (outcome.status, outcome.reason) == (
        Status.FAILED,
        "the export could not be written: No space left on device",
    )
    assert list(artifact.address(key, built("onnxruntime")).parent.iterdir()) == []


def test_an_export_that_was_killed_leaves_nothing_that_is_loaded_and_older_code_goes(cache: Path) -> None:
    key, engine = key_of("onnxruntime", backbone="toy"), built("onnxruntime")
    folder = artifact.address(key, engine)
    killed, older = folder.with_name(f".{folder.name}.float32.tmp"), folder.with_name("0" * 12)
    for left in (killed, older):
        left.mkdir(parents=True)
        (left / "model.onnx").write_bytes(b"half")
    assert artifact.stored(key, engine) is None
    assert artifact.export(key, 0, 0).status is Status.OK
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert rounds.check(engine.load(folder / "model.onnx", CONFIG), artifact.stored(key, engine), Dtype.FLOAT32)


def test_an_export_that_dies_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accidents = Path(__file__).parents[2] / "plugins" / "accidents.py"  # not what other tests have loaded
    monkeypatch.setattr(rounds, "plugin_files", lambda: [accidents])
    outcome = rounds.obtain(key_of("onnxruntime", backbone="is-killed"), built("onnxruntime"), 0)
    assert isinstance(outcome, rounds.Outcome)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "the export: its process was ended by SIGKILL")


def test_an_engine_makes_a_column_of_its_own_and_drops_settings_of_pytorch() -> None:
    entries = key_of("openvino", presets=("paper", "best")).to_json()
    assert (entries["preset"], entries["engine"], entries["attention"]) == ("custom", "openvino", "sdpa")
    assert (entries["allocator"], entries["matmul"], entries["engine_provider"]) == ("default", "highest", "CPU")
    assert key_of("compile").settings.engine.name == "compile"
    assert LatencyKey.from_json(entries).to_json() == entries


def test_eager_by_name_keeps_the_preset_and_searches_eager_alone() -> None:
    (cell,) = plan(engines=("eager",))
    assert cell.key.settings.preset == "best" and cell.required_search is not None
    assert "engine" not in cell.required_search.searched
    (free,) = plan()
    assert free.required_search is not None and "engine" in free.required_search.searched
    assert free.required_search.record_key() != cell.required_search.record_key()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"engines": ("openvin",)}, "nearest are openvino"),
        ({"engines": ("openvino",), "compile": True}, "--engine openvino and --compile: name one engine"),
        ({"engines": ("compile",), "compile": False}, "--engine compile and --no-compile: name one engine"),
        ({"engines": ("openvino",), "setting": {"allocator": "keep"}}, "--setting allocator=keep: openvino has none"),
        ({"engines": ("openvino",), "presets": ("deployed",)}, "the preset deployed chooses the engine"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, KeyError), match=message):
        plan(**choices)


def test_compile_is_another_word_for_an_engine() -> None:
    (flag,), (engine,) = plan(compile=True), plan(engines=("compile",))
    (setting,) = plan(setting={"compile": True})
    assert flag.key == engine.key == setting.key


def test_deployed_tries_every_engine_that_is_installed_and_best_those_of_pytorch() -> None:
    (deployed,), (best,) = plan(presets=("deployed",)), plan()
    engines = {
        name: [key.name for key in dict(cell.required_search.axes)["engine"]]
        for name, cell in (("deployed", deployed), ("best", best))
        if isinstance(cell.required_search, search.SettingsSearch)
    }
    assert engines["best"] == ["eager", "compile"]
    assert {"eager", "compile", "onnxruntime", "openvino"} <= set(engines["deployed"])
    assert "tensorrt" not in engines["deployed"]


def test_a_chosen_engine_is_in_the_key_and_in_the_hash_of_the_code() -> None:
    (cell,) = plan(presets=("deployed",))
    searched = cell.required_search
    assert isinstance(searched, search.SettingsSearch)
    kept = searched.base.settings.under(built("openvino").key("cpu"))
    (record,) = [
        search.to_record(searched, search.SearchResult(((kept, rounds.Outcome(Status.OK)),), kept, ()), "", 1)
    ]
    chosen = searched.with_settings(cell, record)
    assert chosen.key.to_json()["engine"] == "openvino"
    assert "linbench.engines.openvino" in chosen.modules["suite"]
    assert chosen.code_hash != cell.code_hash
