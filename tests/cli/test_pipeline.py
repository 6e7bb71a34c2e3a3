"""The paper's pipeline from the command line, on the embedded data, to masks that another command accepts."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from linbench.cli import app
from linbench.models import checkpoint
from tests.train.reading import curve, events

STAGES = ("1-imagenet", "2-sam-distill", "3-sam-joint")
#: By how much, in % IoU, the trained masks must be better than the boxes themselves.
MARGIN = 1.0


@pytest.fixture(autouse=True)
def threads():
    """The command sets torch's threads for its process, which here is the tests'."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def call(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 0, result.output
    return result


def train(out, backbone, *changes):
    words = [
        "--scale",
        "smoke",
        "--pipeline",
        "paper",
        "--data",
        "shapes",
        "--out",
        out,
        "--device",
        "cpu",
        "--threads",
        "1",
        "--json",
    ]
    changes = [part for change in changes for part in ("--set", change)]
    return json.loads(call("train", "--backbone", backbone, *words, *changes).stdout)


def small(steps):
    """Changes that leave a few steps on a few images of each stage."""
    sets = ("imagenet.images=16", "sa1b.images=16", "coconut.images=8", "entityseg.images=8", "dis.images=8")
    return ("imagenet.batch=4", "sam-distill.batch=4", "sam-joint.batch=4", f"steps={steps}", "warmup_steps=1", *sets)


def assert_accepted(model, tmp_path):
    """The suite ``dis`` takes the checkpoint as ``predict`` does, and the record says that it is a smoke run's."""
    assert_predicts(model, tmp_path)
    suite = ("--suite", "dis", "--checkpoint", model, "--data", "shapes", "--images", "4", "--res", "64")
    call("run", *suite, "--results", tmp_path / "results", "--device", "cpu")
    (path,) = (tmp_path / "results").glob("*/dis/*/*.json")
    stated = json.loads(path.read_text())["environment"]["checkpoint"]
    about = checkpoint.describe(model)
    assert (stated["recipe_hash"], stated["scale"], stated["seed"]) == (about.recipe, "smoke", 0)
    assert stated["code_hash"] == about.training["code_hash"]


def assert_predicts(model, tmp_path):
    """``predict`` takes the checkpoint."""
    Image.new("RGB", (90, 60), (40, 90, 160)).save(tmp_path / "picture.png")
    box = ("--box", "10,10,70,50", "--checkpoint", model)
    call("predict", tmp_path / "picture.png", *box, "--out", tmp_path / "masks", "--threads", "1")
    assert (tmp_path / "masks" / "picture.mask1.png").exists()


def test_each_stage_begins_with_what_the_one_before_has_learnt(tmp_path):
    rows = train(tmp_path / "run", "vit-t", *small(2))
    assert [row["finished"] for row in rows] == [True] * 3
    folders = [tmp_path / "run" / stage for stage in STAGES]
    assert [events(folder)[0] for folder in folders] == ["start"] * 3
    notes = [(folder / "log.jsonl").read_text().splitlines()[0] for folder in folders]
    assert "begins with the backbone of" in notes[1]
    assert "begins with the backbone and neck" in notes[2]
    inits = [json.loads((folder / "run.json").read_text())["init"] for folder in folders]
    ends = [json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["sha256"] for folder in folders]
    assert inits == [None, *ends[:2]]
    assert_predicts(folders[2] / "model.safetensors", tmp_path)
    again = train(tmp_path / "run", "vit-t", *small(2))
    assert [row["losses"] for row in again] == [[]] * 3  # nothing is trained twice


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vit-t", "vim-t", "vmamba-t", "vrwkv-t"])
def test_every_family_goes_through_the_short_pipeline_and_its_losses_fall(tmp_path, backbone):
    train(tmp_path / "run", backbone)
    for stage in STAGES:
        losses = [dict(step[1])["loss"] for step in curve(tmp_path / "run" / stage)]
        tenth = max(1, len(losses) // 10)
        assert sum(losses[-tenth:]) < 0.95 * sum(losses[:tenth]), stage
    assert_accepted(tmp_path / "run" / STAGES[2] / "model.safetensors", tmp_path)


@pytest.mark.slow
def test_masks_of_the_short_pipeline_are_better_than_their_boxes_on_images_held_out(tmp_path):
    rows = train(tmp_path / "run", "rwkv-sam-t")
    scores = rows[2]["scores"]
    assert scores["miou"] > scores["box_miou"] + MARGIN
    assert_accepted(tmp_path / "run" / STAGES[2] / "model.safetensors", tmp_path)


@pytest.mark.slow
def test_two_backbones_see_the_same_batches_in_every_stage(tmp_path):
    for name in ("vit-t", "rwkv-sam-t"):
        train(tmp_path / name, name, *small(4))
    for stage in STAGES:
        one, other = ([step[-1] for step in curve(tmp_path / name / stage)] for name in ("vit-t", "rwkv-sam-t"))
        assert one == other
        assert len(set(one)) == 4
