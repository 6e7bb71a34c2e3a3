"""Which weights of a file are taken, and which numbers are weights at all."""

import warnings

import pytest
import torch
from torch import nn

from linbench.backbones.contract import Misfit
from linbench.models import build_classifier, checkpoint
from linbench.models.checkpoint import BadCheckpoint
from linbench.models.semantic import build_semantic


class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, classes)


def held(path, *names):
    """A file with a state dict under each name; the k-th has k as each weight of its head."""
    torch.manual_seed(0)
    states = {name: {k: v.clone() for k, v in Net().state_dict().items()} for name in names}
    for number, state in enumerate(states.values()):
        state["head.weight"].fill_(number)
    torch.save({"epoch": 3, **states}, path)
    return path


PAIRS = [
    ("model", "model_ema"),
    ("state_dict", "state_dict_ema"),
    ("model", "ema"),
    ("params", "params_ema"),
]


@pytest.mark.parametrize("names", PAIRS)
@pytest.mark.parametrize("branch", ["model", "ema"])
def test_of_a_file_that_holds_both_the_wanted_weights_are_read(tmp_path, names, branch):
    path = held(tmp_path / "a.pth", *names)
    with warnings.catch_warnings(action="error"):
        assert checkpoint.branch_of(path, branch, "model") == branch
    model = Net()
    checkpoint.load(model, path, branch)
    assert (model.head.weight == ("model", "ema").index(branch)).all()


def test_what_is_taken_of_both_is_said_where_nobody_chose(tmp_path):
    path = held(tmp_path / "a.pth", "model", "model_ema")
    for default, other in (("ema", "model"), ("model", "ema")):
        with pytest.warns(
            UserWarning, match=rf"a.pth: it holds model and ema; {default} is used \(--weights {other}"
        ):
            assert checkpoint.branch_of(path, None, default) == default


@pytest.mark.parametrize(("names", "wanted"), [(("model",), "ema"), (("model_ema",), "model"), ((), "ema")])
def test_weights_that_a_file_does_not_hold_are_refused(tmp_path, names, wanted):
    path = held(tmp_path / "a.pth", *names)
    if not names:
        torch.save(Net().state_dict(), path)
    with pytest.raises(BadCheckpoint, match=f"it has no weights {wanted}; it "):
        checkpoint.branch_of(path, wanted, "model")


def test_a_file_without_a_choice_has_no_branch_and_loads_what_it_has(tmp_path):
    for name in ("model", "model_ema", "state_dict"):
        path = held(tmp_path / "a.pth", name)
        assert checkpoint.branch_of(path, None, "ema") == ""
        checkpoint.load(Net(), path)
    plain = Net()
    torch.save(plain.state_dict(), tmp_path / "b.pth")
    assert checkpoint.branch_of(tmp_path / "b.pth", "model", "ema") == ""


def test_an_empty_average_is_no_choice(tmp_path):
    torch.save({"model": Net().state_dict(), "model_ema": {}, "ema": None}, tmp_path / "a.pth")
    assert checkpoint.branch_of(tmp_path / "a.pth", None, "ema") == ""


def test_vmamba_is_evaluated_by_its_average_and_the_others_by_their_weights():
    assert checkpoint.default_branch("vmamba-t") == "ema"
    for name in ("vim-t", "vit-t", "timm/resnet18", "sam-vit-b", "hq-sam-b"):
        assert checkpoint.default_branch(name) == "model"


@pytest.mark.parametrize(
    ("cast", "named"),
    [
        (lambda v: (v * 50).to(torch.int8), "head.bias torch.int8 for torch.float32"),
        (lambda v: v > 0, "head.bias torch.bool for torch.float32"),
        (lambda v: v + 1j, "head.bias torch.complex64 for torch.float32"),
        (lambda v: v.to(torch.int64), "head.bias torch.int64 for torch.float32"),
        (lambda v: v.to(torch.uint8), "head.bias torch.uint8 for torch.float32"),
        (lambda v: v.to(torch.float8_e4m3fn), "head.bias torch.float8_e4m3fn for torch.float32"),
    ],
)
def test_weights_that_are_no_floats_are_refused_by_dtype(tmp_path, cast, named):
    state = Net().state_dict()
    torch.save({k: cast(v) if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "a.pth")
    model = Net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(Misfit, match=f"6 of another dtype: {named}"):
        checkpoint.load(model, tmp_path / "a.pth")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_floats_for_an_integer_buffer_are_refused_too(tmp_path):
    torch.save({k: v.float() for k, v in Net().state_dict().items()}, tmp_path / "a.pth")
    with pytest.raises(Misfit, match=r"1 of another dtype: norm.num_batches_tracked torch.float32 for torch.int64"):
        checkpoint.load(Net(), tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_and_integer_buffers_load(tmp_path, dtype):
    state = Net().state_dict()
    torch.save({k: v.to(dtype) if v.is_floating_point() else v.int() for k, v in state.items()}, tmp_path / "a.pth")
    model = Net()
    checkpoint.load(model, tmp_path / "a.pth")
    assert torch.allclose(model.head.weight, state["head.weight"], atol=1e-2)


def test_integer_positions_of_another_grid_are_refused_and_not_resampled(tmp_path):
    state = build_classifier("vit-t", image_size=32).state_dict()
    names = {"backbone.class_token": "cls_token", "backbone.position": "pos_embed"}
    plain = {names.get(k, k.removeprefix("backbone.")): (v * 50).to(torch.int8) for k, v in state.items()}
    torch.save(plain, tmp_path / "a.pth")
    with pytest.raises(Misfit, match="does not fit Classifier"):
        checkpoint.load(build_classifier("vit-t", image_size=64), tmp_path / "a.pth")


def test_a_head_of_other_classes_is_named_by_their_numbers(tmp_path):
    torch.save(Net(classes=7).state_dict(), tmp_path / "a.pth")
    with pytest.raises(Misfit, match=r"a.pth: its head has 7 classes, but the model has 4"):
        checkpoint.load(Net(), tmp_path / "a.pth")


def test_a_segmenters_head_of_other_classes_is_named_by_their_numbers(tmp_path):
    torch.save(build_semantic("vit-t", num_classes=3, image_size=64).state_dict(), tmp_path / "a.pth")
    with pytest.raises(Misfit, match=r"its head has 3 classes, but the model has 5"):
        checkpoint.load(build_semantic("vit-t", num_classes=5, image_size=64), tmp_path / "a.pth")
