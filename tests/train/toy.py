"""A task so small that a step takes a millisecond: it has all that the loop deals with, and needs no files.

The model has dropout, so that a resumed run is right only where the randomness inside the model is; a mask as a part
of each item weighs images unequally; one parameter has no gradient.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from linbench.recipes import optimiser
from linbench.recipes.contract import Recipe, Source, derived, recipe, task


@dataclass(frozen=True)
class Toy:
    """What the toy adds to a recipe.

    images: In an epoch.
    dropout: Of the model.
    poison: Index of an image that is infinite, or -1.
    """

    task: ClassVar[str] = "toy"
    images: int = 40
    dropout: float = 0.1
    poison: int = -1


@recipe("toy")
def toy() -> Recipe:
    """Six epochs of five steps."""
    return Recipe(
        name="toy",
        settings=Toy(),
        sources=(Source("toy"),),
        image_size=8,
        embedded_size=8,
        batch=8,
        epochs=6,
        steps=None,
        lr=1e-2,
        weight_decay=0.05,
        schedule="cosine",
        final_factor=0.01,
        warmup_steps=3,
        clip=1.0,
    )


class Model(nn.Module):
    """Two blocks in a row under a head."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*(block(3 if i == 0 else 8, dropout) for i in range(2)))
        self.head = nn.Linear(8, 1)
        self.unread = nn.Parameter(torch.zeros(3))

    def forward(self, image):
        return self.head(self.backbone(image).mean((2, 3)))[:, 0]


def block(width, dropout):
    return nn.Sequential(nn.Conv2d(width, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 8, 1), nn.Dropout(dropout))


class Examples:
    checksums: ClassVar[dict[str, str]] = {"toy": "0" * 64}

    def __init__(self, settings, seed):
        self.settings = settings
        self.seed = seed

    def __len__(self):
        return self.settings.images

    def __getitem__(self, key):
        epoch, index = key
        draw = torch.Generator().manual_seed(derived(self.seed, epoch, index))
        image = torch.randn(3, 8, 8, generator=draw)
        if index == self.settings.poison:
            image[0, 0, 0] = float("inf")
        truth = image[0].mean() * 3
        return {"id": f"toy {index}", "image": image, "truth": truth, "weight": 1.0 + index % 3, "skipped": ()}


@task("toy")
class ToyTask:
    """Weighted squared error to a number that the image holds."""

    checkpoint: ClassVar[str] = "backbone"
    teacher: ClassVar[bool] = False

    def __init__(self, recipe):
        self.recipe = recipe
        self.settings = recipe.settings

    def build(self, name, *, impl="fast", **options):
        return Model(self.settings.dropout)

    def examples(self, data, seed):
        return Examples(self.settings, seed)

    def collate(self, items):
        return {
            "ids": [item["id"] for item in items],
            "skipped": [],
            "image": torch.stack([item["image"] for item in items]),
            "truth": torch.stack([item["truth"] for item in items]),
            "weights": torch.tensor([item["weight"] for item in items]),
        }

    def mix(self, batch, *, seed, epoch, step):
        return batch

    def weight(self, batch):
        return float(batch["weights"].sum())

    def loss(self, model, batch):
        errors = functional.mse_loss(model(batch["image"]), batch["truth"], reduction="none")
        return {"loss": (errors * batch["weights"]).sum() / self.weight(batch), "plain": errors.mean().detach()}

    def parameter_groups(self, model):
        return optimiser.parameter_groups(model, self.recipe)

    def evaluate(self, model, data, images):
        return {"score": 1.0}
