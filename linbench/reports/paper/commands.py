"""Write the exact command that would measure a cell; files that only the user can name are in capitals."""

from collections.abc import Mapping

from linbench.reports.paper.spec import CountedModel, RowSpec

TEACHER = "sam_vit_h_4b8939.pth"
#: Where the last recipe of a pipeline leaves its model, below the run's folder; a single recipe has no folder there.
PIPELINES = {"paper": "3-sam-joint/", "no-distillation": "2-sam-joint/"}
#: Conditions that need an option, as they are not what a suite does by itself.
OPTIONS = {"protocol": ("squash-1024", "slide"), "dtype": ("bfloat16", "float16")}
BOXES = {"coco": " --boxes VITDET_H_DETECTIONS.json"}


def measure_rate(backbone: str, size: int, part: str = "backbone", fusion: str = "none") -> str:
    """Return the command for the images per second of a backbone, or of a segmenter's part with one box prompt."""
    part_options = f" --part {part} --prompts 1" if part != "backbone" else ""
    return (
        f"linbench run --suite latency --backbone {backbone} --res {size} --preset paper,best"
        f"{part_options}{_fusion_option(fusion)}"
    )


def evaluate(row: RowSpec, suite: str, size: int) -> str:
    """Return the commands for a row's accuracy, its training included unless its weights are published."""
    if not row.recipe:
        return _evaluate(suite, row.model, size, row.weights)
    command, checkpoint = train(row.model, row.recipe, row.fusion or "none")
    return f"{command} && {_evaluate(suite, row.model, size, checkpoint)}"


def train(model: str, recipe: str, fusion: str = "none") -> tuple[str, str]:
    """Return the command that trains a model by a recipe or a pipeline, and the file that it ends with."""
    out = f"runs/{model}-{recipe}" + (f"-{fusion}" if fusion not in ("none", "conv") else "")
    option = f"--pipeline {recipe}" if recipe in PIPELINES else f"--recipe {recipe}"
    teacher = f" --teacher {TEACHER}" if recipe == "paper" else ""
    command = f"linbench train --backbone {model} {option}{_fusion_option(fusion)}{teacher} --data DATA --out {out}"
    if recipe == "ade20k":
        pretrain, checkpoint = train(model, "imagenet")
        command = f"{pretrain} && {command} --init {checkpoint}"
    return command, f"{out}/{PIPELINES.get(recipe, '')}model.safetensors"


def with_conditions(command: str, conditions: Mapping[str, str]) -> str:
    """Add the options for a column's conditions; only known words are taken, as records are not to be trusted."""
    values = {name: value.partition(" version ")[0] for name, value in conditions.items()}
    options = {name: value for name, value in values.items() if value in OPTIONS.get(name, ())}
    if conditions.get("threads", "").isdecimal():
        options["threads"] = conditions["threads"]
    return command + "".join(f" --{name} {value}" for name, value in options.items())


def count_parameters(model: CountedModel) -> str:
    """Return the command that counts the parameters of a model."""
    return f"linbench show {model.backbone} --res {model.size}"


def count_dataset(name: str) -> str:
    """Return the commands that count images and masks of a training set and show the table with them."""
    file = f"{name}.json"
    return (
        f"linbench data stats {name} --split train --data DATA --json > {file} && "
        f"linbench paper --table 2 --sets {name}={file}"
    )


def _evaluate(suite: str, model: str, size: int, checkpoint: str) -> str:
    return (
        f"linbench run --suite {suite} --backbone {model} --checkpoint {checkpoint} --res {size} --data DATA"
        f"{BOXES.get(suite, '')}"
    )


def _fusion_option(fusion: str) -> str:
    return f" --fusion {fusion}" if fusion != "none" else ""
