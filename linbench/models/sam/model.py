"""A promptable segmenter (arXiv 2304.02643, section 3): an image encoder, a prompt encoder, a mask decoder.

The image is encoded once, whatever is asked about it:

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
#: Prompts that are decoded together. At 1024 px one takes about 0.1 GB meanwhile with conv fusion, 0.25 to 0.4 GB
#: with the other designs.
PROMPT_CHUNK = 8


@dataclass(frozen=True)
class Embedding:
    """What the encoder made of b images of one size.

    maps: ``b c h w`` each, fine to coarse; the last has 256 channels at stride 16.
    image_size: Height and width, px.
    """

    maps: tuple[Tensor, ...]
    image_size: Size

    def __len__(self) -> int:
        return len(self.maps[-1])

    def __iter__(self) -> Iterator["Embedding"]:
        """The images one by one, each as an embedding of one image."""
        for maps in zip(*(m.split(1) for m in self.maps), strict=True):
            yield Embedding(maps, self.image_size)


class NeckedEncoder(nn.Module):
    """A backbone, of whose maps the coarse one goes through SAM's neck.

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
    """SAM's encoder for HQ-SAM: the first global block's output, and the map."""

    def __init__(self, backbone: SamViT) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        early, embedding = self.backbone.early(image)
        return early.permute(0, 3, 1, 2), embedding


class Sam(nn.Module):
    """A promptable segmenter of three parts.

    encoder: ``b 3 h w`` to the maps of an ``Embedding``.
    prompt: Encodes ``Prompts``; a ``PromptEncoder`` or one of its kind.
    decoder: Has ``prepare(maps)`` for what is done once per image, and is called with that, tokens and ``multimask``.
    description: Which decoder this is and why, in one sentence.
    """

    def __init__(self, encoder: nn.Module, prompt: nn.Module, decoder: nn.Module, description: str = "") -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.prompt = prompt
        self.decoder: Any = decoder
        self.description = description

    def encode(self, image: Tensor) -> Embedding:
        """Encode normalised images ``b 3 h w``; raises ValueError where 16 does not divide h and w."""
        height, width = image.shape[2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(
                f"image must be `b 3 h w` with h, w that {STRIDE} divides, got {tuple(image.shape)}; pad it below "
                "and to the right"
            )
        return Embedding(self.encoder(image), (height, width))

    def decode(
        self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False, prompt_chunk: int = PROMPT_CHUNK
    ) -> tuple[Tensor, Tensor]:
        """Return the prompts' mask logits, ``m k h/4 w/4``, and predicted IoUs, ``m k``.

        embedding: Of one image.
        multimask: Whether to give three masks per prompt (k = 3) or one; a decoder of one mask token refuses three.
        prompt_chunk: Prompts that are decoded at a time; fewer take less memory, the numbers are the same.
        """
        if len(embedding) != 1:
            raise ValueError(f"prompts belong to one image, the embedding has {len(embedding)}; iterate over it")
        if prompt_chunk < 1:
            raise ValueError(f"prompt_chunk={prompt_chunk}: at least one prompt is decoded at a time")
        image = self.decoder.prepare(embedding.maps)
        height, width = embedding.maps[-1].shape[2:]
        found = [
            self.decoder(image, self.prompt(some, embedding.image_size, (height, width)), multimask)
            for some in prompts.chunks(prompt_chunk)
        ]
        masks, iou = zip(*found, strict=True)
        return torch.cat(masks), torch.cat(iou)

    def forward(
        self, image: Tensor, boxes: Tensor, *, multimask: bool = False, prompt_chunk: int = PROMPT_CHUNK
    ) -> tuple[Tensor, Tensor]:
        """Encode and decode: mask logits ``b m k h/4 w/4`` and predicted IoUs ``b m k``.

        image: ``b 3 h w``, normalised.
        boxes: ``b m 4``, px of the image.
        """
        found = [
            self.decode(one, Prompts(boxes=its), multimask=multimask, prompt_chunk=prompt_chunk)
            for one, its in zip(self.encode(image), boxes, strict=True)
        ]
        masks, iou = zip(*found, strict=True)
        return torch.stack(masks), torch.stack(iou)
