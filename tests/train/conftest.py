"""Runs of the toy task in a folder, in this process."""

from dataclasses import replace

import pytest
import torch

from linbench.recipes.changes import override
from linbench.recipes.contract import recipe
from linbench.train.job import Job
from linbench.train.processes import accelerator
from linbench.train.run import train
from linbench.train.session import How
from tests.train import toy  # noqa: F401 (it registers its recipe and task)


@pytest.fixture
def run(tmp_path):
    """A call trains the toy and gives its job: ``run("name", "lr=1e-3", width=16, how={"max_steps": 3})``."""

    def call(name="run", *changes, how=None, precision="fp32", **options):
        chosen = override(recipe["toy"].build(), *changes)
        job = Job("vit-t", chosen, tmp_path / name, options)
        made = accelerator(torch.device("cpu"), precision)
        for _ in train(job, replace(How(), **(how or {})), made, lambda: 0):
            pass
        return job

    return call
