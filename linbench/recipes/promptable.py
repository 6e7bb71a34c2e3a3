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
from linbench.models.sam import Prompts, Sam, build_sam
from linbench.recipes import optimizer
from linbench.recipes.contract import Batch, Recipe, Source, at_least_one, derived, recipe, shares, task
from linbench.recipes.examples import Examples, collate, normalised, open_sources
from linbench.recipes.jitter import View, box_of, draw_view, padded
from linbench.recipes.mask_loss import PointSampling, point_losses

VIEWS = 10  # that are drawn of a picture before it is passed over for having no instance in any


@dataclass(frozen=True)
class Promptable:
    """What joint training adds to a recipe.

    instances: Most that are asked of an image, drawn at random (paper, section 3.2: up to 20).
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
        at_least_one(self, "instances", "least_area", "points", "oversample")
        shares(self, "uncertain")


#: Small pictures with large objects, and an optimiser in a hurry: a decoder with random weights has to learn in
#: hundreds of steps that a box says where. It begins to after some 4,000 masks, sooner where Dice outweighs
#: cross-entropy.
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
    """A segmenter asked with boxes, under cross-entropy and Dice on points of its masks."""

    checkpoint: ClassVar[str] = "sam"
    teacher: ClassVar[bool] = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        s = self.settings = cast(Promptable, recipe.settings)
        self.sampling = PointSampling(s.points, s.oversample, s.uncertain)

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> nn.Module:
        sam = build_sam(name, image_size=self.recipe.image_size, impl=impl, **options)
        sam.prompt.requires_grad_(not self.settings.freeze_prompt)
        return sam

    def examples(self, data: str | None, seed: int) -> Examples:
        return Examples(self.recipe.sources, open_sources(self.recipe, data), seed, self._example)

    def _example(self, sample: InstanceSample, source: Source, seed: int) -> Batch:
        """An item: ``image``, ``3 side side``; ``boxes``, ``m 4``; ``masks``, ``m side side``; the ``points``' seed.

        A view without an instance is drawn again, VIEWS times in all; a picture that has none then is a bad sample.
        """
        rng = np.random.default_rng(seed)
        picture, side = sample.picture(), self.recipe.image_size
        original = (picture.shape[0], picture.shape[1])
        found = self._decoded(sample, original)
        for _ in range(VIEWS):
            view = draw_view(rng, original, side, source.resize, source.flip)
            masks = self._seen(found, view, rng)
            if masks:
                break
        else:
            least = self.settings.least_area
            raise BadSample(f"{sample.file}: none of its {len(found)} instances has {least} px in {VIEWS} views")
        return {
            "image": padded(normalised(view.picture(picture)), side),
            "boxes": torch.tensor([box_of(mask) for mask in masks], dtype=torch.float32),
            "masks": padded(torch.from_numpy(np.stack(masks)), side),
            "points": derived(seed),
        }

    def _decoded(self, sample: InstanceSample, original: tuple[int, int]) -> list[Any]:
        """The instances that can be asked for; their masks are decoded when they are."""
        found = [instance for instance in sample.instances() if not instance.crowd]
        if not found:
            raise BadSample(f"{sample.file}: it has no instance")
        return found

    def _seen(self, found: list[Any], view: View, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
        """Masks of instances that are large enough in the view, at most as many as are asked, drawn at random."""
        masks = []
        for number in rng.permutation(len(found)):
            mask = found[number].mask()
            if mask.shape != view.original:
                raise BadSample(f"a mask has {mask.shape} px, its picture {view.original}")
            seen = view.nearest(mask)
            if seen.sum() >= self.settings.least_area:
                masks.append(seen)
            if len(masks) == self.settings.instances:
                break
        return masks

    def collate(self, items: Sequence[Batch]) -> Batch:
        return collate(items, ("image",))

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        return batch

    def weight(self, batch: Batch) -> float:
        """Masks."""
        return float(sum(len(boxes) for boxes in batch["boxes"]))

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        s, boxes = self.settings, batch["boxes"]
        logits, iou = ask(cast(Sam, model), batch["image"], boxes)
        parts = zip(logits.split([len(its) for its in boxes]), batch["masks"], batch["points"], strict=True)
        found = [point_losses(its[:, 0], masks, self.sampling, seed) for its, masks, seed in parts]
        entropy, overlap = (torch.stack(losses).sum() / len(logits) for losses in zip(*found, strict=True))
        unused = 0 * iou.float().sum()  # as in the release: the IoU head is given a loss of zero
        total = s.cross_entropy * entropy + s.dice * overlap + unused
        return {"loss": total, "ce": entropy.detach(), "dice": overlap.detach()}

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        return optimizer.parameter_groups(model, self.recipe)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, data: str | None, images: int) -> dict[str, float]:
        """Mean IoU, in %, of the model and, as ``box_…``, of the boxes themselves as masks, in the input's pixels.

        The mean over images of the mean over their masks, of all sets as ``miou`` and of each as ``<set>_miou``.
        """
        sam, device = cast(Sam, model), next(model.parameters()).device
        whole = [Source(source.dataset, "val", images=source.images) for source in self.recipe.sources]
        held_out = Examples(whole, open_sources(self.recipe, data, split="val"), 0, self._example)
        found: dict[str, list[float]] = {}
        for index in np.linspace(0, len(held_out) - 1, min(images, len(held_out))).astype(int):
            item = held_out[0, int(index)]
            masks, boxes = item["masks"], item["boxes"]
            logits, _ = ask(sam, item["image"][None].to(device), [boxes.to(device)])
            sized = torch.nn.functional.interpolate(logits.float(), masks.shape[1:], mode="bilinear")
            scores = {
                "miou": _iou(sized[:, 0].cpu() > 0, masks),
                "box_miou": _iou(_filled(boxes, masks.shape[1:]), masks),
            }
            for name, iou in scores.items():
                for label in (name, f"{item['id'].split()[0]}_{name}"):
                    found.setdefault(label, []).append(100 * float(iou.mean()))
        means = {name: sum(values) / len(values) for name, values in found.items()}
        return {"images": len(found["miou"]), **means}


def ask(sam: Sam, image: Tensor, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mask logits ``m 1 h/4 w/4`` and predicted IoUs ``m 1`` of all boxes of all images, in one pass of the decoder.

    image: ``b 3 h w``.
    boxes: Of each image, ``m 4``.
    What ``Sam.decode`` gives image by image; there the weights' gradients would be computed once for each image.
    """
    embedding = sam.encode(image)
    maps = sam.decoder.prepare(embedding.maps)
    each = tuple(
        torch.cat([one.expand(len(its), -1, -1, -1) for one, its in zip(x.split(1), boxes, strict=True)])
        for x in maps
    )
    grid = (embedding.maps[-1].shape[2], embedding.maps[-1].shape[3])
    tokens = sam.prompt(Prompts(boxes=torch.cat(list(boxes))), embedding.image_size, grid)
    found: tuple[Tensor, Tensor] = sam.decoder(each, tokens, False)
    return found


def _iou(found: Tensor, truth: Tensor) -> Tensor:
    """IoU of masks ``m h w``, ``m``."""
    both, either = (found & truth).flatten(1).sum(1), (found | truth).flatten(1).sum(1)
    return both / either.clamp(min=1)


def _filled(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes of inclusive corners ``m 4`` as masks ``m h w``."""
    x0, y0, x1, y1 = (side[:, None, None] for side in boxes.unbind(1))
    y, x = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
