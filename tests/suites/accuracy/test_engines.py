"""Scores of a segmenter in an engine: those of eager, image by image, or the reason why there are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linbench.suites.accuracy.key import AccuracyKey
from tests.suites.accuracy.made import dis, records, run


def test_the_iou_of_each_image_is_that_of_eager(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    dis(tmp_path / "data", images=3)
    done = run("dis", tmp_path / "data", tmp_path / "results", "--engine", "eager,openvino")
    assert done.exit_code == 0, done.output
    by_engine = {record["key"].get("engine", "eager"): record for record in records(tmp_path / "results")}
    ious: dict[str, Any] = {name: record["rounds"][0]["scores"]["iou"] for name, record in by_engine.items()}
    assert len(ious["openvino"]) == 3
    assert np.abs(np.subtract(ious["openvino"], ious["eager"])).max() <= 1e-3
    entries = by_engine["openvino"]["key"]
    assert entries["engine_provider"] == "CPU" and AccuracyKey.from_json(entries).to_json() == entries
    assert "engine" not in by_engine["eager"]["key"]
    assert by_engine["openvino"]["code_hash"] != by_engine["eager"]["code_hash"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--engine", "compile"), "--engine compile: segmenters run in eager, onnxruntime and openvino"),
        (("--engine", "openvin"), "nearest are openvino"),
        (("--engine", "openvino", "--dtype", "bfloat16"), "--engine openvino: segmenters run in it in float32"),
    ],
)
def test_an_engine_that_runs_no_segmenter_is_refused(tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    dis(tmp_path / "data", images=1)
    done = run("dis", tmp_path / "data", tmp_path / "results", *more)
    assert done.exit_code == 2 and message in " ".join(done.output.split()), done.output
