"""``linbench data make shapes``: the embedded data set as files, in the layouts of the published sets."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from linbench.cli.progress import progress
from linbench.cli.refusal import choice, refuse, refusing

STEPS = 20  # lines of progress where there is no terminal


def make(
    name: Annotated[str, typer.Argument(help="The data set: shapes is the one that can be made.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of all sets; this one gets its own below it.")],
    layout: Annotated[
        str,
        typer.Option(
            "--as", help="Layout: imagenet, ade20k, coco, coconut, entityseg, dis, coift, hrsod, sa1b, sa1b-tar."
        ),
    ],
    images: Annotated[int, typer.Option("--images", help="Number of pictures.", min=1)] = 64,
    size: Annotated[str, typer.Option("--size", help="Side in px, or HEIGHTxWIDTH.")] = "512",
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other pictures.", min=0)] = 0,
    split: Annotated[str, typer.Option("--split", help="train or val; they have no scene in common.")] = "val",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line.")] = False,
) -> None:
    """Write procedural pictures with exact masks as a real data set is laid out on disk.

    Read it back with --data OUT. The same arguments give the same pictures and masks on every machine.
    """
    choice("NAME", name, ("shapes",))
    from linbench.data.shapes import LAYOUTS, write_dataset

    choice("--as", layout, tuple(LAYOUTS))
    choice("--split", split, ("train", "val"))
    sides = _sides(size)
    line = max(1, images // STEPS)
    done = 0
    with refusing(), progress("pictures", images) as advance:

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
        typer.echo(f"{images} pictures of {w} x {h} px as {layout}, {split}; read them with --data {out}")


def _sides(text: str) -> tuple[int, int]:
    """Height and width of ``512`` or ``480x640``."""
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if found is None:
        refuse(f"--size {text}: write a side in px, as 512, or HEIGHTxWIDTH, as 480x640")
    return int(found[1]), int(found[2] or found[1])
