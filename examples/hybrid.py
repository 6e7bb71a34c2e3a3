"""A hybrid of your own: convolutions down to stride 8, linear attention of linbench at stride 16.

    linbench check examples/hybrid.py
    linbench run --plugin examples/hybrid.py --backbone my-hybrid,vit-t --res 512..2048

The kernels of ``linbench.kernels`` are torch operators: each has a gradient, a count of FLOPs and a reference, which
``impl`` selects. Nothing is compiled and no device is named here.
"""

from torch import Tensor, nn

from linbench.backbones import backbone
from linbench.kernels import Impl, bi_wkv, q_shift


class Convolutions(nn.Sequential):
    """A convolution of stride 2 and a separable one: ``b c h w`` to half the sides, rounded up."""

    def __init__(self, width: int, to: int) -> None:
        super().__init__(
            nn.Conv2d(width, to, 3, stride=2, padding=1),
            nn.GroupNorm(1, to),
            nn.GELU(),
            nn.Conv2d(to, to, 3, padding=1, groups=to),
            nn.Conv2d(to, to, 1),
            nn.GELU(),
        )


class LinearAttention(nn.Module):
    """bi-WKV over the positions of a map ``b c h w``, as a residual branch."""

    def __init__(self, width: int, impl: Impl) -> None:
        super().__init__()
        self.impl = impl
        self.norm = nn.LayerNorm(width)
        self.key, self.value, self.gate = (nn.Linear(width, width) for _ in range(3))
        self.decay = nn.Parameter(nn.init.uniform_(self.norm.weight.new_empty(width), 0, 4))
        self.bonus = nn.Parameter(self.norm.weight.new_zeros(width))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map with its mixture of all positions added."""
        grid = (x.shape[2], x.shape[3])
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # b t c
        shifted = q_shift(tokens, patch_resolution=grid, impl=self.impl)
        count = tokens.shape[1]
        w, u = self.decay / count, self.bonus / count  # a decay by distance relative to the number of tokens
        mixed = bi_wkv(w, u, self.key(shifted), self.value(tokens), impl=self.impl)
        branch: Tensor = self.output(mixed * self.gate(tokens).sigmoid())
        return x + branch.transpose(1, 2).unflatten(2, grid)


class Hybrid(nn.Module):
    """Three stages of convolutions and one of linear attention, with maps at strides 4, 8 and 16.

    depth: Blocks of linear attention.
    """

    def __init__(self, width: int, depth: int, impl: Impl) -> None:
        super().__init__()
        self.strides = (4, 8, 16)
        self.widths = (width, 2 * width, 4 * width)
        self.stem = nn.Sequential(Convolutions(3, width // 2), Convolutions(width // 2, width))
        self.fine = Convolutions(width, 2 * width)
        self.down = Convolutions(2 * width, 4 * width)
        self.blocks = nn.Sequential(*(LinearAttention(4 * width, impl) for _ in range(depth)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps ``b c h w`` of an image ``b 3 h w``, fine to coarse."""
        at4 = self.stem(image)
        at8 = self.fine(at4)
        return at4, at8, self.blocks(self.down(at8))


@backbone("my-hybrid")
def my_hybrid(image_size: tuple[int, int], impl: Impl, depth: int = 6) -> Hybrid:
    """Convolutions of 48 and 96 channels, then blocks of bi-WKV of 192 channels."""
    return Hybrid(48, depth, impl)
