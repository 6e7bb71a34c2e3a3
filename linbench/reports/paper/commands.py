"""The exact command that would measure a cell; files that only the user can name are in capitals."""

from collections.abc import Mapping

from linbench.reports.paper.evidence import Count

TEACHER = "sam_vit_h_4b8939.pth"
#: Where the last of a pipeline's recipes leaves its model, below the run's folder; a single recipe has the folder.
PIPELINES = {"paper": "3-sam-joint/", "no-distillation": "2-sam-joint/"}
#: Conditions that must be asked for, as they are not what a suite does by itself.
ASKED = {"protocol": ("squash-1024", "slide"), "dtype": ("bfloat16", "float16")}
BOXES = {"coco": " --boxes VITDET_H_DETECTIONS.json"}


def rate(backbone: str, size: int, part: str = "backbone", fusion: str = "none") -> str:
    """The images per second of a backbone, or of a segmenter's part with one box prompt."""
    whole = f" --part {part} --prompts 1" if part != "backbone" else ""
    fused = f" --fusion {fusion}" if fusion != "none" else ""
    return f"linbench run --suite latency --backbone {backbone} --res {size} --preset paper,best{whole}{fused}"


def score(suite: str, model: str, size: int, checkpoint: str) -> str:
    """A model's accuracy with trained weights."""
    return (
        f"linbench run --suite {suite} --backbone {model} --checkpoint {checkpoint} --res {size} --data DATA"
        f"{BOXES.get(suite, '')}"
    )


def training(model: str, recipe: str, fusion: str = "none") -> tuple[str, str]:
    """The training of a model by a recipe or by a pipeline of several, and the file that it ends with."""
    whole = recipe in PIPELINES
    fused = f" --fusion {fusion}" if fusion != "none" else ""
    out = f"runs/{model}-{recipe}" + (f"-{fusion}" if fusion not in ("none", "conv") else "")
    how = f"--pipeline {recipe}" if whole else f"--recipe {recipe}"
    teacher = f" --teacher {TEACHER}" if recipe == "paper" else ""
    command = f"linbench train --backbone {model} {how}{fused}{teacher} --data DATA --out {out}"
    if recipe == "ade20k":
        before, pretrained = training(model, "imagenet")
        command = f"{before} && {command} --init {pretrained}"
    return command, f"{out}/{PIPELINES.get(recipe, '')}model.safetensors"


def under(command: str, conditions: Mapping[str, str]) -> str:
    """The command for a column of its own conditions; what a record says is taken where it is one of known words."""
    named = {name: value.partition(" version ")[0] for name, value in conditions.items()}
    asked = {name: value for name, value in named.items() if value in ASKED.get(name, ())}
    if conditions.get("threads", "").isdecimal():
        asked["threads"] = conditions["threads"]
    return command + "".join(f" --{name} {value}" for name, value in asked.items())


def count(of: Count) -> str:
    """The parameters of a model."""
    return f"linbench show {of.backbone} --res {of.size}"


def statistics(name: str) -> str:
    """Images and masks of a training set, and the table with them."""
    file = f"{name}.json"
    return (
        f"linbench data stats {name} --split train --data DATA --json > {file} && "
        f"linbench paper --table 2 --sets {name}={file}"
    )
