"""A backbone whose step takes a known memory: MIB of activations for each image, held until the backward."""

import torch
from torch import Tensor, nn

from linbench.backbones import backbone

MIB = 256


class Hold(torch.autograd.Function):
    """The identity, which keeps that memory for its backward."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        ctx.save_for_backward(torch.ones(len(x) * MIB, 2**18))
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


class Bulky(nn.Module):
    """One convolution of stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.strides = (16,)
        self.widths = (8,)
        self.conv = nn.Conv2d(3, 8, 16, stride=16)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.conv(image)
        return (Hold.apply(maps) if maps.requires_grad and not maps.is_meta else maps,)


@backbone("bulky", paper="none", source="tests/plugins/bulky.py")
def bulky(image_size: tuple[int, int], impl: str) -> Bulky:
    """One convolution."""
    return Bulky()
