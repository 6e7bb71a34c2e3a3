"""``kill -9`` at random moments: the same command each time, and in the end the weights of a run left in peace."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from linbench.cli import app
from linbench.train.states import saved_states
from tests.train import toy  # noqa: F401 (it registers its recipe and task)
from tests.train.reading import assert_same

CODE = "from tests.train import toy; from linbench.cli import main; main()"


@pytest.fixture(autouse=True)
def threads():
    """The command sets torch's threads for its process, which here is the tests' too."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _words(out, steps):
    # The nap makes an epoch of 40 images last, so that a moment within a step is as likely as one between two.
    changes = ["epochs=none", f"steps={steps}", "nap=0.002", "ema=0.99"]
    words = [
        "train",
        "--backbone",
        "vit-t",
        "--recipe",
        "toy",
        "--out",
        str(out),
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    return [*words, "--checkpoint-minutes", "0.005", *(part for change in changes for part in ("--set", change))]


def _step(out: Path) -> int:
    states = saved_states(out / "states")
    return states[0].step if states else 0


def _kill_often(tmp_path, kills, steps):
    chance = random.Random(kills)
    for _ in range(kills):
        command = [sys.executable, "-c", CODE, *_words(tmp_path / "killed", steps)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begun, enough = _step(tmp_path / "killed"), chance.randint(1, 2)
        while process.poll() is None and _step(tmp_path / "killed") < begun + enough:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
    assert 0 < _step(tmp_path / "killed") < steps
    for name in ("killed", "left in peace"):
        done = CliRunner().invoke(app, _words(tmp_path / name, steps))
        assert done.exit_code == 0, done.output
    assert_same(tmp_path / "left in peace", tmp_path / "killed")


def test_a_run_that_is_killed_ends_as_one_that_is_not(tmp_path):
    _kill_often(tmp_path, kills=1, steps=100)


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_as_one_that_is_not(tmp_path):
    _kill_often(tmp_path, kills=10, steps=800)
