"""Prompts, and SAM's prompt encoder (arXiv 2304.02643, section 3 and appendix A).

| here | paper |
|---|---|
| ``frequencies`` | the random matrix of Fourier features (2006.10739), fixed |
| ``labelled`` | learned embeddings of a background point, a foreground point, and the two corners of a box |
| ``not_a_point`` | the embedding of a padding point |
| ``sparse``, ``dense`` | one token per point or corner; a vector for every cell of the image embedding |

Coordinates are pixels of the model's input, x before y; half a pixel is added, so that a whole number means the
centre of a pixel. All are relative to the image's height and width, so any size works.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from linbench.backbones.sam_vit import MapNorm
from linbench.shapes import check

WIDTH = 256  # channels of every token and of the image embedding
EPS = 1e-6
Size = tuple[int, int]


@dataclass(frozen=True)
class Prompts:
    """m prompts for one image; each is a box, points, a mask, or several of these, and marks one object.

    boxes: ``m 4``, x0 y0 x1 y1.
    points: ``m p 2``, x y.
    labels: ``m p``: 1 foreground, 0 background, -1 padding, if prompts have different numbers of points.
    masks: Logits ``m 1 h w`` on the grid of the model's own masks, as an earlier call returned them.
    Raises ValueError for no prompt, points without labels, other shapes and other labels.
    """

    boxes: Tensor | None = None
    points: Tensor | None = None
    labels: Tensor | None = None
    masks: Tensor | None = None

    def __post_init__(self) -> None:
        contracts = {"boxes": "m 4", "points": "m p 2", "labels": "m p", "masks": "m 1 h w"}
        present = {name: (x, axes) for name, axes in contracts.items() if (x := getattr(self, name)) is not None}
        if not present:
            raise ValueError("a prompt needs a box, points with labels, or a mask; got none of them")
        if (self.points is None) != (self.labels is None):
            raise ValueError("points and labels go together, `m p 2` and `m p`; got one without the other")
        check(**present)
        if self.labels is not None and not self.labels.is_meta and not ((self.labels.abs() <= 1).all()):
            raise ValueError("labels must be 1 (foreground), 0 (background) or -1 (padding); a box goes into `boxes`")

    def __len__(self) -> int:
        return next(len(x) for field in fields(self) if (x := getattr(self, field.name)) is not None)

    def chunks(self, size: int) -> Iterator["Prompts"]:
        """Yield the prompts in order, at most ``size`` at a time; no prompts are one empty chunk."""
        for start in range(0, max(len(self), 1), size):
            parts = {field.name: getattr(self, field.name) for field in fields(self)}
            yield Prompts(**{k: None if x is None else x[start : start + size] for k, x in parts.items()})


@dataclass(frozen=True)
class PromptTokens:
    """The tokens of m prompts, the mask decoder's input.

    sparse: ``m p c``.
    dense: ``m c h w``, or ``1 c 1 1`` if it is the same everywhere.
    position: Position code of the cells of the image embedding, ``1 c h w``.
    """

    sparse: Tensor
    dense: Tensor
    position: Tensor


class PositionCode(nn.Module):
    """Points of the image as ``c`` sines and cosines of random frequencies."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, WIDTH // 2))

    def forward(self, points: Tensor) -> Tensor:
        """Encode points ``… 2``, x y as fractions of the width and the height, as ``… c``.

        Computed in float32 at least and without a matrix product, which autocast would round: half a pixel of
        1024 is less than a step of bfloat16.
        """
        wide = torch.promote_types(self.frequencies.dtype, torch.float32)
        x, y = (2 * points.to(self.frequencies.device, wide) - 1).unsqueeze(-1).unbind(-2)
        along_x, along_y = self.frequencies.to(wide)
        angle = 2 * math.pi * (x * along_x + y * along_y)
        return torch.cat([angle.sin(), angle.cos()], dim=-1).to(self.frequencies.dtype)

    def pixels(self, points: Tensor, image_size: Size) -> Tensor:
        """Encode pixels ``… 2``, x y, of an image of size ``image_size``, height and width."""
        wide = torch.promote_types(points.dtype, torch.float32)
        height, width = image_size
        x, y = (points.to(wide) + 0.5).unbind(-1)
        return self(torch.stack([x / width, y / height], dim=-1))  # a CUDA graph takes no tensor made from numbers

    def cells(self, grid: Size) -> Tensor:
        """Encode the centres of the cells of a grid, ``1 c h w``."""
        device = self.frequencies.device
        y, x = ((torch.arange(n, device=device) + 0.5) / n for n in grid)
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # h w 2
        return self(points).permute(2, 0, 1)[None]


class PromptEncoder(nn.Module):
    """SAM's prompt encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.code = PositionCode()
        self.labelled = nn.ParameterList(torch.randn(1, WIDTH) for _ in range(4))
        self.not_a_point = nn.Parameter(torch.randn(1, WIDTH))
        self.no_mask = nn.Parameter(torch.randn(1, WIDTH))
        self.mask = nn.Sequential(
            nn.Conv2d(1, 4, 2, stride=2),
            MapNorm(4, eps=EPS),
            nn.GELU(),
            nn.Conv2d(4, 16, 2, stride=2),
            MapNorm(16, eps=EPS),
            nn.GELU(),
            nn.Conv2d(16, WIDTH, 1),
        )

    def forward(self, prompts: Prompts, image_size: Size, grid: Size) -> PromptTokens:
        """Encode prompts for an image of size ``image_size``, whose embedding has the cells of ``grid``."""
        embeddings = torch.cat(list(self.labelled))  # label c
        sparse = [self.not_a_point.new_empty(len(prompts), 0, WIDTH)]
        if prompts.points is not None and prompts.labels is not None:
            code = self.code.pixels(prompts.points, image_size)
            labels = prompts.labels.to(code.device).long()
            point = code + embeddings[labels.clamp(min=0)]
            sparse.append(torch.where((labels == -1)[..., None], self.not_a_point, point))
            if prompts.boxes is None:  # the source pads points, but not points with a box
                sparse.append(self.not_a_point.expand(len(prompts), 1, -1))
        if prompts.boxes is not None:
            sparse.append(self.code.pixels(prompts.boxes.unflatten(1, (2, 2)), image_size) + embeddings[2:])
        return PromptTokens(torch.cat(sparse, dim=1), self._dense(prompts.masks, grid), self.code.cells(grid))

    def _dense(self, masks: Tensor | None, grid: Size) -> Tensor:
        if masks is None:
            return self.no_mask[:, :, None, None]
        if tuple(masks.shape[2:]) != (4 * grid[0], 4 * grid[1]):
            raise ValueError(
                f"masks must be `m 1 h w` with h w = {4 * grid[0]}, {4 * grid[1]}, as this model's own masks of this "
                f"image are; got {tuple(masks.shape)}"
            )
        dense: Tensor = self.mask(masks.to(self.no_mask))
        return dense
