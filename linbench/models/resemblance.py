"""Which registered model the entries of a checkpoint resemble, for the message that refuses them."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from linbench.backbones import backbone, build_backbone
from linbench.backbones.contract import official_names
from linbench.backbones.layouts import readings
from linbench.models.sam import NAMED, build_sam

#: Fraction of the entries that a file and a model must have in common to resemble each other.
RESEMBLANCE = 0.5
#: Prefixes of a segmenter's entries, in official files and in linbench's.
SEGMENTER_PREFIXES = (
    "image_encoder.",
    "prompt_encoder.",
    "mask_decoder.",
    "pe.",
    "encoder.backbone.",
    "decoder.",
    "prompt.",
)


def resemblance(entries: Mapping[str, Tensor]) -> str:
    """Return a sentence: which registered model the entries resemble by names and shapes, in either layout."""
    *_, (_, plain) = readings(entries)
    shapes = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for name, tensor in plain.items()}
    fractions = {name: _common_fraction(model, shapes) for name, model in _candidates(shapes)}
    best = max(fractions, key=lambda name: fractions[name])
    return f"it looks like {best}" if fractions[best] >= RESEMBLANCE else "it looks like no model here"


def _candidates(entries: Mapping[str, Tensor]) -> Iterator[tuple[str, Any]]:
    """Yield models to compare with, on ``meta``; segmenters if the names are those of a segmenter's parts."""
    names = [name for name in backbone if not name.endswith("/*")]
    is_segmenter = any(key.startswith(SEGMENTER_PREFIXES) for key in entries)
    build: Callable[..., Any] = build_sam if is_segmenter else build_backbone
    with torch.device("meta"):
        for name in [*names, *NAMED] if is_segmenter else names:
            with suppress(ValueError):  # a plug-in may have no map at stride 16, or not take this size
                yield name, build(name, image_size=224)


def _common_fraction(model: nn.Module, entries: Mapping[str, Tensor]) -> float:
    """Return the fraction of the model's and the file's entries that fit by name and shape, in the better layout."""
    needed = {name: tensor.shape for name, tensor in model.state_dict().items()}
    layouts = [entries]
    with suppress(ValueError), warnings.catch_warnings():  # a key table may refuse entries
        warnings.simplefilter("ignore")  # and warn about missing ones
        layouts.append(official_names(model, entries))
    stored = [{name: tensor.shape for name, tensor in layout.items()} for layout in layouts]
    return max(len(needed.items() & shapes.items()) / len(needed.keys() | shapes.keys()) for shapes in stored)
