"""Weights: what each model gets is what was given for it, or a refusal that says what to write."""

import json
from pathlib import Path

import pytest
import torch

from linbench import build_classifier, build_sam
from linbench.models.checkpoint import About, save
from linbench.models.semantic import build_semantic
from linbench.suites.accuracy.key import ScoredModel
from linbench.suites.accuracy.models import build_model
from linbench.suites.accuracy.weights import Weights, choose_weights, read_checkpoints
from linbench.suites.runner.device import Dtype
from tests.suites.accuracy.made import TOY, ade20k, call, coco, dis, imagenet, only, records, write_coco

TRAINING = {
    "recipe": "sam-joint",
    "scale": "smoke",
    "seed": 3,
    "steps": 9,
    "data": {"dis": "abc"},
    "code_hash": "f00",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter's checkpoint, a classifier's, and one that says nothing."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(5)
    sam = build_sam("vit-t", image_size=64)
    save(sam, folder / "sam.safetensors", About("vit-t", "sam", (64, 64), recipe="9f1c", training=TRAINING))
    classifier = build_classifier("vit-t", image_size=64, num_classes=2)
    about = About("vit-t", "classifier", (64, 64), {"num_classes": 2})
    save(classifier, folder / "class.safetensors", about)
    torch.save(sam.state_dict(), folder / "plain.pth")
    return folder


def test_a_checkpoint_of_ours_goes_to_the_model_and_the_task_that_it_says(files: Path) -> None:
    given = read_checkpoints([str(files / "sam.safetensors"), f"vit-t={files / 'class.safetensors'}"])
    assert choose_weights(given, "vit-t", "sam", False, None).file == files / "sam.safetensors"
    assert choose_weights(given, "vit-t", "classifier", False, None).file == files / "class.safetensors"


@pytest.mark.parametrize(
    ("texts", "model", "task", "message"),
    [
        ((), "vit-t", "sam", "--checkpoint is missing for vit-t: linbench comes with no weights"),
        (
            ("class.safetensors",),
            "vit-t",
            "sam",
            r"it is vit-t \(classifier, 64x64 px.*here the task sam is measured",
        ),
        (("plain.pth",), "vit-t", "sam", "it does not say its model; write vit-t="),
        (("sam.safetensors", "sam.safetensors"), "vit-t", "sam", "has 2 for the task sam"),
        (("vim-t=sam.safetensors",), "vit-t", "sam", "it is vit-t .*, not vim-t"),
        (("nowhere.safetensors",), "vit-t", "sam", "no such file"),
    ],
)
def test_what_cannot_be_chosen_is_refused(files: Path, texts, model: str, task: str, message: str) -> None:  # type: ignore[no-untyped-def]
    placed = [text.replace(name, str(files / name)) for text in texts for name in [text.rpartition("=")[2]]]
    with pytest.raises(ValueError, match=message):
        choose_weights(read_checkpoints(placed), model, task, False, None)


def test_a_file_that_says_nothing_is_the_one_models_or_the_named_ones(files: Path) -> None:
    assert (
        choose_weights(read_checkpoints([str(files / "plain.pth")]), "vit-t", "sam", True, None).file
        == files / "plain.pth"
    )
    assert (
        choose_weights(read_checkpoints([f"vit-t={files / 'plain.pth'}"]), "vit-t", "sam", False, None).about is None
    )


def test_the_record_says_what_the_checkpoint_says_of_its_training(files: Path, tmp_path: Path) -> None:
    dis(tmp_path)
    arguments = ("--suite", "dis", "--data", tmp_path, "--checkpoint", files / "sam.safetensors", "--res", 64)
    done = call("run", *arguments, "--threads", 1, "--device", "cpu", "--results", tmp_path / "r", "--images", 2)
    assert done.exit_code == 0, done.output
    record = only(tmp_path / "r")
    weights = read_checkpoints([str(files / "sam.safetensors")])[0].weights
    assert record["key"]["backbone"] == "vit-t"  # the file says it
    assert record["key"]["checkpoint"] == weights.sha256
    assert record["environment"]["checkpoint"] == TRAINING | {
        "recipe_hash": "9f1c",
        "file": "sam.safetensors",
        "sha256": weights.sha256,
        "model": "vit-t",
        "image_size": [64, 64],
    }
    assert "comparable with nothing published: smoke recipes" in done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 96 px for each task."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(5)
    save(build_sam("vit-t", image_size=96), folder / "sam.safetensors", About("vit-t", "sam", (96, 96)))
    about = About("vit-t", "classifier", (96, 96), {"num_classes": 2})
    save(build_classifier("vit-t", image_size=96, num_classes=2), folder / "classifier.safetensors", about)
    about = About("vit-t", "semantic", (96, 96), {"num_classes": 150})
    save(build_semantic("vit-t", image_size=96, num_classes=150), folder / "semantic.safetensors", about)
    return folder


@pytest.mark.parametrize(
    ("suite", "task"),
    [("dis", "sam"), ("coco", "sam"), ("imagenet", "classifier"), ("ade20k", "semantic")],
)
def test_a_checkpoints_own_size_is_the_default_of_every_suite(
    trained: Path, tmp_path: Path, suite: str, task: str
) -> None:
    dis(tmp_path, 1)
    write_coco(tmp_path, *coco(tmp_path, 1))
    imagenet(tmp_path, 2)
    ade20k(tmp_path, 1)
    arguments = ("run", "--suite", suite, "--data", tmp_path, "--checkpoint", trained / f"{task}.safetensors")
    arguments = (*arguments, "--threads", 1, "--device", "cpu", "--results", tmp_path / "r")
    own = call(*arguments)
    assert own.exit_code == 0, own.output
    record = only(tmp_path / "r")
    assert (record["key"]["height"], record["key"]["width"]) == (96, 96)
    assert record["environment"]["checkpoint"]["image_size"] == [96, 96]
    assert "was trained at" not in own.stderr
    other = call(*arguments, "--res", 64)
    assert other.exit_code == 0, other.output
    assert f"linbench: {trained / task}.safetensors was trained at 96 px and is used at 64 px" in other.stderr
    assert sorted(record["key"]["height"] for record in records(tmp_path / "r")) == [64, 96]


def test_squash_and_a_checkpoint_of_another_size_are_refused_until_the_size_is_asked_for(
    trained: Path, tmp_path: Path
) -> None:
    dis(tmp_path, 1)
    arguments = (
        "run",
        "--suite",
        "dis",
        "--data",
        tmp_path,
        "--checkpoint",
        trained / "sam.safetensors",
        "--dry-run",
    )
    arguments = (*arguments, "--protocol", "squash-1024", "--results", tmp_path / "r")
    refused = call(*arguments)
    assert refused.exit_code == 2
    assert "--protocol squash-1024: its input has 1024 px, here it would have 96 px" in refused.stderr
    assert call(*arguments, "--res", 1024).exit_code == 0


def test_an_official_file_and_random_weights_keep_the_size_of_the_suite(files: Path, tmp_path: Path) -> None:
    dis(tmp_path, 1)
    for given in (("--checkpoint", f"vit-t={files / 'plain.pth'}"), ("--random", "--backbone", "vit-t")):
        planned = call("run", "--suite", "dis", "--data", tmp_path, *given, "--dry-run", "--json")
        assert [(cell["height"], cell["width"]) for cell in json.loads(planned.stdout)] == [(1024, 1024)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "linbench comes with no weights"),
        (("--random", "--checkpoint", "{sam}"), "--random beside --checkpoint"),
        (("--checkpoint", "{class}"), "the suite dis measures models of the task sam"),
        (("--random", "--boxes", "x.json"), "--boxes: the suite dis has no such option (coco has it)"),
        (("--random", "--protocol", "whole"), "--protocol whole: allowed are"),
        (("--random", "--res", "40"), "takes heights and widths that 32 divides here, such as 32 or 64"),
        (("--random", "--option", "stride32=true"), "toy has none of that name"),
        (("--random", "--data", "{nowhere}"), "no such folder"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(files: Path, tmp_path: Path, more, message: str) -> None:  # type: ignore[no-untyped-def]
    dis(tmp_path)
    named = {"sam": files / "sam.safetensors", "class": files / "class.safetensors", "nowhere": tmp_path / "no"}
    given = [one.format(**named) for one in more]
    backbone = [] if "{class}" in more else ["--plugin", TOY, "--backbone", "toy"]
    done = call("run", "--suite", "dis", "--data", tmp_path, *backbone, "--results", tmp_path / "r", *given)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["vit-t", "vrwkv-t", "vim-t"])
def test_one_checkpoint_is_measured_at_another_size_as_if_its_table_had_been_resampled(
    name: str, tmp_path: Path
) -> None:
    from linbench.backbones import build_backbone, vim, vit, vrwkv

    resample = {"vit-t": vit, "vrwkv-t": vrwkv, "vim-t": vim}[name].resample_position
    torch.manual_seed(1)
    sam = build_sam(name, image_size=64)
    torch.nn.init.normal_(sam.encoder.backbone.position)
    file = tmp_path / "w.safetensors"
    about = About(name, "sam", (64, 64))
    save(sam, file, about)
    model = ScoredModel(name, (96, 96), Dtype.FLOAT32)
    found = build_model("sam", model, Weights(file, "", about), torch.device("cpu"), {})
    anew = build_backbone(name, image_size=96)
    state = dict(sam.encoder.backbone.state_dict())
    state["position"] = resample(state["position"], (4, 4), (6, 6))
    anew.load_state_dict(state)
    image = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        assert torch.equal(found.encoder.backbone(image)[0], anew.eval()(image)[0])
