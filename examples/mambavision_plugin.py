"""MambaVision (arXiv 2407.08083) through its own package: how to measure a model that linbench may not contain.

    pip install mambavision        # with mamba-ssm, which is compiled for CUDA
    linbench run --plugin examples/mambavision_plugin.py --backbone mambavision-t,vit-s --device cuda

NVIDIA's licence is not commercial, so nothing of MambaVision is here but the calls of its package. Its scan runs on
CUDA alone: elsewhere this file is refused when it is imported, and nothing is registered. ``linbench check`` runs a
toy image on the CPU, where that scan has no kernel: on a machine with CUDA, measure instead.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from linbench.backbones import backbone
from linbench.kernels import Impl

if find_spec("mambavision") is None:
    raise ImportError("MambaVision needs its package and CUDA; install it with: pip install mambavision")
if not torch.cuda.is_available():
    raise RuntimeError("MambaVision runs on CUDA only, and torch sees no CUDA device here")


class MambaVision(nn.Module):
    """A model of the package, with the maps of its four levels before each downsampling; the last one normalised."""

    def __init__(self, name: str) -> None:
        super().__init__()
        from mambavision import create_model

        with torch.device("cpu"):  # it reads values while it is built, which the meta device does not have
            model: Any = create_model(name, pretrained=False)
        model.to(torch.get_default_device())
        self.strides = (4, 8, 16, 32)
        self.patch_embed = model.patch_embed
        self.downsamples = nn.ModuleList(level.downsample for level in model.levels[:-1])
        for level in model.levels:
            level.downsample = None  # a level without one returns its map
        self.levels = model.levels
        self.norm = model.norm
        last = model.norm.num_features
        self.widths = (last // 8, last // 4, last // 2, last)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps ``b c h w`` of an image ``b 3 h w``."""
        x = self.patch_embed(image)
        maps = []
        for index, level in enumerate(self.levels):
            if index:
                x = self.downsamples[index - 1](x)
            x = level(x)
            maps.append(x)
        return (*maps[:-1], self.norm(maps[-1]))


SOURCE = "NVlabs/MambaVision mambavision 1.2.0"


@backbone("mambavision-t", paper="2407.08083", source=SOURCE)
def mambavision_t(image_size: tuple[int, int], impl: Impl) -> MambaVision:
    """MambaVision-T of its package."""
    return MambaVision("mamba_vision_T")


@backbone("mambavision-s", paper="2407.08083", source=SOURCE)
def mambavision_s(image_size: tuple[int, int], impl: Impl) -> MambaVision:
    """MambaVision-S of its package."""
    return MambaVision("mamba_vision_S")


@backbone("mambavision-b", paper="2407.08083", source=SOURCE)
def mambavision_b(image_size: tuple[int, int], impl: Impl) -> MambaVision:
    """MambaVision-B of its package."""
    return MambaVision("mamba_vision_B")
