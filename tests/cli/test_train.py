"""``linbench train``: a recipe on a backbone from the command line, and every mistake a line that teaches."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import matplotlib.image
import pytest
import torch
from typer.testing import CliRunner

from linbench.cli import app
from linbench.cli.training_progress import format_duration, format_range
from linbench.models import build_classifier, checkpoint
from linbench.models.checkpoint import About
from linbench.train.log import LOG_NAME, read_log
from tests.train import toy
from tests.train.reading import assert_same, curve, events

TOY = ("--backbone", "vit-t", "--recipe", "toy", "--threads", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def threads():
    """The command sets torch's threads for its process, which here is the tests'."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def call(*arguments):
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--backbone is missing; `linbench list` shows all"),
        (["--backbone", "rwkv-sam-xs"], "unknown backbone 'rwkv-sam-xs': nearest are rwkv-sam-s"),
        (["--recipe", "sam-jont"], "unknown recipe 'sam-jont': nearest are sam-joint"),
        (["--pipeline", "papr"], "unknown pipeline 'papr': nearest is paper"),
        (["--recipe", "toy", "--pipeline", "paper"], "--recipe and --pipeline exclude each other; give one of them"),
        (["--scale", "smok"], "--scale smok: did you mean smoke? allowed are full, smoke"),
        (["--precision", "fp8"], "--precision fp8: did you mean"),
        (["--fusion", "con"], "--fusion con: did you mean conv?"),
        (["--device", "gpu"], "--device gpu: allowed are auto, cpu, cuda and cuda:N"),
        (["--threads", "0"], "--threads 0: this process may use 1 to"),
        (
            ["--recipe", "toy", "--set", "weigth_decay=0"],
            "recipe toy has no value 'weigth_decay': nearest are weight_de",
        ),
        (["--recipe", "toy", "--set", "lr"], "a change must be name=value"),
        (["--recipe", "toy", "--set", "lr=fast"], "lr='fast': expected a number"),
        (["--recipe", "toy", "--set", "batch=0"], "batch must be at least 1, got 0"),
        (["--recipe", "toy", "--scale", "smoke"], "recipe toy has no short form"),
        (["--recipe", "toy", "--init", "none.pth"], "--init none.pth: there is no such file"),
        (["--recipe", "sam-distill", "--teacher", "none.pth"], "--teacher none.pth: there is no such file"),
        (["--recipe", "imagenet", "--data", "no/such/folder"], "no/such/folder: no such folder"),
        (["--plugin", "no/such/file.py"], "no/such/file.py is not a file"),
        (["--curves", "no/such/run"], "no/such/run: there is no log.jsonl"),
    ],
)
def test_bad_input_ends_with_one_line_that_teaches_and_code_2(arguments, message, tmp_path):
    backbone = [] if not arguments or "--backbone" in arguments else ["--backbone", "vit-t"]
    result = call(*backbone, *arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("linbench: ")
    assert message in lines[0]


def test_a_run_ends_with_a_table_a_checkpoint_curves_and_a_log(tmp_path):
    result = call(*TOY, "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["step"], row["steps"], row["finished"], row["scale"]) == (30, 30, True, "full")
    assert row["checkpoint"] == str(tmp_path / "model.safetensors")
    assert row["losses"] == [dict(curve(tmp_path)[i][1])["loss"] for i in (0, -1)]
    assert checkpoint.describe(tmp_path / "model.safetensors").recipe == row["recipe_hash"]
    assert matplotlib.image.imread(tmp_path / "curves.png").shape[2] == 4
    assert re.search(
        r"\[30/30\] toy on vit-t: loss [\d.e-]+, lr [\d.e-]+, [\d.e+]+ images/s, 0 s left", result.stderr
    )
    again = call(*TOY, "--out", tmp_path)
    assert again.exit_code == 0
    assert "model.safetensors is there already" in again.stderr
    assert "30 of 30" not in again.stderr


def test_curves_are_drawn_on_request_while_the_run_goes_on(tmp_path):
    call(*TOY, "--out", tmp_path, "--max-steps", "4")
    assert not (tmp_path / "curves.png").exists()
    result = call("--curves", tmp_path)
    assert result.stdout.strip() == str(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_max_steps_stops_with_a_sentence_and_the_same_command_goes_on(tmp_path):
    call(*TOY, "--out", tmp_path / "whole")
    first = call(*TOY, "--out", tmp_path / "parts", "--max-steps", "11")
    assert first.exit_code == 0
    assert "stopped at step 11 of 30, toy on vit-t; the same command resumes from there" in first.stderr
    assert call(*TOY, "--out", tmp_path / "parts").exit_code == 0
    assert_same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_writes_a_state_and_ends_with_a_sentence(tmp_path, number, code):
    slow = (*TOY, "--set", "nap=0.01", "--out", tmp_path)

    def send():
        while not (tmp_path / "log.jsonl").exists() or len(curve(tmp_path)) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    sender = threading.Thread(target=send)
    sender.start()
    result = call(*slow)
    sender.join()
    assert result.exit_code == code
    assert re.search(rf"stopped by {number.name} at step \d+ of 30, toy on vit-t; the same command", result.stderr)
    assert events(tmp_path) == ["start", "stop"]
    assert signal.getsignal(number) is before
    stopped = len(curve(tmp_path))
    assert call(*slow).exit_code == 0
    assert f"resumes from step {stopped}" in (tmp_path / "log.jsonl").read_text()
    assert len(curve(tmp_path)) == 30


def test_a_resume_with_another_recipe_is_refused_with_the_difference(tmp_path):
    call(*TOY, "--out", tmp_path, "--max-steps", "2")
    result = call(*TOY, "--out", tmp_path, "--set", "lr=5e-3")
    assert result.exit_code == 2
    assert "lr: 0.01 there, 0.005 requested" in result.stderr
    other = call(*TOY, "--out", tmp_path, "--seed", "1")
    assert "--seed: 0 there, 1 requested" in other.stderr


def test_a_checkpoint_of_another_backbone_is_refused(tmp_path):
    model = build_classifier("vrwkv-t", image_size=32, num_classes=2)
    checkpoint.save(model, tmp_path / "v.safetensors", About("vrwkv-t", "classifier", (32, 32)))
    result = call(*TOY, "--out", tmp_path / "run", "--init", tmp_path / "v.safetensors")
    assert result.exit_code == 2
    assert "it is vrwkv-t (classifier, 32x32 px); its weights do not go into vit-t" in result.stderr


def test_a_loss_that_is_not_finite_ends_with_code_1_and_says_how_to_go_on(tmp_path):
    result = call(*TOY, "--out", tmp_path, "--set", "poison=3")
    assert result.exit_code == 1
    assert "made by backbone.0.1. Its images are in" in result.stderr
    assert "--init" in result.stderr


def test_without_tensorboard_the_option_says_what_is_missing(tmp_path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        result = call(*TOY, "--out", tmp_path, "--tensorboard")
        assert result.exit_code == 2
        assert "the package tensorboard is not installed; pip install tensorboard" in result.stderr
    else:
        assert call(*TOY, "--out", tmp_path, "--tensorboard").exit_code == 0
        assert list(tmp_path.glob("events.out.*"))


def test_the_older_name_of_gradient_checkpointing_still_works_and_is_not_advertised(tmp_path):
    for name, flag in (("new", "--gradient-checkpointing"), ("old", "--recompute")):
        assert call(*TOY, "--out", tmp_path / name, flag, "--max-steps", "2").exit_code == 0
        (start,) = [line for line in read_log(tmp_path / name / LOG_NAME) if line.get("event") == "start"]
        assert start["how"]["gradient_checkpointing"] is True
    options = call("--help").stdout
    assert "--gradient-checkpointing" in options and "--recompute" not in options


def test_a_dry_run_tells_steps_time_and_disk_and_writes_nothing(tmp_path):
    result = call(*TOY, "--out", tmp_path / "run", "--dry-run", "--micro-batch", "4", "--json")
    assert result.exit_code == 0, result.output
    (plan,) = json.loads(result.stdout)
    assert (plan["epochs"], plan["steps"], plan["examples"], plan["images"]) == (6, 30, 40, 240)
    assert (plan["batch"], plan["micro_batch"], plan["devices"]) == (8, 4, 1)
    model = sum(p.numel() for p in toy.Model(0.1, 8).parameters())
    assert plan["parameters"] == model
    # Three states of weights and two moments, and the model; a moment's own count is 4 bytes.
    assert 4 * model * 9 < plan["disk_bytes"] < 4 * model * 10 + 1000
    step, whole = plan["seconds_per_step"], plan["seconds"]
    assert 0 < step["low"] <= step["high"]
    assert 30 * step["low"] <= whole["low"] and 30 * step["high"] <= whole["high"]
    assert not (tmp_path / "run").exists()
    shown = call(*TOY, "--out", tmp_path / "run", "--dry-run")
    assert re.search(r"toy +30 +8 +8 ", shown.stdout)
    assert "for the stage, with start, scoring and saving" in shown.stdout


def files_below(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty working folder, a cache without data, and no variable that names some."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LINBENCH_DATA", raising=False)
    return tmp_path / "here"


@pytest.mark.slow
def test_a_plan_of_the_paper_needs_no_data_no_teacher_and_writes_nothing(empty, monkeypatch):
    monkeypatch.setattr("linbench.train.calibration.BUDGET_S", 0.0)  # the smallest size alone
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a plan needs no network"))
    plain = ("--backbone", "vit-t", "--device", "cpu", "--threads", "1", "--dry-run")
    result = call(*plain, "--set", "teacher=SAM ViT-B")
    assert result.exit_code == 0, result.output
    assert files_below(empty) == set()
    assert not (empty.parent / "cache/linbench/data").exists()
    words = " ".join(result.stdout.split())
    for line in (
        "imagenet 150,120 1024",
        "imagenet train 1,281,167 ≈ 138 GB not found",
        "teacher SAM ViT-B – ≈ 0.375 GB not found",
        "no data here: calibrated on random images",
        "Without --data DIR the command trains on shapes, the embedded dataset, for 120 + 72 + 90 steps.",
    ):
        assert line in words, result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.slow
def test_a_folder_with_some_of_the_data_gives_its_own_count_and_names_the_rest(empty, tmp_path):
    made = CliRunner().invoke(
        app, ["data", "make", "shapes", "--as", "dis", "--split", "train", "--images", "5", "--out", "d"]
    )
    assert made.exit_code == 0, made.output
    before = files_below(empty)
    changes = [f"--set={change}" for change in ("image_size=64", "batch=4", "points=64")]
    run = ("--backbone", "vit-t", "--recipe", "sam-joint", "--data", "d", "--device", "cpu", "--threads", "1")
    (plan,) = json.loads(call(*run, *changes, "--dry-run", "--json").stdout)
    assert plan["examples"] == 242_000 + 4 * 30_000 + 40 * 5
    found = {need["name"]: bool(need["location"]) for need in plan["requirements"]}
    assert found == {"coconut train": False, "entityseg train": False, "dis train": True}
    assert files_below(empty) == before
    real = call(*run, *changes)
    assert (real.exit_code, "coconut cannot be opened" in real.stderr) == (2, True)
    assert files_below(empty) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "full"], "recipe sam-distill distils from SAM ViT-H: name its checkpoint with --teacher FILE"),
        (["--recipe", "imagenet", "--micro-batch", "3"], "3 images cannot be mixed in pairs"),
        (["--recipe", "ade20k", "--micro-batch", "1"], "at least two images, got one"),
        (["--recipe", "imagenet", "--option", "depht=3"], "vit-t has no option 'depht'"),
        (["--recipe", "imagenet", "--set", "image_size=30"], "image_size"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work_is_done(arguments, message, empty):
    result = call("--backbone", "vit-t", *arguments, "--threads", "1", "--device", "cpu")
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert files_below(empty) == set()
    assert not (empty.parent / "cache/linbench/data").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (194, "3 min"), (7560, "2.1 h"), (14 * 86400, "14 days"), (3.16e8, "10 years")],
)
def test_a_duration_has_a_unit_that_a_person_uses(seconds, text):
    assert format_duration(seconds) == text
    assert format_range(seconds, seconds).split()[1] == text.split()[1]
    assert format_range(0.5 * seconds, seconds).count("–") == 1


def test_a_plugin_brings_its_own_recipe(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dataclasses import replace\nfrom linbench.recipes.contract import recipe\n"
        "@recipe('mine')\ndef mine():\n    return replace(recipe['toy'].build(), name='mine', epochs=1)\n"
    )
    result = call("--backbone", "vit-t", "--recipe", "mine", "--plugin", plugin, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["steps"] == 5


def test_the_folder_of_a_run_bears_the_backbone_and_the_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*TOY, "--max-steps", "1").exit_code == 0
    assert Path("runs/vit-t-toy/run.json").is_file()
