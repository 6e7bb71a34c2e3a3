"""Many processes are one training: what Slurm says is understood, and two halves of a batch are the whole."""

import os
import subprocess
import sys

import pytest
import torch

from linbench.train.batches import BatchShard, default_micro_batch
from linbench.train.distributed import adopt_slurm, first_host
from tests.train.reading import assert_close, curve, events
from tests.train.test_loop import ROUNDING


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu7", "gpu7"), ("gpu[007-010,12],login", "gpu007"), ("a-b[3]", "a-b3"), ("n1,n2", "n1"), ("r[1-2]x", "r1x")],
)
def test_the_first_host_of_slurm_s_list_is_found(nodes, first):
    assert first_host(nodes) == first


def test_srun_s_variables_become_torchrun_s():
    environ = {
        "SLURM_STEP_ID": "0",
        "SLURM_JOB_ID": "123456",
        "SLURM_NTASKS": "16",
        "SLURM_PROCID": "9",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_TASKS_PER_NODE": "8(x2)",
        "SLURM_STEP_NODELIST": "gpu[01-02]",
    }
    adopt_slurm(environ)
    wanted = {"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8", "MASTER_ADDR": "gpu01"}
    assert wanted.items() <= environ.items()
    assert 20000 <= int(environ["MASTER_PORT"]) < 40000


@pytest.mark.parametrize("environ", [{}, {"SLURM_STEP_ID": "0", "SLURM_NTASKS": "1"}, {"RANK": "0"}])
def test_a_single_task_and_torchrun_s_own_are_left_as_they_are(environ):
    before = dict(environ)
    adopt_slurm(environ)
    assert environ == before


@pytest.mark.parametrize(("count", "world_size", "micro"), [(32, 3, 4), (7, 2, 2), (8, 8, None), (10, 4, 3)])
def test_shares_are_a_batch_cut_in_pieces_and_nothing_is_lost_or_seen_twice(count, world_size, micro):
    keys = [(0, i) for i in range(count)]
    parts = [BatchShard(rank, world_size, micro).micro_batches(keys, 64**2) for rank in range(world_size)]
    assert [key for its in parts for batch in its for key in batch] == keys
    assert all(its for its in parts)
    if count % 2 == 0 and count >= 2 * world_size:
        assert all(sum(map(len, its)) % 2 == 0 for its in parts)  # neighbours, which are mixed, stay together


def test_more_processes_than_images_are_refused():
    with pytest.raises(ValueError, match="batch=2: 4 processes need at least one image each; start fewer"):
        BatchShard(0, 4).micro_batches([(0, 0), (0, 1)], 64)


def test_micro_batches_suit_the_size_of_the_images():
    assert [default_micro_batch(side**2) for side in (128, 224, 1024, 2048)] == [128, 40, 2, 1]


def test_two_processes_with_half_the_batch_each_give_the_weights_and_the_log_of_one(run, tmp_path):
    """Through the command line under torchrun and gloo, in float64: the bound is that of a split in one process."""
    changes = ["double=true", "dropout=0", "epochs=2"]
    one = run("one", *changes)
    code = "from tests.train import toy; from linbench.cli import main; main()"
    command = [sys.executable, "-c", code, "train", "--backbone", "vit-t", "--recipe", "toy", "--device", "cpu"]
    command += [part for change in changes for part in ("--set", change)] + ["--out", str(tmp_path / "two")]
    port = str(20000 + os.getpid() % 20000)
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    outputs = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert outputs[1][0] == ""  # one of them speaks
    assert_close(one.out, tmp_path / "two", ROUNDING)
    mine, its = curve(one.out), curve(tmp_path / "two")
    assert [step[-1] for step in mine] == [step[-1] for step in its]
    losses = [torch.tensor([dict(step[1])["loss"] for step in steps]) for steps in (mine, its)]
    torch.testing.assert_close(*losses, rtol=0, atol=ROUNDING)
    assert len(its) == 10
    assert events(tmp_path / "two") == ["start", "end"]
