"""VRWKV6 (Vision-RWKV's second generation): a ViT whose attention is WKV-6 in both directions, linear in the tokens.

| here | source; RWKV-6 (arXiv 2404.05892, section 4) |
|---|---|
| ``width`` | C, the embedding dimension, in heads of 64 channels |
| ``shift`` | Q-Shift inside each head: a quarter of its channels from each neighbour |
| ``mix_x``, ``mix_down``, ``mix_up`` | μ_x, A_1, A_2: the mix that depends on the token (LoRA of ddlerp) |
| ``mix_w`` … ``mix_g`` | μ_w, μ_k, μ_v, μ_r, μ_g: the weight of the Q-Shift beside a token |
| ``decay``, ``decay_down``, ``decay_up`` | λ, B_1, B_2: w = λ + tanh(x_w B_1) B_2; a gate is exp(−exp(w)) |
| ``bonus`` | u, the weight of the current token |
| ``key``, ``value``, ``receptance``, ``gate``, ``output`` | W_K, W_V, W_R, W_G, W_O |
| ``SpatialMix`` | (GroupNorm(wkv) ⊙ silu(g)) W_O |
| ``ChannelMix`` | σ(R) ⊙ (squared ReLU(K) W_V), as VRWKV |
| ``scale1``, ``scale2`` | layer scale γ of the two branches |

WKV-6 per head, with k_t v_tᵀ a matrix of 64 × 64 and D_t = diag(exp(−exp(w_t))):
y_t = r_tᵀ (Σ_{i≠t} (Π_{j strictly between i and t} D_j) k_i v_iᵀ + diag(u) k_t v_tᵀ).
It reads the tokens row by row in both directions with the same gates: a neighbour has weight 1, u enters once, and
there is no normaliser but the GroupNorm. RWKV-6 itself is causal.
One map at stride 16: the normalised tokens. There is no class token. The image is padded with zeros below and on
the right to whole patches. The official backward holds 256 tokens at most (``T_MAX``); here any number.
"""

from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.gated_linear_attention import gated_linear_attention
from linbench.kernels.impl import Impl
from linbench.kernels.q_shift import q_shift

PATCH = 16
DEPTH = 12
HEAD = 64  # channels
MIX_RANK = 32
DECAY_RANK = 64
HIDDEN_RATE = 4
GROUP_EPS = 1e-5
Grid = tuple[int, int]


class SpatialMix(nn.Module):
    """Mix tokens ``b (h w) c`` over the image."""

    def __init__(self, width: int, layer: int, depth: int, impl: Impl) -> None:
        super().__init__()
        self.impl = impl
        mix = initial_mix(width, layer, depth)
        position = layer / max(depth - 1, 1)
        self.mix_x = nn.Parameter(1 - mix)
        self.mix_w = nn.Parameter(1 - mix)
        self.mix_k = nn.Parameter(1 - mix)
        self.mix_v = nn.Parameter(1 - (mix + 0.3 * position))
        self.mix_r = nn.Parameter(1 - mix.sqrt())
        self.mix_g = nn.Parameter(1 - mix.sqrt())
        self.mix_down = nn.Parameter(torch.empty(width, 5 * MIX_RANK).uniform_(-1e-4, 1e-4))
        self.mix_up = nn.Parameter(torch.empty(5, MIX_RANK, width).uniform_(-1e-4, 1e-4))
        self.decay = nn.Parameter(initial_decay(width, layer, depth))
        self.decay_down = nn.Parameter(torch.empty(width, DECAY_RANK).uniform_(-1e-4, 1e-4))
        self.decay_up = nn.Parameter(torch.empty(DECAY_RANK, width).uniform_(-1e-4, 1e-4))
        self.bonus = nn.Parameter(initial_bonus(width, layer, depth).unflatten(0, (-1, HEAD)))
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, width, bias=False)
        self.norm = nn.GroupNorm(width // HEAD, width, eps=GROUP_EPS)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x_w, x_k, x_v, x_r, x_g = self.mixes(x, grid)
        r, k, v = self.receptance(x_r), self.key(x_k), self.value(x_v)
        w = self.decay + torch.tanh(x_w @ self.decay_down) @ self.decay_up
        gates = -torch.exp(heads(_wide(w)))
        y = gated_linear_attention(heads(r), heads(k), heads(v), gates, gates, self.bonus, impl=self.impl)
        y = self.norm(y.flatten(2).flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.output(y * functional.silu(self.gate(x_g)))

    def mixes(self, x: Tensor, grid: Grid) -> list[Tensor]:
        """Return x_w, x_k, x_v, x_r and x_g, ``b (h w) c``: the tokens, mixed with their Q-Shift."""
        change = shift(x, grid, self.impl) - x
        low = torch.tanh((x + change * self.mix_x) @ self.mix_down).flatten(0, 1)
        parts = low.unflatten(1, (5, MIX_RANK)).transpose(0, 1)  # i (b t) r
        fixed = torch.cat((self.mix_w, self.mix_k, self.mix_v, self.mix_r, self.mix_g))  # i 1 c
        by_token = torch.baddbmm(fixed, parts, self.mix_up).unflatten(1, x.shape[:2])  # i b t c
        return [x + change * mix for mix in by_token]


class ChannelMix(nn.Module):
    """Mix the channels of each token ``b (h w) c`` and of its Q-Shift."""

    def __init__(self, width: int, hidden: int, layer: int, depth: int, impl: Impl) -> None:
        super().__init__()
        self.impl = impl
        self.mix_k = nn.Parameter(initial_mix(width, layer, depth))
        self.mix_r = nn.Parameter(initial_mix(width, layer, depth))
        self.key = nn.Linear(width, hidden, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        shifted = shift(x, grid, self.impl)
        k, r = (x * mix + shifted * (1 - mix) for mix in (self.mix_k, self.mix_r))
        return self.receptance(r).sigmoid() * self.value(self.key(k).relu().square())


def heads(x: Tensor) -> Tensor:
    """Cut ``b t c`` into heads, ``b t h d``."""
    return x.unflatten(2, (-1, HEAD))


def shift(x: Tensor, grid: Grid, impl: Impl) -> Tensor:
    """Return the Q-Shift of tokens ``b (h w) c`` inside each head: 16 channels from each of the four neighbours."""
    flat = heads(x).transpose(1, 2).flatten(0, 1)
    shifted = q_shift(flat, shift_pixel=1, gamma=1 / 4, patch_resolution=grid, impl=impl)
    return shifted.unflatten(0, (len(x), -1)).transpose(1, 2).flatten(2)


class PreNormBlock(nn.Module):
    """The block of VRWKV6-T: each branch reads the normalised tokens."""

    def __init__(self, spatial: SpatialMix, channel: ChannelMix, width: int, drop_rate: float) -> None:
        super().__init__()
        self.drop_rate = drop_rate
        self.norm1 = nn.LayerNorm(width)
        self.spatial = spatial
        self.norm2 = nn.LayerNorm(width)
        self.channel = channel

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + drop_path(self.spatial(self.norm1(x), grid), self.drop_rate, self.training)
        return x + drop_path(self.channel(self.norm2(x), grid), self.drop_rate, self.training)


class PostNormBlock(nn.Module):
    """The block of VRWKV6-S and B: each branch's result is normalised and scaled by channel."""

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


class VRWKV6(nn.Module):
    """VRWKV6 without its head.

    layer_scale: Initial γ of post-norm blocks; ``None`` makes pre-norm blocks, which have no γ.
    drop_path: Rate of stochastic depth at the last block, rising linearly from 0 at the first.
    """

    def __init__(
        self, width: int, layer_scale: float | None, image_size: tuple[int, int], impl: Impl, drop_path: float
    ) -> None:
        super().__init__()
        self.strides = (PATCH,)
        self.widths = (width,)
        self.grid = (-(-image_size[0] // PATCH), -(-image_size[1] // PATCH))
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.position = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], width))
        self.first_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList()
        for layer in range(DEPTH):
            spatial = SpatialMix(width, layer, DEPTH, impl)
            channel = ChannelMix(width, HIDDEN_RATE * width, layer, DEPTH, impl)
            rate = drop_path * layer / (DEPTH - 1)
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


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def initial_mix(width: int, layer: int, depth: int) -> Tensor:
    """Return q^ρ, ``1 1 c``: 0 to 1 over the channels; nearly all ones in the last layer."""
    return (torch.arange(width) / width)[None, None] ** (1 - layer / depth)


def initial_decay(width: int, layer: int, depth: int) -> Tensor:
    """Return λ, ``1 1 c``: from -6 to -1 over the channels, along a curve that bends more in later layers."""
    channel = torch.arange(width) / (width - 1)
    return (-6 + 5 * channel ** (0.7 + 1.3 * layer / max(depth - 1, 1)))[None, None]


def initial_bonus(width: int, layer: int, depth: int) -> Tensor:
    """Return u, ``c``: a slope that falls over the channels and grows over the layers, with 0, ±0.1 added in turn."""
    channel = torch.arange(width)
    return layer / max(depth - 1, 1) * (1 - channel / (width - 1)) + 0.1 * ((channel + 1) % 3 - 1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)


PAPER = "2403.02308"
SOURCE = "OpenGVLab/Vision-RWKV@0e0e38a classification/mmcls_custom/models/backbones/vrwkv6.py"


@backbone("vrwkv6-t", paper=PAPER, source=SOURCE)
def vrwkv6_t(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> VRWKV6:
    """VRWKV6-T: 12 pre-norm blocks of 192 channels."""
    return VRWKV6(192, None, image_size, impl, drop_path)


@backbone("vrwkv6-s", paper=PAPER, source=SOURCE, classifier={"drop_path": 0.3})
def vrwkv6_s(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> VRWKV6:
    """VRWKV6-S: 12 post-norm blocks of 384 channels."""
    return VRWKV6(384, 1e-5, image_size, impl, drop_path)


@backbone("vrwkv6-b", paper=PAPER, source=SOURCE, classifier={"drop_path": 0.5})
def vrwkv6_b(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> VRWKV6:
    """VRWKV6-B: 12 post-norm blocks of 768 channels."""
    return VRWKV6(768, 1e-5, image_size, impl, drop_path)


#: Beginnings of the source's names, the first that fits, and ours.
_OFFICIAL_NAMES = {
    "head.fc.": "head.",
    "pos_embed": "position",
    "patch_embed.projection.": "patch_embed.",
    "layers.0.ln0.": "first_norm.",
    "layers.": "blocks.",
    "ln1.": "norm.",
}
#: Parts of them, applied in this order.
_OFFICIAL_PARTS = {
    ".ln1.": ".norm1.",
    ".ln2.": ".norm2.",
    ".gamma1": ".scale1",
    ".gamma2": ".scale2",
    ".att.": ".spatial.",
    ".ffn.": ".channel.",
    ".ln_x.": ".norm.",
    ".time_maa_w1": ".mix_down",
    ".time_maa_w2": ".mix_up",
    ".time_maa_": ".mix_",
    ".time_decay_w1": ".decay_down",
    ".time_decay_w2": ".decay_up",
    ".time_decay": ".decay",
    ".time_faaaa": ".bonus",
    ".spatial_mix_": ".mix_",
}


@official(VRWKV6)
def _official(model: VRWKV6, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename Vision-RWKV's entries: ``backbone.layers.i.att.time_decay``, ``head.fc.weight``.

    A square position table of another grid than the model's is resampled, once, as the source does per image.
    """
    ours = {renamed(name): value for name, value in state.items()}
    table = ours.get("position")
    if table is not None and table.ndim == 3 and (side := isqrt(table.shape[1])) ** 2 == table.shape[1] and side:
        ours["position"] = resample_position(table, (side, side), model.grid)
    return ours


def renamed(name: str) -> str:
    """Return our name of an official entry."""
    key = name.removeprefix("backbone.")
    theirs = next((start for start in _OFFICIAL_NAMES if key.startswith(start)), "")
    key = _OFFICIAL_NAMES.get(theirs, "") + key.removeprefix(theirs)
    for part, replacement in _OFFICIAL_PARTS.items():
        key = key.replace(part, replacement)
    return key
