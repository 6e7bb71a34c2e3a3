"""H-ViT³ (arXiv 2512.01643): the pyramid of ViT³, test-time training at four strides with RoPE.

| here | paper |
|---|---|
| ``widths``, ``heads`` | C, h of each stage; each head has d = 32 channels |
| ``TestTimeTraining`` | the TTT layer, as in ``vittt`` |
| ``Turns`` | RoPE of the gated unit's queries and keys: cos and sin of each position's angles |
| ``position`` | CPE, conditional position encoding: x + a depthwise convolution of x |
| ``LocalMLP`` | an MLP with x + a depthwise convolution of x, and a second GELU, between its layers |

Four maps at strides 4 to 32, each with a norm of its own, sides rounded up at each step. The classifier returns the
last map only, through a batch norm (``batch_norm``); the source's dense form has layer norms instead. RoPE knows
nothing of heads: the first half of the width turns by the row, the second half by the column. σ is 1/3 from the first
forward on; the source's dense form has another one in the first forward of a fresh model.
Maps are ``b h w c`` inside, so that a linear layer reads contiguous channels. Time and memory are linear in tokens.
"""

import re
import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.backbones.vittt import TestTimeTraining
from linbench.kernels.impl import Impl

STRIDES = (4, 8, 16, 32)
HEAD = 32
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


class LocalMLP(nn.Module):
    """An MLP over ``b h w c`` of four times the width, with a depthwise convolution in its middle."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 4 * width)
        self.conv = depthwise(4 * width)
        self.reduce = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.expand(x))
        y: Tensor = self.reduce(functional.gelu(x + convolved(self.conv, x)))
        return y


class Block(nn.Module):
    """Residual block over ``b h w c``: position encoding, test-time training, an MLP with a convolution."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.position = depthwise(width)
        self.norm1 = nn.LayerNorm(width)
        self.mixer = TestTimeTraining(width, width // HEAD)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = LocalMLP(width)

    def forward(self, x: Tensor, turns: Turns) -> Tensor:
        x = x + convolved(self.position, x)
        x = x + self.dropped(self.mixer(self.norm1(x), turns))
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


def stem(width: int) -> nn.Sequential:
    """Return convolutions from an image ``b 3 h w`` to ``b c h/4 w/4``."""
    half = width // 2
    return nn.Sequential(
        ConvNorm(3, half, 3, stride=2),
        ConvNorm(half, half, 3),
        ConvNorm(half, half, 3),
        ConvNorm(half, 4 * width, 3, stride=2),
        ConvNorm(4 * width, width, 1, relu=False),
    )


class Halve(nn.Module):
    """An inverted bottleneck of stride 2: ``b c h w`` to other channels and half the sides, rounded up."""

    def __init__(self, width: int, to: int) -> None:
        super().__init__()
        hidden = 4 * to
        self.expand = nn.Conv2d(width, hidden, 1)
        self.conv = nn.Conv2d(hidden, hidden, 3, stride=2, padding=1, groups=hidden)
        self.reduce = nn.Conv2d(hidden, to, 1)
        self.norm = nn.BatchNorm2d(to)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(padded(x, 2)).relu_()
        return self.norm(self.reduce(self.conv(x).relu_()))


class HViTTT(nn.Module):
    """H-ViT³ without its head.

    depths: Blocks of each of the four stages.
    outputs: The stages, 0 to 3, whose maps are returned, each with a norm of its own.
    drop_path: Rate of stochastic depth at the last block; it grows linearly from 0 at the first.
    batch_norm: Whether these norms are batch norms, as at the end of the source's classifier, or layer norms.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        depths: tuple[int, ...],
        outputs: tuple[int, ...],
        drop_path: float,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        if not outputs or list(outputs) != sorted(set(outputs) & {0, 1, 2, 3}):
            raise ValueError(f"outputs must be stages from 0 to 3, each once and in order, got {outputs}")
        self.outputs = tuple(outputs)
        self.strides = tuple(STRIDES[stage] for stage in outputs)
        self.widths = tuple(widths[stage] for stage in outputs)
        self.stem = stem(widths[0])
        last = sum(depths) - 1
        rates = iter([drop_path * i / last for i in range(last + 1)])
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(c, next(rates)) for _ in range(depth))
            for c, depth in zip(widths, depths, strict=True)
        )
        self.downsamples = nn.ModuleList(Halve(*pair) for pair in pairwise(widths))
        norm = nn.BatchNorm2d if batch_norm else ChannelNorm
        self.outnorms = nn.ModuleDict({str(stage): norm(widths[stage]) for stage in outputs})
        self.apply(_initialise_linear)

    def stage_maps(self, image: Tensor) -> list[Tensor]:
        """Return the map of each stage before its downsampling and without a norm, ``b h w c``."""
        x = self.stem(padded(image, 4).contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            if index:
                x = convolved(self.downsamples[index - 1], x)
            _, height, width, channels = x.shape
            turns = Turns(height, width, channels, x.device)
            for block in cast(nn.ModuleList, stage):
                x = block(x, turns)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.stage_maps(image)
        return tuple(self.outnorms[str(stage)](maps[stage].permute(0, 3, 1, 2)) for stage in self.outputs)


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of a map ``b c h w``."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


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


SOURCE = "LeapLabTHU/ViTTT@e347758 vittt/models/h_vittt.py"
ALL = (0, 1, 2, 3)


def _classifier(drop_path: float) -> dict[str, object]:
    return {"outputs": (3,), "batch_norm": True, "drop_path": drop_path}


@backbone("h-vittt-t", paper="2512.01643", source=SOURCE, classifier=_classifier(0.2))
def h_vittt_t(
    image_size: tuple[int, int],
    impl: Impl,
    outputs: tuple[int, ...] = ALL,
    drop_path: float = 0.0,
    batch_norm: bool = False,
) -> HViTTT:
    """H-ViT³-T: 64 to 512 channels, 17 blocks."""
    return HViTTT((64, 128, 320, 512), (1, 3, 9, 4), outputs, drop_path, batch_norm)


@backbone("h-vittt-s", paper="2512.01643", source=SOURCE, classifier=_classifier(0.4))
def h_vittt_s(
    image_size: tuple[int, int],
    impl: Impl,
    outputs: tuple[int, ...] = ALL,
    drop_path: float = 0.0,
    batch_norm: bool = False,
) -> HViTTT:
    """H-ViT³-S: 64 to 512 channels, 34 blocks."""
    return HViTTT((64, 128, 320, 512), (2, 6, 18, 8), outputs, drop_path, batch_norm)


@backbone("h-vittt-b", paper="2512.01643", source=SOURCE, classifier=_classifier(0.6))
def h_vittt_b(
    image_size: tuple[int, int],
    impl: Impl,
    outputs: tuple[int, ...] = ALL,
    drop_path: float = 0.0,
    batch_norm: bool = False,
) -> HViTTT:
    """H-ViT³-B: 96 to 640 channels, 34 blocks."""
    return HViTTT((96, 192, 448, 640), (2, 6, 18, 8), outputs, drop_path, batch_norm)


@official(HViTTT)
def _official(model: HViTTT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename H-ViT³'s entries, of its classifiers and of its dense backbones; leave out its tables of RoPE.

    A classification checkpoint ends with a batch norm, ``norm``, which a model with layer norms cannot hold: it is
    left out, and all norms of the maps keep their values, with a warning.
    """
    ours = {renamed(key): value for key, value in state.items() if not key.endswith("rope.rotations")}
    if "outnorms.3.running_mean" in ours and isinstance(model.outnorms[str(model.outputs[-1])], ChannelNorm):
        fresh = {f"outnorms.{k}": v for k, v in model.outnorms.state_dict().items()}
        warnings.warn(f"a classification checkpoint has no {', '.join(fresh)}: they stay unchanged", stacklevel=3)
        ours = {k: v for k, v in ours.items() if not k.startswith("outnorms.")} | fresh
    return ours


#: The source's names as patterns, and ours; applied in this order.
NAMES = (
    (r"^patch_embed\.conv\.", "stem."),
    (r"^layers\.(\d)\.downsample\.conv\.0\.conv\.", r"downsamples.\1.expand."),
    (r"^layers\.(\d)\.downsample\.conv\.1\.conv\.", r"downsamples.\1.conv."),
    (r"^layers\.(\d)\.downsample\.conv\.2\.conv\.", r"downsamples.\1.reduce."),
    (r"^layers\.(\d)\.downsample\.conv\.2\.norm\.", r"downsamples.\1.norm."),
    (r"^layers\.(\d)\.blocks\.", r"stages.\1."),
    (r"^(stages\.\d\.\d+)\.cpe\.", r"\1.position."),
    (r"^(stages\.\d\.\d+)\.attn\.", r"\1.mixer."),
    (r"\.mlp\.fc1\.", ".mlp.expand."),
    (r"\.mlp\.dwc\.", ".mlp.conv."),
    (r"\.mlp\.fc2\.", ".mlp.reduce."),
    (r"^norm(\d)\.", r"outnorms.\1."),
    (r"^norm\.", "outnorms.3."),
)


def renamed(key: str) -> str:
    """Return our name of an official entry."""
    for pattern, ours in NAMES:
        key = re.sub(pattern, ours, key)
    return key
