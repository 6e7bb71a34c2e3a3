"""Which weights each model gets: checkpoints given by hand, one for each model and task, or random ones on purpose.

--checkpoint FILE                   one of ours, which says its model; or one backbone's, of whatever origin
--checkpoint rwkv-sam-s=FILE        repeatable; a file that does not say its model needs the name
--checkpoint rwkv-sam-s=official    the official weights that `linbench weights get` downloaded; official:VARIANT too;
                                    without a name those of every model
--weights ema                       of a file that holds the trained weights and their moving average
--random                            for smoke tests; records are stamped with it
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from linbench.engines.artifact import Artifact, is_artifact, read_artifact
from linbench.models import checkpoint as checkpoints
from linbench.models.checkpoint import About
from linbench.published.weights import is_official, official_checkpoint
from linbench.system.files import file_sha256

MISSING = (
    "linbench comes with no weights. Give --checkpoint FILE: a .safetensors file that `linbench train` wrote, or an "
    "official one, as --checkpoint sam-vit-b=sam_vit_b_01ec64.pth; of several backbones one for each, as "
    "NAME=FILE. --random does without, for smoke tests"
)


@dataclass(frozen=True)
class Weights:
    """The weights of one model.

    file: None where they are random.  sha256: Of the file.
    about: What the file says of itself; None where linbench did not write it.
    branch: ``model`` or ``ema``, where the file holds both; empty elsewhere.
    seed: Of random ones.
    engine: That runs them, where the file is an exported one; empty elsewhere.
    """

    file: Path | None = None
    sha256: str = ""
    about: About | None = None
    branch: str = ""
    seed: int = 0
    engine: str = ""

    @property
    def key(self) -> str:
        """The entry of a cell's key: the file's hash, and behind it that the moving average is taken."""
        average = "-ema" if self.branch == "ema" else ""
        return f"{self.sha256}{average}" if self.file else f"random-{self.seed}"

    @property
    def options(self) -> dict[str, Any]:
        """The options that the model was built with when they were saved."""
        return dict(self.about.options) if self.about else {}

    def facts(self, model: str) -> dict[str, Any]:
        """Return what a record says of them."""
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
            **({"engine": self.engine} if self.engine else {}),
            "model": self.about.model if self.about else model,
            "recipe_hash": self.about.recipe if self.about else "",
            "image_size": list(self.about.image_size) if self.about else None,
        }


@dataclass(frozen=True)
class NamedWeights:
    """One --checkpoint: the name before ``=``, or empty, and the weights."""

    name: str
    weights: Weights = field(compare=False)

    @property
    def model(self) -> str:
        """The model of the weights, where the name or the file says it."""
        return self.name or (self.weights.about.model if self.weights.about else "")


def read_checkpoints(texts: Sequence[str], backbones: Sequence[str] = ()) -> list[NamedWeights]:
    """Return the checkpoints of a command line; raises ValueError where a file is missing or contradicts its name.

    backbones: The models that ``official`` without a name stands for.
    """
    named = []
    for text in texts:
        name, equals, path = text.partition("=")
        if Path(text).is_file() or not equals:
            name, path = "", text
        if is_official(path):
            models = (name,) if name else tuple(backbones)
            if not models:
                raise ValueError(f"--checkpoint {text}: of which model? Name it, as in sam-vit-b={text}")
            named += [NamedWeights(model, _read(official_checkpoint(model, path))) for model in models]
            continue
        weights = _read(Path(path))
        if weights.about and name and weights.about.model != name:
            raise ValueError(f"--checkpoint {text}: it is {weights.about}, not {name}")
        named.append(NamedWeights(name, weights))
    return named


def models_of(named: Sequence[NamedWeights]) -> list[str]:
    """Return the models that the checkpoints themselves name, each once."""
    return list(dict.fromkeys(entry.model for entry in named if entry.model))


def with_branch(weights: Weights, model: str, branch: str | None) -> Weights:
    """Return the weights of a file's branch for the model; raises ValueError where the file does not hold it."""
    if weights.file is None:
        return weights
    if weights.engine:
        if branch:
            raise ValueError(f"--weights {branch}: {weights.file} is an exported file, with one set of weights")
        return weights
    return replace(weights, branch=_branch(weights.file, branch, checkpoints.default_branch(model)))


def choose_weights(
    named: Sequence[NamedWeights], model: str, task: str, is_only: bool, seed: int | None, branch: str | None = None
) -> Weights:
    """Return the weights of one model for one task; raises ValueError that says what is missing or too much.

    is_only: Whether there is one model only, so that a file without a name belongs to it.
    seed: Of random weights, where the user wants those.
    branch: ``model`` or ``ema``; None for the one that the model's source evaluates.
    """
    if seed is not None:
        if named:
            raise ValueError("--random beside --checkpoint: give one of them")
        if branch:
            raise ValueError("--weights beside --random: it chooses between the weights of a --checkpoint")
        return Weights(seed=seed)
    of_model = [entry.weights for entry in named if entry.model == model or (not entry.model and is_only)]
    fitting = [weights for weights in of_model if weights.about is None or weights.about.task == task]
    if len(fitting) > 1:
        files = ", ".join(str(weights.file) for weights in fitting)
        raise ValueError(f"--checkpoint: {model} has {len(fitting)} for the task {task}: {files}; give one of them")
    if fitting:
        return with_branch(fitting[0], model, branch)
    if of_model:
        first = of_model[0]
        raise ValueError(f"--checkpoint {first.file}: it is {first.about}; here the task {task} is measured")
    unnamed = next((entry.weights.file for entry in named if not entry.model), None)
    if unnamed:
        raise ValueError(f"--checkpoint {unnamed}: it does not say its model; write {model}={unnamed}")
    raise ValueError(f"--checkpoint is missing for {model}: {MISSING}")


@cache
def _branch(file: Path, branch: str | None, default: str) -> str:
    return checkpoints.branch_of(file, branch, default)


@cache
def _read(file: Path) -> Weights:
    if is_artifact(file):
        artifact = read_artifact(file)
        return Weights(file, file_sha256(file), _about(artifact), engine=artifact.engine)
    about = checkpoints.describe(file)
    return Weights(file, file_sha256(file), about)


def _about(artifact: Artifact) -> About:
    """Return what an exported file states, as a checkpoint would: an encoder is that of a segmenter."""
    task = "sam" if artifact.part == "encoder" else artifact.part
    is_random = {} if artifact.weights.get("sha256") else {"random": True}
    training = {"scale": artifact.weights.get("scale") or "", **is_random}
    recipe = artifact.weights.get("recipe") or ""
    return About(artifact.name, task, artifact.image_size, artifact.options, recipe, artifact.version, training)
