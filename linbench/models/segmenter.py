"""A promptable segmenter ready for pictures: the model, its weights, and its way in and out of pixels.

segmenter = load_segmenter("rwkv-sam-s", Path("weights.safetensors"))
for answer in segmenter.predict(picture, Prompts(boxes=boxes)):
    answer.masks, answer.scores
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linbench.models import checkpoint as checkpoints
from linbench.models.finite import check_finite
from linbench.models.input_size import own_size
from linbench.models.sam import PROMPT_CHUNK, Fusion, Prompts, Sam, build_sam, transform_of
from linbench.models.sam.transforms import Transform
from linbench.system.files import file_sha256

SIDE = 1024  # px, of the input where neither the caller nor the checkpoint says it
#: Prompts whose logits are kept at a time; at 1024 px they have 0.25 MB each.
KEPT = 256


@dataclass(frozen=True)
class Answer:
    """What the model says to one prompt.

    masks: ``k h w``, at the size of the picture; k is 3 for ``multimask`` where the model has so many, and 1 else.
    scores: ``k``, the IoUs that the model predicts of them.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Segmenter:
    """A model with its transform.

    facts: What it is and where its weights are from, in the words of JSON.
    """

    sam: Sam
    transform: Transform
    facts: Mapping[str, Any]

    def predict(
        self,
        picture: NDArray[np.uint8],
        prompts: Prompts,
        *,
        multimask: bool = False,
        prompt_chunk: int = PROMPT_CHUNK,
    ) -> Iterator[Answer]:
        """Answer prompts one by one, in their order; the picture is encoded once.

        picture: ``h w 3``, 0 to 255.
        prompts: In px of the picture.
        multimask, prompt_chunk: As in ``Sam.decode``.
        Raises NotFinite where logits or scores are no numbers.
        """
        height, width = picture.shape[:2]
        moved = self._moved(prompts, (height, width))
        with torch.inference_mode():
            embedding = self.sam.encode(self.transform.image(picture).to(self._device))
        for some in moved.chunks(KEPT):
            with torch.inference_mode():
                logits, scores = self.sam.decode(embedding, some, multimask=multimask, prompt_chunk=prompt_chunk)
                check_finite("this image", logits=logits, scores=scores)
            for mine, score in zip(logits, scores, strict=True):
                with torch.inference_mode():
                    masks = self.transform.masks(mine[None], (height, width))[0]
                yield Answer(masks.cpu().numpy(), score.float().cpu().numpy())

    @property
    def _device(self) -> torch.device:
        return next(self.sam.parameters()).device

    def _moved(self, prompts: Prompts, size: tuple[int, int]) -> Prompts:
        """The prompts as places in the model's input."""

        def here(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(self._device)

        boxes, points = here(prompts.boxes), here(prompts.points)
        return Prompts(
            boxes=None if boxes is None else self.transform.boxes(boxes, size),
            points=None if points is None else self.transform.points(points, size),
            labels=here(prompts.labels),
            masks=here(prompts.masks),
        )


def load_segmenter(
    name: str | None,
    checkpoint: Path | None,
    *,
    image_size: int | None = None,
    fusion: str | None = None,
    options: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
    weights: str | None = None,
) -> Segmenter:
    """Build the model and fill it.

    name: As ``build_sam``'s; None where the checkpoint is one of ours, which says it, and its size and options too.
    checkpoint: None for random weights, the same each time.
    image_size: Side of the input, px; None for the checkpoint's own, or 1024 where it says none.
    fusion, options: As ``build_sam``'s; None for the checkpoint's, or the defaults.
    weights: ``model`` or ``ema``, of a checkpoint that holds both; None for the one that its source evaluates.
    Raises ValueError and UnknownName that teach.
    """
    about = checkpoints.describe(checkpoint) if checkpoint else None
    if about and about.task != "sam":
        raise ValueError(f"{checkpoint}: it is {about}; a segmenter's is needed, of the task sam")
    if about and len(set(about.image_size)) > 1 and image_size is None:
        raise ValueError(f"{checkpoint}: it is {about}; pictures go into a square, so give the size of its side")
    if about is None and name is None:
        raise ValueError(f"{checkpoint}: it does not say which model it is of; name its backbone")
    kept = dict(about.options) if about else {}
    chosen = {"fusion": Fusion.CONV, **kept, **(options or {}), **({"fusion": fusion} if fusion else {})}
    if own := chosen.keys() & {"name", "image_size"}:
        raise ValueError(f"option {min(own)}: it is no option of a model; it has an argument of its own")
    side = image_size or own_size(about, (SIDE, SIDE))[0]
    name = name or (about.model if about else "")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sam = build_sam(name, image_size=checkpoints.built_for(about, name, (side, side)), **chosen)
    facts = {"name": name, "decoder": sam.description, "image_size": side, "options": _words(chosen)}
    if checkpoint:
        branch = checkpoints.branch_of(checkpoint, weights, checkpoints.default_branch(name))
        about = checkpoints.load(sam, checkpoint, branch or "model")
        facts |= {"branch": branch} if branch else {}
    facts |= _facts_of_weights(checkpoint, about)
    return Segmenter(sam.to(device).eval(), transform_of(name, side), facts)


def _facts_of_weights(file: Path | None, about: checkpoints.About | None) -> dict[str, Any]:
    """Where the weights are from, and what their file says of their training."""
    return {
        "weights": file.name if file else "random",
        "sha256": file_sha256(file) if file else None,
        "recipe": about.recipe if about else "",
        "scale": str(about.training.get("scale", "")) if about else "",
        "trained_at": list(about.image_size) if about else None,
    }


def _words(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON has them."""
    return {name: str(value) if isinstance(value, Fusion) else value for name, value in options.items()}
