"""Any model of timm (github.com/huggingface/pytorch-image-models) as ``timm/<its name in timm>``.

The maps are those of timm's ``features_only``, so a plain ViT's last map comes without its final norm. Of several
maps at one stride, as a ViT gives, the last is kept. Weights are random: nothing is ever downloaded.
A model whose parts depend on the image size takes only the size that it was built for; the others take any.

Official weights are timm's own state dict of the whole model. What timm has behind the last map, as the norm of a
ViT or the wide convolution of a MobileNet, is no part of a backbone. A classifier here is a linear layer on the mean
of the last map: it takes the weights of models where timm's classifier is that too, as ResNets and RegNets, and
refuses the others', which load into a backbone.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from linbench.backbones.contract import backbone, official
from linbench.backbones.vit import AttentionKind, naive_or_sdpa
from linbench.kernels.impl import Impl
from linbench.registry import UnknownName


class TimmModel(nn.Module):
    """A timm feature extractor behind the contract.

    image_size: Height and width that it was built for, or ``None`` where any size is allowed.
    """

    def __init__(self, features: nn.Module, name: str, image_size: tuple[int, int] | None) -> None:
        super().__init__()
        info: Any = features.feature_info
        self.strides: tuple[int, ...] = tuple(info.reduction())
        self.widths: tuple[int, ...] = tuple(info.channels())
        self.features = features
        self.name = name
        self.image_size = image_size
        self.channels_last = str(getattr(features, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        size = (image.shape[2], image.shape[3])
        if self.image_size not in (None, size):
            raise ValueError(f"timm/{self.name} was built for {self.image_size} images, got {size}; build it anew")
        maps = self.features(image)
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        for stride, feature_map in zip(self.strides, maps, strict=True):
            cells = (-(-size[0] // stride), -(-size[1] // stride))
            if (grid := tuple(feature_map.shape[2:])) != cells:
                raise ValueError(
                    f"timm/{self.name} covers {size} with a map of {grid} at stride {stride}, "
                    f"not of {cells}; take a size that {max(self.strides)} divides"
                )
        return tuple(maps)


@cache
def refusal(name: str, image_size: tuple[int, int]) -> str:
    """Return why timm's model ``name`` takes no images of a size; empty where it does. It is built without data.

    Whether a size is fixed for good, as ``fixed_input_size`` of timm's ``pretrained_cfg`` says, or can be chosen at
    building, and what must divide it, only building tells. Raises UnknownName and ImportError.
    """
    try:
        with torch.device("meta"):
            timm_model(name, image_size, Impl.FAST)
    except ValueError as error:
        return str(error)
    return ""


@backbone(
    "timm/*",
    source="huggingface/pytorch-image-models",
    members=lambda: _import_timm().list_models(),
    refusal=refusal,
)
def timm_model(name: str, image_size: tuple[int, int], impl: Impl, attention: str = "sdpa") -> TimmModel:
    """Return timm's ``features_only`` model ``name``.

    attention: ``sdpa`` or ``naive``, for every attention in it that timm can compute both ways.
    """
    fused = naive_or_sdpa(attention) is AttentionKind.SDPA
    model = _build(name, image_size)
    for module in model.modules():
        if hasattr(module, "fused_attn"):  # timm's own switch: each attention reads it in its forward
            module.fused_attn = fused  # type: ignore[assignment]
    _refuse_size(model, image_size)
    return model


def _build(name: str, image_size: tuple[int, int]) -> TimmModel:
    timm = _import_timm()
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        raise UnknownName(f"timm has no model {name!r}; nearest are {', '.join(near) or 'none'}")
    features, fixed = _create(timm, name, image_size)
    last_of_stride = dict(zip(features.feature_info.reduction(), features.feature_info.out_indices, strict=True))
    if len(last_of_stride) < len(features.feature_info.out_indices):
        features, fixed = _create(timm, name, image_size, out_indices=tuple(last_of_stride.values()))
    model = TimmModel(features, name, image_size if fixed else None)
    if any(fine >= coarse for fine, coarse in pairwise(model.strides)):
        raise ValueError(f"timm/{name} is no backbone for linbench: the strides {model.strides} do not ascend")
    return model


def _import_timm() -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"timm does not import here ({error}); where torchvision is the cause, install torch and torchvision "
            "from the same index, as in `pip install torch torchvision --index-url URL`"
        ) from error
    return timm


def _create(timm: Any, name: str, image_size: tuple[int, int], **options: Any) -> tuple[Any, bool]:
    """Return the extractor, and whether its parts depend on the image size."""
    options |= {"features_only": True, "pretrained": False}
    try:
        return timm.create_model(name, img_size=image_size, **options), True
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    except (AssertionError, ValueError, RuntimeError) as error:
        raise ValueError(f"timm/{name} cannot be built for {image_size} images: {_reason(error)}") from error
    try:
        return timm.create_model(name, **options), False
    except RuntimeError as error:
        raise ValueError(f"timm/{name} gives no feature maps: {_reason(error)}") from error


def _refuse_size(model: TimmModel, image_size: tuple[int, int]) -> None:
    """Raise ValueError where the model cannot take this size: run it without data, on the meta device."""
    state = {k: v.to("meta") for k, v in [*model.named_parameters(), *model.named_buffers()]}
    image = torch.empty(1, 3, *image_size, device="meta")
    training = model.training
    try:
        with torch.no_grad():
            torch.func.functional_call(model.eval(), state, (image,))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"timm/{model.name} does not take {image_size} images: {_reason(error)}") from error
    finally:
        model.train(training)


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


@official(TimmModel)
def _official(model: TimmModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names of the whole model; entries behind the last map become ``head.*``, and unknown ones stay.

    An extractor has the whole model's modules, a few of them renamed: ``stages.0`` as ``stages_0``, or all of them
    under ``model.``.
    """
    whole, classifier = _whole(model.name)
    extractor = {_flat(name.removeprefix("features.").removeprefix("model.")): name for name in model.state_dict()}
    ours = {}
    for name, value in state.items():
        ours_name = extractor.get(_flat(name))
        layer, _, leaf = name.rpartition(".")
        if ours_name:
            ours[ours_name] = value
        elif layer == classifier:
            ours[f"head.{leaf}"] = value
        else:
            ours[f"head.{name}" if name in whole else name] = value
    return ours


def _flat(name: str) -> str:
    return name.replace(".", "_")


@cache
def _whole(name: str) -> tuple[frozenset[str], str]:
    """Return the names of timm's whole model, which is built without data, and its classifying layer."""
    with torch.device("meta"):
        model = _import_timm().create_model(name, pretrained=False)
    return frozenset(model.state_dict()), str(model.pretrained_cfg.get("classifier", ""))
