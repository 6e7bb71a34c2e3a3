"""Segment image files: read an image, check its prompts, predict their masks, and write masks, JSON and an overlay.

    segment = ImageSegmenter(load_segmenter("sam-vit-b", checkpoint), out=Path("predictions"))
    result = segment(Path("cat.jpg"), [PromptSpec("the cat", box=(30, 40, 300, 260))])

The JSON of an image, ``NAME.masks.json``, is written last: where it exists, the other files are whole.

| entry | content |
|---|---|
| ``image``, ``height``, ``width`` | the path as it was given, and the upright size, px |
| ``model`` | name, decoder, input side, options; the file of the weights, or ``random``; its SHA-256; recipe hash; |
| | and as the file states them: ``scale``, ``full`` or ``smoke``, and ``trained_at``, height and width in px |
| ``predictions`` | one for each prompt that fits the image |
| ``errors`` | the refused prompts, and why |

A prediction has ``prompt`` (its number, from 1), ``box`` (x0 y0 x1 y1), ``points``, ``name``, ``mask`` (the PNG),
``area`` px, ``score`` (the IoU that the model predicts) and ``segmentation`` (COCO run lengths); the facts of a file
of boxes, its own score as ``detection_score``; and ``candidates``, score and run lengths of all three masks, if there
are three: the best of them is the prediction.

With ``everything`` a prediction is a mask of the image: ``prompt`` counts them, ``box`` is that of its pixels (last
ones included), ``points`` is the point of the grid; ``stability`` and ``crop`` (x0 y0 x1 y1, the part that the model
saw) stand beside ``score``; there is no ``mask``, as no PNG is written.
"""

import io
import json
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from linbench._version import __version__
from linbench.coco.rle import encode
from linbench.data.image import read_image
from linbench.data.prompts import PromptSpec, validate_prompt
from linbench.models.everything import Everything, segment_everything
from linbench.models.finite import NotFinite
from linbench.models.sam import PROMPT_CHUNK, Prompts
from linbench.models.segmenter import Segmenter
from linbench.models.tiles import predict_in_tiles
from linbench.system.files import replacing
from linbench.system.memory import is_out_of_memory

MAX_NAME_BYTES = 120  # file systems take 255 with the suffix
RUN_LENGTH_ENTRIES = {"segmentation", "candidates"}  # the long entries of a prediction
Result = dict[str, Any]
#: ``(path, pixels h w 3, predictions) -> image``: draws the overlay of an image.
DrawOverlay = Callable[[Path, NDArray[np.uint8], Sequence[Mapping[str, Any]]], Image.Image]


@dataclass(frozen=True)
class ImageSegmenter:
    """A segmenter of image files that writes its results into a folder.

    out: The folder; it exists.
    protected: Identities (``file_identities``) of files that are never overwritten, as those that the caller reads.
    multimask, prompt_chunk: As in ``Sam.decode``.
    draw_overlay: Draws ``NAME.overlay.png``; None writes no overlay.
    tile_overlap: Of tiles of the input's size at full resolution, as a fraction of their side; None means no tiles.
    everything: Settings of the masks of everything in the image, which need no prompts; None means prompts.
    advance: Called with the tiles or prompts of an image that are done, and their number.
    """

    segmenter: Segmenter
    out: Path
    protected: frozenset[tuple[int, int]] = frozenset()
    multimask: bool = False
    prompt_chunk: int = PROMPT_CHUNK
    draw_overlay: DrawOverlay | None = None
    tile_overlap: float | None = None
    everything: Everything | None = None
    advance: Callable[[int, int], None] = lambda done, total: None

    def __call__(self, path: Path, prompts: Sequence[PromptSpec], name: str = "") -> Result:
        """Segment one image, and write its files unless there is nothing to write.

        name: What the names of its files begin with; by default made from the path.
        Returns the content of the JSON file without run lengths, ``overlay`` (the path of that file, or empty) and
        ``notes`` (warnings). A failure (an unreadable image, a prompt that does not fit, memory that ran out, an
        output that is not finite, a file that is protected) is a sentence in ``errors`` and not an exception.
        Raises OSError where the files cannot be written.
        """
        with warnings.catch_warnings(record=True, action="always") as caught:
            result = self._segment(path, prompts, name or output_names([path])[0])
        notes = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
        return {**result, "notes": notes}

    def _segment(self, path: Path, prompts: Sequence[PromptSpec], name: str) -> Result:
        try:
            pixels = read_image(path)
        except ValueError as error:
            return _failed(path, [str(error)])
        fitting, errors = _check_prompts(path, prompts, pixels)
        masks = {number: f"{name}.mask{number}.png" for number in fitting}
        overlay = self.out / f"{name}.overlay.png" if self.draw_overlay else None
        table = self.out / f"{name}.masks.json"
        for output in (*(self.out / mask for mask in masks.values()), *([overlay] if overlay else []), table):
            if file_identities([output]) & self.protected:
                return _failed(
                    path, [*errors, f"{path}: {output} is an input and would be overwritten; name another --out"]
                )
        if not fitting and not self.everything:
            return _failed(path, errors)
        try:
            predicted = list(self._everything(pixels) if self.everything else self._predict(pixels, fitting, masks))
        except NotFinite as error:
            return _failed(path, [*errors, f"{path}: {error}"])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = "the device is out of memory; a smaller --prompt-chunk or --image-size needs less"
            return _failed(path, [*errors, f"{path}: {reason}"])
        predictions = [prediction for prediction, _ in predicted]
        for prediction, mask in predicted:
            if mask is not None:
                write_file(self.out / prediction["mask"], mask)
        if overlay and self.draw_overlay:
            write_file(overlay, _png(self.draw_overlay(path, pixels, predictions)))
        document = {
            "linbench": __version__,
            "image": str(path),
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "model": self.segmenter.facts,
            "predictions": predictions,
            "errors": errors,
        }
        write_file(table, json.dumps(document, indent=1).encode())
        return {**document, "predictions": [_short(p) for p in predictions], "overlay": str(overlay or "")}

    def _predict(
        self, pixels: NDArray[np.uint8], prompts: Mapping[int, PromptSpec], masks: Mapping[int, str]
    ) -> Iterator[tuple[dict[str, Any], bytes | None]]:
        """Yield each prompt's entry of the JSON, and its mask as PNG. Raises NotFinite.

        prompts, masks: The prompts and the names of their mask files, by the prompt's number.
        """
        model_prompts = _model_prompts(list(prompts.values()))
        if self.tile_overlap is None:
            predictions = self.segmenter.predict(
                pixels, model_prompts, multimask=self.multimask, prompt_chunk=self.prompt_chunk
            )
        else:
            predictions = predict_in_tiles(
                self.segmenter,
                pixels,
                model_prompts,
                multimask=self.multimask,
                prompt_chunk=self.prompt_chunk,
                overlap=self.tile_overlap,
                advance=self.advance,
            )
        for (number, prompt), predicted in zip(prompts.items(), predictions, strict=True):
            best = int(predicted.scores.argmax())
            candidates = [
                {"score": float(score), "segmentation": encode(mask)}
                for mask, score in zip(predicted.masks, predicted.scores, strict=True)
            ]
            entry = {
                "prompt": number,
                "box": prompt.box,
                "points": prompt.points,
                "name": prompt.name,
                **prompt.facts,
                "area": int(predicted.masks[best].sum()),
                "mask": masks[number],
                **candidates[best],
                **({"candidates": candidates} if len(candidates) > 1 else {}),
            }
            yield entry, _png(Image.fromarray(predicted.masks[best].astype("uint8") * 255))

    def _everything(self, pixels: NDArray[np.uint8]) -> Iterator[tuple[dict[str, Any], bytes | None]]:
        """Yield the JSON's entry of each mask in the image. Raises NotFinite."""
        masks = segment_everything(self.segmenter, pixels, self.everything, self.advance)
        for number, mask in enumerate(masks, start=1):
            yield (
                {
                    "prompt": number,
                    "box": mask.box,
                    "points": [(*mask.point, 1)],
                    "name": "",
                    "area": mask.area,
                    "score": mask.predicted_iou,
                    "stability": mask.stability if math.isfinite(mask.stability) else None,  # an empty mask has none
                    "crop": mask.crop,
                    "segmentation": mask.segmentation,
                },
                None,
            )


def _failed(path: Path, errors: list[str]) -> Result:
    return {"image": str(path), "predictions": [], "errors": errors, "overlay": ""}


def _short(prediction: Mapping[str, Any]) -> dict[str, Any]:
    """Return a prediction without run lengths."""
    return {name: value for name, value in prediction.items() if name not in RUN_LENGTH_ENTRIES}


def _check_prompts(
    path: Path, prompts: Sequence[PromptSpec], pixels: NDArray[np.uint8]
) -> tuple[dict[int, PromptSpec], list[str]]:
    """Return the prompts that fit the image, by their number from 1, and what is wrong with the others."""
    fitting, errors = {}, []
    for number, prompt in enumerate(prompts, start=1):
        try:
            fitting[number] = validate_prompt(prompt, *pixels.shape[:2])
        except ValueError as error:
            errors.append(f"{path}: {error}")
    return fitting, errors


def _model_prompts(prompts: Sequence[PromptSpec]) -> Prompts:
    """Return the model's prompts: boxes, or a single prompt with points."""
    boxes = [prompt.box for prompt in prompts if prompt.box is not None]
    points = torch.tensor([prompt.points for prompt in prompts]).reshape(len(prompts), -1, 3)
    return Prompts(
        boxes=torch.tensor(boxes) if boxes else None,
        points=points[..., :2] if points.numel() else None,
        labels=points[..., 2] if points.numel() else None,
    )


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()


def output_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for the outputs of each image, made from its stem; all differ on any file system.

    Characters other than letters, digits, ``_``, ``-`` and ``.`` become ``_``, so no name leads out of a folder.
    """
    taken: set[str] = set()
    names = []
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", path.stem)).strip(".")
        stem = stem.encode()[:MAX_NAME_BYTES].decode(errors="ignore") or "image"
        name, count = stem, 1
        while name.casefold() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.casefold())
        names.append(name)
    return names


def file_identities(paths: Iterable[Path]) -> frozenset[tuple[int, int]]:
    """Return device and inode of each existing file: equal for two paths of one file."""
    return frozenset((status.st_dev, status.st_ino) for path in paths if path.exists() for status in [path.stat()])


def write_file(path: Path, content: bytes) -> None:
    """Write a file; a reader sees the whole of it or none. Raises OSError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
