"""Runs of the toy task in a folder, in this process."""

from dataclasses import replace

import pytest
import torch

from linbench.recipes.changes import override
from linbench.recipes.contract import recipe
from linbench.train.distributed import build_accelerator
from linbench.train.run import Run, TrainingOptions
from linbench.train.training import train
from tests.train import toy  # noqa: F401 (it registers its recipe and task)


@pytest.fixture
def run(tmp_path):
    """A call trains the toy and gives its job: ``run("name", "lr=1e-3", width=16, options={"max_steps": 3})``."""

    def call(name="run", *changes, options=None, precision="fp32", **model_options):
        chosen = override(recipe["toy"].build(), *changes)
        job = Run("vit-t", chosen, tmp_path / name, model_options)
        accelerator = build_accelerator(torch.device("cpu"), precision)
        for _ in train(job, replace(TrainingOptions(), **(options or {})), accelerator, lambda: 0):
            pass
        return job

    return call
