"""Failures during a run become one message, and what was written before is whole."""

import json
import resource
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from linbench.models import checkpoint
from linbench.train.loop import first_not_finite
from linbench.train.session import RunFailed
from linbench.train.states import CannotSave, saved_states
from tests.train.reading import assert_same, curve, events


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_images_and_the_module(run, tmp_path):
    with pytest.raises(RunFailed) as failed:
        run("run", "poison=13")
    folder = tmp_path / "run"
    what = json.loads((folder / "bad-batch.json").read_text())
    assert "toy 13" in what["ids"]
    assert len(what["ids"]) == 8
    assert what["module"] == "backbone.0.1"  # the first Square: 1e30 squared is no float32
    assert f"step {what['step']}: the loss is nan, made by backbone.0.1. Its images are in" in str(failed.value)
    assert "--precision fp32, or start another run with --init" in str(failed.value)
    good = checkpoint.read(folder / "last-good.safetensors")[1]
    assert all(x.isfinite().all() for x in good.values())
    assert [saved.step for saved in saved_states(folder / "states")] == [what["step"]]
    assert [step for step, *_ in curve(folder)] == list(range(1, what["step"] + 1))
    assert events(folder) == ["start", "not finite"]


def test_the_innermost_module_that_makes_a_bad_number_of_good_ones_is_named():
    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), Root()), nn.Linear(2, 2))
    nn.init.constant_(model[0][0].weight, -1.0)
    nn.init.zeros_(model[0][0].bias)
    with first_not_finite(model) as names:
        model(torch.ones(1, 2))
    assert names == ["0.1"]
    with first_not_finite(model) as names:
        model(-torch.ones(1, 2))
    assert names == []


def test_images_that_cannot_be_had_stop_the_run_with_its_state_written(run, tmp_path):
    with pytest.raises(RunFailed, match=r"toy 7: it is cut off; the same command resumes from the state of step \d+"):
        run("run", "broken=7", options={"workers": 1})
    assert saved_states(tmp_path / "run" / "states")


#: Its loading process is killed at the third image. The signal that tells of it may come at any later moment.
DIES = """
import os, signal
from tests.train import toy
from linbench.cli import main

example, main_process = toy.Examples.__getitem__, os.getpid()

def dies(examples, key):
    if key[0] == 2 and os.getpid() != main_process:
        os.kill(os.getpid(), signal.SIGKILL)
    return example(examples, key)

toy.Examples.__getitem__ = dies
main()
"""


@pytest.mark.slow
def test_a_loading_process_that_dies_is_named_and_the_run_goes_on_from_there(run, tmp_path):
    whole = run("whole")
    run("parts", options={"max_steps": 3})
    words = ["train", "--backbone", "vit-t", "--recipe", "toy", "--out", str(tmp_path / "parts"), "--device", "cpu"]
    command = [sys.executable, "-c", DIES, *words, "--threads", "1", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    message = done.stderr
    assert "Traceback" not in message and done.returncode == 1
    assert "a loading process died (DataLoader worker (pid" in message or "process stopped answering" in message
    assert "use fewer --workers, or none; the same command resumes from the state of step" in message
    assert_same(whole.out, run("parts").out)


def test_a_disk_that_takes_no_more_leaves_the_earlier_state_whole_and_no_half_of_a_file(run, tmp_path):
    """The limit of a file's size stands in for the disk's: both are errors of writing in the middle of it."""
    whole = run("whole")
    run("parts", options={"max_steps": 4})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))  # the log fits, a state of 15 kB does not
    try:
        with pytest.raises(
            CannotSave, match=r"the state of step 9 .* could not be written: .*the state of step 4 is"
        ):
            run("parts", options={"max_steps": 9})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    left = sorted(path.name for path in (tmp_path / "parts" / "states").iterdir())
    assert left == ["step-00000004.json", "step-00000004.safetensors"]
    assert_same(whole.out, run("parts").out)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, where this process may mount one."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip("this process may not mount a file system")
    yield where
    subprocess.run(["umount", where], check=True)


def test_a_full_disk_is_called_that(run, small_disk):
    (small_disk / "ballast").write_bytes(bytes(2**20 - 16 * 1024))
    with pytest.raises(CannotSave, match=r"the disk is full; .*free space and give the same command"):
        run("disk/run")
    (small_disk / "ballast").unlink()
    assert_same(run("whole").out, run("disk/run").out)


def test_a_folder_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotSave, match="nothing was started"):
        run("file/run")
