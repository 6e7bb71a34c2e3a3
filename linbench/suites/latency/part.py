"""The parts of a segmenter that are timed apart (docs/measurement.md, rule 14), each a module with its inputs.

| part | takes | gives |
|---|---|---|
| ``backbone`` | an image | its maps |
| ``encoder`` | an image | the maps that the decoder reads: backbone and neck, what ``Sam.encode`` does |
| ``decoder`` | those maps | low-resolution mask logits and predicted IoUs: what ``Sam.decode`` does |
| ``end-to-end`` | an image | the same |

Box prompts are decoded; they are on the device beforehand. A decoder's maps are random numbers in the shapes and the
memory layout that the encoder gives. Images are neither read nor resized, and masks are not enlarged.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from linbench.backbones import backbone as backbones
from linbench.backbones import build_backbone
from linbench.kernels.impl import Impl
from linbench.models.sam import (
    HQ,
    Embedding,
    Fusion,
    HQOutput,
    Prompts,
    Sam,
    backbone_of,
    build_decoder,
    build_encoder,
    build_sam,
)
from linbench.models.sam.model import STRIDE as STRIDE
from linbench.suites.latency.options import Part as Part

Size: TypeAlias = tuple[int, int]
Maps: TypeAlias = tuple[Tensor, ...]
Options: TypeAlias = Mapping[str, Any]


class Decode(nn.Module):
    """A segmenter without its encoder: maps to mask logits and IoUs."""

    def __init__(self, prompt: nn.Module, decoder: nn.Module, prompts: Prompts, image_size: Size) -> None:
        super().__init__()
        self.sam = Sam(nn.Identity(), prompt, decoder)
        self.prompts = prompts
        self.image_size = image_size

    def forward(self, *maps: Tensor) -> Maps:
        return self.sam.decode(Embedding(maps, self.image_size), self.prompts)


class EndToEnd(nn.Module):
    """A whole segmenter: an image to mask logits and IoUs."""

    def __init__(self, sam: Sam, prompts: Prompts) -> None:
        super().__init__()
        self.sam = sam
        self.prompts = prompts

    def forward(self, image: Tensor) -> Maps:
        return self.sam.decode(self.sam.encode(image), self.prompts)


def boxes(count: int, size: Size) -> Tensor:
    """Return ``count`` boxes along the image's diagonal, half as high and as wide as it; px, float32."""
    height, width = size
    at = (torch.arange(count) + 0.5) / (2 * count)
    return torch.stack([at * width, at * height, (at + 0.5) * width, (at + 0.5) * height], dim=1)


def build(part: Part, name: str, size: Size, prompts: int, fusion: str, impl: Impl, options: Options) -> nn.Module:
    """Build a part of the model of that name on torch's present device, with random weights.

    fusion: ``none`` where there is nothing to fuse.
    options: Of the backbone; for HQ-SAM and parts that decode also ``output``.
    """
    if part is Part.BACKBONE:
        model: Any = build_backbone(name, image_size=size, impl=impl, **options)
        return model
    if part is Part.ENCODER:
        return build_encoder(name, build_backbone(backbone_of(name), image_size=size, impl=impl, **options))
    box_prompts = Prompts(boxes=boxes(prompts, size))
    design = Fusion.CONV if fusion == "none" else Fusion(fusion)
    if part is Part.END_TO_END:
        return EndToEnd(build_sam(name, image_size=size, fusion=design, impl=impl, **options), box_prompts)
    backbone_options = dict(options)
    output = HQOutput(backbone_options.pop("output", HQOutput.SUM))
    with torch.device("meta"):
        placeholder = build_backbone(backbone_of(name), image_size=size, impl=impl, **backbone_options)
    prompt, decoder, _ = build_decoder(name, placeholder, fusion=design, impl=impl, output=output)
    return Decode(prompt, decoder, box_prompts, size)


def embedding(encoder: nn.Module, image: Tensor) -> Maps:
    """Return random maps in the shapes and strides that ``encoder`` gives, on torch's present device, in float32.

    Both arguments are on ``meta``.
    """
    with torch.no_grad():
        shapes = encoder(image)
    return tuple(torch.empty_strided(m.shape, m.stride()).copy_(torch.randn(m.shape)) for m in shapes)


def options_of(name: str, part: Part) -> tuple[str, ...]:
    """Return the options that a part of the model of that name takes; HQ-SAM's decoder has ``output`` too."""
    names = backbones[name if part is Part.BACKBONE else backbone_of(name)].options
    return (*names, "output") if name in HQ and part.decodes else names


def tunable_options(name: str, part: Part) -> tuple[str, ...]:
    """Return those of them that a preset may set; a decoder has none, as no part of the backbone runs in it."""
    return options_of(name, part) if part.encodes else ()
