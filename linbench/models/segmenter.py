"""A promptable segmenter ready for images: the model, its weights, and the transform from pixels and back.

segmenter = load_segmenter("rwkv-sam-s", Path("weights.safetensors"))
for predicted in segmenter.predict(image, Prompts(boxes=boxes)):
    predicted.masks, predicted.scores
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linbench.models import checkpoint as checkpoints
from linbench.models.finite import check_finite
from linbench.models.sam import PROMPT_CHUNK, Embedding, Fusion, Prompts, Sam, build_sam, trained_side, transform_of
from linbench.models.sam.transforms import Transform
from linbench.system.files import file_sha256

DEFAULT_SIDE = 1024  # px, of the input if neither the caller nor the checkpoint states it
#: Prompts whose logits are in memory at a time; at 1024 px they have 0.25 MB each.
LOGITS_CHUNK = 256


@dataclass(frozen=True)
class PredictedMasks:
    """The masks of one prompt.

    masks: ``k h w``, of the size given to ``predict``; k is 3 for ``multimask`` if the model has three
        masks, otherwise 1.
    scores: ``k``, their IoUs as the model predicts them.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Segmenter:
    """A model with its transform.

    facts: The model and the origin of its weights, as JSON values.
    """

    sam: Sam
    transform: Transform
    facts: Mapping[str, Any]

    def predict(
        self,
        image: NDArray[np.uint8],
        prompts: Prompts,
        *,
        multimask: bool = False,
        prompt_chunk: int = PROMPT_CHUNK,
        size: Literal["image", "stride-4"] = "image",
    ) -> Iterator[PredictedMasks]:
        """Encode the image once, and yield the masks of each prompt, in the prompts' order.

        image: ``h w 3``, 0 to 255.
        prompts: In px of the image.
        multimask, prompt_chunk: As in ``Sam.decode``.
        size: Of the masks: of the image, or as the decoder writes them, a quarter of the input's side (256 of 1024)
            without the padding of the input.
        Raises NotFinite if logits or scores are not finite, and ValueError for another size.
        """
        if size not in ("image", "stride-4"):
            raise ValueError(f"size must be 'image' or 'stride-4', got {size!r}")
        height, width = image.shape[:2]
        with torch.inference_mode():
            embedding = self.embed(image)
        for chunk in prompts.chunks(LOGITS_CHUNK):
            with torch.inference_mode():
                logits, scores = self.decode(
                    embedding, chunk, (height, width), multimask=multimask, prompt_chunk=prompt_chunk
                )
                check_finite("this image", logits=logits, scores=scores)
            for prompt_logits, prompt_scores in zip(logits, scores, strict=True):
                with torch.inference_mode():
                    if size == "image":
                        masks = self.transform.masks(prompt_logits[None], (height, width))[0]
                    else:
                        masks = self._unpadded(prompt_logits, (height, width)) > 0
                yield PredictedMasks(masks.cpu().numpy(), prompt_scores.float().cpu().numpy())

    def embed(self, image: NDArray[np.uint8]) -> Embedding:
        """Encode an image ``h w 3`` of any size."""
        return self.sam.encode(self.transform.image(image).to(self._device))

    def decode(
        self, embedding: Embedding, prompts: Prompts, size: tuple[int, int], *, multimask: bool, prompt_chunk: int
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits of low resolution ``m k h w`` and predicted IoUs ``m k`` of an embedded image.

        prompts: In px of the image.  size: Height and width of the image, px.
        """
        prompts = self._to_input(prompts, size)
        return self.sam.decode(embedding, prompts, multimask=multimask, prompt_chunk=prompt_chunk)

    def _unpadded(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits of low resolution ``k h w`` without those of the padding; a part of a row counts as a row."""
        side = self.transform.side
        rows, columns = (
            -(-length * cells // side)
            for length, cells in zip(self.transform.resized(size), logits.shape[-2:], strict=True)
        )
        return logits[..., :rows, :columns]

    @property
    def has_three_masks(self) -> bool:
        """Whether a prompt can give three masks."""
        decoder = self.sam.decoder
        return len(getattr(decoder, "base", decoder).hyper) > 1

    @property
    def _device(self) -> torch.device:
        return next(self.sam.parameters()).device

    def _to_input(self, prompts: Prompts, size: tuple[int, int]) -> Prompts:
        """Return the prompts in px of the model's input, on its device."""

        def to_device(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(self._device)

        boxes, points = to_device(prompts.boxes), to_device(prompts.points)
        return Prompts(
            boxes=None if boxes is None else self.transform.boxes(boxes, size),
            points=None if points is None else self.transform.points(points, size),
            labels=to_device(prompts.labels),
            masks=to_device(prompts.masks),
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
    """Build a segmenter and load its weights.

    name: As in ``build_sam``; None for a checkpoint of linbench's, which states its model, size and options.
    checkpoint: None for random weights, the same each time.
    image_size: Side of the input, px; None for the checkpoint's own; if it states none, the model's, mostly 1024.
    fusion, options: As in ``build_sam``; None for the checkpoint's, or the defaults.
    weights: ``model`` or ``ema``, if the checkpoint holds both; None for the one that its source evaluates.
    Raises BadCheckpoint and Misfit, which are ValueError, ValueError for other input, and UnknownName.
    """
    about = checkpoints.describe(checkpoint) if checkpoint else None
    if about and about.task != "sam":
        raise ValueError(f"{checkpoint}: it is {about}; a segmenter is needed, with the task sam")
    if about and len(set(about.image_size)) > 1 and image_size is None:
        raise ValueError(
            f"{checkpoint}: it is {about}; the input of a segmenter is square, so give its side as the image size"
        )
    if about is None and name is None:
        raise ValueError(f"{checkpoint}: it does not state its model; name the backbone")
    stored = dict(about.options) if about else {}
    chosen = {"fusion": Fusion.CONV, **stored, **(options or {}), **({"fusion": fusion} if fusion else {})}
    if reserved := chosen.keys() & {"name", "image_size"}:
        raise ValueError(f"option {min(reserved)}: it is no option of a model; it has an argument of its own")
    name = name or (about.model if about else "")
    side = image_size or checkpoints.own_size(about, (trained_side(name, DEFAULT_SIDE),) * 2)[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sam = build_sam(name, image_size=checkpoints.built_for(about, name, (side, side)), **chosen)
    facts = {"name": name, "decoder": sam.description, "image_size": side, "options": _json_options(chosen)}
    if checkpoint:
        branch = checkpoints.branch_of(checkpoint, weights, checkpoints.default_branch(name))
        about = checkpoints.load(sam, checkpoint, branch or "model")
        facts |= {"branch": branch} if branch else {}
    facts |= _weights_facts(checkpoint, about)
    return Segmenter(sam.to(device).eval(), transform_of(name, side), facts)


def _weights_facts(path: Path | None, about: checkpoints.About | None) -> dict[str, Any]:
    """Return the origin of the weights, and what their file states about their training."""
    return {
        "weights": path.name if path else "random",
        "sha256": file_sha256(path) if path else None,
        "recipe": about.recipe if about else "",
        "scale": str(about.training.get("scale", "")) if about else "",
        "trained_at": list(about.image_size) if about else None,
    }


def _json_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as JSON values."""
    return {name: str(value) if isinstance(value, Fusion) else value for name, value in options.items()}
