"""``linbench predict``: masks, run lengths and an overlay for boxes and points on images."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from linbench.cli.option_groups import grouped_options
from linbench.cli.predict_options import (
    LargeImageOptions,
    ModelOptions,
    OutputOptions,
    PromptOptions,
    check_artifact_options,
    check_large_image_options,
    check_model_options,
    check_prompt_options,
    images_of,
)
from linbench.cli.progress import progress
from linbench.cli.refusal import explain_threads, load_plugins, pairs, refuse, refusing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from linbench.data.prompts import PromptSpec
    from linbench.models.segment_images import ImageSegmenter, Result
    from linbench.models.segmenter import Segmenter

MAX_SCORES = 6  # in a row of the table
WIDTH = 80
RANDOM_STAMP = "RANDOM WEIGHTS: a smoke test; these masks mean nothing"
SMOKE_STAMP = "SMOKE RECIPE: weights of a shortened training; these masks say nothing about the model"


@grouped_options
def predict(prompts: PromptOptions, large: LargeImageOptions, model: ModelOptions, output: OutputOptions) -> None:
    """Segment marked objects, or everything in an image.

    Writes, for each image, NAME.overlay.png to look at, NAME.masks.json (COCO run lengths) and NAME.maskN.png
    (0 and 255) for prompt N, which --everything does not write. Exit code 1 if an image or
    a prompt failed.
    """
    check_large_image_options(large, prompts, output.multimask)
    if not large.everything:
        check_prompt_options(prompts)
    check_model_options(model)
    images, skipped = images_of(prompts.images)
    prompts = replace(prompts, images=images)
    with refusing():
        prompts_by_image = [[] for _ in images] if large.everything else _prompts(prompts)
        segmenter = _load(model, output.device, output.threads)
        decoder = segmenter.sam.decoder
        getattr(decoder, "base", decoder).output_tokens(output.multimask)  # refuses three masks where there is one
    explain_threads(output.threads)
    if note := _size_note(segmenter):
        typer.echo(f"linbench: {note}", err=True)
    if skipped:
        typer.echo(
            f"linbench: {skipped} file{'s' * (skipped > 1)} skipped that are no images by their names", err=True
        )
    segment = _image_segmenter(segmenter, prompts, model, output)
    segment = replace(segment, tile_overlap=large.overlap, everything=large.settings())
    results = _segment_all(segment, images, prompts_by_image)
    if output.as_json:
        typer.echo(json.dumps(results, indent=1))
    else:
        _print(results)
    if any(result["errors"] for result in results):
        raise typer.Exit(1)


def _prompts(options: PromptOptions) -> "list[list[PromptSpec]]":
    """Return the prompts of each image, not yet checked against it. Raises ValueError."""
    from linbench.data.prompt_file import read_prompt_file
    from linbench.data.prompts import parse_prompts

    if options.boxes is None:
        return [parse_prompts(options.box or [], options.point or [])] * len(options.images)
    detections = read_prompt_file(options.boxes)
    prompts = [detections.for_image(image) for image in options.images]
    if not any(prompts):
        names = " or ".join(map(str, options.images[:3]))
        raise ValueError(f"--boxes {options.boxes}: it has no boxes of {names}; names must agree")
    return prompts


def _load(model: ModelOptions, device: str, threads: int | None) -> "Segmenter":
    import torch

    from linbench.backbones import backbone as backbones
    from linbench.engines.artifact import is_artifact
    from linbench.engines.segmenter import load_exported_segmenter
    from linbench.models.segmenter import load_segmenter
    from linbench.suites.runner.device import find_device
    from linbench.system.threads import thread_count

    load_plugins(model.plugin or [], backbones)
    torch.set_num_threads(thread_count(threads))
    if model.checkpoint is not None and is_artifact(model.checkpoint):
        check_artifact_options(model, device)
        return load_exported_segmenter(model.checkpoint, thread_count(threads), model.image_size)
    return load_segmenter(
        model.backbone,
        model.checkpoint,
        image_size=model.image_size,
        fusion=model.fusion,
        options=pairs("--option", model.option or [], "output=hq"),
        device=find_device(device),
        weights=model.weights,
    )


def _size_note(segmenter: "Segmenter") -> str:
    """Return a note if the model runs at another size than it was trained at; otherwise an empty string."""
    from linbench.models.checkpoint import size_note

    facts, side = segmenter.facts, segmenter.transform.side
    return size_note(facts["weights"], facts["trained_at"], (side, side))


def _image_segmenter(
    segmenter: "Segmenter", prompts: PromptOptions, model: ModelOptions, output: OutputOptions
) -> "ImageSegmenter":
    """Return what segments each image; it overwrites none of the files that the command reads."""
    from linbench.models.segment_images import ImageSegmenter, file_identities

    inputs = [*prompts.images, *(path for path in (model.checkpoint, prompts.boxes) if path), *(model.plugin or [])]

    def draw(path: Path, pixels: "NDArray[np.uint8]", predictions: Sequence[Mapping[str, Any]]) -> "Image.Image":
        return draw_overlay(segmenter.facts, path, pixels, predictions)

    return ImageSegmenter(segmenter, output.out, file_identities(inputs), output.multimask, output.prompt_chunk, draw)


def _segment_all(
    segment: "ImageSegmenter", images: Sequence[Path], prompts: "Sequence[list[PromptSpec]]"
) -> "list[Result]":
    """Segment every image; report a failure at once, and go on with the others."""
    from linbench.models.segment_images import output_names
    from linbench.reports.render.plain_text import plain

    results = []
    try:
        segment.out.mkdir(parents=True, exist_ok=True)
        with progress("images", len(images)) as advance:
            for path, name, image_prompts in zip(images, output_names(images), prompts, strict=True):
                start = time.perf_counter()
                count = partial(_count, advance.countdown, path, "prompts" if segment.everything else "tiles")
                result = replace(segment, advance=count)(path, image_prompts, name)
                for message in (*result["errors"], *result["notes"]):
                    typer.echo(f"linbench: {plain(message)}", err=True)
                advance(f"{plain(str(path))}: {_summary(result)} ({time.perf_counter() - start:.1f} s)", 1)
                results.append(result)
    except KeyboardInterrupt:
        typer.echo(f"\nlinbench: stopped; the files in {segment.out} are whole", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        refuse(f"--out {segment.out}: it cannot be written ({error.strerror or error}); name another folder")
    return results


def _count(show: Callable[[str], None], path: Path, unit: str, done: int, total: int) -> None:
    """Show how much of an image is done."""
    from linbench.reports.render.plain_text import plain

    show(f"{plain(path.name)}: {done}/{total} {unit}")


def _summary(result: "Result") -> str:
    """Return the result of an image in a few words."""
    count = len(result["predictions"])
    if not count and result["overlay"]:
        return f"no masks, {result['overlay']}"
    if not count:
        return "nothing written" if result["errors"] else "no boxes"
    return f"{count} mask{'s' * (count > 1)}, {result['overlay']}"


def draw_overlay(
    facts: Mapping[str, Any], path: Path, pixels: "NDArray[np.uint8]", predictions: Sequence[Mapping[str, Any]]
) -> "Image.Image":
    """Draw an image with its masks, prompts and scores; the caption names the model and its weights.

    facts: Of the segmenter. Random weights and those of a smoke recipe are stamped.
    pixels: ``h w 3``.
    predictions: As the JSON of the image has them.
    """
    from linbench.coco.rle import decode
    from linbench.reports.render.overlay import Mark, overlay

    marks = (
        Mark(
            ""  # hundreds of tags and boxes would hide the image
            if "stability" in prediction
            else f"{prediction['name'] or '#' + str(prediction['prompt'])} {prediction['score']:.2f}",
            decode(prediction["segmentation"]),
            None if "stability" in prediction else prediction["box"],
            prediction["points"],
        )
        for prediction in predictions
    )
    is_random = facts["sha256"] is None
    weights = "random weights" if is_random else f"{facts['weights']} ({facts['sha256'][:8]})"
    height, width = pixels.shape[:2]
    caption = f"{path.name} · {width} x {height} px · {facts['name']} at {facts['image_size']} px · {weights}"
    stamp = RANDOM_STAMP if is_random else SMOKE_STAMP if facts["scale"] == "smoke" else ""
    return overlay(pixels, marks, caption, stamp)


def _print(results: "Sequence[Result]") -> None:
    from linbench.reports.render.plain_text import plain
    from linbench.reports.render.table import Table, to_terminal

    rows = []
    for result in results:
        scores = [prediction["score"] for prediction in result["predictions"]]
        shown = " ".join(f"{score:.2f}" for score in scores[:MAX_SCORES])
        more = " …" if len(scores) > MAX_SCORES else ""
        name = Path(plain(result["image"])).name
        rows.append((name, str(len(scores)), str(len(result["errors"])), shown + more))
    typer.echo(to_terminal(Table("Masks", ("image", "masks", "errors", "predicted IoU"), tuple(rows)), WIDTH))
    for result in results:
        if result["overlay"]:
            typer.echo(str(result["overlay"]))
