"""Maps at strides 4, 8, 16 and 32 of any backbone, for heads that read such a pyramid.

A backbone that has all of them is used as it is. For another one, each missing map is made from that at stride 16, as
in ViTDet's simple feature pyramid (arXiv 2203.16527, section 3), with the layers of Vim's segmentation
(hustvl/Vim seg/backbone/vim.py): two transposed convolutions with a batch norm and GELU between for stride 4, one for
stride 8, a pooling for stride 32. Vim takes maps of four depths; here, as in ViTDet, all come from the last, which
every backbone has.
"""

from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)
BASE_STRIDE = 16


class Pyramid(nn.Module):
    """Layers from the maps of a backbone to maps at STRIDES.

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
    """Return layers from stride 16 to another of STRIDES."""
    if stride == 4:
        first = nn.ConvTranspose2d(width, width, 2, stride=2)
        return nn.Sequential(first, nn.BatchNorm2d(width), nn.GELU(), nn.ConvTranspose2d(width, width, 2, stride=2))
    if stride == 8:
        return nn.ConvTranspose2d(width, width, 2, stride=2)
    return nn.MaxPool2d(2, ceil_mode=True)
