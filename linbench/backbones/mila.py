"""MILA, first named MLLA (arXiv 2405.16605): a pyramid of linear attention in the block of Mamba, without its scan.

| here | paper |
|---|---|
| ``width`` | C, the channels of a stage |
| ``heads`` | each has d = 32 channels |
| ``MixerBlock`` | the block of figure 3: Mamba's, with linear attention for its scan, then an MLP |
| ``position1``, ``position2`` | CPE, conditional position encoding: x + a depthwise convolution of x |
| ``gate`` | the branch σ(W_a x) that multiplies the mixer's result |
| ``conv`` | the depthwise convolution in front of the mixer |
| ``LinearAttention`` | eq. 3: q_n Σ k_mᵀ v_m / (q_n Σ k_mᵀ), with q, k = elu(·) + 1 and v = its input |
| ``local`` | LePE: a depthwise convolution of v, added to the result |
| ``Turns`` | RoPE: cos and sin of each position's angles |

Four maps at strides 4 to 32; each has a norm of its own, and sides are rounded up at each step. Where paper and
official code differ we follow the code: RoPE turns q and k in the sums over k vᵀ and leaves the normaliser as it is,
and it knows nothing of heads: the first half of the width turns by the row, the second half by the column.
Maps are ``b h w c`` inside, so that a linear layer reads contiguous channels. Time and memory are linear in tokens.
"""

import re
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.impl import Impl

STRIDES = (4, 8, 16, 32)
HEAD = 32
EPS = 1e-6  # of the normaliser
ROPE_BASE = 10000.0


class Turns:
    """The angles of RoPE for the positions of a map, as complex numbers ``h w c/2`` of magnitude 1.

    Channels 2j and 2j + 1 are one pair. Of the c/2 pairs the first half turns by row · 10000^(−j/K), the second by
    column · 10000^(−j/K), with K = c/4 and j counted from 0 in each half.
    """

    def __init__(self, height: int, width: int, channels: int, device: torch.device) -> None:
        count = channels // 4
        frequencies = ROPE_BASE ** (-torch.arange(count, device=device) / count)
        rows = _on_circle(torch.arange(height, device=device)[:, None] * frequencies)
        columns = _on_circle(torch.arange(width, device=device)[:, None] * frequencies)
        by_row, by_column = rows[:, None].expand(-1, width, -1, -1), columns[None].expand(height, -1, -1, -1)
        self.values = torch.view_as_complex(torch.cat([by_row, by_column], dim=2))

    def __call__(self, x: Tensor) -> Tensor:
        """Turn the pairs of x, ``b h w c``, in float32 at least; return x's dtype."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.values).flatten(-2).to(x.dtype)


def _on_circle(angles: Tensor) -> Tensor:
    return torch.stack([angles.cos(), angles.sin()], dim=-1)


class LinearAttention(nn.Module):
    """Linear attention over all positions of a map ``b h w c``; the values are the map itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qk = nn.Linear(width, 2 * width)
        self.local = depthwise(width)

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        q, k = positive(self.qk(x)).chunk(2, dim=-1)
        scale = (x.shape[1] * x.shape[2]) ** -0.5  # on k and on the sums, so that neither overflows in float16
        k = k * scale
        sums = self.by_head(turns(k)).transpose(2, 3) @ self.by_head(x) * scale  # b heads d d
        total = self.by_head(k).sum(dim=2)[..., None] * scale  # b heads d 1
        y = self.by_head(turns(q)) @ sums / (self.by_head(q) @ total + EPS)
        return y.transpose(1, 2).flatten(2).unflatten(1, x.shape[1:3]) + convolved(self.local, x)

    def by_head(self, x: Tensor) -> Tensor:
        """Return a map ``b h w c`` as ``b heads (h w) d``, a view."""
        return x.flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)


def positive(x: Tensor) -> Tensor:
    """Return elu(x) + 1, without the cancellation of that sum below zero and by operations that run as vectors."""
    return x.clamp(max=0).exp() + x.relu()


class MixerBlock(nn.Module):
    """Pre-norm residual block over ``b h w c``: gated linear attention, then an MLP of four times the width."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.position1 = depthwise(width)
        self.norm1 = nn.LayerNorm(width)
        self.gate = nn.Linear(width, width)
        self.project_in = nn.Linear(width, width)
        self.conv = depthwise(width)
        self.attention = LinearAttention(width, heads)
        self.project_out = nn.Linear(width, width)
        self.position2 = depthwise(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        x = x + convolved(self.position1, x)
        y = self.norm1(x)
        gate = functional.silu(self.gate(y))
        y = functional.silu(convolved(self.conv, self.project_in(y)))
        x = x + self.dropped(self.project_out(self.attention(y, turns) * gate))
        x = x + convolved(self.position2, x)
        return x + self.dropped(self.mlp(self.norm2(x)))

    def dropped(self, x: Tensor) -> Tensor:
        """Return a branch's result with stochastic depth, in training."""
        return drop_path(x, self.drop_path) if self.training else x


def depthwise(width: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution of each channel alone."""
    return nn.Conv2d(width, width, 3, padding=1, groups=width)


def convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """Return the convolution of a map ``b h w c``, in the same order."""
    y: Tensor = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return y


def padded(x: Tensor, multiple: int) -> Tensor:
    """Pad ``b c h w`` with zeros below and on the right, to sides that ``multiple`` divides."""
    below, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    return functional.pad(x, (0, right, 0, below)) if below or right else x


class ConvNorm(nn.Module):
    """A convolution, its batch norm, and a ReLU if ``relu``."""

    def __init__(self, width: int, to: int, kernel: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, to, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(to)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y.relu() if self.relu else y


class Stem(nn.Module):
    """Convolutions from an image ``b 3 h w`` to ``b c h/4 w/4``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = ConvNorm(3, half, 3, stride=2)
        self.conv2 = nn.Sequential(ConvNorm(half, half, 3), ConvNorm(half, half, 3, relu=False))
        self.conv3 = nn.Sequential(ConvNorm(half, 4 * width, 3, stride=2), ConvNorm(4 * width, width, 1, relu=False))

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv1(padded(image, 4))
        return self.conv3(x + self.conv2(x))


class Halve(nn.Module):
    """An inverted bottleneck of stride 2: ``b c h w`` to twice the channels and half the sides, rounded up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 8 * width
        self.expand = nn.Conv2d(width, hidden, 1)
        self.conv = nn.Conv2d(hidden, hidden, 3, stride=2, padding=1, groups=hidden)
        self.reduce = nn.Conv2d(hidden, 2 * width, 1)
        self.norm = nn.BatchNorm2d(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(padded(x, 2)).relu_()
        return self.norm(self.reduce(self.conv(x).relu_()))


class MILA(nn.Module):
    """MILA without its head.

    depths: Blocks of each of the four stages.
    outputs: The stages, 0 to 3, whose maps are returned, each with a norm of its own.
    drop_path: Rate of stochastic depth at the last block; it grows linearly from 0 at the first.
    """

    def __init__(self, width: int, depths: tuple[int, ...], outputs: tuple[int, ...], drop_path: float) -> None:
        super().__init__()
        if not outputs or list(outputs) != sorted(set(outputs) & {0, 1, 2, 3}):
            raise ValueError(f"outputs must be stages from 0 to 3, each once and in order, got {outputs}")
        widths = tuple(width << stage for stage in range(4))
        self.outputs = tuple(outputs)
        self.strides = tuple(STRIDES[stage] for stage in outputs)
        self.widths = tuple(widths[stage] for stage in outputs)
        self.stem = Stem(width)
        last = sum(depths) - 1
        rates = iter([drop_path * i / last for i in range(last + 1)])
        self.stages = nn.ModuleList(
            nn.ModuleList(MixerBlock(c, c // HEAD, next(rates)) for _ in range(depth))
            for c, depth in zip(widths, depths, strict=True)
        )
        self.downsamples = nn.ModuleList(Halve(c) for c in widths[:-1])
        self.outnorms = nn.ModuleDict({str(stage): nn.LayerNorm(widths[stage]) for stage in outputs})
        self.apply(_initialise_linear)

    def stage_maps(self, image: Tensor) -> list[Tensor]:
        """Return the map of each stage before its downsampling and without a norm, ``b h w c``."""
        x = self.stem(image.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            if index:
                x = convolved(self.downsamples[index - 1], x)
            _, height, width, channels = x.shape
            turns = Turns(height, width, channels, x.device)
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, turns)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.stage_maps(image)
        return tuple(self.outnorms[str(stage)](maps[stage]).permute(0, 3, 1, 2) for stage in self.outputs)


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples of x with probability rate and scale the others up (arXiv 1603.09382)."""
    if rate == 0:
        return x
    mask = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - rate)
    return x * (mask / (1 - rate))


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


SOURCE = "LeapLabTHU/MLLA@66b6d29 models/mlla.py"
ALL = (0, 1, 2, 3)


@backbone("mila-t", paper="2405.16605", source=SOURCE, classifier={"outputs": (3,), "drop_path": 0.2})
def mila_t(image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0) -> MILA:
    """MILA-T: 64 channels, 18 blocks."""
    return MILA(64, (2, 4, 8, 4), outputs, drop_path)


@backbone("mila-s", paper="2405.16605", source=SOURCE, classifier={"outputs": (3,), "drop_path": 0.3})
def mila_s(image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0) -> MILA:
    """MILA-S: 64 channels, 36 blocks."""
    return MILA(64, (3, 6, 21, 6), outputs, drop_path)


@backbone("mila-b", paper="2405.16605", source=SOURCE, classifier={"outputs": (3,), "drop_path": 0.5})
def mila_b(image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0) -> MILA:
    """MILA-B: 96 channels, 36 blocks."""
    return MILA(96, (3, 6, 21, 6), outputs, drop_path)


@official(MILA)
def _official(model: MILA, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename MILA's entries, of its classifiers and of its dense backbones; leave out its tables of RoPE.

    A classification checkpoint has one norm over the last stage, ``norm``: it becomes the norm of stage 3's map, and
    is omitted where that map is not returned. The norms of stages 0 to 2 are not in such a checkpoint: they keep
    their values, with a warning.
    """
    ours = {renamed(key): value for key, value in state.items() if not key.endswith(".rope.rotations")}
    if any(key.startswith("norm.") for key in state):
        fresh = {f"outnorms.{k}": v for k, v in model.outnorms.state_dict().items() if not k.startswith("3.")}
        absent = sorted(fresh.keys() - ours.keys())
        if absent:
            warnings.warn(
                f"a classification checkpoint has no {', '.join(absent)}: they stay unchanged", stacklevel=3
            )
        ours = fresh | ours
        if 3 not in model.outputs:
            ours = {k: v for k, v in ours.items() if not k.startswith("outnorms.3.")}
    return ours


#: The source's names as patterns, and ours; applied in this order.
NAMES = (
    (r"^patch_embed\.", "stem."),
    (r"^layers\.(\d)\.downsample\.conv\.0\.conv\.", r"downsamples.\1.expand."),
    (r"^layers\.(\d)\.downsample\.conv\.1\.conv\.", r"downsamples.\1.conv."),
    (r"^layers\.(\d)\.downsample\.conv\.2\.conv\.", r"downsamples.\1.reduce."),
    (r"^layers\.(\d)\.downsample\.conv\.2\.norm\.", r"downsamples.\1.norm."),
    (r"^layers\.(\d)\.blocks\.", r"stages.\1."),
    (r"^(stages\.\d\.\d+)\.cpe(\d)\.", r"\1.position\2."),
    (r"^(stages\.\d\.\d+)\.dwc\.", r"\1.conv."),
    (r"^(stages\.\d\.\d+)\.act_proj\.", r"\1.gate."),
    (r"^(stages\.\d\.\d+)\.(in|out)_proj\.", r"\1.project_\2."),
    (r"^(stages\.\d\.\d+)\.attn\.lepe\.", r"\1.attention.local."),
    (r"^(stages\.\d\.\d+)\.attn\.", r"\1.attention."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
    (r"^norm(\d)\.", r"outnorms.\1."),
    (r"^norm\.", "outnorms.3."),
)


def renamed(key: str) -> str:
    """Return our name of an official entry."""
    for pattern, ours in NAMES:
        key = re.sub(pattern, ours, key)
    return key
