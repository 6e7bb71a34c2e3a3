"""A promptable segmenter (arXiv 2304.02643, section 3): an image encoder, a prompt encoder, a mask decoder.

The image is encoded once, whatever the number of prompts:

    embedding = sam.encode(image)
    masks, iou = sam.decode(embedding, Prompts(boxes=boxes))
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from linbench.backbones.contract import Backbone
from linbench.backbones.sam_vit import Neck, SamViT
from linbench.models.sam.prompts import WIDTH, Prompts, Size

STRIDE = 16
#: Prompts that are decoded together. At 1024 px each takes about 0.1 GB with conv fusion, 0.25 to 0.4 GB with the
#: other designs.
PROMPT_CHUNK = 8


@dataclass(frozen=True)
class Embedding:
    """The encoder's maps of b images of one size.

    maps: ``b c h w`` each, fine to coarse; the last has 256 channels at stride 16.
    image_size: Height and width, px.
    """

    maps: tuple[Tensor, ...]
    image_size: Size

    def __len__(self) -> int:
        return len(self.maps[-1])

    def __iter__(self) -> Iterator["Embedding"]:
        """Yield the images one by one, each as an embedding of one image."""
        for maps in zip(*(m.split(1) for m in self.maps), strict=True):
            yield Embedding(maps, self.image_size)


class NeckedEncoder(nn.Module):
    """A backbone with SAM's neck on its coarse map.

    strides: Of the maps that the decoder reads, fine to coarse.
    """

    def __init__(self, backbone: Backbone, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.chosen = tuple(backbone.strides.index(stride) for stride in strides)
        self.neck = Neck(backbone.widths[self.chosen[-1]], WIDTH)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.backbone(image)
        *fine, coarse = (maps[i] for i in self.chosen)
        return (*fine, self.neck(coarse))


class PlainEncoder(nn.Module):
    """A backbone with a neck of its own, as SAM's and EfficientSAM's have."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.backbone(image)[-1:]


class EarlyEncoder(nn.Module):
    """SAM's encoder for HQ-SAM: the output of the first global block, and the map."""

    def __init__(self, backbone: SamViT) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        early, embedding = self.backbone.early(image)
        return early.permute(0, 3, 1, 2), embedding


class Sam(nn.Module):
    """A promptable segmenter of three parts.

    encoder: ``b 3 h w`` to the maps of an ``Embedding``.
    prompt: Encodes ``Prompts``; a ``PromptEncoder`` or ``SixPointEncoder``.
    decoder: Has ``prepare(maps)``, called once per image, and is called with its result, tokens and ``multimask``.
    description: Which decoder it is and why, in one sentence.
    """

    def __init__(self, encoder: nn.Module, prompt: nn.Module, decoder: nn.Module, description: str = "") -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.prompt = prompt
        self.decoder: Any = decoder
        self.description = description

    def encode(self, image: Tensor) -> Embedding:
        """Encode normalized images ``b 3 h w``. Raises ValueError unless 16 divides h and w."""
        height, width = image.shape[2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(
                f"image must be `b 3 h w` with h and w divisible by {STRIDE}, got {tuple(image.shape)}; pad it below "
                "and to the right"
            )
        return Embedding(self.encoder(image), (height, width))

    def decode(
        self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False, prompt_chunk: int = PROMPT_CHUNK
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts; return mask logits, ``m k h/4 w/4``, and predicted IoUs, ``m k``.

        embedding: Of one image.
        multimask: Whether to return three masks per prompt (k = 3) or one.
        prompt_chunk: Prompts that are decoded at a time; fewer take less memory, the numbers are the same.
        Raises ValueError for several images, and for three masks of a decoder with one mask token.
        """
        if len(embedding) != 1:
            raise ValueError(f"prompts belong to one image, but the embedding has {len(embedding)}; iterate over it")
        if prompt_chunk < 1:
            raise ValueError(f"prompt_chunk must be at least 1, got {prompt_chunk}")
        image = self.decoder.prepare(embedding.maps)
        height, width = embedding.maps[-1].shape[2:]
        decoded = [
            self.decoder(image, self.prompt(chunk, embedding.image_size, (height, width)), multimask)
            for chunk in prompts.chunks(prompt_chunk)
        ]
        masks, iou = zip(*decoded, strict=True)
        return torch.cat(masks), torch.cat(iou)

    def forward(
        self, image: Tensor, boxes: Tensor, *, multimask: bool = False, prompt_chunk: int = PROMPT_CHUNK
    ) -> tuple[Tensor, Tensor]:
        """Encode and decode; return mask logits ``b m k h/4 w/4`` and predicted IoUs ``b m k``.

        image: ``b 3 h w``, normalized.
        boxes: ``b m 4``, px of the image.
        """
        decoded = [
            self.decode(embedding, Prompts(boxes=image_boxes), multimask=multimask, prompt_chunk=prompt_chunk)
            for embedding, image_boxes in zip(self.encode(image), boxes, strict=True)
        ]
        masks, iou = zip(*decoded, strict=True)
        return torch.stack(masks), torch.stack(iou)
