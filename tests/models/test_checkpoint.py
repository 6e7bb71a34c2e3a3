"""Checkpoints: ours round trip with what they say of themselves; others are read as data or refused with a reason."""

import json
import random
import zipfile
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from linbench.backbones import backbone
from linbench.backbones.contract import Misfit
from linbench.models import checkpoint
from linbench.models.checkpoint import About, BadCheckpoint
from linbench.models.sam import build_sam
from tests.goldens import golden
from tests.models.sam.parts import Given, sam

ABOUT = About("rwkv-sam-t", "sam", (64, 96), {"fusion": "rwkv"}, recipe="9f1c")


class Small(nn.Module):
    """Stands for any model."""

    def __init__(self, width=3):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(width, width) for _ in range(8)))
        self.register_buffer("table", torch.arange(4))


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model, path = Small(), tmp_path / "deep" / "small.safetensors"
    checkpoint.save(model, path, ABOUT)
    return model, path


def test_our_checkpoint_comes_back_with_what_it_says_of_itself(saved):
    model, path = saved
    other = Small()
    assert checkpoint.load(other, path) == ABOUT == checkpoint.describe(path)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())
    assert [p.name for p in path.parent.iterdir()] == ["small.safetensors"]


def test_any_reader_of_safetensors_finds_the_facts(saved):
    with safetensors.safe_open(saved[1], framework="pt") as file:
        metadata = file.metadata()
    assert (metadata["model"], metadata["image_size"], metadata["recipe"]) == ("rwkv-sam-t", "64x96", "9f1c")
    assert metadata["linbench"] == ABOUT.version


def test_a_segmenter_round_trips(tmp_path):
    torch.manual_seed(0)
    model, other = (build_sam("rwkv-sam-t", image_size=64, fusion="mamba") for _ in range(2))
    checkpoint.save(model, tmp_path / "a.safetensors", ABOUT)
    checkpoint.load(other, tmp_path / "a.safetensors")
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_broken_write_leaves_the_older_file(saved, monkeypatch):
    _, path = saved
    before = path.read_bytes()

    def fill_the_disk(_tensors, file, _metadata):
        Path(file).write_bytes(before[:50])
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(Small(), path, ABOUT)
    assert path.read_bytes() == before


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 3}])
def test_an_official_torch_file_loads_by_its_key_layout(tmp_path, wrap):
    model = sam()
    state = {k: torch.randn(tuple(shape)) for k, shape in golden("sam_decoder")[0]["state_dict"]}
    torch.save(wrap(state), tmp_path / "sam.pth")
    assert checkpoint.load(model, tmp_path / "sam.pth") is None
    assert torch.equal(model.decoder.mask_tokens, state["mask_decoder.mask_tokens.weight"])


def test_a_plain_state_dict_of_ours_loads_from_a_torch_file(tmp_path):
    model, other = Small(), Small()
    torch.save(model.state_dict(), tmp_path / "a.pt")
    assert checkpoint.load(other, tmp_path / "a.pt") is None
    assert torch.equal(model.layers[3].weight, other.layers[3].weight)


def damaged(folder, name):
    """One file of each kind that is no checkpoint."""
    path = folder / name
    state = {"a": torch.zeros(2000)}
    if name.startswith("cut"):
        whole = folder / "whole"
        torch.save(state, whole) if name.endswith("pth") else safetensors.torch.save_file(state, whole)
        path.write_bytes(whole.read_bytes()[:-900])
    elif name.startswith("text"):
        path.write_text("404: not found")
    elif name.startswith("empty"):
        path.touch()
    elif name.startswith("numbers"):
        torch.save([1, 2, 3], path)
    elif name.startswith("mixed"):
        torch.save({"model": {"a": torch.ones(1), "step": 4}}, path)
    elif name.startswith("folder"):
        path.mkdir()
    elif name.startswith("odd"):
        safetensors.torch.save_file(state, path, {"linbench": "0.1.0", "model": "x", "image_size": "64"})
    elif name.startswith("task"):
        safetensors.torch.save_file(state, path, ABOUT.to_metadata() | {"task": "cook"})
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut.pth", "a zip archive that is damaged"),
        ("cut.safetensors", "damaged or no safetensors"),
        ("text.pth", "it is text that begins with '404: not found'"),
        ("text.safetensors", "it is text that begins with '404: not found'"),
        ("empty.pt", "it is empty"),
        ("empty.safetensors", "it is empty"),
        ("numbers.pth", "holds no state dict but of the type list"),
        ("mixed.pth", "holds no state dict.*'step' is of the type int"),
        ("folder.pth", "no such file"),
        ("missing.pth", "no such file"),
        ("n" * 300 + ".pth", "no such file"),
        ("odd.safetensors", "metadata is not what linbench writes"),
        ("task.safetensors", "metadata is not what linbench writes.*cook"),
        ("text.onnx", "it is text that begins with '404: not found'"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path, name, words):
    with pytest.raises(BadCheckpoint, match=rf"{name}: .*{words}"):
        checkpoint.load(Small(), damaged(tmp_path, name))


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "ours.safetensors"])
def test_flipped_bytes_are_read_or_refused_and_nothing_else(tmp_path, name):
    path, chance = tmp_path / name, random.Random(0)
    if path.suffix == ".pth":
        torch.save(Small().state_dict(), path, _use_new_zipfile_serialization=name == "zip.pth")
    else:
        checkpoint.save(Small(), path, ABOUT)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        flipped = bytearray(whole)
        for _ in range(chance.choice([1, 8])):
            flipped[chance.randrange(len(whole))] = chance.randrange(256)
        path.write_bytes(flipped)
        try:
            checkpoint.read(path)
        except BadCheckpoint:
            refused += 1
    assert refused > 20


def test_a_file_or_a_view_or_an_archive_that_is_too_large_is_refused(tmp_path, monkeypatch, saved):
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 100_000)
    big = tmp_path / "big.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(30_000)}, big)
    view = tmp_path / "view.pth"
    torch.save({"a": torch.zeros(1).expand(10**12)}, view)
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(200_000))
    assert max(view.stat().st_size, packed.stat().st_size) < 100_000
    for path in (big, view, packed):
        with pytest.raises(BadCheckpoint, match=rf"{path.name}: .* bytes; at most 100,000 are read"):
            checkpoint.load(Small(), path)
    checkpoint.load(Small(), saved[1])


def test_what_does_not_fit_is_listed_once_ten_of_each_kind_and_nothing_is_loaded(saved, tmp_path):
    _, path = saved
    state = dict(Small(width=4).state_dict())
    odd = {f"odd.{i:02}": torch.ones(1) for i in range(12)}
    del state["table"]
    checkpoint_path = tmp_path / "b.safetensors"
    safetensors.torch.save_file(state | odd, checkpoint_path, ABOUT.to_metadata())
    model = Small()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(Misfit) as refusal:
        checkpoint.load(model, checkpoint_path)
    text = str(refusal.value)
    assert "1 missing: table;" in text
    assert "12 left over: odd.00, " in text
    assert "odd.09 and 2 more;" in text
    assert "16 of another shape: layers.0.bias (4,) for (3,), " in text
    assert "and 6 more;" in text
    assert text.endswith("it says that it is rwkv-sam-t (sam, 64x96 px, fusion=rwkv)")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    checkpoint.load(model, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "entries", "alike"),
    [
        ("rwkvsam_t_128_ade", "entries", "it looks like rwkv-sam-t"),
        ("e2e_s_256_2boxes", "entries", "it looks like rwkv-sam-s"),
        ("vrwkv_t_224", "entries", "it looks like vrwkv-t"),
        ("vim_tiny_224", "entries", "it looks like vim-t"),
        ("sam_decoder", "state_dict", "it looks like no model here"),
    ],
)
def test_the_model_that_a_foreign_file_looks_like_is_named(case, entries, alike):
    shapes = {name: torch.empty(tuple(shape), device="meta") for name, shape in golden(case)[0][entries]}
    assert checkpoint.resemblance(shapes) == alike


def test_a_foreign_misfit_names_the_model_among_plug_ins_that_are_nothing_like_it(tmp_path, monkeypatch):
    monkeypatch.setattr(backbone, "_entries", dict(backbone._entries))

    @backbone("coarse")
    def coarse(image_size, impl):
        return Given(torch.zeros(1, 3, 2, 2), strides=(32,))

    @backbone("picky", multiple_of=1000)
    def picky(image_size, impl):
        raise AssertionError("it does not take 224")

    entries = golden("efficientsam_ti_encoder")[0]["state_dict"]
    torch.save({name: torch.zeros(tuple(shape)) for name, shape in entries}, tmp_path / "ti.pth")
    with pytest.raises(Misfit, match=r"ti.pth: the checkpoint does not fit Sam: .*; it looks like efficientsam-ti$"):
        checkpoint.load(build_sam("vit-t", image_size=64), tmp_path / "ti.pth")


def test_options_survive_as_json():
    about = About("vit-s", "classifier", (224, 224), {"attention": "naive", "outputs": [1, 2]})
    assert json.loads(about.to_metadata()["options"]) == {"attention": "naive", "outputs": [1, 2]}
    assert About.from_metadata(about.to_metadata()) == about
    assert About.from_metadata({"format": "pt"}) is None


def test_names_of_ours_without_metadata_are_known_too(tmp_path):
    entries = build_sam("efficientsam-ti", image_size=64).state_dict()
    safetensors.torch.save_file({k: v.contiguous() for k, v in entries.items()}, tmp_path / "bare.safetensors")
    checkpoint.load(build_sam("efficientsam-ti", image_size=64), tmp_path / "bare.safetensors")
    with pytest.raises(Misfit, match=r"does not fit Sam: .*; it looks like efficientsam-ti$"):
        checkpoint.load(build_sam("vit-t", image_size=64), tmp_path / "bare.safetensors")
