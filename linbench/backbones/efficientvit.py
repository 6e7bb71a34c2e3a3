"""EfficientViT (arXiv 2205.14756) in the variants that EfficientViT-SAM (2402.05008) takes as image encoders.

| here | papers |
|---|---|
| ``LinearAttention`` | multi-scale ReLU linear attention, section 3.1 and figure 2 |
| ``relu_attention`` | equation 2: ReLU(Q)(ReLU(K)ᵀ V) / ReLU(Q)(ReLU(K)ᵀ 1), in linear time |
| ``near`` | aggregation of nearby tokens, the second scale: depthwise k x k, 1 x 1 in groups of 32 channels |
| ``HEAD`` | d: channels of a head; a width of C has C / 32 heads, and as many again at the second scale |
| ``Residual``, ``Fused``, ``Inverted`` | residual block of two 3 x 3, FusedMBConv, MBConv: the local blocks |
| ``AttentionBlock`` | EfficientViT module: attention for the context, then MBConv for what is local |

A map for each stage, at strides 2, 4, 8, 16, 32, and 64 in XL. Images have any size; sides are rounded up at every
halving. The qkv of a head lie together: head i owns channels 96 i to 96 i + 95. ``Inverted`` has biases instead of
norms behind its first two convolutions. Activations are tanh GELU. All norms have the eps of EfficientViT-SAM, 1e-6
(the classifiers' is 1e-7). Initial values: convolutions truncated normal of 0.02, biases 0.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.impl import Impl

EPS = 1e-6
HEAD = 32
#: Added to the denominator of attention, where no key meets the query.
NO_KEY = 1e-15


class ConvNorm(nn.Sequential):
    """A convolution without bias that pads to its input's size, BatchNorm, and perhaps an activation."""

    def __init__(self, width: int, to: int, kernel: int, stride: int = 1, *, activation: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, to, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(to, eps=EPS)
        if activation:
            self.activation = nn.GELU(approximate="tanh")


class Convs(nn.Sequential):
    """Two 3 x 3 convolutions, an activation between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width, 3)
        self.second = ConvNorm(width, width, 3, activation=False)


class Fused(nn.Sequential):
    """FusedMBConv: 3 x 3 to ``expand`` times the width, 1 x 1 to ``to`` channels."""

    def __init__(self, width: int, to: int, expand: int, stride: int = 1) -> None:
        super().__init__()
        self.spatial = ConvNorm(width, expand * width, 3, stride)
        self.project = ConvNorm(expand * width, to, 1, activation=False)


class Inverted(nn.Sequential):
    """MBConv with few norms: 1 x 1 to ``expand`` times the width, depthwise 3 x 3, 1 x 1 to ``to`` channels."""

    def __init__(self, width: int, to: int, expand: int, stride: int = 1) -> None:
        super().__init__()
        wide = expand * width
        self.expand = nn.Conv2d(width, wide, 1)
        self.activation = nn.GELU(approximate="tanh")
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide)
        self.activation_2 = nn.GELU(approximate="tanh")
        self.project = ConvNorm(wide, to, 1, activation=False)


class Residual(nn.Module):
    """A block with a shortcut."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


def relu_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the ReLU linear attention of ``b head d n``, without a matrix of all pairs of tokens.

    Sums and the division are in float32 at least, under autocast too: in half precision sums over an image overflow
    and NO_KEY is 0. The result has the dtype of ``v``.
    """
    wide = torch.promote_types(v.dtype, torch.float32)
    with torch.autocast("cuda" if v.is_cuda else "cpu", enabled=False):  # there is none of the meta device
        q, k, values = q.to(wide).relu(), k.to(wide).relu(), v.to(wide)
        state = functional.pad(values, (0, 0, 0, 1), value=1.0) @ k.transpose(-2, -1)  # b head d+1 d
        numerator, denominator = (state @ q).split((v.shape[-2], 1), dim=-2)
        return (numerator / (denominator + NO_KEY)).to(v.dtype)


class LinearAttention(nn.Module):
    """Multi-scale ReLU linear attention over the cells of a map ``b c h w``.

    kernel: Side of the neighbourhood that the second scale aggregates.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        wide = 3 * width
        self.qkv = nn.Conv2d(width, wide, 1, bias=False)
        self.near = nn.Sequential(
            nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide, bias=False),
            nn.Conv2d(wide, wide, 1, groups=wide // HEAD, bias=False),
        )
        self.proj = ConvNorm(2 * width, width, 1, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x)
        both = torch.cat([qkv, self.near(qkv)], dim=1)
        q, k, v = both.flatten(2).unflatten(1, (-1, 3, HEAD)).unbind(2)  # b head d n
        y = relu_attention(q, k, v).flatten(1, 2).unflatten(2, x.shape[2:])
        projected: Tensor = self.proj(y)
        return projected


class AttentionBlock(nn.Module):
    """Attention for the context, MBConv for what is local; each with a shortcut."""

    def __init__(self, width: int, expand: int, kernel: int) -> None:
        super().__init__()
        self.attention = LinearAttention(width, kernel)
        self.local = Inverted(width, width, expand)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.local(x)


@dataclass(frozen=True)
class Variant:
    """The numbers of a variant; one entry for each stage.

    kinds: Of a stage's blocks, a letter each: r residual, f fused, i inverted, a attention.
    depths: Blocks behind the one that halves the sides.
    expands: Factor of the width inside the blocks; it is four times as large in the one that halves the sides.
    kernel: Of the attention's second scale.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kinds: str
    expands: tuple[int, ...]
    kernel: int

    def stages(self) -> Iterator[nn.Sequential]:
        """Yield the stages; each halves the sides."""
        first, *others = zip(self.kinds, self.depths, self.expands, strict=True)
        stem = ConvNorm(3, self.widths[0], 3, stride=2)
        yield nn.Sequential(stem, *(self._block(first[0], self.widths[0], first[2]) for _ in range(first[1])))
        for (before, width), (kind, depth, expand) in zip(pairwise(self.widths), others, strict=True):
            halve = Fused if kind == "f" else Inverted
            blocks = (self._block(kind, width, expand) for _ in range(depth))
            yield nn.Sequential(halve(before, width, 4 * expand, stride=2), *blocks)

    def _block(self, kind: str, width: int, expand: int) -> nn.Module:
        match kind:
            case "r":
                return Residual(Convs(width))
            case "f":
                return Residual(Fused(width, width, expand))
            case "i":
                return Residual(Inverted(width, width, expand))
        return AttentionBlock(width, expand, self.kernel)


def large(*depths: int) -> Variant:
    """Return a variant L, of five stages."""
    return Variant((32, 64, 128, 256, 512), depths, "rffia", (1, 4, 4, 4, 6), 5)


def extra_large(*depths: int) -> Variant:
    """Return a variant XL, of six stages."""
    return Variant((32, 64, 128, 256, 512, 1024), depths, "rfffaa", (1, 4, 4, 4, 4, 6), 3)


class EfficientViT(nn.Module):
    """EfficientViT without a head: the maps of all stages."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.widths = variant.widths
        self.strides = tuple(2 ** (i + 1) for i in range(len(variant.widths)))
        self.stages = nn.ModuleList(variant.stages())
        self.apply(initialise)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return tuple(maps[1:])


def initialise(module: nn.Module) -> None:
    """Set a convolution's weights to a truncated normal of 0.02, and its bias to 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


PAPER = "2205.14756"
SOURCE = "mit-han-lab/efficientvit@de7d773 efficientvit/models/efficientvit/backbone.py"


@backbone("efficientvit-l0", paper=PAPER, source=SOURCE)
def efficientvit_l0(image_size: tuple[int, int], impl: Impl) -> EfficientViT:
    """EfficientViT-L0: 4 attention blocks of 512 channels."""
    return EfficientViT(large(1, 1, 1, 4, 4))


@backbone("efficientvit-l1", paper=PAPER, source=SOURCE)
def efficientvit_l1(image_size: tuple[int, int], impl: Impl) -> EfficientViT:
    """EfficientViT-L1: 6 attention blocks of 512 channels."""
    return EfficientViT(large(1, 1, 1, 6, 6))


@backbone("efficientvit-l2", paper=PAPER, source=SOURCE)
def efficientvit_l2(image_size: tuple[int, int], impl: Impl) -> EfficientViT:
    """EfficientViT-L2: 8 attention blocks of 512 channels."""
    return EfficientViT(large(1, 2, 2, 8, 8))


@backbone("efficientvit-xl0", paper="2402.05008", source=SOURCE)
def efficientvit_xl0(image_size: tuple[int, int], impl: Impl) -> EfficientViT:
    """EfficientViT-XL0: 3 attention blocks of 512 channels and 3 of 1024."""
    return EfficientViT(extra_large(0, 1, 1, 2, 3, 3))


@backbone("efficientvit-xl1", paper="2402.05008", source=SOURCE)
def efficientvit_xl1(image_size: tuple[int, int], impl: Impl) -> EfficientViT:
    """EfficientViT-XL1: 6 attention blocks of 512 channels and 6 of 1024."""
    return EfficientViT(extra_large(1, 2, 2, 4, 6, 6))


#: Patterns of official names, and ours; applied in this order. Official blocks 0 halve the sides, without a shortcut.
NAMES = (
    (r"op_list\.0\.main\.", "0."),
    (r"op_list\.(\d+)\.main\.", r"\1.block."),
    (r"op_list\.(\d+)\.", r"\1."),
    (r"\.context_module\.main\.", ".attention."),
    (r"\.local_module\.main\.", ".local."),
    (r"\.qkv\.conv\.", ".qkv."),
    (r"\.aggreg\.0\.", ".near."),
    (r"\.conv1\.", ".first."),
    (r"\.conv2\.", ".second."),
    (r"\.spatial_conv\.", ".spatial."),
    (r"\.point_conv\.", ".project."),
    (r"\.inverted_conv\.conv\.", ".expand."),
    (r"\.depth_conv\.conv\.", ".depthwise."),
)


def our_name(name: str) -> str:
    """Return our name of an official entry of the backbone."""
    for pattern, ours in NAMES:
        name = re.sub(pattern, ours, name)
    return name


@official(EfficientViT)
def _official(model: EfficientViT, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of the backbone, of a classifier or of a whole SAM; what is no backbone's is ignored.

    Behind ``backbone.`` a classifier has ``head.*``; a SAM has everything below ``image_encoder.``, its neck too.
    """
    inner = {k.removeprefix("image_encoder."): v for k, v in state.items() if k.startswith("image_encoder.")}
    inner = {k.removeprefix("backbone."): v for k, v in (inner or state).items() if k.startswith("backbone.")}
    return {our_name(k): v for k, v in (inner or state).items()}
