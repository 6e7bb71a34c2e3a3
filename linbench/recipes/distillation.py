"""Distillation of SAM's image encoder into a backbone (arXiv 2406.19369, section 3.2: the first step, eq. 8).

    linbench train --backbone rwkv-sam-s --recipe sam-distill --init imagenet.safetensors --teacher sam_vit_h.pth

About 5 hours on 16 A100 (paper, Appendix A). Table 7 of the paper: 80.5 mIoU on DIS with it, 78.3 without.
The model is the whole segmenter, so that the next step starts from its checkpoint; only its encoder is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from linbench.data.contract import Sample
from linbench.models import optimizer
from linbench.models.sam import Sam, build_sam
from linbench.recipes.augmentation import draw_view, pad_to_square
from linbench.recipes.contract import Batch, Recipe, Source, recipe, task
from linbench.recipes.examples import Examples, collate, normalize, open_sources
from linbench.recipes.random_images import RandomImages


@dataclass(frozen=True)
class Distillation:
    """The values of distillation.

    teacher: ``SAM ViT-H`` (paper, section 3.2), another SAM, or ``random``, a small one with fixed random weights.
    """

    task: ClassVar[str] = "distillation"
    teacher: str = "SAM ViT-H"


SMOKE = (
    "teacher=random",
    "image_size=64",
    "embedded_size=96",
    "sa1b.images=128",
    "batch=8",
    "epochs=none",
    "steps=24",
    "lr=3e-4",
    "warmup_steps=4",
)


@recipe("sam-distill", smoke=SMOKE)
def sam_distill() -> Recipe:
    """1024 px, 24 epochs of 1 % of SA-1B, batch 32, AdamW 1e-4.

    Paper, section 4.1 and Appendix A: data, epochs, learning rate, optimizer, cosine, batch. RWKV-SAM's released
    config, the only complete one: images resized and padded without augmentation, weight decay 0.05 but not of
    norms, clip 5, warm-up of 500 steps from 1e-3 of the learning rate, cosine to 1 % of it. That config scales its
    learning rate to 2e-4 at this batch; the paper says 1e-4.
    """
    return Recipe(
        name="sam-distill",
        settings=Distillation(),
        sources=(Source("sa1b", images=112),),
        image_size=1024,
        embedded_size=1024,
        batch=32,
        epochs=24,
        steps=None,
        lr=1e-4,
        weight_decay=0.05,
        decay_vectors=True,
        clip=5.0,
        schedule="cosine",
        final_factor=0.01,
        warmup_steps=500,
        warmup_factor=1e-3,
    )


@task("distillation")
class DistillationTask:
    """A segmenter's encoder under the mean squared error to a teacher's embedding, the padding included."""

    checkpoint: ClassVar[str] = "sam"
    teacher: ClassVar[bool] = True

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.settings = cast(Distillation, recipe.settings)

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> nn.Module:
        """Return the model on the backbone ``name``; see ``Task.build``."""
        sam = build_sam(name, image_size=self.recipe.image_size, impl=impl, **options)
        sam.prompt.requires_grad_(False)
        sam.decoder.requires_grad_(False)
        return sam

    def examples(self, data: str | RandomImages | None, seed: int) -> Examples:
        """Return the examples; see ``Task.examples``."""
        return Examples(self.recipe.sources, open_sources(self.recipe, data), seed, self._example)

    def _example(self, sample: Sample, source: Source, seed: int) -> Batch:
        image, side = sample.image(), self.recipe.image_size
        original = (image.shape[0], image.shape[1])
        view = draw_view(np.random.default_rng(seed), original, side, source.resize, source.flip)
        return {"image": pad_to_square(normalize(view.image(image)), side)}

    def collate(self, items: Sequence[Batch]) -> Batch:
        """Join items; see ``Task.collate``."""
        return collate(items, ("image",))

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        """Return the batch as it is: this task mixes no images."""
        return batch

    def weight(self, batch: Batch) -> float:
        """Return the number of images."""
        return float(len(batch["image"]))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses; see ``Task.loss``."""
        embedding = cast(Sam, model).encode(batch["image"]).maps[-1]
        return {"loss": functional.mse_loss(embedding.float(), batch["embedding"].float())}

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the groups for the optimizer."""
        return optimizer.parameter_groups(model, self.recipe)

    def evaluate(self, model: nn.Module, data: str | RandomImages | None, images: int) -> dict[str, float]:
        """Return no scores: the quality of an encoder shows in the next step."""
        return {}
