"""ViT as DeiT trains it (arXiv 2010.11929, 2012.12877): the plain transformer that the others are compared with.

| here | paper |
|---|---|
| ``width`` | D, the embedding dimension |
| ``heads`` | h; each has D / h = 64 channels |
| ``position`` | E_pos |
| ``class_token`` | x_class |
| ``Attention`` | MSA, softmax(q kᵀ / √(D/h)) v |

One map at stride 16. The class token is the first token, as in pretraining, and is dropped from the map.
"""

from collections.abc import Mapping
from enum import StrEnum
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.impl import Impl

BLOCK = 256  # queries of chunked attention whose scores are in memory at once


class AttentionKind(StrEnum):
    """A way to compute attention; all give the same numbers.

    ``naive`` builds the score matrix, as published. ``sdpa`` is torch's fused attention. ``chunked`` is the published
    arithmetic over blocks of queries: each row's softmax is whole, and only the scores of a block are in memory. It
    is faster on CPUs whose matrix library computes bfloat16 and whose fused attention does not.
    """

    NAIVE = "naive"
    SDPA = "sdpa"
    CHUNKED = "chunked"

    @classmethod
    def _missing_(cls, value: object) -> "AttentionKind":
        raise ValueError(f"attention={value!r} is unknown; allowed are {', '.join(cls)}")


def naive_or_sdpa(attention: str) -> AttentionKind:
    """Return the kind named ``attention``; raise ValueError for ``chunked``, which some models do not have."""
    kind = AttentionKind(attention)
    if kind is AttentionKind.CHUNKED:
        raise ValueError("attention='chunked' exists for plain ViTs only; allowed here are naive, sdpa")
    return kind


class Attention(nn.Module):
    """Multi-head self-attention over tokens ``b t c``."""

    def __init__(self, width: int, heads: int, kind: AttentionKind) -> None:
        super().__init__()
        self.heads = heads
        self.kind = kind
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each: b head t c/head
        if self.kind is AttentionKind.SDPA:
            y = functional.scaled_dot_product_attention(q, k, v)
        elif self.kind is AttentionKind.CHUNKED:
            y = chunked_attention(q, k, v)
        else:
            y = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        projected: Tensor = self.proj(y.transpose(1, 2).flatten(2))
        return projected


def chunked_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q kᵀ / √d) v, ``b head t c/head``, computed for BLOCK queries at a time."""
    keys = k.transpose(-2, -1).contiguous()
    v = v.contiguous()
    queries = (q * q.shape[-1] ** -0.5).split(BLOCK, dim=2)
    return torch.cat([(block @ keys).softmax(-1) @ v for block in queries], dim=2)


class Block(nn.Module):
    """Pre-norm residual block: attention, then an MLP of four times the width."""

    def __init__(self, width: int, heads: int, kind: AttentionKind) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, kind)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """DeiT without its head."""

    patch = 16

    def __init__(
        self, width: int, heads: int, depth: int, image_size: tuple[int, int], attention: AttentionKind
    ) -> None:
        super().__init__()
        self.strides = (self.patch,)
        self.widths = (width,)
        self.grid = (image_size[0] // self.patch, image_size[1] // self.patch)
        self.patch_embed = nn.Conv2d(3, width, self.patch, stride=self.patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 1 + self.grid[0] * self.grid[1], width))
        self.blocks = nn.ModuleList(Block(width, heads, attention) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def tokens(self, image: Tensor) -> Tensor:
        """Return the normalised class token and patch tokens, ``b (1 + t) c``.

        Raises ValueError where 16 does not divide the image's height and width.
        """
        if image.shape[2] % self.patch or image.shape[3] % self.patch:
            raise ValueError(f"image must be `b 3 h w` with h, w that {self.patch} divides, got {tuple(image.shape)}")
        x = self.patch_embed(image)
        grid = (x.shape[2], x.shape[3])
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        x = x + resample_position(self.position, self.grid, grid)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def pooled(self, image: Tensor) -> Tensor:
        """Return the class token, ``b c``."""
        return self.tokens(image)[:, 0]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        grid = (image.shape[2] // self.patch, image.shape[3] // self.patch)
        return (self.tokens(image)[:, 1:].transpose(1, 2).unflatten(2, grid),)

    def refit(self, entries: Mapping[str, Tensor], image_size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the state dict of a model built for ``image_size``, its position table resampled to this one's."""
        grid = (image_size[0] // self.patch, image_size[1] // self.patch)
        return {**entries, "position": resample_position(entries["position"], grid, self.grid)}


def resample_position(position: Tensor, grid: tuple[int, int], to: tuple[int, int]) -> Tensor:
    """Resample the table ``1 (1 + h w) c`` to another grid: bicubic, the class token's row kept (timm's rule)."""
    if grid == to:
        return position
    first, table = position[:, :1], position[:, 1:]
    table = table.transpose(1, 2).unflatten(2, grid)
    table = functional.interpolate(table, to, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([first, table.flatten(2).transpose(1, 2)], dim=1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


@backbone("vit-t", paper="2012.12877", source="facebookresearch/deit models.py", multiple_of=16)
def vit_t(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> ViT:
    """DeiT-T: 12 blocks of 192 channels, 3 heads."""
    return ViT(192, 3, 12, image_size, AttentionKind(attention))


@backbone("vit-s", paper="2012.12877", source="facebookresearch/deit models.py", multiple_of=16)
def vit_s(image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> ViT:
    """DeiT-S: 12 blocks of 384 channels, 6 heads."""
    return ViT(384, 6, 12, image_size, AttentionKind(attention))


@official(ViT)
def _official(model: ViT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename DeiT's entries (timm's layout): ``cls_token``, ``pos_embed``, ``blocks.i.mlp.fc1``.

    A position table of a square grid is resampled to the model's grid, once.
    """
    renamed = {
        "cls_token": "class_token",
        "pos_embed": "position",
        "patch_embed.proj.weight": "patch_embed.weight",
        "patch_embed.proj.bias": "patch_embed.bias",
    }
    ours = {
        renamed.get(k, k.replace(".mlp.fc1.", ".mlp.0.").replace(".mlp.fc2.", ".mlp.2.")): v for k, v in state.items()
    }
    table = ours.get("position")
    if table is not None and table.ndim == 3 and (side := isqrt(table.shape[1] - 1)) ** 2 == table.shape[1] - 1:
        ours["position"] = resample_position(table, (side, side), model.grid)
    return ours
