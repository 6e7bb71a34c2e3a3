"""A backbone as a plug-in: one file, one decorator."""

from torch import Tensor, nn

from linbench.backbones import backbone


class Toy(nn.Module):
    """One convolution of stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.strides = (16,)
        self.widths = (8,)
        self.conv = nn.Conv2d(3, 8, 16, stride=16)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.conv(image),)


@backbone("toy", paper="none", source="tests/plugins/toy.py", multiple_of=32)
def toy(image_size: tuple[int, int], impl: str) -> Toy:
    """One convolution."""
    return Toy()
