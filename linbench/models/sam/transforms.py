"""Between a picture and a model's square input, there and back: SAM's way (arXiv 2304.02643) and EfficientSAM's.

| here | SAM: ``LongestSide`` | EfficientSAM: ``Stretch`` |
|---|---|---|
| size of the picture in the input | the long side fills it | height and width fill it |
| resized | uint8, Pillow's bilinear, antialiased where it shrinks | floats, bilinear, never antialiased |
| the rest of the input | 0, after normalisation | none |
| a negative coordinate of a prompt | scaled like any other | -1, which marks padding |
| logits back to the picture | bilinear to the input, cropped, bilinear to the picture | bicubic, at once |
| a mask is where the logits are | > 0 | >= 0 |

Sizes are ``(height, width)`` in px; points are ``x, y`` and boxes ``x0, y0, x1, y1`` in px.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

Size = tuple[int, int]
Picture = NDArray[np.uint8] | Image.Image

#: ImageNet's mean and deviation of red, green and blue, as each source writes them: of 0 to 255, and of 0 to 1.
MEAN_255, DEVIATION_255 = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Transform(Protocol):
    """A frozen value that moves pictures and prompts into a model's input, and logits back."""

    @property
    def side(self) -> int:
        """Height and width of the model's input."""

    def resized(self, original: Size) -> Size:
        """The size that a picture of size ``original`` has in the input."""

    def image(self, picture: Picture) -> Tensor:
        """The model's input ``1 3 side side``, normalised, from a picture ``h w 3`` of 0 to 255."""

    def points(self, points: Tensor, original: Size) -> Tensor:
        """Points ``… 2`` of the picture as points of the input, unrounded."""

    def boxes(self, boxes: Tensor, original: Size) -> Tensor:
        """Boxes ``… 4`` of the picture as boxes of the input, unrounded."""

    def logits(self, logits: Tensor, original: Size) -> Tensor:
        """Low-resolution logits ``b m h w``, which cover the input, at the size of the picture."""

    def masks(self, logits: Tensor, original: Size) -> Tensor:
        """The masks, of bool, of low-resolution logits ``b m h w`` at the size of the picture."""


@dataclass(frozen=True)
class LongestSide:
    """SAM's transform; its side is 1024."""

    side: int = 1024

    def __post_init__(self) -> None:
        _refuse_side(self.side)

    def resized(self, original: Size) -> Size:
        """Half a pixel rounds up. The source gives strips above 2 side : 1 a height of 0, and fails; here it is 1."""
        scale = self.side / max(original)
        height, width = (max(1, int(n * scale + 0.5)) for n in original)
        return height, width

    def image(self, picture: Picture) -> Tensor:
        pixels = _pixels(picture)
        height, width = self.resized(_size(pixels))
        resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        x = _normalised(torch.from_numpy(np.array(resized)), MEAN_255, DEVIATION_255)
        return functional.pad(x, (0, self.side - width, 0, self.side - height))

    def points(self, points: Tensor, original: Size) -> Tensor:
        return _moved(points, original, self.resized(original))

    def boxes(self, boxes: Tensor, original: Size) -> Tensor:
        return self.points(_corners(boxes), original).flatten(-2)

    def logits(self, logits: Tensor, original: Size) -> Tensor:
        height, width = self.resized(original)
        whole = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        return functional.interpolate(whole[..., :height, :width], original, mode="bilinear", align_corners=False)

    def masks(self, logits: Tensor, original: Size) -> Tensor:
        return self.logits(logits, original) > 0


@dataclass(frozen=True)
class Stretch:
    """EfficientSAM's transform; its side is 1024."""

    side: int = 1024

    def __post_init__(self) -> None:
        _refuse_side(self.side)

    def resized(self, original: Size) -> Size:
        return self.side, self.side

    def image(self, picture: Picture) -> Tensor:
        x = torch.from_numpy(_pixels(picture).copy()).permute(2, 0, 1)[None] / 255
        x = functional.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        return _normalised(x[0].permute(1, 2, 0), MEAN, DEVIATION)

    def points(self, points: Tensor, original: Size) -> Tensor:
        """A negative coordinate becomes -1, as in the source: there it marks a point that pads."""
        height, width = original
        sizes = torch.tensor((width, height), dtype=torch.result_type(points, 1.0), device=points.device)
        return torch.where(points >= 0, _pairs(points) * self.side / sizes, -1.0)

    def boxes(self, boxes: Tensor, original: Size) -> Tensor:
        return self.points(_corners(boxes), original).flatten(-2)

    def logits(self, logits: Tensor, original: Size) -> Tensor:
        return functional.interpolate(logits, original, mode="bicubic", align_corners=False)

    def masks(self, logits: Tensor, original: Size) -> Tensor:
        return self.logits(logits, original) >= 0


def _refuse_side(side: int) -> None:
    if side < 1:
        raise ValueError(f"side={side}: the model's input has at least one pixel")


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    """The picture as ``h w 3``; raises ValueError for another mode, dtype or shape."""
    if isinstance(picture, Image.Image) and picture.mode != "RGB":
        raise ValueError(f"picture must be of mode RGB, got {picture.mode}; linbench.data.image reads files as RGB")
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"picture must be `h w 3` of uint8, got {pixels.dtype} of shape {pixels.shape}")
    return pixels


def _size(pixels: NDArray[np.uint8]) -> Size:
    height, width = pixels.shape[:2]
    return height, width


def _normalised(x: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    """``h w 3`` as ``1 3 h w``, the mean taken off and divided by the deviation."""
    y = (x - torch.tensor(mean)) / torch.tensor(deviation)
    return y.permute(2, 0, 1)[None].contiguous()


def _moved(points: Tensor, original: Size, resized: Size) -> Tensor:
    """Points ``… 2`` times the ratio of the widths and of the heights, which rounding makes unequal."""
    ratios = (resized[1] / original[1], resized[0] / original[0])
    return _pairs(points) * torch.tensor(ratios, dtype=torch.result_type(points, 1.0), device=points.device)


def _pairs(points: Tensor) -> Tensor:
    """The points; raises ValueError where they are not ``… 2``."""
    if points.shape[-1:] != (2,):
        raise ValueError(f"points must be `… 2`, x and y, got shape {tuple(points.shape)}")
    return points


def _corners(boxes: Tensor) -> Tensor:
    """``… 4`` as ``… 2 2``: two points."""
    if boxes.shape[-1:] != (4,):
        raise ValueError(f"boxes must be `… 4`, x0, y0, x1 and y1, got shape {tuple(boxes.shape)}")
    return boxes.unflatten(-1, (2, 2))
