"""HQ-SAM's mask decoder (arXiv 2306.01567, section 3.2): one more token, whose mask is on finer features.

| here | paper |
|---|---|
| ``token``, ``hyper`` | the HQ-Output Token and its MLP |
| ``early`` | the output of the ViT's first global-attention block, ``1 c h w`` |
| ``from_early``, ``from_embedding``, ``from_features`` | the convolutions whose sum is the HQ-Features |

SAM's part is trained and frozen; only the parts above are new. Predicted IoUs are SAM's.
"""

from enum import StrEnum

import torch
from torch import Tensor, nn

from linbench.backbones.sam_vit import MapNorm
from linbench.models.sam.decoder import FEATURES, MaskDecoder, mlp
from linbench.models.sam.prompts import EPS, WIDTH, PromptTokens


class HQOutput(StrEnum):
    """HQ-SAM's output: ``sum`` of SAM's and the HQ token's logits, as the source for COCO; ``hq``: the latter."""

    SUM = "sum"
    HQ = "hq"

    @classmethod
    def _missing_(cls, value: object) -> "HQOutput":
        raise ValueError(f"output={value!r} is unknown; allowed are {', '.join(cls)}")


class HQDecoder(nn.Module):
    """SAM's mask decoder with HQ-SAM's token.

    early: Channels of the early map.
    """

    def __init__(self, base: MaskDecoder, early: int, output: HQOutput) -> None:
        super().__init__()
        self.base = base
        self.output = output
        self.token = nn.Parameter(torch.randn(1, WIDTH))
        self.hyper = mlp(FEATURES)
        self.from_early = _enlarge(early, WIDTH)
        self.from_embedding = _enlarge(WIDTH, WIDTH // 4)
        self.from_features = nn.Sequential(
            nn.Conv2d(FEATURES, WIDTH // 4, 3, padding=1),
            MapNorm(WIDTH // 4, eps=EPS),
            nn.GELU(),
            nn.Conv2d(WIDTH // 4, FEATURES, 3, padding=1),
        )

    def prepare(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the embedding, and the image's part of the HQ-Features."""
        early, embedding = maps
        return embedding, self.from_early(early) + self.from_embedding(embedding)

    def forward(self, image: tuple[Tensor, ...], prompt: PromptTokens, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return one mask and its IoU; for ``multimask``, SAM's part of it is the best of its three masks."""
        tokens, embedding = self.base.attend(image[0], prompt, self.token)
        features = self.base.upscale(embedding)
        outputs = self.base.output_tokens(multimask)
        iou = self.base.iou(tokens)[:, outputs]
        best = iou.argmax(1, keepdim=True)  # m 1
        masks = self._hq_mask(tokens[:, -1], self.from_features(features) + image[1])
        if self.output is HQOutput.SUM:
            sam_masks = self.base.masks(tokens, features, outputs)
            masks = masks + sam_masks.take_along_dim(best[:, :, None, None], dim=1)
        return masks, iou.take_along_dim(best, dim=1)

    def _hq_mask(self, token: Tensor, features: Tensor) -> Tensor:
        return (self.hyper(token)[:, None] @ features.flatten(2)).unflatten(2, features.shape[2:])


def _enlarge(width: int, inner: int) -> nn.Sequential:
    """Return layers from a map at stride 16 to features at stride 4."""
    return nn.Sequential(
        nn.ConvTranspose2d(width, inner, 2, stride=2),
        MapNorm(inner, eps=EPS),
        nn.GELU(),
        nn.ConvTranspose2d(inner, FEATURES, 2, stride=2),
    )
