"""The model of a cell: built as its key says, filled with its weights, on its device.

A model with a checkpoint of ours is built for the size that it was trained at, and every backbone resamples its own
position table for each image, the way its source does: so one checkpoint is measured at any ``--res``.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import nn

from linbench.backbones import backbone
from linbench.engines.contract import EAGER, EngineUnsupported, exported
from linbench.models import build_classifier, build_sam
from linbench.models import checkpoint as checkpoints
from linbench.models.sam import backbone_of
from linbench.models.semantic import build_semantic
from linbench.suites.accuracy.key import ScoredModel
from linbench.suites.accuracy.weights import Weights

BUILD: dict[str, Callable[..., nn.Module]] = {
    "sam": build_sam,
    "classifier": build_classifier,
    "semantic": build_semantic,
}


def build_model(
    task: str, model: ScoredModel, weights: Weights, device: torch.device, head: Mapping[str, Any]
) -> nn.Module:
    """Build the model in eval mode.

    head: Arguments of the builder that are not options of the backbone, as ``num_classes``.
    Raises ValueError where the file does not fit it.
    """
    if weights.engine and weights.file:
        # Named, not imported: its code is behind the scores of cells with an engine alone.
        load = import_module("linbench.engines.segmenter").load_exported_segmenter
        segmenter: nn.Module = load(weights.file, torch.get_num_threads(), model.size[0]).sam
        return segmenter
    size = checkpoints.built_for(weights.about, model.backbone, model.size)
    options = {**model.options, **head}
    if model.attention != "none":
        options["attention"] = model.attention
    if task == "sam":
        options["fusion"] = "conv" if model.fusion == "none" else model.fusion
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        module = _builder(task, model.backbone)(model.backbone, image_size=size, impl=model.impl, **options)
    if weights.file:
        checkpoints.load(module, weights.file, weights.branch or "model")
    module = module.to(device, model.dtype.torch).eval()
    return module if model.engine.name == EAGER else _in_engine(module, model, weights)


def _in_engine(module: Any, model: ScoredModel, weights: Weights) -> nn.Module:
    """Return a segmenter in the engine of its key; raises ValueError where it does not run or its masks are off."""
    engine = exported(model.engine.name)
    assert engine is not None
    # Named, not imported: its code is behind the scores of cells with an engine alone.
    run_in_engine = import_module("linbench.engines.in_engine").run_in_engine
    facts = weights.facts(model.backbone)
    try:
        sam, _ = run_in_engine(module, engine, model.backbone, model.size[0], torch.get_num_threads(), facts)
    except EngineUnsupported as error:
        raise ValueError(str(error)) from None
    segmenter: nn.Module = sam
    return segmenter


def _builder(task: str, name: str) -> Callable[..., nn.Module]:
    """Return what builds a model; a plug-in may register a whole segmenter beside its backbone, as ``segmenter=``."""
    if task == "sam" and (segmenter := backbone[backbone_of(name)].facts.get("segmenter")):
        return segmenter
    return BUILD[task]
