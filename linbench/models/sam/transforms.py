"""Transforms from an image to a model's square input and back: SAM's (arXiv 2304.02643) and EfficientSAM's.

| here | SAM: ``LongestSide`` | EfficientSAM: ``Stretch`` |
|---|---|---|
| size of the image in the input | the long side fills it | height and width fill it |
| resizing | uint8, Pillow's bilinear, antialiased where it shrinks | floats, bilinear, never antialiased |
| the rest of the input | 0, after normalization | none |
| a negative coordinate of a prompt | scaled like any other | -1, which marks padding |
| logits back to the image | bilinear to the input, cropped, bilinear to the image | bicubic, in one step |
| a pixel belongs to the mask if its logit is | > 0 | >= 0 |

Sizes are ``(height, width)`` in px; points are ``x, y`` and boxes ``x0, y0, x1, y1`` in px.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

Size = tuple[int, int]
ImageLike = NDArray[np.uint8] | Image.Image

#: ImageNet's mean and deviation of red, green and blue, as each source writes them: for 0 to 255, and for 0 to 1.
MEAN_255, DEVIATION_255 = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Transform(ABC):
    """A frozen value that maps images and prompts to a model's input, and logits back.

    side: Height and width of the model's input, px; 1024 for SAM and EfficientSAM.
    """

    side: int = 1024

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ValueError(f"side must be at least 1, got {self.side}")

    @abstractmethod
    def resized(self, original: Size) -> Size:
        """Return the size in the input of an image of size ``original``."""

    @abstractmethod
    def image(self, image: ImageLike) -> Tensor:
        """Return the model's input ``1 3 side side``, normalized, of an image ``h w 3`` of 0 to 255."""

    @abstractmethod
    def points(self, points: Tensor, original: Size) -> Tensor:
        """Return points ``… 2`` of the image as points of the input, not rounded."""

    def boxes(self, boxes: Tensor, original: Size) -> Tensor:
        """Return boxes ``… 4`` of the image as boxes of the input, not rounded."""
        if boxes.shape[-1:] != (4,):
            raise ValueError(f"boxes must be `… 4`, x0, y0, x1 and y1, got shape {tuple(boxes.shape)}")
        return self.points(boxes.unflatten(-1, (2, 2)), original).flatten(-2)

    @abstractmethod
    def logits(self, logits: Tensor, original: Size) -> Tensor:
        """Resize low-resolution logits ``b m h w``, which cover the input, to the size of the image."""

    @abstractmethod
    def masks(self, logits: Tensor, original: Size) -> Tensor:
        """Return the masks, of bool, of low-resolution logits ``b m h w`` at the size of the image."""


class LongestSide(Transform):
    """SAM's transform."""

    def resized(self, original: Size) -> Size:
        """Return the size in the input; half a pixel rounds up.

        The source gives strips above 2 side : 1 a height of 0, and fails; here it is 1.
        """
        scale = self.side / max(original)
        height, width = (max(1, int(n * scale + 0.5)) for n in original)
        return height, width

    def image(self, image: ImageLike) -> Tensor:
        """Return the model's input ``1 3 side side``."""
        pixels = _pixels(image)
        height, width = self.resized((pixels.shape[0], pixels.shape[1]))
        resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        x = _normalize(torch.from_numpy(np.array(resized)), MEAN_255, DEVIATION_255)
        return functional.pad(x, (0, self.side - width, 0, self.side - height))

    def points(self, points: Tensor, original: Size) -> Tensor:
        """Return points of the input; rounding makes the ratios of widths and heights unequal."""
        height, width = self.resized(original)
        ratios = (width / original[1], height / original[0])
        return _check_points(points) * torch.tensor(
            ratios, dtype=torch.result_type(points, 1.0), device=points.device
        )

    def logits(self, logits: Tensor, original: Size) -> Tensor:
        """Resize logits to the size of the image."""
        height, width = self.resized(original)
        whole = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        fitted = whole[..., :height, :width]
        if original == (height, width):  # the second step would change nothing
            return fitted
        return functional.interpolate(fitted, original, mode="bilinear", align_corners=False)

    def masks(self, logits: Tensor, original: Size) -> Tensor:
        """Return the masks at the size of the image."""
        return self.logits(logits, original) > 0


class Stretch(Transform):
    """EfficientSAM's transform."""

    def resized(self, original: Size) -> Size:
        """Return the size in the input."""
        return self.side, self.side

    def image(self, image: ImageLike) -> Tensor:
        """Return the model's input ``1 3 side side``."""
        x = torch.from_numpy(_pixels(image).copy()).permute(2, 0, 1)[None] / 255
        x = functional.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)
        return _normalize(x[0].permute(1, 2, 0), MEAN, DEVIATION)

    def points(self, points: Tensor, original: Size) -> Tensor:
        """Return points of the input; a negative coordinate becomes -1, which marks padding in the source."""
        height, width = original
        sizes = torch.tensor((width, height), dtype=torch.result_type(points, 1.0), device=points.device)
        return torch.where(points >= 0, _check_points(points) * self.side / sizes, -1.0)

    def logits(self, logits: Tensor, original: Size) -> Tensor:
        """Resize logits to the size of the image."""
        return functional.interpolate(logits, original, mode="bicubic", align_corners=False)

    def masks(self, logits: Tensor, original: Size) -> Tensor:
        """Return the masks at the size of the image."""
        return self.logits(logits, original) >= 0


def _pixels(image: ImageLike) -> NDArray[np.uint8]:
    """Return the image as ``h w 3``. Raises ValueError for another mode, dtype or shape."""
    if isinstance(image, Image.Image) and image.mode != "RGB":
        raise ValueError(f"image must be of mode RGB, got {image.mode}; linbench.data.image reads files as RGB")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"image must be `h w 3` of uint8, got {pixels.dtype} of shape {pixels.shape}")
    return pixels


def _normalize(x: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    """Return ``h w 3`` as ``1 3 h w``, normalized with the mean and the deviation."""
    y = (x - torch.tensor(mean)) / torch.tensor(deviation)
    return y.permute(2, 0, 1)[None].contiguous()


def _check_points(points: Tensor) -> Tensor:
    """Return the points. Raises ValueError unless they are ``… 2``."""
    if points.shape[-1:] != (2,):
        raise ValueError(f"points must be `… 2`, x and y, got shape {tuple(points.shape)}")
    return points
