"""Which weights each model gets: checkpoints given by hand, one for each model and task, or random ones on purpose.

--checkpoint FILE                   one of ours, which says its model; or one backbone's, of whatever origin
--checkpoint rwkv-sam-s=FILE        repeatable; a file that does not say its model needs the name
--weights ema                       of a file that holds the trained weights and their moving average
--random                            for smoke tests; records are stamped with it
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from linbench.models import checkpoint as checkpoints
from linbench.models.checkpoint import About

MISSING = (
    "linbench comes with no weights. Give --checkpoint FILE: a .safetensors file that `linbench train` wrote, or an "
    "official one, as --checkpoint sam-vit-b=sam_vit_b_01ec64.pth; of several backbones one for each, as "
    "NAME=FILE. --random does without, for smoke tests"
)


@dataclass(frozen=True)
class Weights:
    """Of one model.

    file: Where they are from; None where they are random.  sha256: Of the file.
    about: What the file says of itself; None where linbench did not write it.
    branch: ``model`` or ``ema``, where the file holds both; empty elsewhere.
    seed: Of random ones.
    """

    file: Path | None = None
    sha256: str = ""
    about: About | None = None
    branch: str = ""
    seed: int = 0

    @property
    def key(self) -> str:
        """What stands for them in a cell's key: the file's hash, and behind it that the average is taken."""
        average = "-ema" if self.branch == "ema" else ""
        return f"{self.sha256}{average}" if self.file else f"random-{self.seed}"

    @property
    def options(self) -> dict[str, Any]:
        """The options that the model was built with when they were saved."""
        return dict(self.about.options) if self.about else {}

    def facts(self, model: str) -> dict[str, Any]:
        """What a record says of them."""
        if self.file is None:
            return {"random": True, "seed": self.seed}
        unknown: dict[str, Any] = {
            "recipe": "",
            "scale": "",
            "seed": None,
            "steps": None,
            "data": {},
            "code_hash": "",
        }
        return {
            **unknown,
            **(self.about.training if self.about else {}),
            "file": self.file.name,
            "sha256": self.sha256,
            **({"weights": self.branch} if self.branch else {}),
            "model": self.about.model if self.about else model,
            "recipe_hash": self.about.recipe if self.about else "",
            "image_size": list(self.about.image_size) if self.about else None,
        }


@dataclass(frozen=True)
class Given:
    """One --checkpoint: the name before ``=``, or empty; the weights."""

    name: str
    weights: Weights = field(compare=False)

    @property
    def model(self) -> str:
        """The model that it is of, where that is said."""
        return self.name or (self.weights.about.model if self.weights.about else "")


def parsed(texts: Sequence[str]) -> list[Given]:
    """The checkpoints of a command line; raises ValueError where a file is not there or contradicts its name."""
    found = []
    for text in texts:
        name, equals, path = text.partition("=")
        if Path(text).is_file() or not equals:
            name, path = "", text
        given = Given(name, _weights(Path(path)))
        about = given.weights.about
        if about and name and about.model != name:
            raise ValueError(f"--checkpoint {text}: it is {about}, not {name}")
        found.append(given)
    return found


def models(given: Sequence[Given]) -> list[str]:
    """The models that the checkpoints themselves say they are of, each once."""
    return list(dict.fromkeys(one.model for one in given if one.model))


def of_branch(weights: Weights, model: str, wanted: str | None) -> Weights:
    """The weights of a file's branch for the model; raises ValueError where it does not hold what is wanted."""
    if weights.file is None:
        return weights
    return replace(weights, branch=_branch(weights.file, wanted, checkpoints.default_branch(model)))


def choose(
    given: Sequence[Given], model: str, task: str, alone: bool, random: int | None, branch: str | None = None
) -> Weights:
    """The weights of one model for one task; raises ValueError that says what is missing or too much.

    alone: Whether there is one model only, so that a file without a name is its.
    random: The seed of random weights, where they were asked for.
    branch: ``model`` or ``ema``; None for the one that the model's source evaluates.
    """
    if random is not None:
        if given:
            raise ValueError("--random beside --checkpoint: give one of them")
        if branch:
            raise ValueError("--weights beside --random: it chooses between the weights of a --checkpoint")
        return Weights(seed=random)
    mine = [one.weights for one in given if one.model == model or (not one.model and alone)]
    fitting = [one for one in mine if one.about is None or one.about.task == task]
    if len(fitting) > 1:
        files = ", ".join(str(one.file) for one in fitting)
        raise ValueError(f"--checkpoint: {model} has {len(fitting)} for the task {task}: {files}; give one of them")
    if fitting:
        return of_branch(fitting[0], model, branch)
    if mine:
        raise ValueError(f"--checkpoint {mine[0].file}: it is {mine[0].about}; here the task {task} is measured")
    unnamed = next((one.weights.file for one in given if not one.model), None)
    if unnamed:
        raise ValueError(f"--checkpoint {unnamed}: it does not say its model; write {model}={unnamed}")
    raise ValueError(f"--checkpoint is missing for {model}: {MISSING}")


@cache
def _branch(file: Path, wanted: str | None, default: str) -> str:
    return checkpoints.branch_of(file, wanted, default)


@cache
def _weights(file: Path) -> Weights:
    about = checkpoints.describe(file)
    with file.open("rb") as opened:
        return Weights(file, hashlib.file_digest(opened, "sha256").hexdigest(), about)
