"""A task so small that a step takes a millisecond: it has all that the loop deals with, and needs no files.

The model has dropout, so that a resumed run is right only where the randomness inside the model is; a mask as a part
of each item weighs images unequally; one parameter has no gradient.
"""

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from linbench.data.contract import BadDataset
from linbench.models import optimizer
from linbench.recipes.contract import Recipe, Source, derive_seed, recipe, task


@dataclass(frozen=True)
class Toy:
    """What the toy adds to a recipe.

    images: In an epoch.
    dropout: Of the model.
    poison: Index of an image so bright that its square is infinite, or -1.
    broken: Index of an image that cannot be had, or -1.
    double: Whether all is computed in float64.
    nap: Seconds that an image takes to load.
    """

    task: ClassVar[str] = "toy"
    images: int = 40
    dropout: float = 0.1
    poison: int = -1
    broken: int = -1
    double: bool = False
    nap: float = 0.0


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


class Square(nn.Module):
    def forward(self, x):
        return x * x


class Model(nn.Module):
    """Two blocks in a row under a head."""

    def __init__(self, dropout: float, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(block(3, width, dropout), block(width, width, dropout))
        self.head = nn.Linear(width, 1)
        self.unread = nn.Parameter(torch.zeros(3))

    def forward(self, image):
        return self.head(self.backbone(image).mean((2, 3)))[:, 0]


def block(width_in, width, dropout):
    convs = nn.Conv2d(width_in, width, 3, padding=1), nn.Conv2d(width, width, 1)
    return nn.Sequential(convs[0], Square(), convs[1], nn.Tanh(), nn.Dropout(dropout))


class Examples:
    checksums: ClassVar[dict[str, str]] = {"toy": "0" * 64}

    def __init__(self, settings, seed):
        self.settings = settings
        self.seed = seed

    def __len__(self):
        return self.settings.images

    def __getitem__(self, key):
        epoch, index = key
        if index == self.settings.broken:
            raise BadDataset("100 samples in a row cannot be used; the last, toy 7: it is cut off")
        time.sleep(self.settings.nap)
        draw = torch.Generator().manual_seed(derive_seed(self.seed, epoch, index))
        image = torch.randn(3, 8, 8, generator=draw)
        truth = image[0].mean() * 3
        if index == self.settings.poison:
            image += 1e30
        wide = torch.float64 if self.settings.double else torch.float32
        return {"id": f"toy {index}", "image": image.to(wide), "truth": truth.to(wide), "weight": 1.0 + index % 3}


@task("toy")
class ToyTask:
    """Weighted squared error to a number that the image holds."""

    checkpoint: ClassVar[str] = "backbone"
    teacher: ClassVar[bool] = False

    def __init__(self, recipe):
        self.recipe = recipe
        self.settings = recipe.settings

    def build(self, name, *, impl="fast", width=8):
        return Model(self.settings.dropout, width).to(torch.float64 if self.settings.double else torch.float32)

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
        return optimizer.parameter_groups(model, self.recipe)

    def evaluate(self, model, data, images):
        return {"score": 1.0}
