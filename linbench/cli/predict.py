"""``linbench predict``: masks, run lengths and a picture to look at, for boxes and points on pictures."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.answers import Job, Result, answer
from linbench.cli.outputs import file_identities, output_names
from linbench.cli.progress import progress
from linbench.cli.refusal import choice, explain_threads, load_plugins, pairs, refuse, refusing
from linbench.cli.run import BRANCHES, FUSIONS

if TYPE_CHECKING:
    from linbench.data.prompts import PromptSpec
    from linbench.models.segmenter import Segmenter

LARGEST = 16384  # px; at that side the input alone has 3 GB
MOST_SCORES = 6  # in a row of the table
WEIGHTS = (
    "--checkpoint is missing: linbench comes with no weights. Give a .safetensors file that linbench wrote, or an "
    "official one: SAM's (sam_vit_b_01ec64.pth with --backbone sam-vit-b), HQ-SAM's (sam_hq_vit_b.pth, hq-sam-b) or "
    "EfficientSAM's (efficient_sam_vitt.pt, efficientsam-ti). --random does without, for smoke tests"
)


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures.", show_default=False)],
    backbone: Annotated[
        str | None, typer.Option(help="A backbone or hq-sam-b/l/h; a checkpoint of ours says it itself.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights: .safetensors, or an official .pth.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="model or ema, of a checkpoint that holds both; default as its source does.")
    ] = None,
    random: Annotated[bool, typer.Option("--random", help="Random weights, for smoke tests.")] = False,
    box: Annotated[
        list[str] | None, typer.Option(help="x0,y0,x1,y1 in px of the upright picture; repeatable.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(help="x,y or x,y,0 (background); repeatable. All are one prompt, with the one --box or alone."),
    ] = None,
    boxes: Annotated[Path | None, typer.Option(help="COCO JSON with the boxes of many pictures.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for masks, JSON and overlays.")] = Path("predictions"),
    multimask: Annotated[
        bool, typer.Option("--multimask", help="Three masks a prompt, where the model can; the best is written.")
    ] = False,
    fusion: Annotated[str | None, typer.Option(help="conv, mamba, rwkv or dcn, for RWKV-SAM's decoder.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=16, max=LARGEST, help="Side of the model's input, px; default the checkpoint's own, or 1024."
        ),
    ] = None,
    prompt_chunk: Annotated[int, typer.Option(min=1, help="Prompts decoded at a time; fewer take less memory.")] = 8,
    option: Annotated[list[str] | None, typer.Option(help="A model's own option, NAME=VALUE; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Segment what boxes and points ask for.

    Writes, for each picture, NAME.overlay.png to look at, NAME.masks.json (COCO run lengths) and NAME.maskN.png
    (0 and 255) for prompt N. Exit code 1 where a picture or a prompt could not be done.
    """
    if not (box or point or boxes):
        refuse("nothing is asked: give --box x0,y0,x1,y1, --point x,y or --boxes FILE.json")
    if boxes and (box or point):
        refuse("--boxes beside --box or --point: give the boxes of all pictures in the file, or on the command line")
    if checkpoint and random:
        refuse("--random beside --checkpoint: give one of them")
    if not checkpoint and not random:
        refuse(WEIGHTS)
    if random and not backbone:
        refuse("--backbone is missing: --random needs the name of a model; `linbench list` shows all")
    if weights is not None and checkpoint is None:
        refuse("--weights without --checkpoint: it chooses between the weights of that file")
    if weights is not None:
        choice("--weights", weights, BRANCHES)
    if fusion is not None:
        choice("--fusion", fusion, FUSIONS)
    with refusing():
        asked = _asked(images, boxes, box or [], point or [])
        segmenter = _segmenter(backbone, checkpoint, weights, image_size, fusion, option, device, threads, plugin)
        decoder = segmenter.sam.decoder
        getattr(decoder, "base", decoder).which(multimask)  # refuses three masks where there is one
    explain_threads(threads)
    if note := _size_note(segmenter):
        typer.echo(f"linbench: {note}", err=True)
    inputs = file_identities([*images, *(file for file in (checkpoint, boxes) if file), *(plugin or [])])
    job = Job(segmenter, out, inputs, multimask, prompt_chunk)
    results = _all(job, images, asked)
    if as_json:
        typer.echo(json.dumps(results, indent=1))
    else:
        _print(results)
    if any(result["errors"] for result in results):
        raise typer.Exit(1)


def _asked(
    images: Sequence[Path], boxes: Path | None, box: Sequence[str], point: Sequence[str]
) -> "list[list[PromptSpec]]":
    """The prompts of each picture, unchecked."""
    from linbench.data.prompt_file import read_prompt_file
    from linbench.data.prompts import parse_prompts

    if boxes is None:
        return [parse_prompts(box, point)] * len(images)
    detections = read_prompt_file(boxes)
    found = [detections.for_image(image) for image in images]
    if not any(found):
        raise ValueError(f"--boxes {boxes}: it has no boxes of {' or '.join(map(str, images[:3]))}; names must agree")
    return found


def _segmenter(
    backbone: str | None,
    checkpoint: Path | None,
    weights: str | None,
    image_size: int | None,
    fusion: str | None,
    option: Sequence[str] | None,
    device: str,
    threads: int | None,
    plugin: Sequence[Path] | None,
) -> "Segmenter":
    import torch

    from linbench.backbones import backbone as backbones
    from linbench.models.segmenter import load_segmenter
    from linbench.suites.device import find_device
    from linbench.system.threads import thread_count

    load_plugins(plugin or [], backbones)
    torch.set_num_threads(thread_count(threads))
    options = pairs("--option", option or [], "output=hq")
    return load_segmenter(
        backbone,
        checkpoint,
        image_size=image_size,
        fusion=fusion,
        options=options,
        device=find_device(device),
        weights=weights,
    )


def _size_note(segmenter: "Segmenter") -> str:
    """Say that the model is used at another size than it was trained at; empty where it is not."""
    from linbench.models.input_size import size_note

    facts, side = segmenter.facts, segmenter.transform.side
    return size_note(facts["weights"], facts["trained_at"], (side, side))


def _all(job: Job, images: Sequence[Path], asked: "Sequence[list[PromptSpec]]") -> list[Result]:
    """What became of each picture; what fails is said at once, and the others are done."""
    from linbench.reports.render.plain_text import plain

    results = []
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        with progress("pictures", len(images)) as advance:
            for image, name, prompts in zip(images, output_names(images), asked, strict=True):
                start = time.perf_counter()
                result = answer(job, image, name, prompts)
                for text in (*result["errors"], *result["notes"]):
                    typer.echo(f"linbench: {plain(text)}", err=True)
                advance(f"{plain(str(image))}: {_told(result)} ({time.perf_counter() - start:.1f} s)", 1)
                results.append(result)
    except KeyboardInterrupt:
        typer.echo(f"\nlinbench: stopped; the files in {job.out} are whole", err=True)
        raise typer.Exit(130) from None
    except OSError as error:
        refuse(f"--out {job.out}: it cannot be written ({error.strerror or error}); name another folder")
    return results


def _told(result: Result) -> str:
    """What became of a picture, in a few words."""
    done = len(result["predictions"])
    if not done:
        return "nothing written" if result["errors"] else "no boxes"
    return f"{done} mask{'s' * (done > 1)}, {result['overlay']}"


def _print(results: Sequence[Result]) -> None:
    from tabulate import tabulate

    from linbench.reports.render.plain_text import plain

    rows = []
    for result in results:
        scores = [one["score"] for one in result["predictions"]]
        shown = " ".join(f"{score:.2f}" for score in scores[:MOST_SCORES])
        more = " …" if len(scores) > MOST_SCORES else ""
        rows.append((plain(result["image"]), len(scores), len(result["errors"]), shown + more, result["overlay"]))
    typer.echo(tabulate(rows, headers=["picture", "masks", "errors", "predicted IoU", "overlay"]))
