"""What tests read of a run's folder."""

import json
from pathlib import Path

import safetensors.torch
import torch

from linbench.train.log import LOG_NAME, read_log


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of the finished model."""
    return safetensors.torch.load_file(folder / "model.safetensors")


def curve(folder: Path) -> list[tuple]:
    """Step, losses, learning rate, norm of the gradient and hash of the batch, of each step."""
    steps = [line for line in read_log(folder / LOG_NAME) if "losses" in line]
    return [(s["step"], tuple(s["losses"].items()), s["lr"], s["gradient"], s["batch"]) for s in steps]


def events(folder: Path) -> list[str]:
    return [line["event"] for line in read_log(folder / LOG_NAME) if "event" in line]


def about(folder: Path) -> dict:
    """What the run's description says."""
    return json.loads((folder / "run.json").read_text())


def assert_same(one: Path, other: Path) -> None:
    """Two finished runs have the same weights and the same curve, bit for bit."""
    assert curve(one) == curve(other)
    mine, its = weights(one), weights(other)
    assert mine.keys() == its.keys()
    for name in mine:
        assert torch.equal(mine[name], its[name]), name


def assert_close(one: Path, other: Path, atol: float) -> None:
    """Two finished runs have weights that differ by no more than ``atol``."""
    mine, its = weights(one), weights(other)
    for name in mine:
        torch.testing.assert_close(mine[name], its[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
