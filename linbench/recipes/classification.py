"""ImageNet-1k classification (arXiv 2406.19369, Appendix A: Swin's recipe, 2103.14030, for 120 epochs).

    linbench train --backbone rwkv-sam-s --recipe imagenet

Table 4 of the paper: 75.6, 80.9 and 82.5 % top-1 for RWKV-SAM-T, -S and -B. A full run is 120 x 1.28 million images.

Stochastic depth belongs to the backbone, which has it as its source's classifier has it. Mixup and CutMix mix
neighbours of the epoch's random order, with one mixing ratio a step, so a step does not depend on its split; Swin
mixes the images of one device back to front, with a separate ratio on each device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import torch
from PIL import Image
from timm.data import Mixup, create_transform
from torch import Tensor, nn
from torch.nn import functional

from linbench.data.contract import BadSample, ClassSample
from linbench.models import optimizer
from linbench.models.classifier import build_classifier
from linbench.recipes.augmentation import seeded
from linbench.recipes.contract import (
    Batch,
    Recipe,
    Source,
    check_at_least_one,
    check_fractions,
    derive_seed,
    recipe,
    task,
)
from linbench.recipes.examples import Examples, collate, open_sources
from linbench.recipes.random_images import RandomImages

CROP_FRACTION = 224 / 256  # of the short side that an evaluation sees: resized to 256 px, bicubic, cropped to 224
EVALUATION_BATCH = 32


@dataclass(frozen=True)
class Classification:
    """The values of classification; the defaults are Swin's config.py, which RWKV-SAM's dataset file repeats.

    classes: Of the head.
    crop: Range of the crop's area as a fraction of the image's (RandomResizedCrop, bicubic).
    flip: Probability of a horizontal flip.
    augment: timm's name of the automatic augmentation, which replaces Swin's colour jitter of 0.4.
    erasing: Probability of RandomErasing, with noise per pixel.
    mixup, cutmix: Their α; 0 disables one.
    mixing: Probability that a step is mixed by one of the two, with equal chances if both are enabled.
    smoothing: Of the labels.
    """

    task: ClassVar[str] = "classification"
    classes: int = 1000
    crop: tuple[float, float] = (0.08, 1.0)
    flip: float = 0.5
    augment: str = "rand-m9-mstd0.5-inc1"
    erasing: float = 0.25
    mixup: float = 0.8
    cutmix: float = 1.0
    mixing: float = 1.0
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        check_at_least_one(self, "classes")
        check_fractions(self, "flip", "erasing", "mixing", "smoothing")


SMOKE = (
    "image_size=64",
    "embedded_size=96",
    "imagenet.images=256",
    "batch=8",
    "epochs=none",
    "steps=24",
    "warmup_epochs=0",
    "warmup_steps=5",
)


@recipe("imagenet", smoke=SMOKE)
def imagenet() -> Recipe:
    """224 px, 120 epochs, batch 1024, AdamW 1e-3.

    Paper, Appendix A: learning rate, optimizer, batch, epochs; "mainly follow Swin-Transformer". Swin's config.py:
    weight decay 0.05, clip 5, warm-up from 1e-6 and cosine to 1e-5 at this batch, augmentation. RWKV-SAM's released
    120-epoch schedule: a warm-up of 10 epochs (Swin's 20 are of 300), no decay of biases and vectors. That position
    tables and class tokens do not decay either is Swin's and Vim's rule.
    """
    return Recipe(
        name="imagenet",
        settings=Classification(),
        sources=(Source("imagenet", images=1024),),
        image_size=224,
        embedded_size=256,
        batch=1024,
        epochs=120,
        steps=None,
        lr=1e-3,
        weight_decay=0.05,
        undecayed=("position", "class_token"),
        clip=5.0,
        schedule="cosine",
        final_factor=0.01,
        warmup_epochs=10,
        warmup_factor=1e-3,
    )


@task("classification")
class ClassificationTask:
    """A classifier under cross-entropy with soft labels."""

    checkpoint: ClassVar[str] = "classifier"
    teacher: ClassVar[bool] = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.settings = cast(Classification, recipe.settings)
        s = self.settings
        self._augment = create_transform(
            recipe.image_size,
            is_training=True,
            scale=s.crop,
            hflip=s.flip,
            auto_augment=s.augment or None,
            color_jitter=0.0,
            interpolation="bicubic",
            re_prob=s.erasing,
            re_mode="pixel",
        )
        _allow_zero_bits(self._augment)
        self._evaluation_transform = create_transform(
            recipe.image_size, interpolation="bicubic", crop_pct=CROP_FRACTION
        )

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> nn.Module:
        """Return the model on the backbone ``name``; see ``Task.build``."""
        size, classes = self.recipe.image_size, self.settings.classes
        return build_classifier(name, image_size=size, num_classes=classes, impl=impl, **options)

    def examples(self, data: str | RandomImages | None, seed: int) -> Examples:
        """Return the examples; see ``Task.examples``."""
        return Examples(self.recipe.sources, open_sources(self.recipe, data), seed, self._example)

    def _example(self, sample: ClassSample, source: Source, seed: int) -> Batch:
        image = Image.fromarray(sample.image())
        if not sample.label < self.settings.classes:
            raise BadSample(
                f"{sample.file}: class {sample.label}, but the recipe has {self.settings.classes} classes"
            )
        with seeded(seed):
            return {"image": self._augment(image), "label": torch.tensor(sample.label)}

    def check_micro_batch(self, images: int) -> None:
        """Raise ValueError for images that cannot be mixed in pairs."""
        if images % 2 and (self.settings.mixup or self.settings.cutmix):
            raise ValueError(
                f"{images} image{'s' * (images != 1)} cannot be mixed in pairs; each device needs an even number"
            )

    def collate(self, items: Sequence[Batch]) -> Batch:
        """Join items; see ``Task.collate``."""
        return collate(items, ("image", "label"))

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        """Mix the images, and add ``target``, the soft labels ``b classes``."""
        s = self.settings
        if not (s.mixup or s.cutmix):
            hot = functional.one_hot(batch["label"], s.classes)
            return {**batch, "target": hot * (1 - s.smoothing) + s.smoothing / s.classes}
        count = len(batch["image"])
        self.check_micro_batch(count)
        mixup = Mixup(s.mixup, s.cutmix, prob=s.mixing, label_smoothing=s.smoothing, num_classes=s.classes)
        # timm mixes the batch with its reverse, so neighbours go to mirrored positions: 0 2 4 … 5 3 1.
        mirrored = torch.cat([torch.arange(0, count, 2), torch.arange(1, count, 2).flip(0)])
        with seeded(derive_seed(seed, epoch, step)):
            image, target = mixup(batch["image"][mirrored], batch["label"][mirrored])
        back = mirrored.argsort()
        return {**batch, "image": image[back], "target": target[back]}

    def weight(self, batch: Batch) -> float:
        """Return the number of images."""
        return float(len(batch["image"]))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses; see ``Task.loss``."""
        return {"loss": functional.cross_entropy(model(batch["image"]).float(), batch["target"].float())}

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the groups for the optimizer."""
        return optimizer.parameter_groups(model, self.recipe)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, data: str | RandomImages | None, images: int) -> dict[str, float]:
        """Return the top-1 accuracy, in %, on the centre crop of held-out images."""
        (held_out,) = open_sources(self.recipe, data, split="val")
        device = next(model.parameters()).device
        # Spread over the dataset, whose images are ordered by class.
        indices = np.linspace(0, len(held_out) - 1, min(images, len(held_out))).astype(int).tolist()
        correct = 0
        for start in range(0, len(indices), EVALUATION_BATCH):
            samples = [held_out[index] for index in indices[start : start + EVALUATION_BATCH]]
            x = torch.stack([self._evaluation_transform(Image.fromarray(sample.image())) for sample in samples])
            labels = torch.tensor([sample.label for sample in samples])
            correct += int((model(x.to(device)).argmax(1).cpu() == labels).sum())
        return {"images": len(indices), "top1": 100 * correct / len(indices)}


def _allow_zero_bits(transform: Any) -> None:
    """Let timm's Posterize keep 0 bits of a colour, as its strongest magnitude does.

    The result is black, as Pillow before 13 returned; Pillow 13 refuses 0 bits.
    """
    for stage in transform.transforms:
        for operation in getattr(stage, "ops", ()):
            if operation.name.startswith("Posterize"):
                operation.aug_fn = partial(_posterize, operation.aug_fn)


def _posterize(posterize: Callable[..., Image.Image], image: Image.Image, bits: int, **options: Any) -> Image.Image:
    return posterize(image, bits, **options) if bits else Image.new(image.mode, image.size)
