"""The parts of a segmenter that are timed apart (MEASUREMENT.md, rule 14), each as a module and what goes into it.

| part | takes | gives |
|---|---|---|
| ``backbone`` | an image | its maps |
| ``encoder`` | an image | the maps that the decoder reads: backbone and neck, what ``Sam.encode`` does |
| ``decoder`` | those maps | low-resolution mask logits and predicted IoUs: what ``Sam.decode`` does |
| ``end-to-end`` | an image | the same |

What is decoded are box prompts, on the device beforehand. A decoder's maps are random numbers in the shapes and the
memory layout that the encoder gives. Pictures are neither read nor resized, and masks are not enlarged.
"""

from collections.abc import Mapping
from enum import StrEnum
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
    has_fine_maps,
)
from linbench.models.sam.model import STRIDE as STRIDE
from linbench.suites.contract import Choices

Size: TypeAlias = tuple[int, int]
Maps: TypeAlias = tuple[Tensor, ...]
Options: TypeAlias = Mapping[str, Any]


class Part(StrEnum):
    """What is timed."""

    BACKBONE = "backbone"
    ENCODER = "encoder"
    DECODER = "decoder"
    END_TO_END = "end-to-end"

    @property
    def encodes(self) -> bool:
        """Whether the backbone runs in it."""
        return self is not Part.DECODER

    @property
    def decodes(self) -> bool:
        """Whether prompts are decoded in it."""
        return self in (Part.DECODER, Part.END_TO_END)


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
    """``count`` boxes, half as high and as wide as the image, along its diagonal; px, float32 as users give them."""
    height, width = size
    at = (torch.arange(count) + 0.5) / (2 * count)
    return torch.stack([at * width, at * height, (at + 0.5) * width, (at + 0.5) * height], dim=1)


def build(part: Part, name: str, size: Size, prompts: int, fusion: str, impl: Impl, options: Options) -> nn.Module:
    """The part of the model of that name on torch's present device, with random weights.

    fusion: ``none`` where there is nothing to fuse.
    options: The backbone's; for HQ-SAM and parts that decode also ``output``.
    """
    if part is Part.BACKBONE:
        model: Any = build_backbone(name, image_size=size, impl=impl, **options)
        return model
    if part is Part.ENCODER:
        return build_encoder(name, build_backbone(backbone_of(name), image_size=size, impl=impl, **options))
    asked = Prompts(boxes=boxes(prompts, size))
    design = Fusion.CONV if fusion == "none" else Fusion(fusion)
    if part is Part.END_TO_END:
        return EndToEnd(build_sam(name, image_size=size, fusion=design, impl=impl, **options), asked)
    own = dict(options)
    output = HQOutput(own.pop("output", HQOutput.SUM))
    with torch.device("meta"):
        absent = build_backbone(backbone_of(name), image_size=size, impl=impl, **own)
    prompt, decoder, _ = build_decoder(name, absent, fusion=design, impl=impl, output=output)
    return Decode(prompt, decoder, asked, size)


def embedding(encoder: nn.Module, image: Tensor) -> Maps:
    """Random maps as ``encoder`` makes them of ``image``, on torch's present device, in float32.

    Both arguments are on ``meta``: shapes and strides are all that is taken of them.
    """
    with torch.no_grad():
        shapes = encoder(image)
    return tuple(torch.empty_strided(m.shape, m.stride()).copy_(torch.randn(m.shape)) for m in shapes)


def options_of(name: str, part: Part) -> tuple[str, ...]:
    """The options that the part of the model of that name takes; HQ-SAM's ``output`` is its decoder's own."""
    own = backbones[name if part is Part.BACKBONE else backbone_of(name)].options
    return (*own, "output") if name in HQ and part.decodes else own


def choices_of(name: str, part: Part) -> tuple[str, ...]:
    """Likewise those of them that a preset settles; a decoder has none, as it runs no part of the backbone."""
    return options_of(name, part) if part.encodes else ()


def fusions_of(name: str, part: Part, choices: Choices) -> tuple[str, ...]:
    """The fusions that were asked for, or ``none`` alone where they make no difference to the part."""
    if not part.decodes or name in HQ:
        return ("none",)
    try:
        with torch.device("meta"):
            strides = build_backbone(name, image_size=choices.resolutions[0], **choices.options).strides
    except (ValueError, ImportError):
        return ("none",)  # a cell of its own will say why it cannot be built
    return choices.fusions if has_fine_maps(strides) else ("none",)
