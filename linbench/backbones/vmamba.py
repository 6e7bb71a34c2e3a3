"""VMamba (arXiv 2401.10166): a pyramid of Mamba blocks that scan a map in four directions.

| here | paper (section 3) |
|---|---|
| ``width`` | C, the channels of a stage |
| ``ratio``, ``inner`` | ssm-ratio; D = ratio · C, the channels inside SS2D |
| ``STATE`` | N = 1, the state of each channel |
| ``rank`` | C / 16 rounded up, the bottleneck in front of Δ |
| ``SS2D`` | 2D-Selective-Scan: cross-scan, four S6 blocks, cross-merge |
| ``low``, ``B``, ``C``, ``delta`` | the input of Δ's projection; B_t, C_t; Δ_t before its bias and softplus |
| ``A_log``, ``D`` | log(-A) and the skip of each direction |
| ``d`` | the four directions: rows, columns, rows backwards, columns backwards |

This is the VMamba of the paper's last revision ("v05_noz": no gate, N = 1), not the first, vanilla one.
Maps are ``b h w c`` inside, so that a 1 x 1 convolution is a linear layer and the scan reads contiguous channels.
"""

import math
import re
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones.contract import backbone, official
from linbench.kernels.cross_scan import cross_merge, cross_scan
from linbench.kernels.impl import Impl
from linbench.kernels.selective_scan import selective_scan

STATE = 1
STRIDES = (4, 8, 16, 32)


class SS2D(nn.Module):
    """The sum of four selective scans of a map ``b h w c``, one per reading order."""

    def __init__(self, width: int, ratio: int, impl: Impl) -> None:
        super().__init__()
        inner = ratio * width
        rank = math.ceil(width / 16)
        self.sizes = (rank, STATE, STATE)
        self.impl = impl
        self.in_proj = nn.Linear(width, inner, bias=False)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.x_proj = nn.Parameter(torch.empty(4, sum(self.sizes), inner))  # d e c
        self.dt_proj = nn.Parameter(torch.empty(4, inner, rank))  # d c r
        self.dt_bias = nn.Parameter(torch.empty(4, inner))
        self.A_log = nn.Parameter(torch.arange(1.0, STATE + 1).log().repeat(4 * inner, 1))  # (d c) n
        self.D = nn.Parameter(torch.ones(4 * inner))
        self.norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        _initialise_scan(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_proj(x).permute(0, 3, 1, 2)
        x = functional.silu(self.conv(x))
        sequences = cross_scan(x, impl=self.impl)  # b d c t
        y = self.scan(sequences).unflatten(3, x.shape[2:])  # b d c h w
        merged = cross_merge(y, impl=self.impl).transpose(1, 2).unflatten(1, x.shape[2:])  # b h w c
        return self.out_proj(self.norm(merged))

    def scan(self, sequences: Tensor) -> Tensor:
        """Scan each of the four sequences, ``b d c t``, with its own S6, as one scan of d groups.

        Half inputs are accumulated in float32 and returned in half, where the source's kernel returns float32.
        """
        tokens = sequences.permute(0, 3, 1, 2)  # b t d c
        low, B, C = torch.einsum("btdc,dec->btde", tokens, self.x_proj).split(self.sizes, dim=3)
        delta = torch.einsum("btdr,dcr->btdc", low, self.dt_proj)
        y = selective_scan(
            sequences.flatten(1, 2),
            delta.flatten(2).transpose(1, 2),
            -torch.exp(_wide(self.A_log)),
            B.permute(0, 2, 3, 1),
            C.permute(0, 2, 3, 1),
            _wide(self.D),
            delta_bias=_wide(self.dt_bias).flatten(),
            delta_softplus=True,
            impl=self.impl,
        )
        return y.unflatten(1, (4, -1))


class Block(nn.Module):
    """Pre-norm residual block over ``b h w c``: SS2D, then an MLP of four times the width."""

    def __init__(self, width: int, ratio: int, impl: Impl, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.ss2d = SS2D(width, ratio, impl)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropped(self.ss2d(self.norm1(x)))
        return x + self.dropped(self.mlp(self.norm2(x)))

    def dropped(self, x: Tensor) -> Tensor:
        """Return a branch's result with stochastic depth, in training."""
        return drop_path(x, self.drop_path) if self.training else x


class Halve(nn.Module):
    """A 3 x 3 convolution of stride 2 and a norm: ``b h w c`` to half the height and width, rounded up."""

    def __init__(self, width: int, to: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, to, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(to)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class VMamba(nn.Module):
    """VMamba without its head.

    depths: Blocks of each of the four stages.
    outputs: The stages, 0 to 3, whose maps are returned, each with a norm of its own.
    drop_path: Fraction of samples that skip the last block in training; it grows linearly from 0 at the first.
    """

    def __init__(
        self,
        width: int,
        depths: tuple[int, ...],
        ratio: int,
        impl: Impl,
        outputs: tuple[int, ...] = (0, 1, 2, 3),
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if not outputs or list(outputs) != sorted(set(outputs) & {0, 1, 2, 3}):
            raise ValueError(f"outputs must be stages from 0 to 3, each once and in order, got {outputs}")
        widths = tuple(width << stage for stage in range(4))
        self.outputs = tuple(outputs)
        self.strides = tuple(STRIDES[stage] for stage in outputs)
        self.widths = tuple(widths[stage] for stage in outputs)
        self.stem = nn.Sequential(Halve(3, width // 2), nn.GELU(), Halve(width // 2, width))
        last = sum(depths) - 1
        rates = iter([drop_path * i / last for i in range(last + 1)])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(c, ratio, impl, next(rates)) for _ in range(depth)))
            for c, depth in zip(widths, depths, strict=True)
        )
        self.downsamples = nn.ModuleList(Halve(c, 2 * c) for c in widths[:-1])
        self.outnorms = nn.ModuleDict({str(stage): nn.LayerNorm(widths[stage]) for stage in outputs})
        self.apply(_initialise_linear)

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


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole samples of x with probability rate and scale the others up (arXiv 1603.09382)."""
    if rate == 0:
        return x
    mask = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - rate)
    return x * (mask / (1 - rate))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _initialise_scan(ss2d: SS2D) -> None:
    inner, rank = ss2d.dt_proj.shape[1:]
    nn.init.uniform_(ss2d.x_proj, -(inner**-0.5), inner**-0.5)
    nn.init.uniform_(ss2d.dt_proj, -(rank**-0.5), rank**-0.5)
    step = torch.empty_like(ss2d.dt_bias).uniform_(math.log(1e-3), math.log(1e-1)).exp()
    with torch.no_grad():
        ss2d.dt_bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


SOURCE = "MzeroMiko/VMamba@2ed52ea classification/models/vmamba.py"
ALL = (0, 1, 2, 3)


@backbone("vmamba-t", paper="2401.10166", source=SOURCE, multiple_of=1, weights="ema", classifier={"outputs": (3,)})
def vmamba_t(
    image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0
) -> VMamba:
    """VMamba-T [s1l8]: 96 channels, ssm-ratio 1; its source trains it with drop_path 0.2."""
    return VMamba(96, (2, 2, 8, 2), 1, impl, outputs, drop_path)


@backbone("vmamba-s", paper="2401.10166", source=SOURCE, multiple_of=1, weights="ema", classifier={"outputs": (3,)})
def vmamba_s(
    image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0
) -> VMamba:
    """VMamba-S [s2l15]: 96 channels, ssm-ratio 2; its source trains it with drop_path 0.3."""
    return VMamba(96, (2, 2, 15, 2), 2, impl, outputs, drop_path)


@backbone("vmamba-b", paper="2401.10166", source=SOURCE, multiple_of=1, weights="ema", classifier={"outputs": (3,)})
def vmamba_b(
    image_size: tuple[int, int], impl: Impl, outputs: tuple[int, ...] = ALL, drop_path: float = 0.0
) -> VMamba:
    """VMamba-B [s2l15]: 128 channels, ssm-ratio 2; its source trains it with drop_path 0.6."""
    return VMamba(128, (2, 2, 15, 2), 2, impl, outputs, drop_path)


@official(VMamba)
def _official(model: VMamba, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename VMamba's entries, current and older ones, with 1 x 1 convolutions as matrices or not.

    A classification checkpoint has one norm over the last stage, ``classifier.norm``: it becomes the norm of stage
    3's map, so that this map does not depend on which other stages are returned (the source initialises it anew in
    dense models). It is omitted where stage 3 is not returned. The norms of stages 0 to 2 are not in such a
    checkpoint: they keep their values, with a warning.
    """
    ours = {renamed(key): v.flatten(1) if v.shape[2:] == (1, 1) else v for key, v in state.items()}
    if any(key.startswith(("classifier.norm.", "norm.")) for key in state):
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


#: The source's names, older ones included, as patterns, and ours; applied in this order.
NAMES = (
    (r"^patch_embed\.(0|proj)\.", "stem.0.conv."),
    (r"^patch_embed\.(2|norm)\.", "stem.0.norm."),
    (r"^patch_embed\.5\.", "stem.2.conv."),
    (r"^patch_embed\.7\.", "stem.2.norm."),
    (r"^layers\.(\d)\.downsample\.1\.", r"downsamples.\1.conv."),
    (r"^layers\.(\d)\.downsample\.3\.", r"downsamples.\1.norm."),
    (r"^layers\.(\d)\.blocks\.", r"stages.\1."),
    (r"^(stages\.\d\.\d+)\.(norm|ln_1)\.", r"\1.norm1."),
    (r"^(stages\.\d\.\d+)\.(op|self_attention)\.", r"\1.ss2d."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
    (r"^outnorm(\d)\.", r"outnorms.\1."),
    (r"^(classifier\.)?norm\.", "outnorms.3."),
    (r"^classifier\.head\.", "head."),
)
#: The same inside SS2D.
SS2D_NAMES = {
    "x_proj_weight": "x_proj",
    "dt_projs_weight": "dt_proj",
    "dt_projs_bias": "dt_bias",
    "A_logs": "A_log",
    "Ds": "D",
    "conv2d.weight": "conv.weight",
    "out_norm.weight": "norm.weight",
    "out_norm.bias": "norm.bias",
}


def renamed(key: str) -> str:
    """Return our name of an official entry."""
    for pattern, ours in NAMES:
        key = re.sub(pattern, ours, key)
    block, ss2d, inner = key.partition(".ss2d.")
    return block + ss2d + SS2D_NAMES.get(inner, inner) if ss2d else key
