"""The largest batch: the search, and real ones with a backbone whose memory for each image is known."""

from pathlib import Path
from typing import Any

import pytest

from linbench.records import Status
from linbench.registry import load_plugin
from linbench.suites import Cell
from linbench.suites.runner.rounds import run
from linbench.suites.runner.sampling import SamplingConfig
from linbench.suites.runner.suite import Outcome
from linbench.suites.training_step import largest_batch
from linbench.suites.training_step.cells import cells
from linbench.suites.training_step.largest_batch import find_largest, measure_largest
from linbench.suites.training_step.memory_limit import excess
from linbench.suites.training_step.options import TrainingStepOptions

BULKY = Path(__file__).parents[2] / "plugins" / "bulky.py"
GIB = 1024  # MiB
MIB = 256  # of the activations of an image, as the plug-in has it
BESIDE = 200  # MiB that a step of this backbone takes at most beside its images: libraries, the model, AdamW
SAMPLING = SamplingConfig(rounds=1, cell_seconds=0.2, timeout_s=100)


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    load_plugin(BULKY)


def plan(**choices: Any) -> list[Cell]:
    common = {"resolutions": ((64, 64),), "checkpointing": ("none",), "device": "cpu", "threads": 1}
    return cells(TrainingStepOptions(backbones=("bulky",), **(common | choices)))


@pytest.mark.parametrize("largest", [0, 1, 2, 3, 7, 8, 9, 100])
def test_doubling_then_bisection_finds_the_largest_batch(largest: int) -> None:
    tried: list[int] = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= largest

    assert find_largest(fits) == largest
    assert len(tried) == len(set(tried))
    assert len(tried) <= 2 * max(largest, 1).bit_length() + 1


def test_a_search_that_nothing_limits_ends_at_its_bound() -> None:
    assert find_largest(lambda batch: True, most=50) == 50


def test_a_try_that_fails_for_another_reason_than_memory_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {1: Outcome(Status.OK), 2: Outcome(Status.FAILED, "its process was ended by SIGSEGV")}
    monkeypatch.setattr(largest_batch.rounds, "run", lambda _suite, cell, *_, **__: outcomes[cell.key.batch])
    (cell,) = plan(largest_batch=True, memory_limit=1.0)
    outcome = measure_largest(cell.key, 1.0, 0)
    assert (outcome.status, outcome.reason) == (Status.FAILED, "at batch 2: its process was ended by SIGSEGV")


def test_a_step_fits_up_to_its_limit() -> None:
    assert excess(2**30, 1.0, 1) == ""
    assert excess(2**30, None, 1) == ""
    assert excess(3 * 2**29, 1.0, 1) == "a step of 1 image takes 1.50 GiB, more than 1.00 GiB"


def limit_for(images: int) -> float:
    """A limit, GiB, that so many images keep and one more does not."""
    return (images * MIB + BESIDE) / GIB


@pytest.mark.slow  # tests/cli/test_training_step.py has the smallest of them
@pytest.mark.parametrize("images", [2, 3, 5])
def test_bisection_finds_the_largest_batch_under_a_limit(images: int) -> None:
    (cell,) = plan(largest_batch=True, memory_limit=limit_for(images))
    round = measure_largest(cell.key, 0.2, 0).round
    assert round["batch"] == images
    assert (images, "ok") in ((entry["batch"], entry["status"]) for entry in round["tries"])
    assert (images + 1, "oom") in ((entry["batch"], entry["status"]) for entry in round["tries"])


def test_a_batch_that_the_process_gets_no_memory_for_is_oom() -> None:
    (cell,) = plan(batches=(64,), memory_limit=0.1)  # it wants 16 GiB, and gets 1.2
    outcome = run("training-step", cell, SAMPLING, 0, [BULKY], call="trial")
    assert outcome.status is Status.OOM
    assert outcome.reason.startswith("a step of 64 does not fit into memory: ")
