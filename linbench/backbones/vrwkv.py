"""Vision-RWKV (arXiv 2403.02308): a ViT whose attention is bi-WKV, linear in the number of tokens.

| here | paper |
|---|---|
| ``width`` | C, the embedding dimension |
| ``mix_k``, ``mix_v``, ``mix_r`` | μ_K, μ_V, μ_R: the weight of a token beside its Q-Shift (eq. 2) |
| ``decay`` | w, the loss of weight per token of distance |
| ``bonus`` | u, the extra weight of the current token |
| ``key``, ``value``, ``receptance``, ``output`` | W_K, W_V, W_R, W_O |
| ``SpatialMix`` | spatial mix: σ(R) ⊙ wkv, then W_O (eq. 2, 3) |
| ``ChannelMix`` | channel mix: σ(R) ⊙ (squared ReLU(K) W_V) (eq. 5) |
| ``scale1``, ``scale2`` | layer scale γ of the two branches |

One map at stride 16: the normalised tokens. There is no class token. The image is padded with zeros below and on
the right to whole patches. Where paper and official code differ we follow the code: both w and u are divided by
the number of tokens; eq. 2 reads μ X + (1 − μ) X', not X + (1 − μ) X'; the channel mix has no W_O.
In ``fused`` blocks one operator does norm, Q-Shift and mixes, and another one bi-WKV and its gate, unless a key norm
stands between the two.
The classifier of VRWKV-L is not linear (1024-3072-tanh-1000); only its backbone is here.
"""

from collections.abc import Mapping, Sequence
from math import isqrt, log

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.bi_wkv import bi_wkv, gated_bi_wkv
from linbench.kernels.impl import Impl
from linbench.kernels.q_shift import q_shift
from linbench.kernels.shift_mix import norm_shift_mix, shift_mix

PATCH = 16
HIDDEN_RATE = 4
Grid = tuple[int, int]


class SpatialMix(nn.Module):
    """Mix tokens ``b (h w) c`` over the image."""

    def __init__(self, width: int, layer: int, depth: int, key_norm: bool, impl: Impl, fused: bool = False) -> None:
        super().__init__()
        self.impl = impl
        self.fused = fused
        self.decay = nn.Parameter(initial_decay(width, layer, depth))
        self.bonus = nn.Parameter(initial_bonus(width))
        mix = initial_mix(width, layer, depth)
        self.mix_k = nn.Parameter(mix)
        self.mix_v = nn.Parameter(mix + 0.3 * layer / max(depth - 1, 1))
        self.mix_r = nn.Parameter(mix.sqrt())
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        # Named as in the source's configuration; it normalises the op's result.
        self.key_norm = nn.LayerNorm(width) if key_norm else nn.Identity()
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, grid: Grid, norm: nn.LayerNorm | None = None) -> Tensor:
        """Return the branch's result; ``norm`` is applied to the tokens first."""
        mixes = [self.mix_k, self.mix_v, self.mix_r]
        k, v, r = shifted_mixes(x, norm, mixes, grid, self.impl, self.fused)
        k, v, r = self.key(k), self.value(v), self.receptance(r)
        w, u = self.decay / x.shape[1], self.bonus / x.shape[1]
        if self.fused and isinstance(self.key_norm, nn.Identity):
            return self.output(gated_bi_wkv(w, u, k, v, r, impl=self.impl))
        y = self.key_norm(bi_wkv(w, u, k, v, impl=self.impl))
        return self.output(r.sigmoid() * y)


class ChannelMix(nn.Module):
    """Mix the channels of each token ``b (h w) c`` and of its Q-Shift."""

    def __init__(
        self, width: int, hidden: int, layer: int, depth: int, key_norm: bool, impl: Impl, fused: bool = False
    ) -> None:
        super().__init__()
        self.impl = impl
        self.fused = fused
        self.mix_k = nn.Parameter(initial_mix(width, layer, depth))
        self.mix_r = nn.Parameter(initial_mix(width, layer, depth))
        self.key = nn.Linear(width, hidden, bias=False)
        self.key_norm = nn.LayerNorm(hidden) if key_norm else nn.Identity()
        self.receptance = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, grid: Grid, norm: nn.LayerNorm | None = None) -> Tensor:
        """Return the branch's result; ``norm`` is applied to the tokens first."""
        k, r = shifted_mixes(x, norm, [self.mix_k, self.mix_r], grid, self.impl, self.fused)
        k = self.key_norm(self.key(k).relu().square())
        return self.receptance(r).sigmoid() * self.value(k)


def shifted_mixes(
    x: Tensor, norm: nn.LayerNorm | None, mixes: list[nn.Parameter], grid: Grid, impl: Impl, fused: bool
) -> Sequence[Tensor]:
    """Return for each μ of mixes, ``1 1 c``, the mix of the tokens, ``norm`` applied, with their Q-Shift (eq. 2)."""
    if fused and norm is None:
        return shift_mix(x, [mix.flatten() for mix in mixes], grid, impl=impl).unbind(0)
    if fused and norm is not None:
        flat = [mix.flatten() for mix in mixes]
        return norm_shift_mix(x, norm.weight, norm.bias, flat, grid, norm.eps, impl=impl).unbind(0)
    x = x if norm is None else norm(x)
    shifted = q_shift(x, shift_pixel=1, gamma=1 / 4, patch_resolution=grid, impl=impl)
    return [x * mix + shifted * (1 - mix) for mix in mixes]


class PreNormBlock(nn.Module):
    """The block of VRWKV-T: each branch reads the normalised tokens."""

    def __init__(self, spatial: SpatialMix, channel: ChannelMix, width: int, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.norm1 = nn.LayerNorm(width)
        self.spatial = spatial
        self.norm2 = nn.LayerNorm(width)
        self.channel = channel

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + drop_path(self.spatial(x, grid, self.norm1), self.drop_rate, self.training)
        return x + drop_path(self.channel(x, grid, self.norm2), self.drop_rate, self.training)


class PostNormBlock(nn.Module):
    """The block of VRWKV-S, B and L: each branch's result is normalised and scaled by channel."""

    def __init__(
        self, spatial: SpatialMix, channel: ChannelMix, width: int, drop_rate: float, layer_scale: float
    ) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.spatial = spatial
        self.norm1 = nn.LayerNorm(width)
        self.scale1 = nn.Parameter(torch.full((width,), layer_scale))
        self.channel = channel
        self.norm2 = nn.LayerNorm(width)
        self.scale2 = nn.Parameter(torch.full((width,), layer_scale))

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + drop_path(self.scale1 * self.norm1(self.spatial(x, grid)), self.drop_rate, self.training)
        return x + drop_path(self.scale2 * self.norm2(self.channel(x, grid)), self.drop_rate, self.training)


class VRWKV(nn.Module):
    """Vision-RWKV without its head.

    layer_scale: Initial γ of post-norm blocks; ``None`` makes pre-norm blocks, which have no γ.
    key_norm: Whether the op's result and the channel mix's hidden units are normalised.
    drop_path: Rate of stochastic depth at the last block, rising linearly from 0 at the first.
    fused: Whether chains of pointwise operations run as one operator, with the same numbers and parameters.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        layer_scale: float | None,
        key_norm: bool,
        image_size: tuple[int, int],
        impl: Impl,
        drop_path: float,
        fused: bool,
    ) -> None:
        super().__init__()
        self.strides = (PATCH,)
        self.widths = (width,)
        self.grid = (-(-image_size[0] // PATCH), -(-image_size[1] // PATCH))
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.position = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], width))
        self.first_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList()
        for layer in range(depth):
            spatial = SpatialMix(width, layer, depth, key_norm, impl, fused)
            channel = ChannelMix(width, HIDDEN_RATE * width, layer, depth, key_norm, impl, fused)
            rate = drop_path * layer / max(depth - 1, 1)
            self.blocks.append(
                PreNormBlock(spatial, channel, width, rate)
                if layer_scale is None
                else PostNormBlock(spatial, channel, width, rate, layer_scale)
            )
        self.norm = nn.LayerNorm(width)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = self.patch_embed(pad_to_patches(image))
        grid = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2) + resample_position(self.position, self.grid, grid)
        x = self.first_norm(x)
        for block in self.blocks:
            x = block(x, grid)
        return (self.norm(x).transpose(1, 2).unflatten(2, grid),)

    def refit(self, entries: Mapping[str, Tensor], image_size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the state dict of a model built for ``image_size``, its position table resampled to this one's."""
        grid = (-(-image_size[0] // PATCH), -(-image_size[1] // PATCH))
        return {**entries, "position": resample_position(entries["position"], grid, self.grid)}


def pad_to_patches(image: Tensor) -> Tensor:
    """Pad with zeros below and on the right, to whole patches."""
    below, right = -image.shape[2] % PATCH, -image.shape[3] % PATCH
    return functional.pad(image, (0, right, 0, below)) if below or right else image


def resample_position(position: Tensor, grid: Grid, to: Grid) -> Tensor:
    """Resample the table ``1 (h w) c`` to another grid as the source does: bicubic, without antialiasing."""
    if grid == to:
        return position
    table = position.transpose(1, 2).unflatten(2, grid)
    table = functional.interpolate(table, to, mode="bicubic", align_corners=False)
    return table.flatten(2).transpose(1, 2)


def drop_path(branch: Tensor, rate: float, training: bool) -> Tensor:
    """Zero the branch of a sample with probability ``rate`` in training, else scale it up (stochastic depth)."""
    if not training or rate == 0:
        return branch
    mask = torch.rand(branch.shape[0], 1, 1, device=branch.device) >= rate
    return branch * mask / (1 - rate)


def initial_decay(width: int, layer: int, depth: int) -> Tensor:
    """Return w, ``c``: from -5 to 3 over the channels, along a curve that bends more in later layers."""
    channel = torch.arange(width) / max(width - 1, 1)
    return -5 + 8 * channel ** (0.7 + 1.3 * layer / max(depth - 1, 1))


def initial_bonus(width: int) -> Tensor:
    """Return u, ``c``: ln 0.3, with 0, ½, -½ added in turn."""
    return log(0.3) + 0.5 * ((torch.arange(width) + 1) % 3 - 1)


def initial_mix(width: int, layer: int, depth: int) -> Tensor:
    """Return μ, ``1 1 c``: 0 to 1 over the channels; nearly all ones in the last layer."""
    return (torch.arange(width) / width)[None, None] ** (1 - layer / depth)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)


SOURCE = "OpenGVLab/Vision-RWKV@0e0e38a classification/mmcls_custom/models/backbones/vrwkv.py"


@backbone("vrwkv-t", paper="2403.02308", source=SOURCE)
def vrwkv_t(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> VRWKV:
    """VRWKV-T: 12 pre-norm blocks of 192 channels."""
    return VRWKV(192, 12, None, False, image_size, impl, drop_path, fused)


@backbone("vrwkv-s", paper="2403.02308", source=SOURCE, classifier={"drop_path": 0.3})
def vrwkv_s(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> VRWKV:
    """VRWKV-S: 12 post-norm blocks of 384 channels."""
    return VRWKV(384, 12, 1.0, False, image_size, impl, drop_path, fused)


@backbone("vrwkv-b", paper="2403.02308", source=SOURCE, classifier={"drop_path": 0.5})
def vrwkv_b(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> VRWKV:
    """VRWKV-B: 12 post-norm blocks of 768 channels."""
    return VRWKV(768, 12, 1e-5, False, image_size, impl, drop_path, fused)


@backbone("vrwkv-l", paper="2403.02308", source=SOURCE)
def vrwkv_l(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0, fused: bool = False) -> VRWKV:
    """VRWKV-L: 24 post-norm blocks of 1024 channels, with key norms."""
    return VRWKV(1024, 24, 1e-5, True, image_size, impl, drop_path, fused)


_OFFICIAL_NAMES = {
    "head.fc.": "head.",
    "pos_embed": "position",
    "patch_embed.projection.": "patch_embed.",
    "layers.0.ln0.": "first_norm.",
    "layers.": "blocks.",
    "ln1.": "norm.",
}
_OFFICIAL_PARTS = {
    ".ln1.": ".norm1.",
    ".ln2.": ".norm2.",
    ".gamma1": ".scale1",
    ".gamma2": ".scale2",
    ".att.": ".spatial.",
    ".ffn.": ".channel.",
    ".spatial_decay": ".decay",
    ".spatial_first": ".bonus",
    ".spatial_mix_": ".mix_",
}


@official(VRWKV)
def _official(model: VRWKV, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename Vision-RWKV's entries: ``backbone.layers.i.att.spatial_decay``, ``head.fc.weight``.

    A square position table of another grid than the model's is resampled, once, as the source does per image.
    """
    ours = {}
    for name, value in state.items():
        key = name.removeprefix("backbone.")
        for theirs, replacement in _OFFICIAL_NAMES.items():
            if key.startswith(theirs):
                key = replacement + key.removeprefix(theirs)
                break
        for theirs, replacement in _OFFICIAL_PARTS.items():
            key = key.replace(theirs, replacement)
        ours[key] = value
    table = ours.get("position")
    if table is not None and table.ndim == 3 and (side := isqrt(table.shape[1])) ** 2 == table.shape[1] and side:
        ours["position"] = resample_position(table, (side, side), model.grid)
    return ours
