"""The teacher of the distillation: SAM's image encoder, or a small one of fixed random weights for a try.

A ``Teacher`` gives the embedding that ``loss`` of a task with a teacher reads as ``batch["embedding"]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from linbench.backbones import build_backbone
from linbench.backbones.sam_vit import SamViT
from linbench.backbones.vit import AttentionKind
from linbench.models import checkpoint as checkpoints
from linbench.recipes.contract import Recipe
from linbench.recipes.distillation import Distillation
from linbench.system.files import file_sha256

#: Teachers by the names that recipes give them.
SAM = {"SAM ViT-B": "sam-vit-b", "SAM ViT-L": "sam-vit-l", "SAM ViT-H": "sam-vit-h"}
RANDOM = "random"


@dataclass(frozen=True)
class Teacher:
    """An image encoder that does not learn.

    facts: Its name and the hash of its weights, in the words of JSON; with the recipe's image size they say what an
        embedding is of.
    """

    encoder: nn.Module
    facts: Mapping[str, Any]

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """``b 3 h w`` to ``b 256 h/16 w/16``."""
        return cast(Tensor, self.encoder(image)[-1])


def load_teacher(recipe: Recipe, file: Path | None) -> Teacher:
    """The teacher that the recipe names, in evaluation mode, on the CPU.

    file: Its checkpoint, ours or the official one; None for the random teacher.
    Raises ValueError where a file is missing or too many, and BadCheckpoint and Misfit.
    """
    name, size = cast(Distillation, recipe.settings).teacher, recipe.image_size
    if name == RANDOM:
        if file:
            raise ValueError(f"teacher=random has fixed weights and reads no file; --set teacher='{next(iter(SAM))}'")
        encoder: nn.Module = _random(size)
        facts = {"name": name, "sha256": None}
    elif name not in SAM:
        raise ValueError(f"teacher={name!r}: it is one of {', '.join([*SAM, RANDOM])}")
    elif file is None:
        raise ValueError(
            f"recipe {recipe.name} distils from {name}: name its checkpoint with --teacher FILE, as segment-anything "
            "publishes it; --scale smoke takes a small random teacher instead"
        )
    else:
        encoder = cast(nn.Module, build_backbone(SAM[name], image_size=size))
        checkpoints.load(encoder, file)
        facts = {"name": name, "sha256": file_sha256(file)}
    return Teacher(encoder.eval().requires_grad_(False), facts)


def _random(size: int) -> SamViT:
    """A SAM encoder of four blocks of 96 channels, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return SamViT(96, 3, 4, (1, 3), (size, size), AttentionKind.SDPA, window=4)
