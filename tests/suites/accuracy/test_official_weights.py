"""Evaluations of official files: timm's and a plug-in's own names, a head's classes, trained or averaged weights."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from linbench import build_classifier
from linbench.registry import load_plugin
from tests.suites.accuracy.made import TOY, call, imagenet, only, records


def evaluate(tmp_path: Path, model: str, file: Path, *more: object) -> Any:
    imagenet(tmp_path)
    where = ("--data", tmp_path, "--results", tmp_path / "r", "--res", 64, "--threads", 1, "--device", "cpu")
    return call("run", "--suite", "imagenet", "--backbone", model, "--checkpoint", f"{model}={file}", *where, *more)


def test_timms_own_weights_are_measured(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), tmp_path / "resnet18.pth")
    done = evaluate(tmp_path, "timm/resnet18", tmp_path / "resnet18.pth")
    assert done.exit_code == 0, done.output
    assert only(tmp_path / "r")["status"] == "ok"


def test_a_plug_ins_own_state_dict_with_a_head_is_measured(tmp_path: Path) -> None:
    state = {"conv.weight": torch.randn(8, 3, 16, 16), "conv.bias": torch.zeros(8)}
    torch.save(state | {"head.weight": torch.randn(2, 8), "head.bias": torch.zeros(2)}, tmp_path / "toy.pth")
    done = evaluate(tmp_path, "toy", tmp_path / "toy.pth", "--plugin", TOY)
    assert done.exit_code == 0, done.output
    assert only(tmp_path / "r")["status"] == "ok"


@pytest.mark.parametrize(("classes", "status"), [(2, "ok"), (12, "failed")])
def test_the_files_own_head_decides_how_many_classes_it_tells_apart(
    tmp_path: Path, classes: int, status: str
) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18", num_classes=classes).state_dict(), tmp_path / "a.pth")
    evaluate(tmp_path, "timm/resnet18", tmp_path / "a.pth")
    record = only(tmp_path / "r")
    assert record["status"] == status
    assert ("its head has 12 classes, but the model has 2" in record["reason"]) == (classes == 12)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A file of trained weights that give class 0, and an average that gives class 1."""
    load_plugin(TOY)
    torch.manual_seed(0)
    model = build_classifier("toy", image_size=64, num_classes=2)
    states = {}
    for name, bias in (("model", (9.0, 0.0)), ("model_ema", (0.0, 9.0))):
        states[name] = {k: v.clone() for k, v in model.state_dict().items()} | {"head.bias": torch.tensor(bias)}
        states[name]["head.weight"].zero_()
    torch.save(states, tmp_path / "both.pth")
    return tmp_path / "both.pth"


def test_records_of_trained_and_averaged_weights_stand_apart(tmp_path: Path, both: Path) -> None:
    for more in ((), ("--weights", "ema"), ("--weights", "model")):
        done = evaluate(tmp_path, "toy", both, "--plugin", TOY, *more)
        assert done.exit_code == 0, done.output
    first, second = sorted(records(tmp_path / "r"), key=lambda one: len(one["key"]["checkpoint"]))
    assert second["key"]["checkpoint"] == f"{first['key']['checkpoint']}-ema"
    assert {name for name in first["key"] if first["key"][name] != second["key"][name]} == {"checkpoint"}
    for record, weights, answer in ((first, "model", 0), (second, "ema", 1)):
        assert record["environment"]["checkpoint"]["weights"] == weights
        assert set(record["rounds"][0]["scores"]["answer"]) == {answer}


def test_weights_that_the_file_lacks_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), tmp_path / "a.pth")
    done = evaluate(tmp_path, "timm/resnet18", tmp_path / "a.pth", "--weights", "ema")
    assert done.exit_code == 2
    assert "a.pth: it has no weights ema; it holds one set of weights" in done.output
    assert not records(tmp_path / "r")
