"""Image classification: a linear head on the backbone's features, pooled as its source does."""

from typing import Any

from torch import Tensor, nn

from linbench.backbones import backbone, build_backbone
from linbench.backbones.contract import Backbone
from linbench.kernels.impl import Impl


class Classifier(nn.Module):
    """A backbone under one linear layer."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.widths[-1], num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits ``b num_classes`` of images ``b 3 h w``."""
        logits: Tensor = self.head(pooled(self.backbone, image))
        return logits


def pooled(backbone: Backbone, image: Tensor) -> Tensor:
    """Return a classifier's input ``b c``: the backbone's own ``pooled``, or the mean of its last map."""
    pool = getattr(backbone, "pooled", None)
    return pool(image) if pool else backbone(image)[-1].mean(dim=(2, 3))


def build_classifier(
    name: str,
    *,
    image_size: int | tuple[int, int] = 224,
    num_classes: int = 1000,
    impl: Impl | str = Impl.FAST,
    **overrides: Any,
) -> Classifier:
    """Return a classifier on the backbone ``name``; arguments and errors as in ``build_backbone``."""
    options = dict(backbone[name].facts.get("classifier", {})) | overrides
    return Classifier(build_backbone(name, image_size=image_size, impl=impl, **options), num_classes)
