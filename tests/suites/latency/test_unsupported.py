"""Sizes that a model of timm refuses are known in the plan, and get their record without a process."""

from pathlib import Path
from typing import Any

import pytest

from linbench.records import Status, Store
from linbench.suites.latency.cells import cells
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.runner import rounds
from linbench.suites.runner.execute import run_rounds
from linbench.suites.runner.sampling import SamplingConfig

MODEL = "timm/eva02_tiny_patch14_224"  # takes multiples of 14


def plan(**choices: Any) -> Any:
    base = {"backbones": (MODEL,), "device": "cpu", "threads": 1, "presets": ("paper", "best")}
    return cells(LatencyOptions(**(base | choices)))


def test_a_plan_says_which_sizes_a_model_refuses_and_searches_at_another() -> None:
    refused, taken, best_refused, best = plan(resolutions=((64, 64), (56, 56)))
    assert "take a size that 14 divides" in refused.unsupported
    assert (taken.unsupported, best.unsupported) == ("", "")
    assert refused.unsupported == best_refused.unsupported
    assert best.required_search.base.size == (56, 56)
    assert best_refused.required_search is None


def test_a_refused_size_gets_its_record_without_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(rounds, "run", refuse)
    planned, store = plan(resolutions=((64, 64),)), Store(tmp_path)
    with store.writing():
        stored = list(run_rounds("latency", planned, store, SamplingConfig(rounds=3, cell_seconds=0)))
    assert [event.record.status for event in stored] == [Status.UNSUPPORTED] * 2
    record = store.get(planned[0].key.to_json())
    assert record is not None and "take a size that 14 divides" in record.reason
