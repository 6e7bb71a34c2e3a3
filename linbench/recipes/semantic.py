"""Semantic segmentation on ADE20K with UPerNet (arXiv 2406.19369, Appendix A).

    linbench train --backbone rwkv-sam-s --recipe ade20k --init imagenet.safetensors

Table 5 of the paper: 41.1 and 45.3 mIoU for RWKV-SAM-T and -S.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from linbench.data.contract import IGNORED, BadSample, SemanticSample
from linbench.metrics.semantic import Confusion
from linbench.models import optimizer
from linbench.models.semantic import Semantic, build_semantic, resize
from linbench.recipes.augmentation import View, distort, draw_crop, pad_to_square
from linbench.recipes.contract import Batch, Recipe, Source, check_at_least_one, check_fractions, recipe, task
from linbench.recipes.examples import Examples, collate, normalize, open_sources
from linbench.recipes.random_images import RandomImages

MAX_CROPS = 10  # drawn until no class fills too much of one; the last is used (mmsegmentation's RandomCrop)


@dataclass(frozen=True)
class SemanticSegmentation:
    """The values of semantic segmentation; the defaults are those of RWKV-SAM's released dataset file.

    classes: Of the heads.
    long_side, short_side: Box, px, that the image fills before ``ratio``.
    ratio: Range of the factor of that box.
    most: Largest fraction of one class in a crop.
    flip: Probability of a horizontal flip.
    distortion: Probability of each photometric distortion.
    auxiliary: Weight of the auxiliary head's loss (mmsegmentation's UPerNet, and VRWKV's).
    """

    task: ClassVar[str] = "semantic"
    classes: int = 150
    long_side: int = 2048
    short_side: int = 512
    ratio: tuple[float, float] = (0.5, 2.0)
    most: float = 0.75
    flip: float = 0.5
    distortion: float = 0.5
    auxiliary: float = 0.4

    def __post_init__(self) -> None:
        check_at_least_one(self, "classes", "long_side", "short_side")
        check_fractions(self, "flip", "distortion")


SMOKE = (
    *("image_size=64", "long_side=256", "short_side=64"),
    *("embedded_size=128", "ade20k.images=128"),
    "batch=8",
    "steps=80",
    "lr=3e-4",
    "warmup_steps=5",
)


@recipe("ade20k", smoke=SMOKE)
def ade20k() -> Recipe:
    """512 px crops, 160k steps, batch 16, AdamW 6e-5.

    Paper, Appendix A: steps and batch. RWKV-SAM's released dataset and schedule files: crops and augmentation, the
    learning rate, weight decay 0.01 but not of norms, tenfold learning rate of the heads, warm-up of 1500 steps from
    1e-6 of the learning rate, linear decay to 0. They state no clip.
    """
    return Recipe(
        name="ade20k",
        settings=SemanticSegmentation(),
        sources=(Source("ade20k", images=202),),
        image_size=512,
        embedded_size=512,
        batch=16,
        epochs=None,
        steps=160_000,
        lr=6e-5,
        weight_decay=0.01,
        decay_vectors=True,
        head_lr=10.0,
        schedule="poly",
        power=1.0,
        final_factor=0.0,
        warmup_steps=1500,
        warmup_factor=1e-6,
    )


@task("semantic")
class SemanticTask:
    """UPerNet under cross-entropy, plus that of the auxiliary head.

    The mean is over all pixels, also those without a label, which add 0: mmsegmentation's default.
    Batch norm reads a micro-batch, which must have at least two images.
    """

    checkpoint: ClassVar[str] = "semantic"
    teacher: ClassVar[bool] = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.settings = cast(SemanticSegmentation, recipe.settings)

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> nn.Module:
        """Return the model on the backbone ``name``; see ``Task.build``."""
        size, classes = self.recipe.image_size, self.settings.classes
        return build_semantic(name, image_size=size, num_classes=classes, impl=impl, **options)

    def examples(self, data: str | RandomImages | None, seed: int) -> Examples:
        """Return the examples; see ``Task.examples``."""
        return Examples(self.recipe.sources, open_sources(self.recipe, data), seed, self._example)

    def _example(self, sample: SemanticSample, source: Source, seed: int) -> Batch:
        """Return ``image``, ``3 side side``, and ``labels``, ``side side``, with IGNORED in the padding."""
        s, side = self.settings, self.recipe.image_size
        rng = np.random.default_rng(seed)
        image, labels = sample.image(), sample.labels()
        known = labels[labels != IGNORED]
        if known.size and known.max() >= s.classes:
            raise BadSample(f"{sample.file}: class {known.max()}, the recipe has {s.classes} classes")
        view = self._view(rng, labels)
        crop = distort(view.image(image), rng, s.distortion)
        target = torch.from_numpy(view.nearest(labels).astype(np.int64))
        target = functional.pad(target, (0, side - target.shape[1], 0, side - target.shape[0]), value=IGNORED)
        return {"image": pad_to_square(normalize(crop), side), "labels": target}

    def _view(self, rng: np.random.Generator, labels: NDArray[np.uint8]) -> View:
        """Return a random crop of the resized image in which no class fills too much, or the last of MAX_CROPS."""
        s, side = self.settings, self.recipe.image_size
        original = (labels.shape[0], labels.shape[1])
        factor = rng.uniform(*s.ratio) * min(s.long_side / max(original), s.short_side / min(original))
        resized = (max(1, int(original[0] * factor + 0.5)), max(1, int(original[1] * factor + 0.5)))
        flip = bool(rng.random() < s.flip)
        for _ in range(MAX_CROPS):
            view = View(original, resized, *draw_crop(rng, resized, side), flip)
            counts = np.bincount(view.nearest(labels).ravel(), minlength=IGNORED + 1)[:IGNORED]
            if np.count_nonzero(counts) > 1 and counts.max() < s.most * counts.sum():
                break
        return view

    def check_micro_batch(self, images: int) -> None:
        """Raise ValueError for a single image."""
        if images < 2:
            raise ValueError("UPerNet's batch norm needs a micro-batch of at least two images, got one")

    def collate(self, items: Sequence[Batch]) -> Batch:
        """Join items; see ``Task.collate``."""
        return collate(items, ("image", "labels"))

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        """Return the batch as it is: this task mixes no images."""
        return batch

    def weight(self, batch: Batch) -> float:
        """Return the number of images, all of which have the same number of pixels."""
        return float(len(batch["image"]))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses; see ``Task.loss``."""
        if model.training:
            self.check_micro_batch(len(batch["image"]))
        labels = batch["labels"]
        main, auxiliary = (_cross_entropy(logits, labels) for logits in cast(Semantic, model).both(batch["image"]))
        total = main + self.settings.auxiliary * auxiliary
        return {"loss": total, "main": main.detach(), "auxiliary": auxiliary.detach()}

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the groups for the optimizer."""
        return optimizer.parameter_groups(model, self.recipe)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, data: str | RandomImages | None, images: int) -> dict[str, float]:
        """Return mean IoU and pixel accuracy, in %, of whole images with the short side at the crop's size."""
        (held_out,) = open_sources(self.recipe, data, split="val")
        confusion, device = Confusion(self.settings.classes, IGNORED), next(model.parameters()).device
        count = min(images, len(held_out))
        for index in range(count):
            sample = held_out[index]
            image, labels = sample.image(), sample.labels()
            factor = self.recipe.image_size / min(labels.shape)
            size = (max(1, int(labels.shape[0] * factor + 0.5)), max(1, int(labels.shape[1] * factor + 0.5)))
            view = View(labels.shape, size, (0, 0), size, flip=False)
            x = normalize(view.image(image))
            x = functional.pad(x, (0, -size[1] % 32, 0, -size[0] % 32))[None].to(device)
            logits = resize(model(x)[..., : size[0], : size[1]].float(), labels.shape)
            confusion.add(logits[0].argmax(0).cpu().numpy(), labels)
        scores = {"miou": 100 * confusion.miou(), "pixel_accuracy": 100 * confusion.pixel_accuracy()}
        return {"images": count, **scores}


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labels ``b h w``, to whose size the logits are resized."""
    logits = resize(logits.float(), labels.shape[1:])
    return functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / labels.numel()
