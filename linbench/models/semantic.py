"""Semantic segmentation: UPerNet (arXiv 1807.10221, section 3) on any backbone, as mmsegmentation sizes it.

| here | paper |
|---|---|
| ``PoolingPyramid`` | PPM, the pyramid pooling module of PSPNet (1612.01105), on the coarsest map |
| ``lateral``, ``smooth`` | the FPN (1612.03144) on the maps at strides 4 to 32 |
| ``fuse`` | the fusion of all levels at stride 4 |
| ``Auxiliary`` | the second loss on the map at stride 16; mmsegmentation's FCNHead |

512 channels, pools of 1, 2, 3 and 6 cells, batch norm, dropout of 0.1 and an auxiliary head of 256 channels are the
values of mmsegmentation's UPerNet, which VRWKV's release has too.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones import backbone, build_backbone
from linbench.backbones.contract import Backbone
from linbench.kernels.impl import Impl

STRIDES = (4, 8, 16, 32)
BASE_STRIDE = 16
CHANNELS = 512
AUXILIARY_CHANNELS = 256
POOLS = (1, 2, 3, 6)
DROPOUT = 0.1
AUXILIARY_STRIDE = 16


def conv(width_in: int, width: int, side: int) -> nn.Sequential:
    """Return a convolution of ``side`` x ``side``, batch norm and ReLU."""
    layer = nn.Conv2d(width_in, width, side, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.ReLU())


def classifier(width: int, classes: int) -> nn.Sequential:
    """Return dropout of whole channels, then a linear layer for each cell."""
    layer = nn.Conv2d(width, classes, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Dropout2d(DROPOUT), layer)


def resize(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize a map ``b c h w``, bilinear."""
    return functional.interpolate(x, (size[0], size[1]), mode="bilinear", align_corners=False)


class PoolingPyramid(nn.Module):
    """PPM: the map, and its means over grids of several sizes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.Sequential(nn.AdaptiveAvgPool2d(n), conv(width, CHANNELS, 1)) for n in POOLS)
        self.fuse = conv(width + len(POOLS) * CHANNELS, CHANNELS, 3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [resize(pool(x), x.shape[2:]) for pool in self.pools]
        return self.fuse(torch.cat([x, *pooled], dim=1))


class Pyramid(nn.Module):
    """Maps at strides 4, 8, 16 and 32 of any backbone, which a head reads.

    A map that the backbone lacks is made from that at stride 16, as in ViTDet's simple feature pyramid (arXiv
    2203.16527, section 3), with the layers of Vim's segmentation (hustvl/Vim seg/backbone/vim.py). Vim takes maps of
    four depths; here, as in ViTDet, all come from the last, which every backbone has.

    strides, widths: Of the backbone's maps.
    Raises ValueError if one of STRIDES is missing, and there is no map at stride 16 to make it from.
    """

    def __init__(self, strides: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        missing = [stride for stride in STRIDES if stride not in strides]
        if missing and BASE_STRIDE not in strides:
            raise ValueError(
                f"the backbone has maps at strides {', '.join(map(str, strides))}; a pyramid needs "
                f"{', '.join(map(str, STRIDES))}, or {BASE_STRIDE} to make the others from"
            )
        width_at = dict(zip(strides, widths, strict=True))
        self.strides = strides
        self.widths = tuple(width_at[stride if stride in width_at else BASE_STRIDE] for stride in STRIDES)
        self.made = nn.ModuleDict({str(stride): _layers(stride, width_at[BASE_STRIDE]) for stride in missing})

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return four maps ``b c h w``, fine to coarse."""
        map_at = dict(zip(self.strides, maps, strict=True))
        for stride, layers in self.made.items():
            map_at[int(stride)] = layers(map_at[BASE_STRIDE])
        return tuple(map_at[stride] for stride in STRIDES)


def _layers(stride: int, width: int) -> nn.Module:
    """Return layers from stride 16 to another of STRIDES: transposed convolutions to a finer map, or a pooling."""
    if stride == 4:
        first = nn.ConvTranspose2d(width, width, 2, stride=2)
        return nn.Sequential(first, nn.BatchNorm2d(width), nn.GELU(), nn.ConvTranspose2d(width, width, 2, stride=2))
    if stride == 8:
        return nn.ConvTranspose2d(width, width, 2, stride=2)
    return nn.MaxPool2d(2, ceil_mode=True)


class UPerHead(nn.Module):
    """UPerNet's head: maps at strides 4 to 32 to the logits of ``classes`` at stride 4.

    widths: Channels of the maps.
    """

    def __init__(self, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        *fine, coarse = widths
        self.pooling = PoolingPyramid(coarse)
        self.lateral = nn.ModuleList(conv(width, CHANNELS, 1) for width in fine)
        self.smooth = nn.ModuleList(conv(CHANNELS, CHANNELS, 3) for _ in fine)
        self.fuse = conv(len(widths) * CHANNELS, CHANNELS, 3)
        self.classifier = classifier(CHANNELS, classes)

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        *fine, coarse = maps
        sums = [self.pooling(coarse)]  # coarse to fine
        for x, lateral in zip(reversed(fine), reversed(self.lateral), strict=True):
            sums.append(lateral(x) + resize(sums[-1], x.shape[2:]))
        levels = [smooth(x) for smooth, x in zip(reversed(self.smooth), sums[1:], strict=True)]
        size = maps[0].shape[2:]
        joined = torch.cat([resize(x, size) for x in [*reversed(levels), sums[0]]], dim=1)
        return self.classifier(self.fuse(joined))


class Auxiliary(nn.Sequential):
    """The auxiliary head: one map to logits at its own stride."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__(conv(width, AUXILIARY_CHANNELS, 3), classifier(AUXILIARY_CHANNELS, classes))


class Semantic(nn.Module):
    """A backbone under UPerNet.

    head: Maps at strides 4 to 32 to logits.
    auxiliary_head: The map at stride 16 to logits, for training only.
    """

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = Pyramid(backbone.strides, backbone.widths)
        self.head = UPerHead(self.pyramid.widths, num_classes)
        self.auxiliary_at = STRIDES.index(AUXILIARY_STRIDE)
        self.auxiliary_head = Auxiliary(self.pyramid.widths[self.auxiliary_at], num_classes)

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits at stride 4, and the auxiliary head's at stride 16."""
        maps = self.pyramid(self.backbone(image))
        return self.head(maps), self.auxiliary_head(maps[self.auxiliary_at])

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits ``b num_classes h w`` of images ``b 3 h w``."""
        return resize(self.head(self.pyramid(self.backbone(image))), image.shape[2:])


def build_semantic(
    name: str,
    *,
    num_classes: int = 150,
    image_size: int | tuple[int, int] = 512,
    impl: Impl | str = Impl.FAST,
    **overrides: Any,
) -> Semantic:
    """Return UPerNet on the backbone ``name``, with random weights; arguments and errors as in ``build_backbone``."""
    options = dict(backbone[name].facts.get("semantic", {})) | overrides
    return Semantic(build_backbone(name, image_size=image_size, impl=impl, **options), num_classes)
