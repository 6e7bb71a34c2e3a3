"""Maps at strides 4, 8, 16 and 32 of any backbone, for heads that read such a pyramid.

A backbone that has them all is taken as it is. Of another, each map that it lacks is made of the one at stride 16, as
ViTDet's simple feature pyramid is (arXiv 2203.16527, section 3), with the layers that Vim's segmentation has
(hustvl/Vim seg/backbone/vim.py): two transposed convolutions with a batch norm and GELU between for stride 4, one for
stride 8, a pooling for stride 32. Vim takes maps of four depths; here, as in ViTDet, all come from the last, which
every backbone has.
"""

from torch import Tensor, nn

STRIDES = (4, 8, 16, 32)
BASE = 16


class Pyramid(nn.Module):
    """The maps of a backbone to maps at STRIDES.

    strides, widths: The backbone's.
    Raises ValueError where one of STRIDES is not there, and neither is the one at 16 to make it from.
    """

    def __init__(self, strides: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        missing = [stride for stride in STRIDES if stride not in strides]
        if missing and BASE not in strides:
            raise ValueError(
                f"the backbone has maps at strides {', '.join(map(str, strides))}; a pyramid needs "
                f"{', '.join(map(str, STRIDES))}, or {BASE} to make the others from"
            )
        own = dict(zip(strides, widths, strict=True))
        self.strides = strides
        self.widths = tuple(own[stride if stride in own else BASE] for stride in STRIDES)
        self.made = nn.ModuleDict({str(stride): _made(stride, own[BASE]) for stride in missing})

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Four maps ``b c h w``, fine to coarse."""
        at = dict(zip(self.strides, maps, strict=True))
        for stride, layers in self.made.items():
            at[int(stride)] = layers(at[BASE])
        return tuple(at[stride] for stride in STRIDES)


def _made(stride: int, width: int) -> nn.Module:
    """Layers from stride 16 to another of STRIDES."""
    if stride == 4:
        first = nn.ConvTranspose2d(width, width, 2, stride=2)
        return nn.Sequential(first, nn.BatchNorm2d(width), nn.GELU(), nn.ConvTranspose2d(width, width, 2, stride=2))
    if stride == 8:
        return nn.ConvTranspose2d(width, width, 2, stride=2)
    return nn.MaxPool2d(2, ceil_mode=True)
