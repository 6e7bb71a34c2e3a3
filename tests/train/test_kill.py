"""``kill -9`` at random moments: the same command each time, and in the end the weights of a run left in peace."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linbench.train.files import states
from tests.train.reading import assert_same

CODE = "from tests.train import toy; from linbench.cli import main; main()"


def _command(out, steps):
    words = [sys.executable, "-c", CODE, "train", "--backbone", "vit-t", "--recipe", "toy", "--out", str(out)]
    # The nap makes an epoch of 40 images last, so that a moment within a step is as likely as one between two.
    changes = ["epochs=none", f"steps={steps}", "nap=0.002", "ema=0.99"]
    words += [part for change in changes for part in ("--set", change)]
    return [*words, "--device", "cpu", "--threads", "1", "--checkpoint-minutes", "0.005"]


def _step(out: Path) -> int:
    found = states(out / "states")
    return found[0].step if found else 0


def _kill_often(tmp_path, kills, steps):
    chance = random.Random(kills)
    for _ in range(kills):
        process = subprocess.Popen(
            _command(tmp_path / "killed", steps), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        begun, enough = _step(tmp_path / "killed"), chance.randint(1, 2)
        while process.poll() is None and _step(tmp_path / "killed") < begun + enough:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.3)
        assert process.poll() is None, process.communicate()
        process.kill()
        process.communicate()
    assert 0 < _step(tmp_path / "killed") < steps
    for name in ("killed", "left in peace"):
        done = subprocess.run(_command(tmp_path / name, steps), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "left in peace", tmp_path / "killed")


def test_a_run_that_is_killed_twice_ends_as_one_that_is_not(tmp_path):
    _kill_often(tmp_path, kills=2, steps=150)


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_ends_as_one_that_is_not(tmp_path):
    _kill_often(tmp_path, kills=10, steps=800)
