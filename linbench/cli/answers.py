"""One picture of ``linbench predict``: it is read, its prompts are checked and answered, and its files are written.

The JSON of a picture, ``NAME.masks.json``:

| entry | what |
|---|---|
| ``image``, ``height``, ``width`` | the picture as it was named, and its size upright, px |
| ``model`` | name, decoder, input side, options; the file of the weights, or ``random``; its SHA-256; recipe hash |
| | and as the file says them: ``scale``, ``full`` or ``smoke``, and ``trained_at``, height and width in px |
| ``predictions`` | one for each prompt that was answered |
| ``errors`` | prompts that were refused, and why |

A prediction has ``prompt`` (its number from 1), ``box`` (x0 y0 x1 y1), ``points``, ``name``, ``mask`` (the PNG),
``area`` px, ``score`` (the IoU that the model predicts) and ``segmentation`` (COCO run lengths); what a file of boxes
said of it, its own score as ``detection_score``; and ``candidates``, the score and run lengths of all three masks,
where there are so many: the best is the one in the prediction.
"""

import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linbench import __version__
from linbench.cli.outputs import file_identities, write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from linbench.data.prompts import PromptSpec
    from linbench.models.sam import Prompts
    from linbench.models.segmenter import Segmenter

RANDOM = "RANDOM WEIGHTS: a smoke test; these masks mean nothing"
SMOKE = "SMOKE RECIPE: weights of a shortened training; these masks say nothing of the model"
RUNS = {"segmentation", "candidates"}  # what is long in a prediction
Result = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What is the same for all pictures of a call.

    inputs: Identities of the files that the call reads; none of them is written.
    """

    segmenter: "Segmenter"
    out: Path
    inputs: set[tuple[int, int]]
    multimask: bool
    prompt_chunk: int

    def reads(self, file: Path) -> bool:
        """Whether the file is one that the call reads, by whatever name."""
        return bool(file_identities([file]) & self.inputs)


def answer(job: Job, image: Path, name: str, asked: "Sequence[PromptSpec]") -> Result:
    """Do one picture; return its JSON without run lengths, with ``overlay``, its file, and ``notes`` of warnings.

    name: What its files' names begin with.
    Raises OSError where they cannot be written.
    """
    with warnings.catch_warnings(record=True, action="always") as noticed:
        result = _answered(job, image, name, asked)
    notes = [str(warning.message) for warning in noticed if issubclass(warning.category, UserWarning)]
    return {**result, "notes": notes}


def _answered(job: Job, image: Path, name: str, asked: "Sequence[PromptSpec]") -> Result:
    from linbench.data.image import read_image
    from linbench.models.finite import NotFinite
    from linbench.suites.memory import is_out_of_memory

    try:
        picture = read_image(image)
    except ValueError as error:
        return _undone(image, [str(error)])
    good, errors = _checked(image, asked, picture)
    files = {number: f"{name}.mask{number}.png" for number in good}
    overlay, table = job.out / f"{name}.overlay.png", job.out / f"{name}.masks.json"
    if taken := [file for file in (*files.values(), overlay.name, table.name) if job.reads(job.out / file)]:
        errors.append(
            f"{image}: {job.out / taken[0]} is an input of this call, and would be written; name another --out"
        )
        return _undone(image, errors)
    if not good:
        return _undone(image, errors)
    try:
        answered = list(_predictions(job, picture, good, files))
    except NotFinite as error:
        return _undone(image, [*errors, f"{image}: {error}"])
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fault = f"{image}: the device has too little memory; a smaller --prompt-chunk or --image-size needs less"
        return _undone(image, [*errors, fault])
    predictions = [prediction for prediction, _ in answered]
    for prediction, mask in answered:
        write(job.out / prediction["mask"], mask)
    write(overlay, _png(_drawn(job, image, picture, predictions)))
    document = {
        "linbench": __version__,
        "image": str(image),
        "height": picture.shape[0],
        "width": picture.shape[1],
        "model": job.segmenter.facts,
        "predictions": predictions,
        "errors": errors,
    }
    write(table, json.dumps(document, indent=1).encode())
    short = [{name: entry[name] for name in entry.keys() - RUNS} for entry in predictions]
    return {**document, "predictions": short, "overlay": str(overlay)}


def _undone(image: Path, errors: list[str]) -> Result:
    return {"image": str(image), "predictions": [], "errors": errors, "overlay": ""}


def _checked(
    image: Path, asked: "Sequence[PromptSpec]", picture: "NDArray[np.uint8]"
) -> "tuple[dict[int, PromptSpec], list[str]]":
    """The prompts that fit the picture, by their number, and what is wrong with the others."""
    from linbench.data.prompts import validate_prompt

    good, errors = {}, []
    for number, prompt in enumerate(asked, start=1):
        try:
            good[number] = validate_prompt(prompt, *picture.shape[:2])
        except ValueError as error:
            errors.append(f"{image}: {error}")
    return good, errors


def _predictions(
    job: Job, picture: "NDArray[np.uint8]", asked: "Mapping[int, PromptSpec]", files: Mapping[int, str]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield what the JSON says of each prompt, and its mask as PNG: nothing is written before all are answered.

    Raises NotFinite.
    """
    from linbench.coco.rle import encode

    answers = job.segmenter.predict(
        picture, _prompts(list(asked.values())), multimask=job.multimask, prompt_chunk=job.prompt_chunk
    )
    for (number, prompt), found in zip(asked.items(), answers, strict=True):
        best = int(found.scores.argmax())
        candidates = [
            {"score": float(score), "segmentation": encode(mask)}
            for mask, score in zip(found.masks, found.scores, strict=True)
        ]
        prediction = {
            "prompt": number,
            "box": prompt.box,
            "points": prompt.points,
            "name": prompt.name,
            **prompt.facts,
            "area": int(found.masks[best].sum()),
            "mask": files[number],
            **candidates[best],
            **({"candidates": candidates} if len(candidates) > 1 else {}),
        }
        yield prediction, _png(_black_and_white(found.masks[best]))


def _prompts(asked: "Sequence[PromptSpec]") -> "Prompts":
    """The model's prompts: all of them boxes, or a single one with points."""
    import torch

    from linbench.models.sam import Prompts

    boxes = [prompt.box for prompt in asked if prompt.box is not None]
    points = torch.tensor([prompt.points for prompt in asked]).reshape(len(asked), -1, 3)
    return Prompts(
        boxes=torch.tensor(boxes) if boxes else None,
        points=points[..., :2] if points.numel() else None,
        labels=points[..., 2] if points.numel() else None,
    )


def _drawn(
    job: Job, image: Path, picture: "NDArray[np.uint8]", predictions: Sequence[Mapping[str, Any]]
) -> "Image.Image":
    from linbench.coco.rle import decode
    from linbench.reports.render.overlay import Mark, overlay

    marks = (
        Mark(
            f"{one['name'] or '#' + str(one['prompt'])} {one['score']:.2f}",
            decode(one["segmentation"]),
            one["box"],
            one["points"],
        )
        for one in predictions
    )
    facts = job.segmenter.facts
    random = facts["sha256"] is None
    weights = "random weights" if random else f"{facts['weights']} ({facts['sha256'][:8]})"
    height, width = picture.shape[:2]
    caption = f"{image.name} · {width} x {height} px · {facts['name']} at {facts['image_size']} px · {weights}"
    return overlay(picture, marks, caption, RANDOM if random else SMOKE if facts["scale"] == "smoke" else "")


def _black_and_white(mask: "NDArray[np.bool_]") -> "Image.Image":
    from PIL import Image

    return Image.fromarray(mask.astype("uint8") * 255)


def _png(image: "Image.Image") -> bytes:
    content = io.BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()
