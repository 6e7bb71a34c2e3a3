"""The options of ``linbench predict``: prompts, tiles and grids, model and output, and what they exclude."""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.refusal import choice, refuse, refusing

if TYPE_CHECKING:
    from linbench.models.everything import Everything

FUSIONS = ("conv", "mamba", "rwkv", "dcn")
BRANCHES = ("model", "ema")

MAX_SIDE = 16384  # px; at that side the input alone takes 3 GB
NO_CHECKPOINT = (
    "--checkpoint is missing: linbench comes with no weights. Give a .safetensors file that linbench wrote, or an "
    "official one: SAM's (sam_vit_b_01ec64.pth with --backbone sam-vit-b), HQ-SAM's (sam_hq_vit_b.pth, hq-sam-b) or "
    "EfficientSAM's (efficient_sam_vitt.pt, efficientsam-ti). --random does without, for smoke tests"
)
DEFAULT_TILE_OVERLAP = 0.25
GRID_OPTIONS = ("points_per_side", "min_iou", "min_stability", "max_overlap", "crop_layers", "crop_points_divisor")

Texts = list[str] | None


@dataclass(frozen=True)
class PromptOptions:
    """The images and their prompts."""

    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...", help="Image files, folders of images, or quoted patterns.", show_default=False
        ),
    ]
    box: Annotated[Texts, typer.Option(help="x0,y0,x1,y1 in px of the upright image; repeatable.")] = None
    point: Annotated[
        Texts, typer.Option(help="x,y or x,y,0 (background); repeatable. All are one prompt, with the --box if any.")
    ] = None
    boxes: Annotated[Path | None, typer.Option(help="COCO JSON with the boxes of many images.")] = None


@dataclass(frozen=True)
class LargeImageOptions:
    """Tiles for images beyond the input size, and a grid of points instead of prompts."""

    tiles: Annotated[
        bool, typer.Option("--tiles", help="Overlapping tiles at full resolution, for images beyond the input size.")
    ] = False
    tile_overlap: Annotated[
        float | None, typer.Option(help="Of neighbouring tiles, as a fraction of a tile; default 0.25.")
    ] = None
    everything: Annotated[
        bool, typer.Option("--everything", help="Masks of everything, from a grid of points, as SAM's generator.")
    ] = False
    points_per_side: Annotated[int | None, typer.Option(help="Of the grid; default 32, so 1,024 points.")] = None
    min_iou: Annotated[float | None, typer.Option(help="Least predicted IoU of a mask; default 0.88.")] = None
    min_stability: Annotated[float | None, typer.Option(help="Least stability of a mask; default 0.95.")] = None
    max_overlap: Annotated[
        float | None, typer.Option(help="Of two masks' boxes, as IoU; of two above it one stays; default 0.7.")
    ] = None
    crop_layers: Annotated[
        int | None, typer.Option(help="Also the grid in 4, 16, ... crops, for small objects; default 0.")
    ] = None
    crop_points_divisor: Annotated[
        int | None, typer.Option(help="Of the grid's points a side, for each layer of crops; default 1.")
    ] = None

    @property
    def overlap(self) -> float | None:
        """Return the overlap of the tiles; None without tiles."""
        if not self.tiles:
            return None
        return DEFAULT_TILE_OVERLAP if self.tile_overlap is None else self.tile_overlap

    def settings(self) -> "Everything | None":
        """Return the settings of --everything; None without it. Raises ValueError for one out of range."""
        from linbench.models.everything import Everything

        return Everything(**self.grid) if self.everything else None

    @property
    def grid(self) -> dict[str, Any]:
        """Return the given settings of the grid, by name."""
        values = {name: getattr(self, name) for name in GRID_OPTIONS}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class ModelOptions:
    """The segmenter and its weights."""

    backbone: Annotated[
        str | None, typer.Option(help="Backbone or hq-sam-b/l/h; default as linbench's checkpoint states it.")
    ] = None
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights: .safetensors, an official .pth, or an exported .onnx.")
    ] = None
    weights: Annotated[
        str | None, typer.Option(help="model or ema, if the checkpoint holds both; default as its source does.")
    ] = None
    random: Annotated[bool, typer.Option("--random", help="Random weights, for smoke tests.")] = False
    fusion: Annotated[str | None, typer.Option(help="RWKV-SAM's fusion: conv, mamba, rwkv or dcn.")] = None
    image_size: Annotated[
        int | None,
        typer.Option(min=16, max=MAX_SIDE, help="Side of the input, px; default the checkpoint's own, or 1024."),
    ] = None
    option: Annotated[Texts, typer.Option(help="Option of the model, NAME=VALUE; repeatable.")] = None
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file that registers backbones.")] = None


@dataclass(frozen=True)
class OutputOptions:
    """How the masks are computed, and where they go."""

    out: Annotated[Path, typer.Option(help="Folder for masks, JSON and overlays.")] = Path("predictions")
    multimask: Annotated[
        bool, typer.Option("--multimask", help="Three masks a prompt, if the model can; the best is written.")
    ] = False
    prompt_chunk: Annotated[int, typer.Option(min=1, help="Prompts decoded at a time; fewer take less memory.")] = 8
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False


def check_large_image_options(large: LargeImageOptions, prompts: PromptOptions, multimask: bool) -> None:
    """Refuse what --tiles and --everything exclude, and their settings without them or out of range."""
    if large.everything:
        if prompts.box or prompts.point or prompts.boxes:
            refuse("--everything excludes --box, --point and --boxes: its prompts are a grid of points")
        if large.tiles:
            refuse("--everything excludes --tiles: --crop-layers 1 runs the grid at a higher resolution")
        if multimask:
            refuse("--everything excludes --multimask: it takes three masks a point wherever the model has them")
    elif large.grid:
        refuse(f"--{next(iter(large.grid)).replace('_', '-')} without --everything: it is a setting of its grid")
    if large.tile_overlap is not None:
        if not large.tiles:
            refuse("--tile-overlap without --tiles: give both")
        if not 0 <= large.tile_overlap <= 0.9:
            refuse(f"--tile-overlap {large.tile_overlap:g}: allowed are 0 to 0.9")
    try:
        large.settings()
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        refuse(f"--{name.replace('_', '-')} {rest}")


def images_of(names: list[Path]) -> tuple[list[Path], int]:
    """Return the image files that the arguments stand for, sorted in each, and how many other files were skipped.

    A folder means the images in it, not those in its folders; a name with * ? or [ that is no file is a pattern.
    """
    images: list[Path] = []
    skipped = 0
    with refusing():
        for name in names:
            if name.is_dir():
                inside, others = _images_in(name)
            elif not name.exists() and glob.has_magic(str(name)):
                inside, others = _matching(str(name))
            else:
                inside, others = [name], 0
            images += inside
            skipped += others
    return images, skipped


def _images_in(folder: Path) -> tuple[list[Path], int]:
    """Return the images in a folder, and the number of its other files. Raises ValueError for none."""
    from linbench.data.listing import names_in

    try:
        files = sum(entry.is_file() for entry in folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder}: it cannot be read: {error.strerror}") from error
    suffixes = image_suffixes()
    images = [folder / name for name in names_in(folder, suffixes)]
    images = [path for path in images if path.is_file()]
    if not images:
        raise ValueError(
            f"{folder}: no images in this folder, not counting its folders; read are {' '.join(suffixes)}"
        )
    return images, files - len(images)


def _matching(pattern: str) -> tuple[list[Path], int]:
    """Return the files that a pattern matches, sorted. Raises ValueError for none."""
    paths = glob.glob(pattern, recursive=True)  # noqa: PTH207 a pattern can be absolute, and hidden files stay out
    matches = [Path(path) for path in sorted(paths)]
    images = [path for path in matches if path.is_file() and path.suffix.lower() in image_suffixes()]
    if not images:
        raise ValueError(f"{pattern}: no images match this pattern; read are {' '.join(image_suffixes())}")
    return images, sum(path.is_file() for path in matches) - len(images)


def image_suffixes() -> tuple[str, ...]:
    """Return the ends of the names of image files that a folder is searched for."""
    from linbench.data.listing import IMAGE_SUFFIXES

    return (*IMAGE_SUFFIXES, ".gif", ".jp2", ".ppm")


def check_prompt_options(prompts: PromptOptions) -> None:
    """Refuse no prompts, and prompts that exclude each other."""
    if not (prompts.box or prompts.point or prompts.boxes):
        refuse("no prompts given: pass --box x0,y0,x1,y1, --point x,y or --boxes FILE.json; --everything needs none")
    if prompts.boxes and (prompts.box or prompts.point):
        refuse("--boxes excludes --box and --point: give all boxes in the file, or all on the command line")


def check_model_options(model: ModelOptions) -> None:
    """Refuse a model without weights, and options that exclude each other."""
    if model.checkpoint and model.random:
        refuse("--random and --checkpoint exclude each other; give one of them")
    if not model.checkpoint and not model.random:
        refuse(NO_CHECKPOINT)
    if model.random and not model.backbone:
        refuse("--backbone is missing: --random needs the name of a model; `linbench list` shows all")
    if model.weights is not None:
        if model.checkpoint is None:
            refuse("--weights without --checkpoint: it chooses between the weights of that file")
        choice("--weights", model.weights, BRANCHES)
    if model.fusion is not None:
        choice("--fusion", model.fusion, FUSIONS)


def check_artifact_options(model: ModelOptions, device: str) -> None:
    """Refuse options of a checkpoint for an exported file, which is one model, with its weights, on the CPU."""
    for flag in ("backbone", "weights", "fusion", "option"):
        if getattr(model, flag):
            refuse(
                f"--{flag} beside an exported file: {model.checkpoint} is one model with its weights; leave it out"
            )
    if device not in ("auto", "cpu"):
        refuse(f"--device {device}: an exported file runs on the CPU here")
