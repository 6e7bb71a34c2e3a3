"""EfficientViT-SAM (arXiv 2402.05008): EfficientViT under a neck of its own, and SAM's parts in a frame of 1024 px.

| here | paper |
|---|---|
| ``EfficientViTEncoder`` | the image encoder; ``neck`` fuses the maps of the last three stages, section 3.1 |
| ``GRID`` | cells of the embedding, 64 x 64 whatever the image's size; the maps are resized to it, bicubic |
| ``FRAME`` | sides of the frame, px, in which prompts are encoded and to which logits are resized first |

The models L see 512 px, XL 1024 px. Prompts here are in px of the input, as for every model; ``FramedPromptEncoder``
moves them to the frame. The norms of SAM's decoder have an eps of 1e-6 in the source, where SAM's have 1e-5.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import Backbone, official_names
from linbench.backbones.efficientvit import EPS, ConvNorm, Fused, Residual, initialise, our_name
from linbench.backbones.sam_vit import MapNorm
from linbench.models.sam.prompts import WIDTH, PromptEncoder, Prompts, PromptTokens, Size
from linbench.models.sam.transforms import LongestSide

GRID = (64, 64)
FRAME = 1024
#: How many maps the neck fuses, the coarsest.
FUSED_MAPS = 3


@dataclass(frozen=True)
class System:
    """A published model.

    backbone: Its registered name.  side: Of the input that it was trained for, px.
    depth, expand: Residual blocks of the neck, and the factor of the width inside them.
    """

    backbone: str
    side: int
    depth: int
    expand: int


SYSTEMS = {
    "efficientvit-sam-l0": System("efficientvit-l0", 512, 4, 1),
    "efficientvit-sam-l1": System("efficientvit-l1", 512, 8, 1),
    "efficientvit-sam-l2": System("efficientvit-l2", 512, 12, 1),
    "efficientvit-sam-xl0": System("efficientvit-xl0", 1024, 6, 4),
    "efficientvit-sam-xl1": System("efficientvit-xl1", 1024, 12, 4),
}


class FusingNeck(nn.Module):
    """The neck: maps to one of ``WIDTH`` channels on GRID.

    widths: Of the maps, fine to coarse.
    """

    def __init__(self, widths: tuple[int, ...], depth: int, expand: int) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(ConvNorm(width, WIDTH, 1, activation=False) for width in widths)
        self.blocks = nn.Sequential(*(Residual(Fused(WIDTH, WIDTH, expand)) for _ in range(depth)))
        self.output = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        fine, middle, coarse = (to_grid(project(x)) for project, x in zip(self.inputs, maps, strict=True))
        fused: Tensor = self.output(self.blocks(coarse + (middle + fine)))
        return fused


def to_grid(x: Tensor) -> Tensor:
    """Resize ``b c h w`` to GRID: bicubic, without antialiasing."""
    if tuple(x.shape[2:]) == GRID:  # the weights of bicubic interpolation would be 0 and 1
        return x
    return functional.interpolate(x, GRID, mode="bicubic", align_corners=False)


class EfficientViTEncoder(nn.Module):
    """EfficientViT-SAM's image encoder: the backbone, the neck, and a norm of the channels."""

    def __init__(self, backbone: Backbone, depth: int, expand: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = FusingNeck(backbone.widths[-FUSED_MAPS:], depth, expand)
        self.norm = MapNorm(WIDTH, eps=EPS)
        self.neck.apply(initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.norm(self.neck(self.backbone(image)[-FUSED_MAPS:])),)


class FramedPromptEncoder(PromptEncoder):
    """SAM's prompt encoder, for prompts that are moved from the image's px to FRAME's."""

    def forward(self, prompts: Prompts, image_size: Size, grid: Size) -> PromptTokens:
        """Encode prompts for an image of size ``image_size``, whose embedding has the cells of ``grid``."""
        height, width = image_size
        points, boxes = (_scaled(x, FRAME / width, FRAME / height) for x in (prompts.points, prompts.boxes))
        return super().forward(replace(prompts, points=points, boxes=boxes), (FRAME, FRAME), grid)


def _scaled(coordinates: Tensor | None, along_x: float, along_y: float) -> Tensor | None:
    """Return ``… 2 k`` coordinates, x and y in turn, times a factor for each; in float32 at least."""
    if coordinates is None:
        return None
    pairs = coordinates.to(torch.promote_types(coordinates.dtype, torch.float32)).unflatten(-1, (-1, 2))
    return torch.stack([pairs[..., 0] * along_x, pairs[..., 1] * along_y], dim=-1).flatten(-2)


class Framed(LongestSide):
    """EfficientViT-SAM's transform: images as SAM's, prompts and logits by way of FRAME.

    Sides are rounded to whole px in the frame, not in the input; logits are resized to it, and then cropped.
    """

    def points(self, points: Tensor, original: Size) -> Tensor:
        """Return points of the input."""
        return LongestSide(FRAME).points(points, original) * (self.side / FRAME)

    def logits(self, logits: Tensor, original: Size) -> Tensor:
        """Resize logits to the size of the image."""
        return LongestSide(FRAME).logits(logits, original)


#: Patterns of the neck's official names, and ours. Official inputs are listed coarse to fine.
NECK_NAMES = (
    (r"^neck\.input_ops\.(\d)\.op_list\.0\.", lambda match: f"neck.inputs.{FUSED_MAPS - 1 - int(match[1])}."),
    (r"^neck\.middle\.op_list\.(\d+)\.main\.", r"neck.blocks.\1.block."),
    (r"^neck\.output_ops\.0\.op_list\.0\.conv\.", "neck.output."),
)


def encoder_names(encoder: EfficientViTEncoder, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official entries below ``image_encoder.`` under the encoder's own names."""
    backbone = {name: value for name, value in state.items() if name.startswith("backbone.")}
    inner: Any = encoder.backbone
    ours = {f"backbone.{name}": value for name, value in official_names(inner, backbone).items()}
    for name, value in state.items():
        if name not in backbone:
            for pattern, replacement in NECK_NAMES:
                name = re.sub(pattern, replacement, name)
            ours[our_name(name)] = value
    return ours
