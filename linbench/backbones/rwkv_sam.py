"""RWKV-SAM's encoder (arXiv 2406.19369, section 3): convolutions down to stride 8, bi-WKV blocks at stride 16.

| here | paper |
|---|---|
| ``widths`` | C1, C2, C3: channels at strides 4, 8, 16 |
| ``MBConv`` | MBConv block of the first two stages |
| ``mix_k``, ``mix_v``, ``mix_r`` | μ_K, μ_V, μ_R: the weight of a token beside its Q-Shift (eq. 2) |
| ``decay``, ``bonus`` | w, u of bi-WKV (eq. 4) |
| ``key``, ``value``, ``receptance``, ``output`` | W_K, W_V, W_R, W_O |
| ``SpatialMix``, ``ChannelMix`` | the two branches of a VRWKV block (eq. 2-5) |

Maps at strides 4, 8 and 16, the last one normalised. Any image size is allowed; each step down gives ceil(n / 2).
Written from a description of the official code's behaviour. Where paper and code differ we follow the code: both w
and u are divided by the number of tokens, eq. 2 reads μ X + (1 − μ) X', and the channel mix has no W_O.
In ``fused`` blocks one operator does norm, Q-Shift and mixes; another one bi-WKV and its gate; a third one all that
stands between the 1 × 1 convolutions of an MBConv.
The official class also returns a map from the middle of the third stage, which the paper's model never reads.
"""

from collections.abc import Mapping, Sequence
from math import isqrt, log

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.bi_wkv import bi_wkv, gated_bi_wkv
from linbench.kernels.gelu_depthwise import gelu_depthwise
from linbench.kernels.impl import Impl
from linbench.kernels.q_shift import q_shift
from linbench.kernels.shift_mix import norm_shift_mix

EPS = 1e-6
DEPTH = 14  # bi-WKV blocks in all
CONVS = (2, 4)  # MBConvs in stages 1 and 2
HIDDEN_RATE = 2
LAYER_SCALE = 0.01
Grid = tuple[int, int]


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map ``b c h w``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stem(nn.Module):
    """The first convolutions, ``b 3 h w`` to ``b c h/2 w/2``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.norm = MapNorm(width, eps=EPS)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv2(functional.gelu(self.norm(self.conv1(image))))


class MBConv(nn.Module):
    """Residual block: norm, widen fourfold, convolve each channel, narrow.

    stride: 1, with an unchanged width; or 2, where the shortcut averages pixels without the padding.
    """

    def __init__(self, width_in: int, width: int, stride: int, impl: Impl = Impl.FAST, fused: bool = False) -> None:
        super().__init__()
        hidden = 4 * width
        self.impl = impl
        self.fused = fused
        self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False) if stride == 2 else nn.Identity()
        self.expand = nn.Conv2d(width_in, width, 1) if width != width_in else nn.Identity()
        self.norm = MapNorm(width_in, eps=EPS)
        self.conv1 = nn.Conv2d(width_in, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden)
        self.conv3 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.norm(x))
        if self.fused:
            conv = self.conv2
            assert conv.bias is not None
            y = gelu_depthwise(y, conv.weight, conv.bias, stride=conv.stride[0], impl=self.impl)
        else:
            y = functional.gelu(self.conv2(functional.gelu(y)))
        return self.expand(self.pool(x)) + self.conv3(y)


class Downsample(nn.Module):
    """A norm, then a 3 x 3 convolution of stride 2."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.norm = MapNorm(width_in, eps=EPS)
        self.conv = nn.Conv2d(width_in, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class SpatialMix(nn.Module):
    """Mix tokens ``b (h w) c`` over the image."""

    def __init__(self, width: int, layer: int, depth: int, impl: Impl, fused: bool = False) -> None:
        super().__init__()
        self.impl = impl
        self.fused = fused
        self.decay = nn.Parameter(initial_decay(width, layer, depth))
        self.bonus = nn.Parameter(initial_bonus(width))
        mix = initial_mix(width, layer, depth)
        self.mix_k = nn.Parameter(mix)
        self.mix_v = nn.Parameter(mix + 0.3 * layer / (depth - 1))
        self.mix_r = nn.Parameter(mix.sqrt())
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, grid: Grid, norm: nn.LayerNorm) -> Tensor:
        mixes = [self.mix_k, self.mix_v, self.mix_r]
        k, v, r = shifted_mixes(x, norm, mixes, grid, self.impl, self.fused)
        k, v, r = self.key(k), self.value(v), self.receptance(r)
        w, u = self.decay / x.shape[1], self.bonus / x.shape[1]
        if self.fused:
            return self.output(gated_bi_wkv(w, u, k, v, r, impl=self.impl))
        return self.output(r.sigmoid() * bi_wkv(w, u, k, v, impl=self.impl))


class ChannelMix(nn.Module):
    """Mix the channels of each token ``b (h w) c`` and of its Q-Shift."""

    def __init__(self, width: int, hidden: int, layer: int, depth: int, impl: Impl, fused: bool = False) -> None:
        super().__init__()
        self.impl = impl
        self.fused = fused
        self.mix_k = nn.Parameter(initial_mix(width, layer, depth))
        self.mix_r = nn.Parameter(initial_mix(width, layer, depth))
        self.key = nn.Linear(width, hidden, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, grid: Grid, norm: nn.LayerNorm) -> Tensor:
        k, r = shifted_mixes(x, norm, [self.mix_k, self.mix_r], grid, self.impl, self.fused)
        return self.receptance(r).sigmoid_() * self.value(self.key(k).relu_().square())


def shifted_mixes(
    x: Tensor, norm: nn.LayerNorm, mixes: list[nn.Parameter], grid: Grid, impl: Impl, fused: bool
) -> Sequence[Tensor]:
    """Return for each μ of mixes, ``1 1 c``, the mix of the normalised tokens with their Q-Shift (eq. 2)."""
    if fused:
        flat = [mix.flatten() for mix in mixes]
        return norm_shift_mix(x, norm.weight, norm.bias, flat, grid, norm.eps, impl=impl).unbind(0)
    x = norm(x)
    shifted = q_shift(x, shift_pixel=1, gamma=1 / 4, patch_resolution=grid, impl=impl)
    return [x * mix + shifted * (1 - mix) for mix in mixes]


class Block(nn.Module):
    """Pre-norm residual block with layer scale."""

    def __init__(self, spatial: SpatialMix, channel: ChannelMix, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.spatial = spatial
        self.scale1 = nn.Parameter(torch.full((width,), LAYER_SCALE))
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.channel = channel
        self.scale2 = nn.Parameter(torch.full((width,), LAYER_SCALE))

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = torch.addcmul(x, self.scale1, self.spatial(x, grid, self.norm1))
        return torch.addcmul(x, self.scale2, self.channel(x, grid, self.norm2))


class Blocks(nn.ModuleList):
    """Consecutive blocks over a map ``b c h w``, read as tokens; without blocks the map is unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        grid = (x.shape[2], x.shape[3])
        tokens = x.flatten(2).transpose(1, 2)
        for block in self:
            tokens = block(tokens, grid)
        return tokens.transpose(1, 2).unflatten(2, grid)


class RWKVSAM(nn.Module):
    """The encoder of RWKV-SAM.

    widths: C1, C2, C3.
    early: bi-WKV blocks after the convolutions of stages 1 and 2; stage 3 has the rest of the 14.
    position_embedding: Whether a learned table is added at stride 16; an option of the official class that its
        released model does not use.
    stride32: Whether there is a fourth map, of 2 C3 channels at stride 32, as for ADE20K.
    fused: Whether chains of pointwise operations run as one operator, with the same numbers and parameters.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        early: tuple[int, int],
        image_size: tuple[int, int],
        impl: Impl,
        position_embedding: bool,
        stride32: bool,
        fused: bool,
    ) -> None:
        super().__init__()
        self.strides = (4, 8, 16, 32) if stride32 else (4, 8, 16)
        self.widths = (*widths, 2 * widths[2]) if stride32 else widths
        self.grid = (-(-image_size[0] // 16), -(-image_size[1] // 16))
        c1, c2, c3 = widths
        counts = (*early, DEPTH - sum(early))
        self.stem = Stem(c1)
        self.convs = nn.ModuleList([_convs(c1, c1, CONVS[0], impl, fused), _convs(c1, c2, CONVS[1], impl, fused)])
        self.downsample = Downsample(c2, c3)
        self.position = _position(self.grid, c3) if position_embedding else None
        # The official code has blocks at stride 16 only. The ablation's blocks are initialised as layers 0 to 13 from
        # fine to coarse, which is our choice: the paper does not say.
        self.blocks = nn.ModuleList(
            Blocks(_block(width, sum(counts[:stage]) + i, impl, fused) for i in range(counts[stage]))
            for stage, width in enumerate(widths)
        )
        self.norm = MapNorm(c3, eps=EPS)
        self.coarse = MBConv(c3, 2 * c3, 2, impl, fused) if stride32 else None
        self.stem.apply(_initialise)
        if self.coarse is not None:
            self.coarse.apply(_initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        fine = self.blocks[0](self.convs[0](self.stem(image)))
        middle = self.blocks[1](self.convs[1](fine))
        x = self.downsample(middle)
        if self.position is not None:
            grid = (x.shape[2], x.shape[3])
            x = x + resample_position(self.position, self.grid, grid).transpose(1, 2).unflatten(2, grid)
        last = self.norm(self.blocks[2](x))
        return (fine, middle, last) if self.coarse is None else (fine, middle, last, self.coarse(last))

    def refit(self, entries: Mapping[str, Tensor], image_size: Grid) -> dict[str, Tensor]:
        """Return the state dict of a model built for ``image_size``, a position table resampled to this one's."""
        if "position" not in entries:
            return dict(entries)
        grid = (-(-image_size[0] // 16), -(-image_size[1] // 16))
        return {**entries, "position": resample_position(entries["position"], grid, self.grid)}


def _convs(width_in: int, width: int, count: int, impl: Impl, fused: bool) -> nn.Sequential:
    first = MBConv(width_in, width, 2, impl, fused)
    return nn.Sequential(first, *(MBConv(width, width, 1, impl, fused) for _ in range(count - 1)))


def _block(width: int, layer: int, impl: Impl, fused: bool) -> Block:
    spatial = SpatialMix(width, layer, DEPTH, impl, fused)
    return Block(spatial, ChannelMix(width, HIDDEN_RATE * width, layer, DEPTH, impl, fused), width)


def _position(grid: Grid, width: int) -> nn.Parameter:
    table = torch.empty(1, grid[0] * grid[1], width)
    return nn.Parameter(nn.init.trunc_normal_(table, std=0.02))


def resample_position(position: Tensor, grid: Grid, to: Grid) -> Tensor:
    """Resample the table ``1 (h w) c`` to another grid as the source does: bicubic, without antialiasing."""
    if grid == to:
        return position
    table = position.transpose(1, 2).unflatten(2, grid)
    table = functional.interpolate(table, to, mode="bicubic", align_corners=False)
    return table.flatten(2).transpose(1, 2)


def initial_decay(width: int, layer: int, depth: int) -> Tensor:
    """Return w, ``c``: from -5 to 3 over the channels, along a curve that bends more in later layers."""
    return -5 + 8 * (torch.arange(width) / (width - 1)) ** (0.7 + 1.3 * layer / (depth - 1))


def initial_bonus(width: int) -> Tensor:
    """Return u, ``c``: ln 0.3, with 0, ½, -½ added in turn."""
    return log(0.3) + 0.5 * ((torch.arange(width) + 1) % 3 - 1)


def initial_mix(width: int, layer: int, depth: int) -> Tensor:
    """Return μ, ``1 1 c``: 0 to 1 over the channels; nearly all ones in the last layer."""
    return (torch.arange(width) / width)[None, None] ** (1 - layer / depth)


def _initialise(module: nn.Module) -> None:
    """Draw a convolution's weights by fan-out, and zero its bias.

    The official code intends this for every MBConv, but its trainer reaches only the stem and the stride-32 block;
    those of stages 1 and 2, and all linear layers, keep torch's default, and so do ours.
    """
    if isinstance(module, nn.Conv2d):
        area = module.kernel_size[0] * module.kernel_size[1]
        nn.init.normal_(module.weight, std=(2 * module.groups / (area * module.out_channels)) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


SOURCE = "HarborYuan/ovsam@137d2c2 projects/rwkvsam/models/backbones/vitamin.py"
PAPER = "2406.19369"
SEMANTIC = {"stride32": True}  # Table 5's backbone
SMALL = (64, 128, 384)


@backbone("rwkv-sam-t", paper=PAPER, source=SOURCE, semantic=SEMANTIC)
def rwkv_sam_t(
    image_size: tuple[int, int],
    impl: Impl,
    position_embedding: bool = False,
    stride32: bool = False,
    fused: bool = False,
) -> RWKVSAM:
    """RWKV-SAM-T: 32, 64 and 192 channels."""
    return RWKVSAM((32, 64, 192), (0, 0), image_size, impl, position_embedding, stride32, fused)


@backbone("rwkv-sam-s", paper=PAPER, source=SOURCE, semantic=SEMANTIC)
def rwkv_sam_s(
    image_size: tuple[int, int],
    impl: Impl,
    position_embedding: bool = False,
    stride32: bool = False,
    fused: bool = False,
) -> RWKVSAM:
    """RWKV-SAM-S: 64, 128 and 384 channels."""
    return RWKVSAM(SMALL, (0, 0), image_size, impl, position_embedding, stride32, fused)


@backbone("rwkv-sam-b", paper=PAPER, source=SOURCE, semantic=SEMANTIC)
def rwkv_sam_b(
    image_size: tuple[int, int],
    impl: Impl,
    position_embedding: bool = False,
    stride32: bool = False,
    fused: bool = False,
) -> RWKVSAM:
    """RWKV-SAM-B: 128, 256 and 768 channels."""
    return RWKVSAM((128, 256, 768), (0, 0), image_size, impl, position_embedding, stride32, fused)


@backbone("rwkv-sam-s-1-1", paper=PAPER, source="the paper's Table 6; no official code", semantic=SEMANTIC)
def rwkv_sam_s_1_1(
    image_size: tuple[int, int],
    impl: Impl,
    position_embedding: bool = False,
    stride32: bool = False,
    fused: bool = False,
) -> RWKVSAM:
    """Table 6's ablation: one of the 14 bi-WKV blocks in stage 1 and one in stage 2."""
    return RWKVSAM(SMALL, (1, 1), image_size, impl, position_embedding, stride32, fused)


@backbone("rwkv-sam-s-2-2", paper=PAPER, source="the paper's Table 6; no official code", semantic=SEMANTIC)
def rwkv_sam_s_2_2(
    image_size: tuple[int, int],
    impl: Impl,
    position_embedding: bool = False,
    stride32: bool = False,
    fused: bool = False,
) -> RWKVSAM:
    """Table 6's ablation: two of the 14 bi-WKV blocks in stage 1 and two in stage 2."""
    return RWKVSAM(SMALL, (2, 2), image_size, impl, position_embedding, stride32, fused)


@backbone("rwkv-sam-s-3-3", paper=PAPER, source="the paper's Table 6; no official code", semantic=SEMANTIC)
def rwkv_sam_s_3_3(
    image_size: tuple[int, int],
    impl: Impl,
    position_embedding: bool = False,
    stride32: bool = False,
    fused: bool = False,
) -> RWKVSAM:
    """Table 6's ablation: three of the 14 bi-WKV blocks in stage 1 and three in stage 2."""
    return RWKVSAM(SMALL, (3, 3), image_size, impl, position_embedding, stride32, fused)


_OFFICIAL_NAMES = {
    "head.fc.": "head.",
    "pos_embed": "position",
    "stem.norm1.": "stem.norm.",
    "conv_stages.": "convs.",
    "conv_final_pool.proj.": "downsample.conv.",
    "conv_final_pool.norm.": "downsample.norm.",
    "layers.": "blocks.2.",
    "final_norm.": "norm.",
    "final_layer.": "coarse.",
}
_OFFICIAL_PARTS = {
    ".shortcut.expand.": ".expand.",
    ".pre_norm.": ".norm.",
    ".conv1_1x1.": ".conv1.",
    ".conv2_kxk.": ".conv2.",
    ".conv3_1x1.": ".conv3.",
    ".layer_scale_": ".scale",
    ".attn.": ".spatial.",
    ".mlp.": ".channel.",
    ".spatial_decay": ".decay",
    ".spatial_first": ".bonus",
    ".spatial_mix_": ".mix_",
}


@official(RWKVSAM)
def _official(model: RWKVSAM, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the release's entries: ``layers.i.attn.spatial_decay``, also under ``backbone.``; ``head.fc.weight``.

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
