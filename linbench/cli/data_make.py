"""``linbench data make shapes``: the embedded dataset as files, in the layouts of published datasets."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from linbench.cli.progress import progress
from linbench.cli.refusal import choice, refuse, refusing

STEPS = 20  # lines of progress where there is no terminal


def make(
    name: Annotated[str, typer.Argument(help="The dataset; only shapes can be made.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of all datasets; this one is written to a subfolder.")],
    layout: Annotated[
        str,
        typer.Option(
            "--as", help="Layout: imagenet, ade20k, coco, coconut, entityseg, dis, coift, hrsod, sa1b, sa1b-tar."
        ),
    ],
    images: Annotated[int, typer.Option("--images", help="Number of images.", min=1)] = 64,
    size: Annotated[str, typer.Option("--size", help="Side in px, or HEIGHTxWIDTH.")] = "512",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the images.", min=0)] = 0,
    split: Annotated[str, typer.Option("--split", help="train or val; they share no scene.")] = "val",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line.")] = False,
) -> None:
    """Write the embedded dataset as files.

    Procedural images with exact masks, in the layout of a published dataset; read them back with --data OUT. The same
    arguments give the same images and masks on every machine.
    """
    choice("NAME", name, ("shapes",))
    from linbench.data.shapes import LAYOUTS, write_dataset

    choice("--as", layout, tuple(LAYOUTS))
    choice("--split", split, ("train", "val"))
    sides = _sides(size)
    line = max(1, images // STEPS)
    done = 0
    with refusing(), progress("images", images) as advance:

        def count(n: int) -> None:
            nonlocal done
            done += n
            if done % line == 0 or done == images:
                advance(f"shapes as {layout}, {split}", done % line or line)

        try:
            write_dataset(layout, split, images, sides, seed, out, count)
        except OSError as error:
            refuse(f"--out {out}: it cannot be written: {error.strerror or error}")
    h, w = sides
    if as_json:
        facts = {"name": name, "layout": layout, "split": split, "images": images, "height": h, "width": w}
        typer.echo(json.dumps(facts | {"seed": seed, "root": str(out)}, indent=1))
    else:
        typer.echo(
            f"{images} image{'s' * (images != 1)} of {w} x {h} px as {layout}, {split}; read them with --data {out}"
        )


def _sides(text: str) -> tuple[int, int]:
    """Parse height and width of ``512`` or ``480x640``."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if match is None:
        refuse(f"--size {text}: write a side in px, such as 512, or HEIGHTxWIDTH, such as 480x640")
    return int(match[1]), int(match[2] or match[1])
