"""Joint training of a promptable segmenter (arXiv 2406.19369, section 3.2: the second step).

    linbench train --backbone rwkv-sam-s --recipe sam-joint --init sam-distill.safetensors

Table 3 of the paper: 46.9 mAP on COCO, 80.5, 94.1 and 92.5 mIoU on DIS, COIFT and HRSOD for RWKV-SAM-S; about 16
hours on 16 A100. Table 6 (left) is this recipe with another ``fusion`` of the model, Table 6 (right) with other
backbones, Table 7 the pipeline ``no-distillation``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from linbench.data.contract import BadSample, InstanceSample
from linbench.models import optimizer
from linbench.models.sam import Prompts, Sam, build_sam
from linbench.recipes.augmentation import View, draw_view, mask_box, pad_to_square
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
from linbench.recipes.examples import Examples, collate, normalize, open_sources
from linbench.recipes.mask_loss import PointSampling, point_losses
from linbench.recipes.random_images import RandomImages

MAX_VIEWS = 10  # drawn of an image before it is skipped because none has an instance


@dataclass(frozen=True)
class Promptable:
    """The values of joint training.

    instances: Most instances of an image, drawn at random (paper, section 3.2: up to 20).
    least_area: In px of the input; smaller instances are dropped (RWKV-SAM's released loader: 32).
    points: Points per mask (RWKV-SAM's released loss, after Mask2Former).
    oversample, uncertain: As ``PointSampling`` (the same).
    cross_entropy, dice: Weights of the two losses (paper, section 3.2: λ_ce = λ_dice = 5).
    freeze_prompt: Whether the prompt encoder keeps its weights (RWKV-SAM's released default).
    """

    task: ClassVar[str] = "promptable"
    instances: int = 20
    least_area: int = 32
    points: int = 12_544
    oversample: float = 3.0
    uncertain: float = 0.75
    cross_entropy: float = 5.0
    dice: float = 5.0
    freeze_prompt: bool = True

    def __post_init__(self) -> None:
        check_at_least_one(self, "instances", "least_area", "points", "oversample")
        check_fractions(self, "uncertain")


#: Small images with large objects, and a high learning rate: a decoder with random weights has hundreds of steps to
#: learn that a box locates the object. It begins to after some 4,000 masks, sooner if Dice outweighs cross-entropy.
SMOKE = (
    "image_size=64",
    "embedded_size=160",
    *("coconut.images=256", "coconut.resize=0.8,1.5"),
    *("entityseg.images=128", "entityseg.repeat=1", "entityseg.resize=0.8,1.5"),
    *("dis.images=128", "dis.repeat=1"),
    "batch=16",
    "epochs=none",
    "steps=270",
    "points=256",
    "instances=12",
    "least_area=64",
    *("cross_entropy=1", "dice=10"),
    *("lr=8e-4", "betas=0.9,0.95", "warmup_steps=30"),
)


@recipe("sam-joint", smoke=SMOKE)
def sam_joint() -> Recipe:
    """1024 px, 6 epochs of 482k images, batch 32, AdamW 1e-4.

    Paper, section 4.1 and Appendix A: the data mix at 2:1:1 by repetition, epochs, learning rate, cosine, batch.
    RWKV-SAM's released dataset file: repetitions 1, 4 and 40; jitter of 0.1 to 2.0 and 0.8 to 2.0, a flip of 0.5
    of COCONut (of EntitySeg, our choice), and no augmentation of DIS5K. Neither gives the rest for this step: weight
    decay, clip, warm-up and the last learning rate are those of the first step's released config.
    """
    return Recipe(
        name="sam-joint",
        settings=Promptable(),
        sources=(
            Source("coconut", repeat=1, resize=(0.1, 2.0), flip=0.5, images=242),
            Source("entityseg", repeat=4, resize=(0.8, 2.0), flip=0.5, images=30),
            Source("dis", repeat=40, images=3),
        ),
        image_size=1024,
        embedded_size=1024,
        batch=32,
        epochs=6,
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


@task("promptable")
class PromptableTask:
    """A segmenter prompted with boxes, under cross-entropy and Dice loss on points of its masks."""

    checkpoint: ClassVar[str] = "sam"
    teacher: ClassVar[bool] = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        s = self.settings = cast(Promptable, recipe.settings)
        self.sampling = PointSampling(s.points, s.oversample, s.uncertain)

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> nn.Module:
        """Return the model on the backbone ``name``; see ``Task.build``."""
        sam = build_sam(name, image_size=self.recipe.image_size, impl=impl, **options)
        sam.prompt.requires_grad_(not self.settings.freeze_prompt)
        return sam

    def examples(self, data: str | RandomImages | None, seed: int) -> Examples:
        """Return the examples; see ``Task.examples``."""
        return Examples(self.recipe.sources, open_sources(self.recipe, data), seed, self._example)

    def _example(self, sample: InstanceSample, source: Source, seed: int) -> Batch:
        """Return ``image``, ``3 side side``; ``boxes``, ``m 4``; ``masks``, ``m side side``; the seed of ``points``.

        A view without an instance is drawn again, MAX_VIEWS times in all. Raises BadSample if none has one.
        """
        rng = np.random.default_rng(seed)
        image, side = sample.image(), self.recipe.image_size
        original = (image.shape[0], image.shape[1])
        instances = self._instances(sample)
        for _ in range(MAX_VIEWS):
            view = draw_view(rng, original, side, source.resize, source.flip)
            masks = self._visible_masks(instances, view, rng)
            if masks:
                break
        else:
            area = self.settings.least_area
            raise BadSample(
                f"{sample.file}: none of its {len(instances)} instances has {area} px in {MAX_VIEWS} views"
            )
        return {
            "image": pad_to_square(normalize(view.image(image)), side),
            "boxes": torch.tensor([mask_box(mask) for mask in masks], dtype=torch.float32),
            "masks": pad_to_square(torch.from_numpy(np.stack(masks)), side),
            "points": derive_seed(seed),
        }

    def _instances(self, sample: InstanceSample) -> list[Any]:
        """Return the instances that are no crowds; their masks are not yet decoded. Raises BadSample."""
        instances = [instance for instance in sample.instances() if not instance.crowd]
        if not instances:
            raise BadSample(f"{sample.file}: it has no instance")
        return instances

    def _visible_masks(
        self, instances: list[Any], view: View, rng: np.random.Generator
    ) -> list[np.ndarray[Any, Any]]:
        """Return the masks of random instances that are large enough in the view, at most ``settings.instances``."""
        masks = []
        for index in rng.permutation(len(instances)):
            mask = instances[index].mask()
            if mask.shape != view.original:
                raise BadSample(f"a mask has {mask.shape} px, but its image {view.original}")
            seen = view.nearest(mask)
            if seen.sum() >= self.settings.least_area:
                masks.append(seen)
            if len(masks) == self.settings.instances:
                break
        return masks

    def collate(self, items: Sequence[Batch]) -> Batch:
        """Join items; see ``Task.collate``."""
        return collate(items, ("image",))

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        """Return the batch as it is: this task mixes no images."""
        return batch

    def weight(self, batch: Batch) -> float:
        """Return the number of masks."""
        return float(sum(len(boxes) for boxes in batch["boxes"]))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses; see ``Task.loss``."""
        s, boxes = self.settings, batch["boxes"]
        logits, iou = decode_boxes(cast(Sam, model), batch["image"], boxes)
        images = zip(logits.split(list(map(len, boxes))), batch["masks"], batch["points"], strict=True)
        losses = [point_losses(image[:, 0], masks, self.sampling, seed) for image, masks, seed in images]
        entropy, overlap = (torch.stack(parts).sum() / len(logits) for parts in zip(*losses, strict=True))
        unused = 0 * iou.float().sum()  # as in the release: the IoU head has a loss of zero
        total = s.cross_entropy * entropy + s.dice * overlap + unused
        return {"loss": total, "ce": entropy.detach(), "dice": overlap.detach()}

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Return the groups for the optimizer."""
        return optimizer.parameter_groups(model, self.recipe)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, data: str | RandomImages | None, images: int) -> dict[str, float]:
        """Return the mean IoU, in %, of the model and, as ``box_…``, of filled boxes, in the input's pixels.

        It is the mean over images of the mean over masks, of all datasets as ``miou``, of each as ``<dataset>_miou``.
        """
        sam, device = cast(Sam, model), next(model.parameters()).device
        whole = [Source(source.dataset, "val", images=source.images) for source in self.recipe.sources]
        held_out = Examples(whole, open_sources(self.recipe, data, split="val"), 0, self._example)
        ious: dict[str, list[float]] = {}
        for index in np.linspace(0, len(held_out) - 1, min(images, len(held_out))).astype(int):
            item = held_out[0, int(index)]
            masks, boxes = item["masks"], item["boxes"]
            logits, _ = decode_boxes(sam, item["image"][None].to(device), [boxes.to(device)])
            sized = torch.nn.functional.interpolate(logits.float(), masks.shape[1:], mode="bilinear")
            scores = {
                "miou": _iou(sized[:, 0].cpu() > 0, masks),
                "box_miou": _iou(_fill_boxes(boxes, masks.shape[1:]), masks),
            }
            for name, iou in scores.items():
                for label in (name, f"{item['id'].split()[0]}_{name}"):
                    ious.setdefault(label, []).append(100 * float(iou.mean()))
        means = {name: sum(values) / len(values) for name, values in ious.items()}
        return {"images": len(ious["miou"]), **means}


def decode_boxes(sam: Sam, image: Tensor, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mask logits ``m 1 h/4 w/4`` and predicted IoUs ``m 1`` of all boxes, in one pass of the decoder.

    ``Sam.decode`` gives the same image by image, and would compute the weights' gradients once for each image.
    image: ``b 3 h w``.
    boxes: ``m 4`` for each image.
    """
    embedding = sam.encode(image)
    maps = sam.decoder.prepare(embedding.maps)
    repeated = tuple(
        torch.cat([x.expand(len(prompts), -1, -1, -1) for x, prompts in zip(batch.split(1), boxes, strict=True)])
        for batch in maps
    )
    grid = (embedding.maps[-1].shape[2], embedding.maps[-1].shape[3])
    tokens = sam.prompt(Prompts(boxes=torch.cat(list(boxes))), embedding.image_size, grid)
    predicted: tuple[Tensor, Tensor] = sam.decoder(repeated, tokens, False)
    return predicted


def _iou(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the IoU ``m`` of masks ``m h w``."""
    intersection, union = (predicted & truth).flatten(1).sum(1), (predicted | truth).flatten(1).sum(1)
    return intersection / union.clamp(min=1)


def _fill_boxes(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return boxes ``m 4`` with inclusive corners as masks ``m h w``."""
    x0, y0, x1, y1 = (side[:, None, None] for side in boxes.unbind(1))
    y, x = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
