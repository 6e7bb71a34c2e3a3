"""The four designs of RWKV-SAM's refine module Φ'_dec (arXiv 2406.19369, eq. 7 and Table 6).

| here | paper |
|---|---|
| ``features`` | F_M: 32 channels at stride 4, per prompt |
| ``embedding`` | X, here after the decoder's transformer: 256 channels at stride 16, per prompt |
| ``fine``, ``middle`` | X_hr, X_mr: the backbone's maps at strides 4 and 8, per image |

``conv`` is the released model's: two convolutions for each map, two more after all three are concatenated, and a
residual. The others have no official code; their details are our reading of section 4.3. ``rwkv`` and ``mamba``
are ``conv`` with a global token mixer instead of each pair of 3 x 3 convolutions: an RWKV-SAM block or a VMamba
block, 64 channels wide, between 1 x 1 convolutions; the map at stride 8 is mixed before it is enlarged. ``dcn`` goes
from low to high resolution as FaPN (2108.07058) does, starting from X: each step selects channels of the finer map,
aligns the coarser one to it by a deformable convolution, and adds the two.
"""

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

from linbench.backbones import rwkv_sam, vmamba
from linbench.backbones.sam_vit import MapNorm
from linbench.choices import Fusion as Fusion
from linbench.kernels.impl import Impl
from linbench.models.sam.decoder import FEATURES
from linbench.models.sam.prompts import EPS, WIDTH

INNER = 64
#: Groups of channels that share their sampling points in a deformable convolution, and points per output.
GROUPS, POINTS = 8, 9


class ConcatFusion(nn.Module):
    """Project both maps to the features' width and stride, concatenate, mix, add.

    fine, middle: A map ``1 c h w`` at stride 4, at stride 8, to ``1 32 h w`` at stride 4.
    mix: ``m 96 h w``, features, middle and fine, to ``m 32 h w``. It begins with a convolution, which is linear, so
        the two maps' part of it is computed once per image.
    """

    def __init__(self, fine: nn.Module, middle: nn.Module, mix: nn.Sequential) -> None:
        super().__init__()
        self.fine = fine
        self.middle = middle
        self.mix = mix

    def project(self, fine: Tensor, middle: Tensor) -> tuple[Tensor]:
        """Return what both maps add to the first convolution of ``mix``, with its bias: ``1 64 h w`` at stride 4."""
        first = cast(nn.Conv2d, self.mix[0])
        return (self._convolve(torch.cat([self.middle(middle), self.fine(fine)], dim=1), FEATURES, first.bias),)

    def forward(self, features: Tensor, embedding: Tensor, projected: Tensor) -> Tensor:
        """Return the refined features."""
        refined: Tensor = features + self.mix[1:](self._convolve(features, 0, None) + projected)
        return refined

    def _convolve(self, x: Tensor, start: int, bias: Tensor | None) -> Tensor:
        """Apply the first convolution of ``mix`` to the part of its input channels that begins at ``start``."""
        first = cast(nn.Conv2d, self.mix[0])
        return functional.conv2d(x, first.weight[:, start : start + x.shape[1]], bias, padding=first.padding)


def conv_fusion(fine: int, middle: int) -> ConcatFusion:
    """Return the paper's choice, for maps of ``fine`` and ``middle`` channels."""
    return ConcatFusion(
        fine=_two_convolutions(nn.Conv2d(fine, INNER, 3, padding=1)),
        middle=_two_convolutions(nn.ConvTranspose2d(middle, INNER, 2, stride=2)),
        mix=_two_convolutions(nn.Conv2d(3 * FEATURES, INNER, 3, padding=1)),
    )


def _two_convolutions(first: nn.Module) -> nn.Sequential:
    return nn.Sequential(first, MapNorm(INNER, eps=EPS), nn.GELU(), nn.Conv2d(INNER, FEATURES, 3, padding=1))


def mixer_fusion(fine: int, middle: int, block: Callable[[], nn.Module]) -> ConcatFusion:
    """Return ``conv_fusion`` with token mixers of INNER channels, maps to maps, instead of 3 x 3 convolutions."""
    return ConcatFusion(
        fine=nn.Sequential(nn.Conv2d(fine, INNER, 1), block(), nn.Conv2d(INNER, FEATURES, 1)),
        middle=nn.Sequential(nn.Conv2d(middle, INNER, 1), block(), nn.ConvTranspose2d(INNER, FEATURES, 2, stride=2)),
        mix=nn.Sequential(nn.Conv2d(3 * FEATURES, INNER, 1), block(), nn.Conv2d(INNER, FEATURES, 1)),
    )


def rwkv_block(impl: Impl) -> rwkv_sam.Blocks:
    """Return RWKV-SAM's block with the initial values of its first layer."""
    spatial = rwkv_sam.SpatialMix(INNER, 0, rwkv_sam.DEPTH, impl)
    channel = rwkv_sam.ChannelMix(INNER, rwkv_sam.HIDDEN_RATE * INNER, 0, rwkv_sam.DEPTH, impl)
    return rwkv_sam.Blocks([rwkv_sam.Block(spatial, channel, INNER)])


class MambaBlock(nn.Module):
    """VMamba's block, ssm-ratio 1, over ``b c h w``."""

    def __init__(self, impl: Impl) -> None:
        super().__init__()
        self.block = vmamba.Block(INNER, 1, impl, drop_path=0.0)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.block(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return mixed


class Select(nn.Module):
    """FaPN's feature selection: weights for the channels from their means over the map, then fewer channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(width, width, 1, bias=False)
        self.narrow = nn.Conv2d(width, INNER, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        selected: Tensor = self.narrow(x * (1 + self.weigh(x.mean((2, 3), keepdim=True)).sigmoid()))
        return selected


class Align(nn.Module):
    """FaPN's feature alignment: sample the coarser map at points that depend on both, and add the finer one."""

    def __init__(self) -> None:
        super().__init__()
        self.deform = _deform_conv2d()
        self.compare = nn.Conv2d(2 * INNER, INNER, 1, bias=False)
        self.place = nn.Conv2d(INNER, 3 * GROUPS * POINTS, 3, padding=1)  # y, x and a weight for each point
        self.sampled = nn.Conv2d(INNER, INNER, 3, padding=1)  # holds the weights of the deformable convolution
        nn.init.zeros_(self.place.weight)
        nn.init.zeros_(self.place.bias)  # type: ignore[arg-type]

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return the sum ``m c h w`` of ``fine``, ``1 c h w``, and of ``coarse``, ``m c h/2 w/2``, aligned to it."""
        coarse = functional.interpolate(coarse, fine.shape[2:], mode="bilinear", align_corners=False)
        fine = fine.expand_as(coarse)
        placed = self.place(self.compare(torch.cat([fine, 2 * coarse], dim=1)))
        offset, weight = placed.split((2 * GROUPS * POINTS, GROUPS * POINTS), dim=1)
        wide = torch.promote_types(coarse.dtype, torch.float32)  # torchvision's operator has no bfloat16 on the CPU
        arguments = (coarse, offset, *self.sampled.parameters())  # weight, then bias
        aligned = self.deform(*(x.to(wide) for x in arguments), padding=(1, 1), mask=weight.sigmoid().to(wide))
        return fine + aligned.relu().to(coarse.dtype)


def _deform_conv2d() -> Callable[..., Tensor]:
    try:
        from torchvision.ops import deform_conv2d
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"fusion='dcn' needs torchvision's deformable convolution, which cannot be imported ({error}); install "
            "torch and torchvision from the same index, or use another fusion"
        ) from error
    _count_flops()
    operator: Callable[..., Tensor] = deform_conv2d
    return operator


@cache
def _count_flops() -> None:
    """Register a FLOP formula for the operator with torch: the convolution's, as sampling counts as free."""

    @register_flop_formula(torch.ops.torchvision.deform_conv2d)
    def flops(_input: tuple[int, ...], weight: tuple[int, ...], *_: Any, out_shape: Any, **__: Any) -> int:
        return 2 * prod(out_shape) * prod(weight[1:])


class DeformableFusion(nn.Module):
    """FaPN's fusion from stride 16 over 8 to 4, aligned at each step and added to the features."""

    def __init__(self, fine: int, middle: int) -> None:
        super().__init__()
        self.select_fine = Select(fine)
        self.select_middle = Select(middle)
        self.narrow = nn.Conv2d(WIDTH, INNER, 1)
        self.align_middle = Align()
        self.align_fine = Align()
        self.out = nn.Conv2d(INNER, FEATURES, 3, padding=1)

    def project(self, fine: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
        """Return both maps with 64 selected channels."""
        return self.select_fine(fine), self.select_middle(middle)

    def forward(self, features: Tensor, embedding: Tensor, fine: Tensor, middle: Tensor) -> Tensor:
        """Return the refined features; ``fine`` and ``middle`` are projected."""
        x = self.align_middle(middle, self.narrow(embedding))
        refined: Tensor = features + self.out(self.align_fine(fine, x))
        return refined


def build_fusion(fusion: Fusion, fine: int, middle: int, impl: Impl) -> nn.Module:
    """Return the refine module for maps of ``fine`` and ``middle`` channels at strides 4 and 8."""
    match fusion:
        case Fusion.CONV:
            return conv_fusion(fine, middle)
        case Fusion.MAMBA:
            return mixer_fusion(fine, middle, lambda: MambaBlock(impl))
        case Fusion.RWKV:
            return mixer_fusion(fine, middle, lambda: rwkv_block(impl))
        case Fusion.DCN:
            return DeformableFusion(fine, middle)
