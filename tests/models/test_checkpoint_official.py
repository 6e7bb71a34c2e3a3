"""Official checkpoints as their training code saves them: arguments, optimizer and average beside the weights."""

import argparse
import sys
import types
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from linbench.backbones import build_backbone
from linbench.backbones.contract import Misfit
from linbench.models import build_classifier, checkpoint
from linbench.models.checkpoint import BadCheckpoint
from tests.goldens import filled, golden


class Net(nn.Module):
    """A linear layer and a batch norm, which has an integer buffer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)


@pytest.fixture
def net():
    torch.manual_seed(1)
    return Net()


def same(model, state):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def yacs_node(monkeypatch):
    """A class as yacs has it, a dictionary with attributes, in a module that is there while the file is written."""
    module = types.ModuleType("yacs.config")
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = node
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    config = node(TRAIN=node(EPOCHS=300, LR=1e-3), AMP=True)
    config.__dict__["__immutable__"] = True
    return config


def trained(model):
    """The state of an optimizer that has stepped, as half of a training checkpoint's bytes are."""
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize("new", [True, False], ids=["zip", "older"])
def test_vims_layout_with_its_arguments_loads(tmp_path, new):
    names = filled(golden("vim_tiny_224")[0]["entries"])
    arguments = argparse.Namespace(model="vim_tiny", lr=5e-4, output_dir=Path("out"), betas=None)
    whole = {"model": names, "args": arguments, "epoch": 299, "scaler": "none"}
    torch.save(whole, tmp_path / "vim_t.pth", _use_new_zipfile_serialization=new)
    model = build_classifier("vim-t")
    checkpoint.load(model, tmp_path / "vim_t.pth")
    assert torch.equal(model.backbone.class_token, names["cls_token"])
    assert torch.equal(model.head.weight, names["head.weight"])


@pytest.mark.parametrize("branch", ["model", "ema"])
def test_vmambas_layout_with_its_yacs_config_loads_either_branch(tmp_path, monkeypatch, branch):
    names = filled(golden("vmamba_tiny_224")[0]["entries"])
    average = {name: value + 1 for name, value in names.items()}
    with monkeypatch.context() as while_saving:
        whole = {
            "model": OrderedDict(names),
            "optimizer": trained(Net()),
            "lr_scheduler": {"t_in_epochs": False, "metric": np.float64(82.5)},
            "max_accuracy": np.float64(82.46),
            "scaler": {"scale": 65536.0},
            "epoch": 264,
            "config": yacs_node(while_saving),
            "model_ema": OrderedDict(average),
        }
        torch.save(whole, tmp_path / "vssm.pth")
    assert "yacs.config" not in sys.modules
    model = build_classifier("vmamba-t", outputs=(3,))
    checkpoint.load(model, tmp_path / "vssm.pth", branch)
    taken = names if branch == "model" else average
    assert torch.equal(model.head.bias, taken["classifier.head.bias"])
    assert "yacs.config" not in sys.modules


def test_numpy_and_other_classes_beside_the_weights_are_no_obstacle(tmp_path, net):
    beside = {
        "array": np.arange(4.0),
        "scalar": np.int64(3),
        "dtype": np.dtype("float32"),
        "default": defaultdict(list, a=[1]),
        "set": {1, 2},
        "bytes": b"abc",
        "device": torch.device("cpu"),
        "torch dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "generator": torch.get_rng_state(),
        "module": nn.Linear(1, 1),
        "function": np.sum,
        "optimizer": trained(Net()),
    }
    for protocol in (2, 4, 5):
        torch.save({"state_dict": net.state_dict(), **beside}, tmp_path / "a.pth", pickle_protocol=protocol)
        model = Net()
        checkpoint.load(model, tmp_path / "a.pth")
        assert same(model, net.state_dict())


def test_every_view_and_dtype_comes_back_as_it_was_saved(tmp_path):
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    state = {
        "transposed": base.t(),
        "part": base[1:3, ::2],
        "tied": base,
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "half": torch.ones(3, dtype=torch.float16),
        "bfloat16": torch.ones(3, dtype=torch.bfloat16)[1:],
        "parameter": nn.Parameter(torch.ones(2, 2)),
        "long": torch.arange(3),
        "bool": torch.tensor([True, False]),
        "complex": torch.ones(2, dtype=torch.complex128),
        "unsigned": torch.ones(3, dtype=torch.uint16),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
    }
    for new in (True, False):
        torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
        entries = checkpoint.read(tmp_path / "a.pth")[1]
        for name, value in state.items():
            assert (entries[name].dtype, entries[name].shape) == (value.dtype, value.shape), name
            assert torch.equal(entries[name].to(torch.complex128), value.detach().to(torch.complex128)), name


@pytest.mark.parametrize("ending", [".ckpt", ".bin", ".pth.tar", ".PTH", ".pt", ".safetensors", ""])
@pytest.mark.parametrize("kind", ["zip", "older", "safetensors", "zipped"])
def test_a_file_is_told_by_its_content(tmp_path, net, kind, ending):
    path = tmp_path / f"weights{ending}"
    state = net.state_dict()
    if kind == "safetensors":
        safetensors.torch.save_file(state, path)
    elif kind == "zipped":  # as EfficientSAM's release is
        torch.save({"model": state}, tmp_path / "inner")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(tmp_path / "inner", "efficient_sam_vits.pt")
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    model = Net()
    assert checkpoint.load(model, path) is None
    assert same(model, state)


def test_reading_a_large_file_does_not_copy_it(tmp_path):
    torch.save({"model": {"a": torch.zeros(1000)}, "optimizer": torch.zeros(10_000_000)}, tmp_path / "a.pth")
    tensor = checkpoint.read(tmp_path / "a.pth")[1]["a"]
    with (tmp_path / "a.pth").open("rb") as file:
        before = file.read()
    tensor.add_(1)  # private to this process
    assert (tmp_path / "a.pth").read_bytes() == before
    maps = Path("/proc/self/maps")
    if maps.exists():
        ranges = (line.split()[0].split("-") for line in maps.read_text().splitlines() if line.endswith("a.pth"))
        assert any(int(low, 16) <= tensor.data_ptr() < int(high, 16) for low, high in ranges)


def packed(path, method, size):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", bytes(size))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: packed(p, zipfile.ZIP_DEFLATED, 2**28), "it unpacks to 268,435,456 bytes from"),
        (lambda p: packed(p, zipfile.ZIP_LZMA, 9), "a zip archive packed by the method 14"),
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n"), "a Git LFS pointer"),
        (lambda p: p.write_text("<!DOCTYPE html><html>"), "a page of HTML"),
        (lambda p: p.write_bytes(b"\x1f\x8b\x08rest"), "a gzip archive; unpack it first"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
        (lambda p: p.write_bytes(bytes(range(140, 240))), "neither a safetensors file nor what torch.save"),
        (
            lambda p: np.savez(p.open("wb"), a=np.ones(3), b=np.ones(3)),
            r"a zip archive of 2 files \('a.npy', 'b.npy'\)",
        ),
        (lambda p: torch.jit.script(nn.Linear(2, 2)).save(p), "a TorchScript archive, which holds code"),
        (
            lambda p: torch.save(Net(), p),
            r"holds no state dict but made by tests\.models\.test_checkpoint_official\.Net",
        ),
        (lambda p: torch.save({"a": np.ones(3)}, p), r"'a' is made by numpy\._?core\.multiarray\._reconstruct"),
        (lambda p: torch.save({1: torch.ones(1)}, p), "its names are no text"),
        (lambda p: torch.save({}, p), "holds no state dict.*it is empty"),
        (lambda p: torch.save(torch.ones(1), p), "holds no state dict but a tensor"),
    ],
)
def test_another_kind_of_file_gets_one_sentence_of_what_it_is(tmp_path, make, message):
    path = tmp_path / "weights.pth"
    with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
        make(path)
    with pytest.raises(BadCheckpoint, match=message) as refusal:
        checkpoint.load(Net(), path)
    assert "\n" not in str(refusal.value)


WRAPPERS = {
    "DDP": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "compiled in DDP": lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    "Lightning": lambda state: {
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "pytorch-lightning_version": "2.1",
        "hyper_parameters": argparse.Namespace(lr=1),
    },
    "DeepSpeed": lambda state: {"module": state, "optimizer": None, "ds_version": "0.14"},
    "timm": lambda state: {"arch": "net", "state_dict": state, "args": argparse.Namespace()},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_is_seen_through_and_a_prefix_is_said(tmp_path, net, wrapper):
    torch.save(WRAPPERS[wrapper](net.state_dict()), tmp_path / "a.pth")
    model = Net()
    with warnings.catch_warnings(record=True, action="always") as caught:
        checkpoint.load(model, tmp_path / "a.pth")
    assert same(model, net.state_dict())
    assert len(caught) == (wrapper in ("DDP", "compiled", "compiled in DDP", "Lightning"))
    assert all("begin with" in str(warning.message) and "is taken off" in str(warning.message) for warning in caught)


def test_a_prefix_that_is_the_models_own_stays():
    inner = Net()
    model, given = nn.ModuleDict({"module": inner}), nn.ModuleDict({"module": Net()})
    with warnings.catch_warnings(action="error"):
        checkpoint.load_named(model, checkpoint.official_names(model, given.state_dict()))
    assert same(model, given.state_dict())


def test_a_prefix_that_some_names_bear_is_left_and_the_file_refused(tmp_path, net):
    state = net.state_dict()
    state = {f"module.{k}" if k.startswith("linear") else k: v for k, v in state.items()}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(Misfit, match=r"2 missing: linear.bias, linear.weight; 2 left over: module.linear.bias"):
        checkpoint.load(Net(), tmp_path / "a.pth")


def test_a_wrapped_file_of_another_model_is_named(tmp_path):
    state = build_backbone("efficientsam-ti", image_size=64).state_dict()
    torch.save(WRAPPERS["compiled in DDP"](state), tmp_path / "a.pth")
    with pytest.raises(Misfit, match=r"it looks like efficientsam-ti$"):
        checkpoint.load(Net(), tmp_path / "a.pth")
