"""Count what the paper's tables show of the models: parameters, widths, stages; built without data."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linbench.reports.paper.evidence import BackboneStage, ModelCounts
    from linbench.reports.paper.spec import CountedModel


@cache
def count_model(model: "CountedModel") -> "ModelCounts":
    """Build the model without memory for its weights and count it."""
    import torch

    from linbench.backbones import build_backbone
    from linbench.models import build_classifier
    from linbench.reports.paper.evidence import ModelCounts

    build = build_classifier if model.head else build_backbone
    with torch.device("meta"):
        module: Any = build(model.backbone, image_size=model.size, **dict(model.options))
    backbone = getattr(module, "backbone", module)
    width = max(w for stride, w in zip(backbone.strides, backbone.widths, strict=True) if stride <= 16)
    return ModelCounts(sum(parameter.numel() for parameter in module.parameters()), width)


def backbone_stages(name: str) -> "list[BackboneStage]":
    """Return the stages of a variant of RWKV-SAM's backbone."""
    import torch

    from linbench.backbones import build_backbone
    from linbench.reports.paper.evidence import BackboneStage

    with torch.device("meta"):
        backbone: Any = build_backbone(name, image_size=224)
    convolutions = [*(len(stage) for stage in backbone.convs), 0]
    blocks = [count + len(stage) for count, stage in zip(convolutions, backbone.blocks, strict=True)]
    return [BackboneStage(*stage) for stage in zip(backbone.strides, blocks, backbone.widths, strict=True)]


def recipe_hashes() -> dict[str, str]:
    """Return the present hash of each recipe."""
    from linbench.recipes.contract import recipe

    return {name: entry.build().hash for name, entry in recipe.items()}
