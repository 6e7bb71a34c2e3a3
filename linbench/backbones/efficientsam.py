"""EfficientSAM's image encoder (arXiv 2312.00863): a plain ViT at full resolution under SAM's neck.

| here | paper |
|---|---|
| ``width``, ``heads`` | those of ViT-Tiny and ViT-Small |
| ``position`` | the position embedding of its pretraining (SAMI) at 224 px, class token first |
| ``Block`` | a plain ViT's block: attention is global, without windows and relative position |

One map at stride 16, of 256 channels. The position table always has 14 x 14 cells and is resampled for each image:
bicubic, without antialiasing. Its first row, the class token's, is not used.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from linbench.backbones.contract import backbone, official
from linbench.backbones.sam_vit import PATCH, Neck, encoder_entries, resample_position
from linbench.backbones.vit import AttentionKind, Block
from linbench.kernels.impl import Impl

DEPTH = 12
PRETRAINED = (14, 14)  # cells of the position table
NECK = 256


class EfficientSamViT(nn.Module):
    """EfficientSAM's image encoder."""

    def __init__(self, width: int, heads: int, attention: AttentionKind) -> None:
        super().__init__()
        self.strides = (PATCH,)
        self.widths = (NECK,)
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.position = nn.Parameter(torch.zeros(1, 1 + PRETRAINED[0] * PRETRAINED[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, attention) for _ in range(DEPTH))
        self.neck = Neck(width, NECK)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.position, std=0.02)

    def embed(self, image: Tensor) -> Tensor:
        """Return the patches of the image with their position, ``b h w c``.

        Raises ValueError where 16 does not divide the image's height and width.
        """
        if image.shape[2] % PATCH or image.shape[3] % PATCH:
            raise ValueError(f"image must be `b 3 h w` with h, w that {PATCH} divides, got {tuple(image.shape)}")
        x = self.patch_embed(image).permute(0, 2, 3, 1)
        return x + resample_position(self.position[:, 1:].unflatten(1, PRETRAINED), (x.shape[1], x.shape[2]))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.embed(image)
        grid = (x.shape[1], x.shape[2])
        tokens = x.flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return (self.neck(tokens.transpose(1, 2).unflatten(2, grid)),)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


PAPER = "2312.00863"
SOURCE = "yformer/EfficientSAM@d525f62 efficient_sam/efficient_sam_encoder.py"


@backbone("efficientsam-ti", paper=PAPER, source=SOURCE, multiple_of=PATCH)
def efficientsam_ti(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> EfficientSamViT:
    """EfficientSAM-Ti: 12 blocks of 192 channels, 3 heads."""
    return EfficientSamViT(192, 3, AttentionKind(attention))


@backbone("efficientsam-s", paper=PAPER, source=SOURCE, multiple_of=PATCH)
def efficientsam_s(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> EfficientSamViT:
    """EfficientSAM-S: 12 blocks of 384 channels, 6 heads."""
    return EfficientSamViT(384, 6, AttentionKind(attention))


_OFFICIAL_PARTS = {
    "pos_embed": "position",
    "patch_embed.proj.": "patch_embed.",
    ".mlp.fc1.": ".mlp.0.",
    ".mlp.fc2.": ".mlp.2.",
}


@official(EfficientSamViT)
def _official(model: EfficientSamViT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename EfficientSAM's entries, of a whole model or the encoder alone; the decoder's are ignored."""
    ours = {}
    for name, value in encoder_entries(state).items():
        for theirs, replacement in _OFFICIAL_PARTS.items():
            name = name.replace(theirs, replacement)
        ours[name] = value
    return ours
