"""One training step of backbone and neck: forward, loss, backward, clipping, AdamW (docs/training-step.md).

The model is what ``sam-distill`` trains: a backbone under the neck of its promptable segmenter. The loss is the mean
squared error to fixed random targets, as that recipe's to the teacher's embedding, but of every map: the neck's, and
those beside it that the backbone gives. So every parameter has a gradient, and all of the backbone's backward runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from linbench.kernels.impl import Impl, Unsupported
from linbench.models.gradient_checkpointing import checkpoint_blocks
from linbench.models.optimizer import build_optimizer, parameter_groups
from linbench.suites.latency import part
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import FORMATS, images
from linbench.suites.latency.part import Maps, Part, tunable_options
from linbench.suites.runner.device import Dtype
from linbench.suites.training_step.key import TrainingStepKey
from linbench.suites.training_step.options import Checkpointing

CLIP = 5.0  # largest norm of the gradient


@dataclass(frozen=True)
class AdamWValues:
    """The values of ``sam-distill`` (see its recipe for their sources); none of them moves the time of a step."""

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.05
    undecayed: tuple[str, ...] = ()
    decay_vectors: bool = True
    head_lr: float = 1.0


class BackboneWithNeck(nn.Module):
    """A backbone and the neck on its coarse map; the neck is the identity where the backbone has its own.

    encoder: Of a promptable segmenter.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.backbone = encoder.backbone
        self.neck = getattr(encoder, "neck", nn.Identity())
        self.coarse = encoder.chosen[-1] if hasattr(encoder, "chosen") else -1

    def forward(self, image: Tensor) -> Maps:
        """Return all maps of the backbone, with the neck's in the place of its input."""
        maps = list(self.backbone(image))
        maps[self.coarse] = self.neck(maps[self.coarse])
        return tuple(maps)


class ForwardBackward(nn.Module):
    """A model whose call is a forward and a backward; gradients add up in its parameters.

    dtype: Of autocast, which surrounds the forward and the loss, as in training; float32 for none.
    """

    def __init__(self, model: nn.Module, dtype: Dtype = Dtype.FLOAT32) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.targets: Maps = ()  # drawn when the shapes of the maps are known: at the first loss

    def forward(self, image: Tensor) -> Tensor:
        """Return the loss, detached."""
        with torch.enable_grad():
            loss = self.loss(image)
            loss.backward()
        return loss.detach()

    def loss(self, image: Tensor) -> Tensor:
        """Return the sum over the maps of the mean squared error, in float32."""
        maps = self.maps(image)
        if not self.targets:
            self.targets = tuple(torch.empty(x.shape, device=x.device).normal_() for x in maps)
        errors = [(x.float() - target).square().mean() for x, target in zip(maps, self.targets, strict=True)]
        return torch.stack(errors).sum()

    def maps(self, image: Tensor) -> Maps:
        """Return the maps of a forward under autocast."""
        kind = "cpu" if image.device.type == "meta" else image.device.type
        with torch.autocast(kind, dtype=self.dtype.torch, enabled=self.dtype is not Dtype.FLOAT32):
            maps: Maps = self.model(image)
        return maps


class Step:
    """A training step on one batch of random images: called with nothing, it updates the weights.

    loss: Of the last step, before its update.
    """

    def __init__(self, model: nn.Module, image: Tensor, dtype: Dtype) -> None:
        self.image = image
        self.run = ForwardBackward(model, dtype)
        self.parameters = list(model.parameters())
        self.optimizer = build_optimizer(parameter_groups(model, AdamWValues()), AdamWValues())
        self.loss = torch.zeros(())

    def __call__(self) -> Maps:
        """Take a step; return its loss alone, where a forward returns its maps."""
        self.loss = self.run(self.image)
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return (self.loss,)


def build(key: TrainingStepKey) -> BackboneWithNeck:
    """Return the model of a key in training mode, with float32 weights, on torch's present device.

    Raises ValueError for a backbone that has no map for a neck, and Unsupported where nothing can be checkpointed.
    """
    name, settings = key.model.backbone, key.settings
    options = dict(key.model.options)
    if settings.attention != "none":
        options["attention"] = settings.attention
    if "fused" in tunable_options(name, Part.ENCODER):
        options["fused"] = settings.fused
    encoder = part.build(Part.ENCODER, name, key.size, 0, "none", Impl(settings.impl), options)
    model = BackboneWithNeck(encoder).train().to(memory_format=FORMATS[settings.memory_format])
    if key.checkpointing is Checkpointing.BLOCKS and not checkpoint_blocks(model):
        raise Unsupported(f"{name} has no repeated blocks whose activations could be recomputed")
    return model


def step_complexity(key: TrainingStepKey) -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters, and the FLOPs of a step with their coverage: no memory, no clock.

    Forward, backward, and with gradient checkpointing the forward that is repeated; pointwise arithmetic, such as
    the optimizer's, counts zero as it does everywhere.
    """
    with torch.device("meta"):
        return complexity(ForwardBackward(build(key)), images(key, key.batch))
