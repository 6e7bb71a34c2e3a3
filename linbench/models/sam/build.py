"""``build_sam``: a promptable segmenter on any backbone, and the published ones by name."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from linbench.backbones import build_backbone
from linbench.backbones.contract import Backbone
from linbench.backbones.efficientvit import EPS as EFFICIENTVIT_EPS
from linbench.kernels.impl import Impl
from linbench.models.sam import official as official  # official names of what is built here
from linbench.models.sam.decoder import FusionDecoder, sam_decoder
from linbench.models.sam.efficientsam import SixPointEncoder, efficientsam_decoder
from linbench.models.sam.efficientvit import SYSTEMS, EfficientViTEncoder, Framed, FramedPromptEncoder
from linbench.models.sam.fusion import Fusion, build_fusion
from linbench.models.sam.hq import HQDecoder, HQOutput
from linbench.models.sam.model import STRIDE, EarlyEncoder, NeckedEncoder, PlainEncoder, Sam
from linbench.models.sam.prompts import PromptEncoder
from linbench.models.sam.transforms import LongestSide, Stretch, Transform
from linbench.registry import UnknownName

FINE_STRIDES = (4, 8)
#: Names of HQ-SAM's models, and their backbones.
HQ = {"hq-sam-b": "sam-vit-b", "hq-sam-l": "sam-vit-l", "hq-sam-h": "sam-vit-h"}
#: All models that are named otherwise than their backbones, and those.
NAMED = HQ | {name: system.backbone for name, system in SYSTEMS.items()}
#: Beginnings of the names of such models.
FAMILIES = ("hq-sam-", "efficientvit-sam-")


def build_sam(
    name: str,
    *,
    image_size: int | tuple[int, int] = 1024,
    fusion: Fusion | str = Fusion.CONV,
    impl: Impl | str = Impl.FAST,
    **overrides: Any,
) -> Sam:
    """Return a promptable segmenter, randomly initialised.

    name: A backbone. ``sam-vit-*`` and ``efficientsam-*`` are the published models, ``hq-sam-b`` (``-l``, ``-h``) is
        HQ-SAM on ``sam-vit-b``, and ``efficientvit-sam-l0`` (``-l1``, ``-l2``, ``-xl0``, ``-xl1``) EfficientViT-SAM;
        any other gets RWKV-SAM's decoder, or SAM's where it has no maps at strides 4 and 8.
    image_size: Side, or height and width, px, divisible by 16; it fixes the size of learned position tables.
    fusion: How RWKV-SAM's decoder fuses the maps at strides 4 and 8; a model without fusion takes the default only.
    impl: Implementation of the ops inside.
    overrides: The backbone's own options; for HQ-SAM also ``output``, ``sum`` or ``hq``.
    Raises UnknownName, and ValueError for a size, fusion or option that the model does not support.
    """
    fusion, impl = Fusion(fusion), Impl(impl)
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if any(side % STRIDE for side in size):
        raise ValueError(f"image_size={image_size}: a SAM decoder needs heights and widths divisible by {STRIDE}")
    output = HQOutput(overrides.pop("output", HQOutput.SUM)) if name in HQ else HQOutput.SUM
    backbone = build_backbone(backbone_of(name), image_size=image_size, impl=impl, **overrides)
    encoder = build_encoder(name, backbone)
    return Sam(encoder, *build_decoder(name, backbone, fusion=fusion, impl=impl, output=output))


def backbone_of(name: str) -> str:
    """Return the name of a model's backbone. Raises UnknownName for one that FAMILIES lack."""
    if name.startswith(FAMILIES) and name not in NAMED:
        family = next(family for family in FAMILIES if name.startswith(family))
        raise UnknownName(
            f"unknown model {name!r}: nearest are {', '.join(n for n in NAMED if n.startswith(family))}"
        )
    return NAMED.get(name, name)


def trained_side(name: str, otherwise: int) -> int:
    """Return the side of the input that a published model was trained for, px; ``otherwise`` where it has no own."""
    return SYSTEMS[name].side if name in SYSTEMS else otherwise


def has_fine_maps(strides: Sequence[int]) -> bool:
    """Return whether a backbone with these strides has fine maps to fuse, and so gets RWKV-SAM's decoder."""
    return set(FINE_STRIDES) <= set(strides)


def build_encoder(name: str, backbone: Any) -> nn.Module:
    """Return the image encoder of a model: its backbone, and a neck if the backbone has none. Raises ValueError."""
    if name in HQ:
        return EarlyEncoder(backbone)
    if name in SYSTEMS:
        return EfficientViTEncoder(backbone, SYSTEMS[name].depth, SYSTEMS[name].expand)
    if name.startswith(("sam-vit-", "efficientsam-")):
        return PlainEncoder(backbone)
    if STRIDE not in backbone.strides:
        raise ValueError(
            f"{name} has maps at strides {_strides(backbone)}; a SAM decoder reads one at stride {STRIDE}"
        )
    return NeckedEncoder(backbone, (*(FINE_STRIDES if has_fine_maps(backbone.strides) else ()), STRIDE))


def build_decoder(
    name: str,
    backbone: Any,
    *,
    fusion: Fusion = Fusion.CONV,
    impl: Impl = Impl.FAST,
    output: HQOutput = HQOutput.SUM,
) -> tuple[nn.Module, nn.Module, str]:
    """Return the prompt encoder and the mask decoder of a model, and a description of the decoder in one sentence.

    backbone: Has the strides and the widths of its maps; it may be on ``meta``.
    Raises ValueError for a fusion of a model that has nothing to fuse.
    """
    prompt: nn.Module = PromptEncoder()
    decoder: nn.Module
    if name in HQ:
        logits = "SAM's logits and HQ's summed" if output is HQOutput.SUM else "HQ's logits alone"
        description = f"HQ-SAM's mask decoder, {logits}"
        decoder = HQDecoder(sam_decoder(), backbone.position.shape[-1], output)
    elif name.startswith("sam-vit-"):
        description, decoder = "SAM's mask decoder, one mask or three", sam_decoder()
    elif name.startswith("efficientsam-"):
        description = "EfficientSAM's mask decoder, one mask or three, six points a prompt"
        prompt, decoder = SixPointEncoder(), efficientsam_decoder()
    elif name in SYSTEMS:
        description = "SAM's mask decoder, one mask or three, prompts in a frame of 1024 px"
        prompt, decoder = FramedPromptEncoder(), sam_decoder(eps=EFFICIENTVIT_EPS)
    elif has_fine_maps(backbone.strides):
        fine, middle = (backbone.widths[backbone.strides.index(stride)] for stride in FINE_STRIDES)
        refine = build_fusion(fusion, fine, middle, impl)
        description = f"RWKV-SAM's mask decoder, {fusion} fusion of strides 4 and 8"
        return prompt, FusionDecoder(sam_decoder(masks=1), refine), description
    else:
        maps = f"its backbone has maps at stride {_strides(backbone)}, and none at both 4 and 8"
        description, decoder = f"SAM's plain mask decoder, one mask: {maps}", sam_decoder(masks=1)
    if fusion is not Fusion.CONV:
        raise ValueError(f"fusion={str(fusion)!r}: {name} has {description}; there is nothing to fuse")
    return prompt, decoder, description


def transform_of(name: str, side: int) -> Transform:
    """Return the transform of images, prompts and logits for a model with a square input of ``side`` px."""
    if name in SYSTEMS:
        return Framed(side)
    return Stretch(side) if name.startswith("efficientsam-") else LongestSide(side)


def _strides(backbone: Backbone) -> str:
    return ", ".join(map(str, backbone.strides))
