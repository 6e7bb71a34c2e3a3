"""The model of a cell: built as its key says, filled with its weights, on its device.

A model with a checkpoint of ours is built for the size that it was trained at, and every backbone resamples its own
position table for each image, the way its source does: so one checkpoint is measured at any ``--res``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from linbench.models import build_classifier, build_sam
from linbench.models import checkpoint as checkpoints
from linbench.models.semantic import build_semantic
from linbench.suites.accuracy.weights import Weights
from linbench.suites.runner.device import DTYPES
from linbench.suites.runner.suite import Key

BUILD: dict[str, Callable[..., nn.Module]] = {
    "sam": build_sam,
    "classifier": build_classifier,
    "semantic": build_semantic,
}


def of(task: str, key: Key, weights: Weights, device: torch.device, head: Mapping[str, Any]) -> nn.Module:
    """The model in eval mode.

    head: Arguments of the builder that are not options of the backbone, as ``num_classes``.
    Raises ValueError where the file does not fit it.
    """
    size = checkpoints.built_for(weights.about, key["backbone"], (key["height"], key["width"]))
    options = {**key["options"], **head}
    if key["attention"] != "none":
        options["attention"] = key["attention"]
    if task == "sam":
        options["fusion"] = "conv" if key["fusion"] == "none" else key["fusion"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        model = BUILD[task](key["backbone"], image_size=size, impl=key["impl"], **options)
    if weights.file:
        checkpoints.load(model, weights.file, weights.branch or "model")
    return model.to(device, DTYPES[key["dtype"]]).eval()
