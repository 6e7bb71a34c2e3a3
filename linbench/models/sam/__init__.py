"""Promptable segmenters: SAM's parts, and the decoders that stand on them."""

from linbench.models.sam import official as official
from linbench.models.sam.build import (
    HQ,
    NAMED,
    backbone_of,
    build_decoder,
    build_encoder,
    build_sam,
    has_fine_maps,
    trained_side,
    transform_of,
)
from linbench.models.sam.fusion import Fusion
from linbench.models.sam.hq import HQOutput
from linbench.models.sam.model import PROMPT_CHUNK, Embedding, Sam
from linbench.models.sam.prompts import Prompts

__all__ = [
    "HQ",
    "NAMED",
    "PROMPT_CHUNK",
    "Embedding",
    "Fusion",
    "HQOutput",
    "Prompts",
    "Sam",
    "backbone_of",
    "build_decoder",
    "build_encoder",
    "build_sam",
    "has_fine_maps",
    "official",
    "trained_side",
    "transform_of",
]
