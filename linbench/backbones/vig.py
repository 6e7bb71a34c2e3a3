"""ViG and ViG-H (arXiv 2405.18425): gated linear attention in both directions, in a ViT and in a pyramid.

| here | paper |
|---|---|
| ``u`` | the depthwise convolution of the normalised tokens: locality |
| ``q``, ``k``, ``v`` | queries and keys of C / 2 channels, values of C, in heads |
| ``log_gates`` | log α of each direction: logsigmoid(u W_1 W_2 + b) / 16, per channel of the key |
| ``Mixer`` | BiGLA: S_t = diag(α_t) S_{t-1} + k_t v_tᵀ, o_t = q_tᵀ S_t, and the same from the last token |
| ``norm``, ``local_norm`` | RMSNorm of the op's result and of u, over the channels of a head |
| ``gate`` | the gate s between the two: s o + (1 − s) u (gated injection of locality) |

Maps are ``b h w c`` inside; the op reads them row by row. A token is in the state of both directions, whose mean is
taken. ViG has one map, at stride 16, after an RMSNorm; ViG-H four, each with a norm of its own.
ViG-T alone has a SiLU after the convolution and before the last projection.
ViG's source halves the sum of the directions twice in eval mode and once in training; the RMSNorm hides it up to its
eps. We follow, so that official weights give the official logits.
"""

import re
import warnings
from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.gated_linear_attention import gated_linear_attention
from linbench.kernels.impl import Impl

PATCH = 16
DEPTH = 12
STRIDES = (4, 8, 16, 32)
RMS_EPS = 1e-6
GATE_RANK = 16
GATE_NORMALIZER = 16
Grid = tuple[int, int]


class Mixer(nn.Module):
    """Mix a map ``b h w c`` by gated linear attention over its tokens, in both directions.

    activation: Whether a SiLU follows the convolution, and another one precedes the last projection.
    halved_twice: Whether the sum of the directions is divided by four in eval mode, as ViG's source does.
    """

    def __init__(self, width: int, heads: int, activation: bool, halved_twice: bool, impl: Impl) -> None:
        super().__init__()
        self.impl = impl
        self.heads = heads
        self.activation = nn.SiLU() if activation else nn.Identity()
        self.halved_twice = halved_twice
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.qkv = nn.Linear(width, 2 * width, bias=False)
        self.log_gates = nn.Sequential(nn.Linear(width, GATE_RANK, bias=False), nn.Linear(GATE_RANK, width))
        self.norm = nn.RMSNorm(width // heads, eps=RMS_EPS)
        self.local_norm = nn.RMSNorm(width // heads, eps=RMS_EPS)
        self.gate = nn.Linear(width, width)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        grid = x.shape[1:3]
        u = self.activation(self.conv(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).flatten(1, 2)  # b t c
        o, local = self.norm(self.attend(u)), self.local_norm(self.cut(u))
        s = self.cut(self.gate(u).sigmoid())
        mixed = (s * o + (1 - s) * local).flatten(2)
        return self.output(self.activation(mixed)).unflatten(1, grid)

    def attend(self, u: Tensor) -> Tensor:
        """Return the mean of the two directions' gated linear attention, ``b t h d``, of tokens ``b t c``."""
        width = u.shape[2]
        q, k, v = (self.cut(z) for z in self.qkv(u).split((width // 2, width // 2, width), dim=2))
        forwards, backwards = (self.cut(g) for g in log_gates(self.log_gates(u)).chunk(2, dim=2))
        scale = q.shape[3] ** -0.5 / (4 if self.halved_twice and not self.training else 2)
        return gated_linear_attention(scale * q, k, v, forwards, backwards, impl=self.impl)

    def cut(self, x: Tensor) -> Tensor:
        """Cut ``b t c`` into heads, ``b t h d``."""
        return x.unflatten(2, (self.heads, -1))


def log_gates(x: Tensor) -> Tensor:
    """Return the logarithms of the gates, at most 0, in float32 or wider."""
    return functional.logsigmoid(x.to(torch.promote_types(x.dtype, torch.float32))) / GATE_NORMALIZER


class SwiGLU(nn.Module):
    """A gated MLP without biases."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 2 * hidden, bias=False)
        self.output = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.hidden(x).chunk(2, dim=-1)
        return self.output(functional.silu(gate) * value)


class Block(nn.Module):
    """Pre-norm residual block over ``b h w c``: a mixer, then an MLP."""

    def __init__(self, norms: tuple[nn.Module, nn.Module], mixer: Mixer, mlp: SwiGLU, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = norms
        self.mixer = mixer
        self.mlp = mlp
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropped(self.mixer(self.norm1(x)))
        return x + self.dropped(self.mlp(self.norm2(x)))

    def dropped(self, x: Tensor) -> Tensor:
        """Return a branch's result with stochastic depth, in training."""
        return drop_path(x, self.drop_path) if self.training else x


class MapConv(nn.Conv2d):
    """A convolution of maps ``b h w c``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ViG(nn.Module):
    """ViG without its head.

    image_size: Height and width in pixels that the position table is for.
    activation: Whether the mixers have their two SiLUs.
    drop_path: Fraction of samples that skip the last block in training; it grows linearly from 0 at the first.
    """

    def __init__(
        self, width: int, activation: bool, image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.strides = (PATCH,)
        self.widths = (width,)
        self.grid = (patches(image_size[0]), patches(image_size[1]))
        self.stem = nn.Sequential(
            MapConv(3, width // 2, 9, stride=8, padding=1),
            nn.LayerNorm(width // 2),
            nn.SiLU(),
            MapConv(width // 2, width, 3, stride=2, padding=1),
            nn.LayerNorm(width),
        )
        self.position = nn.Parameter(torch.empty(1, self.grid[0] * self.grid[1], width))
        hidden = up(8 * width / 3, 256)
        self.blocks = nn.ModuleList(
            Block(
                (nn.RMSNorm(width, eps=RMS_EPS), nn.RMSNorm(width, eps=RMS_EPS)),
                Mixer(width, width // 64, activation, True, impl),
                SwiGLU(width, hidden),
                drop_path * i / (DEPTH - 1),
            )
            for i in range(DEPTH)
        )
        self.norm = nn.RMSNorm(width, eps=RMS_EPS)
        nn.init.trunc_normal_(self.position, std=0.02)
        self.apply(_initialise_linear)
        self.apply(_initialise_mixer)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the map; its sides are ``patches`` of the image's, which 8 divides in the contract's sizes.

        Of other sizes the source takes up to six rows and columns less than a patch more would need.
        """
        x = self.stem(image.permute(0, 2, 3, 1))
        grid = (x.shape[1], x.shape[2])
        x = x + resample_position(self.position, self.grid, grid).unflatten(1, grid)
        for block in self.blocks:
            x = block(x)
        return (self.norm(x).permute(0, 3, 1, 2),)

    def refit(self, entries: Mapping[str, Tensor], image_size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the state dict of a model built for ``image_size``, its position table resampled to this one's."""
        grid = (patches(image_size[0]), patches(image_size[1]))
        return {**entries, "position": resample_position(entries["position"], grid, self.grid)}


class ViGH(nn.Module):
    """ViG-H without its head: four stages, which halve the map.

    depths: Blocks of each of the four stages.
    outputs: The stages, 0 to 3, whose maps are returned, each with a norm of its own.
    drop_path: Fraction of samples that skip the last block in training; it grows linearly from 0 at the first.
    """

    def __init__(
        self, width: int, depths: tuple[int, ...], impl: Impl, outputs: tuple[int, ...], drop_path: float = 0.0
    ) -> None:
        super().__init__()
        if not outputs or list(outputs) != sorted(set(outputs) & {0, 1, 2, 3}):
            raise ValueError(f"outputs must be stages from 0 to 3, each once and in order, got {outputs}")
        widths = tuple(width << stage for stage in range(4))
        self.outputs = tuple(outputs)
        self.strides = tuple(STRIDES[stage] for stage in outputs)
        self.widths = tuple(widths[stage] for stage in outputs)
        self.stem = nn.Sequential(*_halve(3, width // 2), nn.GELU(), *_halve(width // 2, width))
        last = sum(depths) - 1
        rates = iter([drop_path * i / last for i in range(last + 1)])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_pyramid_block(c, impl, next(rates)) for _ in range(depth)))
            for c, depth in zip(widths, depths, strict=True)
        )
        self.downsamples = nn.ModuleList(nn.Sequential(*_halve(c, 2 * c)) for c in widths[:-1])
        self.outnorms = nn.ModuleDict({str(stage): nn.LayerNorm(widths[stage]) for stage in outputs})
        self.apply(_initialise_pyramid)

    def stage_maps(self, image: Tensor) -> list[Tensor]:
        """Return the map of each stage before its downsampling and without a norm, ``b h w c``."""
        x = self.stem(image.permute(0, 2, 3, 1))
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(self.downsamples[index - 1](x) if index else x)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.stage_maps(image)
        return tuple(self.outnorms[str(stage)](maps[stage]).permute(0, 3, 1, 2) for stage in self.outputs)


def _halve(width: int, to: int) -> tuple[nn.Module, nn.Module]:
    """Return a convolution of stride 2 and its norm: half the height and width, rounded up."""
    return MapConv(width, to, 3, stride=2, padding=1), nn.LayerNorm(to)


def _pyramid_block(width: int, impl: Impl, drop_path: float) -> Block:
    mixer = Mixer(width, width // 32, False, False, impl)
    return Block((nn.LayerNorm(width), nn.LayerNorm(width)), mixer, SwiGLU(width, up(8 * width / 3, 32)), drop_path)


def patches(side: int) -> int:
    """Return how many patches a side of that many pixels gives: side / 16 rounded up, where 8 divides it.

    Of a side n, the convolution of 9 pixels at stride 8 makes (n - 7) // 8 + 1, and the one of 3 at stride 2 halves
    them, rounded up.
    """
    return ((side - 7) // 8 + 2) // 2


def up(size: float, multiple: int) -> int:
    """Round a size up to a multiple."""
    return int(-(-size // multiple)) * multiple


def resample_position(position: Tensor, grid: Grid, to: Grid) -> Tensor:
    """Resample the table ``1 (h w) c`` to another grid as the source does: bicubic, without antialiasing."""
    if grid == to:
        return position
    table = position.transpose(1, 2).unflatten(2, grid)
    table = functional.interpolate(table, to, mode="bicubic", align_corners=False)
    return table.flatten(2).transpose(1, 2)


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples of x with probability rate and scale the others up (arXiv 1603.09382)."""
    if rate == 0:
        return x
    mask = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - rate)
    return x * (mask / (1 - rate))


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _initialise_mixer(module: nn.Module) -> None:
    if isinstance(module, Mixer):
        for part in (module.conv, module.qkv, *module.log_gates, module.gate, module.output):
            nn.init.xavier_uniform_(part.get_parameter("weight"), gain=2**-2.5)


def _initialise_pyramid(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


PAPER = "2405.18425"
SOURCE = "hustvl/ViG@dfb9d32 classification/models/vig.py"
PYRAMID_SOURCE = "hustvl/ViG@dfb9d32 classification/models/vig_h.py"
ALL = (0, 1, 2, 3)


@backbone("vig-t", paper=PAPER, source=SOURCE, multiple_of=8)
def vig_t(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> ViG:
    """ViG-T: 12 blocks of 192 channels, with SiLUs in the mixers."""
    return ViG(192, True, image_size, impl, drop_path)


@backbone("vig-s", paper=PAPER, source=SOURCE, multiple_of=8, classifier={"drop_path": 0.2})
def vig_s(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> ViG:
    """ViG-S: 12 blocks of 384 channels."""
    return ViG(384, False, image_size, impl, drop_path)


@backbone("vig-b", paper=PAPER, source=SOURCE, multiple_of=8, classifier={"drop_path": 0.5})
def vig_b(image_size: tuple[int, int], impl: Impl, drop_path: float = 0.0) -> ViG:
    """ViG-B: 12 blocks of 768 channels."""
    return ViG(768, False, image_size, impl, drop_path)


@backbone("vig-h-t", paper=PAPER, source=PYRAMID_SOURCE, classifier={"outputs": (3,), "drop_path": 0.2})
def vig_h_t(image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0) -> ViGH:
    """ViG-H-T: 96 channels in the first of four stages, 2, 2, 5 and 2 blocks."""
    return ViGH(96, (2, 2, 5, 2), impl, outputs, drop_path)


@backbone("vig-h-s", paper=PAPER, source=PYRAMID_SOURCE, classifier={"outputs": (3,), "drop_path": 0.3})
def vig_h_s(image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0) -> ViGH:
    """ViG-H-S: 96 channels in the first of four stages, 2, 2, 17 and 2 blocks."""
    return ViGH(96, (2, 2, 17, 2), impl, outputs, drop_path)


@backbone("vig-h-b", paper=PAPER, source=PYRAMID_SOURCE, classifier={"outputs": (3,), "drop_path": 0.6})
def vig_h_b(image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0) -> ViGH:
    """ViG-H-B: 128 channels in the first of four stages, 2, 2, 17 and 2 blocks."""
    return ViGH(128, (2, 2, 17, 2), impl, outputs, drop_path)


#: The source's names as patterns, of ViG and of ViG-H, and ours; applied in this order.
NAMES = (
    (r"^pos_embed$", "position"),
    (r"^patch_embed\.proj\.", "stem."),
    (r"\.attn_norm\.", ".norm1."),
    (r"\.mlp_norm\.", ".norm2."),
    (r"\.(gate_proj|fc1)\.", ".hidden."),
    (r"\.(down_proj|fc2)\.", ".output."),
    (r"^patch_embed\.0\.", "stem.0."),
    (r"^patch_embed\.2\.", "stem.1."),
    (r"^patch_embed\.5\.", "stem.3."),
    (r"^patch_embed\.7\.", "stem.4."),
    (r"^layers\.(\d)\.downsample\.1\.", r"downsamples.\1.0."),
    (r"^layers\.(\d)\.downsample\.3\.", r"downsamples.\1.1."),
    (r"^layers\.(\d)\.blocks\.", r"stages.\1."),
    (r"^(stages\.\d\.\d+)\.norm\.", r"\1.norm1."),
    (r"^outnorm(\d)\.", r"outnorms.\1."),
    (r"^classifier\.norm\.", "outnorms.3."),
    (r"^classifier\.head\.", "head."),
    (r"^((?:blocks|stages\.\d)\.\d+)\.(attn|op)\.", r"\1.mixer."),
)
#: The same inside a mixer.
MIXER_NAMES = {
    "in_proj.0": "conv",
    "qkv_proj": "qkv",
    "gk_proj.0": "log_gates.0",
    "gk_proj.1": "log_gates.1",
    "g_norm": "norm",
    "l_norm": "local_norm",
    "g_proj": "gate",
    "o_proj": "output",
}


def renamed(key: str) -> str:
    """Return our name of an official entry."""
    for pattern, ours in NAMES:
        key = re.sub(pattern, ours, key)
    block, mixer, inner = key.partition(".mixer.")
    part, _, leaf = inner.rpartition(".")
    return f"{block}{mixer}{MIXER_NAMES.get(part, part)}.{leaf}" if mixer else key


@official(ViG)
def _official(model: ViG, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ViG's entries: ``blocks.i.attn.gk_proj.0.weight``, ``head.weight``.

    A square position table of another grid than the model's is resampled, once, as the source does per image.
    """
    ours = {renamed(key): value for key, value in state.items()}
    table = ours.get("position")
    if table is not None and table.ndim == 3 and (side := isqrt(table.shape[1])) ** 2 == table.shape[1] and side:
        ours["position"] = resample_position(table, (side, side), model.grid)
    return ours


@official(ViGH)
def _official_pyramid(model: ViGH, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename ViG-H's entries: ``layers.s.blocks.j.op.g_proj.bias``, ``outnorm0.bias``, ``classifier.head.bias``.

    A classification checkpoint has one norm over the last stage, ``classifier.norm``: it becomes the norm of stage
    3's map, or is omitted where that is not returned. The norms of stages 0 to 2 are not in such a checkpoint: they
    keep their values, with a warning.
    """
    ours = {renamed(key): value for key, value in state.items()}
    if any(key.startswith("classifier.norm.") for key in state):
        fresh = {f"outnorms.{k}": v for k, v in model.outnorms.state_dict().items() if not k.startswith("3.")}
        if absent := sorted(fresh.keys() - ours.keys()):
            warnings.warn(
                f"a classification checkpoint has no {', '.join(absent)}: they stay unchanged", stacklevel=3
            )
        ours = fresh | ours
        if 3 not in model.outputs:
            ours = {k: v for k, v in ours.items() if not k.startswith("outnorms.3.")}
    return ours
