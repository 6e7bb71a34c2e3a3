"""How an image and the box of its object reach a promptable segmenter, and how its logits become a mask.

``keep-aspect``
    SAM's and RWKV-SAM's. The image's long side fills the input, the rest is padding. The box is tight on the
    original mask, its corners are pixels of it, and it is scaled with the image. Logits are resized to the input's
    size, cropped, and resized to the image's size.
``stretch``
    EfficientSAM's: both sides fill the input; boxes likewise; logits are resized to the image's size, bicubic.
``squash-1024``
    HQ-SAM's: both sides fill 1024 px, bilinear without antialiasing, cut to whole numbers. The label's grey values
    are squashed likewise, and the box is tight on those above 128. Logits are resized to the image's size, bilinear.

All compare at the size of the original mask. Numbers of different protocols never stand in one column.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from linbench.data.ground_truth import THRESHOLD
from linbench.models.sam import transform_of
from linbench.models.sam.transforms import DEVIATION_255, MEAN_255, Size, Stretch, Transform

KEEP_ASPECT, STRETCH, SQUASH = "keep-aspect", "stretch", "squash-1024"
#: By protocol, raised when its numbers stop being comparable. 2 of ``stretch`` keeps negative coordinates at -1;
#: 2 of ``squash-1024`` squashes the grey values of a soft label, where 1 squashed the mask above 128.
VERSIONS = {KEEP_ASPECT: 1, STRETCH: 2, SQUASH: 2}
SQUASHED = 1024  # px


@dataclass(frozen=True)
class Protocol:
    """A protocol for a model's input of one size.

    image: Makes the input ``1 3 s s`` of an image ``h w 3``.
    box: Makes a box ``4`` of the input of a label ``h w``, whose grey values above 128 are the mask.
    boxes: Makes boxes of the input of boxes ``m 4`` of an image of a size.
    masks: Makes masks of bool, ``m h w``, of low-resolution logits ``m 1 h w``, at a size.
    """

    name: str
    image: Callable[[NDArray[np.uint8]], Tensor]
    box: Callable[[NDArray[np.uint8]], Tensor]
    boxes: Callable[[Tensor, Size], Tensor]
    masks: Callable[[Tensor, Size], Tensor]


def protocol_name(requested: str | None, model: str, size: Size) -> str:
    """Return the requested protocol, or the model's; raises ValueError where it fits neither model nor size."""
    default = STRETCH if isinstance(transform_of(model, size[0]), Stretch) else KEEP_ASPECT
    name = requested or default
    if name not in (KEEP_ASPECT, STRETCH, SQUASH):
        raise ValueError(f"--protocol {name}: allowed are {KEEP_ASPECT}, {STRETCH} and {SQUASH}")
    if name not in (default, SQUASH):
        raise ValueError(f"--protocol {name}: images reach {model} by {default}; allowed are {default} and {SQUASH}")
    if size[0] != size[1]:
        raise ValueError(f"the input is {size[0]}x{size[1]} px, but images go into a square; give its side as --res")
    if name == SQUASH and size[0] != SQUASHED:
        raise ValueError(
            f"--protocol {SQUASH}: its input has {SQUASHED} px, here it would have {size[0]} px (from --res, or the "
            f"checkpoint's own size); write --res {SQUASHED}, or leave --protocol out"
        )
    return name


def protocol(name: str, model: str, side: int) -> Protocol:
    """Return the protocol of that name, for a model's input of ``side`` px."""
    if name == SQUASH:
        return Protocol(name, squashed, _squashed_box, _squashed_boxes, _resized_masks)
    transform: Transform = transform_of(model, side)

    def box(grey: NDArray[np.uint8]) -> Tensor:
        return transform.boxes(tight(torch.from_numpy(grey) > THRESHOLD), (grey.shape[0], grey.shape[1]))

    def masks(logits: Tensor, original: Size) -> Tensor:
        return transform.masks(logits, original)[:, 0]

    return Protocol(name, transform.image, box, transform.boxes, masks)


def tight(mask: Tensor) -> Tensor:
    """Return the first and last column and row of a mask ``h w``, as x0 y0 x1 y1: the corners are pixels of it."""
    rows, columns = (mask.any(dim=side).nonzero()[:, 0] for side in (1, 0))
    return torch.stack([columns[0], rows[0], columns[-1], rows[-1]]).float()


def squashed(image: NDArray[np.uint8]) -> Tensor:
    """Return HQ-SAM's input ``1 3 1024 1024`` of an image ``h w 3``, normalised as SAM's."""
    x = _to_square(torch.from_numpy(image.copy()).permute(2, 0, 1).float())
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN_255, DEVIATION_255))
    return ((x.to(torch.uint8) - mean) / deviation)[None]


def _squashed_box(grey: NDArray[np.uint8]) -> Tensor:
    label = torch.from_numpy(grey)
    mask = _to_square(label[None].float())[0] > THRESHOLD
    if not mask.any():  # thinner than what the squashed label shows
        return _squashed_boxes(tight(label > THRESHOLD)[None], (grey.shape[0], grey.shape[1]))[0]
    return tight(mask)


def _squashed_boxes(boxes: Tensor, original: Size) -> Tensor:
    height, width = original
    return boxes * torch.tensor([SQUASHED / width, SQUASHED / height] * 2, dtype=boxes.dtype, device=boxes.device)


def _resized_masks(logits: Tensor, original: Size) -> Tensor:
    return functional.interpolate(logits, original, mode="bilinear", align_corners=False)[:, 0] > 0


def _to_square(x: Tensor) -> Tensor:
    """Resize ``c h w`` to 1024 x 1024."""
    return functional.interpolate(x[None], (SQUASHED, SQUASHED), mode="bilinear", align_corners=False)[0]
