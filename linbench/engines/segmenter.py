"""A promptable segmenter whose encoder and decoder run in an engine, from the files that ``linbench export`` wrote.

    segmenter = load_exported_segmenter(Path("model.onnx"), threads=2)

``model.onnx`` is the encoder; ``model.decoder.onnx`` beside it takes the encoder's maps and one box: static shapes
fix what a prompt is made of.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linbench.engines.artifact import Artifact, BadArtifact, decoder_path, read_artifact
from linbench.engines.contract import Arrays, RunConfig, exported
from linbench.models.sam import Prompts, Sam, transform_of
from linbench.models.segmenter import Segmenter
from linbench.system.files import file_sha256


class BoxDecoder(nn.Module):
    """What is exported as the decoder: prompt encoder and mask decoder for boxes, on the encoder's maps."""

    def __init__(self, sam: Sam, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.sam = sam
        self.image_size = image_size

    def forward(self, boxes: Tensor, *maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits ``m 1 h/4 w/4`` and predicted IoUs ``m 1`` of boxes ``m 4``, px of the input."""
        image = self.sam.decoder.prepare(maps)
        grid = (maps[-1].shape[2], maps[-1].shape[3])
        logits, iou = self.sam.decoder(image, self.sam.prompt(Prompts(boxes=boxes), self.image_size, grid), False)
        return logits, iou


class _Loaded(nn.Module):
    """A file in its engine; called with tensors, it returns tensors."""

    def __init__(self, path: Path, artifact: Artifact, threads: int) -> None:
        super().__init__()
        engine = exported(artifact.engine)
        if engine is None:
            raise BadArtifact(f"{path}: it is for {artifact.engine}, which loads no files")
        config = RunConfig("cpu", artifact.dtype, threads)
        if reason := engine.available(config):
            raise BadArtifact(f"{path}: it is for {artifact.engine}: {reason}")
        try:
            self.session = engine.load(path, config)
        except RuntimeError as error:
            raise BadArtifact(f"{path}: {str(error).splitlines()[0]}") from None
        self.facts = self.session.facts()

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return copies of the outputs."""
        arrays: Arrays = tuple(np.ascontiguousarray(x.detach().float().numpy()) for x in inputs)
        self.session.bind(arrays)()
        return tuple(torch.from_numpy(y) for y in self.session.outputs())


class _Encoder(_Loaded):
    """The encoder's file; it takes images of its own size."""

    def __init__(self, path: Path, artifact: Artifact, threads: int) -> None:
        super().__init__(path, artifact, threads)
        self.image_size = artifact.image_size

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of images, ``b 3 h w``, one after another."""
        if tuple(image.shape[2:]) != self.image_size:
            raise ValueError(
                f"image must be of {self.image_size} px (h, w) for this file, got {tuple(image.shape[2:])}"
            )
        maps = zip(*(self.run(one) for one in image.split(1)), strict=True)
        return tuple(torch.cat(parts) for parts in maps)


class _Boxes(nn.Module):
    """Stands in for the prompt encoder: hands the boxes on."""

    def forward(self, prompts: Prompts, *_sizes: Any) -> Tensor:
        """Return the boxes. Raises ValueError for points and masks."""
        if prompts.boxes is None or prompts.points is not None or prompts.masks is not None:
            raise ValueError("an exported decoder takes boxes alone: use --box, or the checkpoint itself for points")
        return prompts.boxes


class _Decoder(_Loaded):
    """The decoder's file, for one box at a time."""

    def prepare(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the maps; the file does the rest."""
        return maps

    def output_tokens(self, multimask: bool) -> slice:
        """Return the mask of the result. Raises ValueError for three masks."""
        if multimask:
            raise ValueError("multimask: an exported decoder gives one mask; use the checkpoint itself for three")
        return slice(0, 1)

    @property
    def hyper(self) -> list[None]:
        """One entry for each mask token that the file returns."""
        return [None]

    def forward(self, maps: tuple[Tensor, ...], boxes: Tensor, multimask: bool) -> tuple[Tensor, Tensor]:
        """Return mask logits ``m 1 h/4 w/4`` and predicted IoUs ``m 1``."""
        self.output_tokens(multimask)
        size = 4 * maps[-1].shape[2], 4 * maps[-1].shape[3]
        empty = [torch.zeros(0, 1, *size)], [torch.zeros(0, 1)]
        decoded = [self.run(box, *maps) for box in boxes.split(1)] if len(boxes) else []
        logits, iou = (list(parts) for parts in zip(*decoded, strict=True)) if decoded else empty
        return torch.cat(logits), torch.cat(iou)


def load_exported_segmenter(path: Path, threads: int, side: int | None = None) -> Segmenter:
    """Return the segmenter of an encoder's file and the decoder's beside it.

    side: Of the input, px, where the user wants one; only the file's own is possible.
    Raises BadArtifact, a ValueError, for another part or size, a missing decoder or engine, and damaged files.
    """
    encoder = read_artifact(path)
    if encoder.part != "encoder":
        raise BadArtifact(f"{path}: it is {encoder}; a segmenter needs the file of its encoder")
    decoder_file = decoder_path(path)
    if not decoder_file.exists():
        raise BadArtifact(f"{path}: {decoder_file.name}, its decoder, is not beside it; export without --part")
    decoder = read_artifact(decoder_file)
    if (decoder.name, decoder.image_size, decoder.weights) != (encoder.name, encoder.image_size, encoder.weights):
        raise BadArtifact(f"{decoder_file}: it is {decoder}, and its encoder {encoder}, or their weights differ")
    height, width = encoder.image_size
    if height != width or side not in (None, height):
        raise BadArtifact(
            f"{path}: it is {encoder}; it takes no input of {side or 'another shape'} px: export that size"
        )
    parts = _Encoder(path, encoder, threads), _Boxes(), _Decoder(decoder_file, decoder, threads)
    sam = Sam(*parts, f"the exported decoder, in {encoder.engine}")
    sam.register_parameter("device_of_outputs", nn.Parameter(torch.zeros(0), requires_grad=False))
    return Segmenter(sam.eval(), transform_of(encoder.name, height), _facts(path, encoder))


def _facts(path: Path, artifact: Artifact) -> dict[str, Any]:
    """Return the facts of a segmenter, as ``load_segmenter`` does; random weights have no hash."""
    weights = artifact.weights
    return {
        "name": artifact.name,
        "decoder": f"the exported decoder, in {artifact.engine}",
        "image_size": artifact.image_size[0],
        "options": dict(artifact.options),
        "engine": artifact.engine,
        "weights": path.name,
        "sha256": file_sha256(path) if weights.get("sha256") else None,
        "recipe": weights.get("recipe", ""),
        "scale": weights.get("scale", ""),
        "trained_at": weights.get("trained_at"),
    }
