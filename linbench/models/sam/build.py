"""``build_sam``: a promptable segmenter on any backbone, and the published ones by their names."""

from typing import Any

from linbench.backbones import build_backbone
from linbench.backbones.contract import Backbone
from linbench.kernels.impl import Impl
from linbench.models.sam.decoder import FusionDecoder, sam_decoder
from linbench.models.sam.efficientsam import SixPointEncoder, efficientsam_decoder
from linbench.models.sam.fusion import Fusion, build_fusion
from linbench.models.sam.hq import HQDecoder, HQOutput
from linbench.models.sam.model import STRIDE, EarlyEncoder, NeckedEncoder, PlainEncoder, Sam
from linbench.models.sam.prompts import PromptEncoder
from linbench.models.sam.transforms import LongestSide, Stretch, Transform
from linbench.registry import UnknownName

FINE = (4, 8)
#: Names of HQ-SAM's models, and the backbones that they stand on; every other model has its backbone's name.
HQ = {"hq-sam-b": "sam-vit-b", "hq-sam-l": "sam-vit-l", "hq-sam-h": "sam-vit-h"}


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
        HQ-SAM on ``sam-vit-b``; any other gets RWKV-SAM's decoder, or SAM's where it has no maps at strides 4 and 8.
    image_size: Side, or height and width, in pixels, that 16 divides; it fixes the size of learned position tables.
    fusion: How RWKV-SAM's decoder fuses the maps at strides 4 and 8; a model without that takes the default only.
    impl: Implementation of the ops inside.
    overrides: The backbone's own options; for HQ-SAM also ``output``, ``sum`` or ``hq``.
    Raises UnknownName, and ValueError for a size, fusion or option that the model does not take.
    """
    fusion, impl = Fusion(fusion), Impl(impl)
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if any(side % STRIDE for side in size):
        raise ValueError(f"image_size={image_size}: a SAM decoder takes heights and widths that {STRIDE} divides")
    if name.startswith("hq-sam-") and name not in HQ:
        raise UnknownName(f"unknown model {name!r}: nearest are {', '.join(HQ)}")
    output = HQOutput(overrides.pop("output", HQOutput.SUM)) if name in HQ else None
    backbone: Any = build_backbone(HQ.get(name, name), image_size=image_size, impl=impl, **overrides)
    if output:
        sam = _hq_sam(backbone, output)
    elif name.startswith("sam-vit-"):
        sam = Sam(PlainEncoder(backbone), PromptEncoder(), sam_decoder(), "SAM's mask decoder, one mask or three")
    elif name.startswith("efficientsam-"):
        description = "EfficientSAM's mask decoder, one mask or three, six points a prompt"
        sam = Sam(PlainEncoder(backbone), SixPointEncoder(), efficientsam_decoder(), description)
    elif set(FINE) <= set(backbone.strides):
        return _rwkv_sam(name, backbone, fusion, impl)
    else:
        sam = _plain(name, backbone)
    if fusion is not Fusion.CONV:
        raise ValueError(f"fusion={str(fusion)!r}: {name} has {sam.description}; there is nothing to fuse")
    return sam


def transform_of(name: str, side: int) -> Transform:
    """How pictures, prompts and logits go into the model of that name and back; ``side`` is its input's, px."""
    return Stretch(side) if name.startswith("efficientsam-") else LongestSide(side)


def _hq_sam(backbone: Any, output: HQOutput) -> Sam:
    what = "HQ-SAM's mask decoder, " + (
        "SAM's logits and HQ's summed" if output is HQOutput.SUM else "HQ's logits alone"
    )
    early = backbone.position.shape[-1]
    return Sam(EarlyEncoder(backbone), PromptEncoder(), HQDecoder(sam_decoder(), early, output), what)


def _rwkv_sam(name: str, backbone: Backbone, fusion: Fusion, impl: Impl) -> Sam:
    encoder = NeckedEncoder(backbone, (*FINE, _coarse(name, backbone)))
    fine, middle = (backbone.widths[i] for i in encoder.chosen[:2])
    decoder = FusionDecoder(sam_decoder(masks=1), build_fusion(fusion, fine, middle, impl))
    return Sam(encoder, PromptEncoder(), decoder, f"RWKV-SAM's mask decoder, {fusion} fusion of strides 4 and 8")


def _plain(name: str, backbone: Backbone) -> Sam:
    encoder = NeckedEncoder(backbone, (_coarse(name, backbone),))
    maps = f"its backbone has maps at stride {_listed(backbone)}, and none at both 4 and 8"
    return Sam(encoder, PromptEncoder(), sam_decoder(masks=1), f"SAM's plain mask decoder, one mask: {maps}")


def _coarse(name: str, backbone: Backbone) -> int:
    if STRIDE not in backbone.strides:
        raise ValueError(
            f"{name} has maps at strides {_listed(backbone)}; a SAM decoder reads one at stride {STRIDE}"
        )
    return STRIDE


def _listed(backbone: Backbone) -> str:
    return ", ".join(map(str, backbone.strides))
