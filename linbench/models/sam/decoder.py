"""SAM's mask decoder (arXiv 2304.02643, appendix A), and RWKV-SAM's around it (2406.19369, section 3.2).

| here | papers |
|---|---|
| ``transformer`` | the two decoder layers of SAM; Φ_dec of RWKV-SAM together with ``upscale`` |
| ``features`` | F_M: the image embedding after the transformer, upscaled to stride 4, 32 channels |
| ``hyper`` | the MLPs that turn a mask token into the weights of its mask: Q of M = Q ⊗ F_M |
| ``fusion`` | Φ'_dec, which refines F_M with the maps at strides 4 and 8 (eq. 7) |

Mask token 0 gives the mask if one is requested, tokens 1 to 3 give three. A decoder of one mask token still has the
three others as parameters, as official checkpoints do, and reads none of them.
"""

from typing import Any

import torch
from torch import Tensor, nn

from linbench.backbones.sam_vit import MapNorm
from linbench.models.sam.prompts import EPS, WIDTH, PromptTokens
from linbench.models.sam.transformer import EPS as TRANSFORMER_EPS
from linbench.models.sam.transformer import TwoWayTransformer, sam_transformer

TOKENS = 4
FEATURES = WIDTH // 8


def mlp(to: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return three linear layers from a token to ``to`` numbers."""
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), activation(), nn.Linear(WIDTH, WIDTH), activation(), nn.Linear(WIDTH, to)
    )


def upscaling(norm: nn.Module) -> nn.Sequential:
    """Return the layers from the image embedding at stride 16 to features at stride 4.

    norm: Of the map at stride 8, which has a quarter of the embedding's channels.
    """
    return nn.Sequential(
        nn.ConvTranspose2d(WIDTH, WIDTH // 4, 2, stride=2),
        norm,
        nn.GELU(),
        nn.ConvTranspose2d(WIDTH // 4, FEATURES, 2, stride=2),
        nn.GELU(),
    )


class MaskDecoder(nn.Module):
    """SAM's mask decoder.

    masks: Mask tokens that are read, 4 or 1.
    activation: Of the MLPs behind the tokens.
    """

    def __init__(
        self,
        transformer: TwoWayTransformer,
        upscale: nn.Module,
        masks: int = TOKENS,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.iou_token = nn.Parameter(torch.randn(1, WIDTH))
        self.mask_tokens = nn.Parameter(torch.randn(TOKENS, WIDTH))
        self.transformer = transformer
        self.upscale = upscale
        self.hyper = nn.ModuleList(mlp(FEATURES, activation) for _ in range(masks))
        self.iou_head = mlp(TOKENS, activation)

    def prepare(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return what is computed once per image, whatever the number of prompts; first the embedding, ``1 c h w``.

        maps: Of one image, fine to coarse.
        """
        return maps[-1:]

    def forward(self, image: tuple[Tensor, ...], prompt: PromptTokens, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return mask logits ``m k 4h 4w`` and predicted IoUs ``m k``, with k = 3 for ``multimask`` and 1 without.

        image: As ``prepare`` returned it.
        Raises ValueError for ``multimask`` with one mask token.
        """
        outputs = self.output_tokens(multimask)
        tokens, embedding = self.attend(image[0], prompt)
        return self.masks(tokens, self.upscale(embedding), outputs), self.iou(tokens)[:, outputs]

    def output_tokens(self, multimask: bool) -> slice:
        """Return the mask tokens of the result. Raises ValueError for three masks of a decoder with one token."""
        if multimask and len(self.hyper) == 1:
            raise ValueError("multimask: this decoder has one mask token, as RWKV-SAM's has; it gives one mask")
        return slice(1, None) if multimask else slice(0, 1)

    def attend(self, embedding: Tensor, prompt: PromptTokens, *more: Tensor) -> tuple[Tensor, Tensor]:
        """Run the transformer; return the output tokens, ``m t c``, and the image embedding, ``m c h w``.

        more: Further output tokens, ``1 c`` each.
        """
        outputs = torch.cat([self.iou_token, self.mask_tokens[: len(self.hyper)], *more])
        tokens = torch.cat([outputs.expand(len(prompt.sparse), -1, -1), prompt.sparse], dim=1)
        tokens, embedding = self.transformer(tokens, embedding + prompt.dense, prompt.position)
        return tokens[:, : len(outputs)], embedding

    def masks(self, tokens: Tensor, features: Tensor, outputs: slice) -> Tensor:
        """Return the masks of the chosen mask tokens, ``m k h w``, on features ``m c h w``."""
        chosen = list(zip(self.hyper, tokens[:, 1:].unbind(1), strict=False))[outputs]
        weights = torch.stack([head(token) for head, token in chosen], dim=1)
        return (weights @ features.flatten(2)).unflatten(2, features.shape[2:])

    def iou(self, tokens: Tensor) -> Tensor:
        """Return the predicted IoU of every mask token's mask, ``m 4``."""
        predicted: Tensor = self.iou_head(tokens[:, 0])
        return predicted


class FusionDecoder(nn.Module):
    """RWKV-SAM's mask decoder: one mask, on features that the backbone's fine maps refine.

    fusion: Has ``project(fine, middle)``, computed once per image, and ``forward(features, embedding, *projected)``.
    """

    def __init__(self, base: MaskDecoder, fusion: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.fusion: Any = fusion

    def prepare(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the embedding, and the projected maps at strides 4 and 8."""
        fine, middle, embedding = maps
        return (embedding, *self.fusion.project(fine, middle))

    def forward(self, image: tuple[Tensor, ...], prompt: PromptTokens, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return mask logits and predicted IoUs; see ``MaskDecoder.forward``."""
        outputs = self.base.output_tokens(multimask)
        tokens, embedding = self.base.attend(image[0], prompt)
        features = self.fusion(self.base.upscale(embedding), embedding, *image[1:])
        return self.base.masks(tokens, features, outputs), self.base.iou(tokens)[:, outputs]


def sam_decoder(masks: int = TOKENS, eps: float = TRANSFORMER_EPS) -> MaskDecoder:
    """Return SAM's decoder, with four mask tokens; with one, the plain decoder of backbones without fine maps.

    eps: Of the transformer's norms.
    """
    return MaskDecoder(sam_transformer(eps), upscaling(MapNorm(WIDTH // 4, eps=EPS)), masks)
