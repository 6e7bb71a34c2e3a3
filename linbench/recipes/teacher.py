"""The teacher of the distillation: SAM's image encoder, or a small one with fixed random weights for a smoke run.

A ``Teacher`` computes the embedding that the ``loss`` of a task with a teacher reads as ``batch["embedding"]``.
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

#: Backbones of the teachers, by the names that recipes give them.
SAM = {"SAM ViT-B": "sam-vit-b", "SAM ViT-L": "sam-vit-l", "SAM ViT-H": "sam-vit-h"}
RANDOM = "random"


@dataclass(frozen=True)
class Teacher:
    """An image encoder that is not trained.

    facts: Its name and the hash of its weights, as JSON values; with the recipe's image size they identify an
        embedding.
    """

    encoder: nn.Module
    facts: Mapping[str, Any]

    @torch.no_grad()
    def embed(self, image: Tensor) -> Tensor:
        """Return the embedding ``b 256 h/16 w/16`` of normalized images ``b 3 h w``."""
        return cast(Tensor, self.encoder(image)[-1])


def check_teacher(recipe: Recipe, path: Path | None) -> str:
    """Return the teacher's name, without reading its file. Raises ValueError for a missing or superfluous file."""
    name = cast(Distillation, recipe.settings).teacher
    if name not in (*SAM, RANDOM):
        raise ValueError(f"teacher={name!r} is unknown; allowed are {', '.join([*SAM, RANDOM])}")
    if name == RANDOM and path:
        raise ValueError(f"teacher=random has fixed weights and reads no file; --set teacher='{next(iter(SAM))}'")
    if name != RANDOM and path is None:
        raise ValueError(
            f"recipe {recipe.name} distils from {name}: name its checkpoint with --teacher FILE, as segment-anything "
            "publishes it; --scale smoke takes a small random teacher instead"
        )
    return name


def load_teacher(recipe: Recipe, path: Path | None) -> Teacher:
    """Return the teacher that the recipe names, in evaluation mode, on the CPU.

    path: Its checkpoint, linbench's or the official one; None for the random teacher.
    Raises ValueError for a missing or superfluous file, BadCheckpoint and Misfit.
    """
    name = check_teacher(recipe, path)
    if path is None:
        return _frozen(_random_encoder(recipe.image_size), {"name": name, "sha256": None})
    encoder = cast(nn.Module, build_backbone(SAM[name], image_size=recipe.image_size))
    checkpoints.load(encoder, path)
    return _frozen(encoder, {"name": name, "sha256": file_sha256(path)})


def unfilled_teacher(name: str, image_size: int, device: torch.device) -> Teacher:
    """Return a teacher whose weights are whatever the memory holds: it takes the time of the real one.

    name: Of SAM, or RANDOM.
    """
    if name == RANDOM:
        return _frozen(_random_encoder(image_size).to(device), {"name": name})
    with torch.device("meta"):
        encoder = cast(nn.Module, build_backbone(SAM[name], image_size=image_size))
    return _frozen(encoder.to_empty(device=device), {"name": name})


def _frozen(encoder: nn.Module, facts: Mapping[str, Any]) -> Teacher:
    return Teacher(encoder.eval().requires_grad_(False), facts)


def _random_encoder(size: int) -> SamViT:
    """Return a SAM encoder of four blocks with 96 channels, with the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return SamViT(96, 3, 4, (1, 3), (size, size), AttentionKind.SDPA, window=4)
