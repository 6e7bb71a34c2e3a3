"""Models of torchvision as backbones: how to wrap a model that you did not write.

    linbench check examples/torchvision_plugin.py
    linbench run --plugin examples/torchvision_plugin.py --backbone tv-resnet18,vit-t --res 512

torchvision's feature extraction cuts a model at the named nodes; ``get_graph_node_names`` lists a model's nodes.
"""

import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor

from linbench.backbones import backbone
from linbench.kernels import Impl


class TorchvisionModel(nn.Module):
    """A convolutional model of torchvision, cut at the ends of its stages.

    nodes: A node for each map, fine to coarse.
    """

    def __init__(self, name: str, nodes: list[str]) -> None:
        super().__init__()
        self.features = create_feature_extractor(get_model(name, weights=None), nodes)
        self.nodes = nodes
        state = {key: value.to("meta") for key, value in self.features.state_dict().items()}
        with torch.no_grad():  # without data: only the shapes of the maps of a 64 px image count
            image = torch.empty(2, 3, 64, 64, device="meta")
            maps = torch.func.functional_call(self.features, state, (image,)).values()
        self.strides = tuple(64 // x.shape[2] for x in maps)
        self.widths = tuple(x.shape[1] for x in maps)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps ``b c h w`` of an image ``b 3 h w``."""
        maps = self.features(image)
        return tuple(maps[node] for node in self.nodes)


@backbone("tv-resnet18", paper="1512.03385", source="pytorch/vision torchvision/models/resnet.py")
def tv_resnet18(image_size: tuple[int, int], impl: Impl) -> TorchvisionModel:
    """ResNet-18 of torchvision, four maps at strides 4 to 32."""
    return TorchvisionModel("resnet18", ["layer1", "layer2", "layer3", "layer4"])


@backbone("tv-efficientnet-b0", paper="1905.11946", source="pytorch/vision torchvision/models/efficientnet.py")
def tv_efficientnet_b0(image_size: tuple[int, int], impl: Impl) -> TorchvisionModel:
    """EfficientNet-B0 of torchvision, without its last convolution."""
    return TorchvisionModel("efficientnet_b0", ["features.2", "features.3", "features.5", "features.7"])
