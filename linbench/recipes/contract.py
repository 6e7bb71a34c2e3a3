"""What a recipe is, and what the training loop needs of its task.

    chosen = override(recipe["sam-joint"].build(), "lr=2e-4")  # a Recipe, frozen, with a hash
    chosen_task = task[chosen.task].build(chosen)
    model = chosen_task.build("rwkv-sam-t", impl="fast")
    examples = chosen_task.examples(data=None, seed=0)  # a map-style dataset, whose keys are (epoch, index)
    for epoch in range(…):
        keys = [(epoch, index) for index in epoch_order(len(examples), seed=0, epoch=epoch)]
        batch = chosen_task.collate([examples[key] for key in keys[:n]])
        batch = chosen_task.mix(batch, seed=0, epoch=epoch, step=step)
        losses = chosen_task.loss(model, batch)  # {"loss": …, "ce": …, "dice": …}

Nothing in a recipe can name a backbone, and nothing that a batch holds depends on the model: two backbones with one
recipe and seed see the same images, crops, boxes and points in the same order; ``batch_hash`` proves it.

How a step is averaged: ``loss`` is a mean over what the batch holds, and ``weight(batch)`` counts its terms:
images, masks, pixels. The gradient of a step that is split over devices and accumulated batches is that of
Σ weight · loss / Σ weight over all parts, so it does not depend on the split.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from linbench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset

    from linbench.recipes.random_images import RandomImages

#: All recipes by name. ``@recipe("imagenet")`` adds a factory without arguments that returns a ``Recipe``.
recipe = Registry("recipe", group="linbench.recipes")
#: All tasks by name. ``@task("classification")`` adds a factory ``Recipe -> Task``.
task = Registry("task", group="linbench.tasks")

#: Part of every hash: raised when the same values come to mean a different training.
FORMAT = 1
SCHEDULES = ("cosine", "poly")
SCALES = ("full", "smoke")
Batch = dict[str, Any]
Key = tuple[int, int]


def check_at_least_one(owner: Any, *names: str) -> None:
    """Raise ValueError for the first of the named fields that is below 1; None passes."""
    for name in names:
        if (value := getattr(owner, name)) is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_fractions(owner: Any, *names: str) -> None:
    """Raise ValueError for the first of the named fields that is not within 0 to 1."""
    for name in names:
        if not 0 <= (value := getattr(owner, name)) <= 1:
            raise ValueError(f"{name} must be a fraction from 0 to 1, got {value}")


@dataclass(frozen=True)
class Source:
    """One dataset of a mix.

    dataset: Its name in ``linbench.data``.
    split: ``train`` or ``val``.
    repeat: How often an epoch holds each of its samples.
    resize: Large-scale jitter: range of the resized long side as a fraction of the input's; None for none.
    flip: Probability of a horizontal flip.
    images: Number of images that the embedded dataset makes where it stands in for this one.
    """

    dataset: str
    split: str = "train"
    repeat: int = 1
    resize: tuple[float, float] | None = None
    flip: float = 0.0
    images: int = 64

    def __post_init__(self) -> None:
        check_at_least_one(self, "repeat", "images")
        check_fractions(self, "flip")


class Settings(Protocol):
    """The values that a task adds to a recipe: a frozen dataclass of plain values, with the task's name."""

    task: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """A training run, whatever the backbone.

    name: Its registered name.
    settings: The task and its own values.
    sources: The data mix.
    image_size: Side of the model's input, px.
    embedded_size: Side of the embedded dataset's images where it stands in for a source, px.
    batch: Images a step, over all devices and accumulated batches.
    epochs, steps: Length; one of them is None.
    lr, betas, eps, weight_decay: Of AdamW.
    undecayed: Parameters whose name contains one of these have no weight decay.
    decay_vectors: Whether biases and other one-axis parameters have weight decay; those of normalizations never have.
    head_lr: Factor of the learning rate of parameters whose name contains ``head``.
    clip: Largest norm of the gradient, or None.
    schedule: ``cosine`` or ``poly``, per step, after the warm-up.
    power: Of ``poly``.
    final_factor: Final learning rate as a fraction of ``lr``.
    warmup_epochs, warmup_steps: Length of the linear warm-up; one of them is 0.
    warmup_factor: Learning rate at the start of the warm-up, as a fraction of ``lr``.
    ema: Decay of a moving average of the weights, which is then the stored model; or None.
    scale: ``full``, or ``smoke`` for a shortened run, which no report mixes with full ones.
    """

    name: str
    settings: Settings
    sources: tuple[Source, ...]
    image_size: int
    embedded_size: int
    batch: int
    epochs: int | None
    steps: int | None
    lr: float
    weight_decay: float
    schedule: str
    final_factor: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    undecayed: tuple[str, ...] = ()
    decay_vectors: bool = False
    head_lr: float = 1.0
    clip: float | None = None
    power: float = 1.0
    warmup_epochs: int = 0
    warmup_steps: int = 0
    warmup_factor: float = 0.0
    ema: float | None = None
    scale: str = "full"

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(
                f"a recipe needs either epochs or steps, got epochs={self.epochs} and steps={self.steps}"
            )
        check_at_least_one(self, "image_size", "embedded_size", "batch", "epochs", "steps")
        for name in ("lr", "eps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r} is unknown; allowed are {', '.join(SCHEDULES)}")
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r} is unknown; allowed are {', '.join(SCALES)}")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("the warm-up needs either warmup_epochs or warmup_steps, got both")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must be a decay between 0 and 1, got {self.ema}")

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.settings.task

    @property
    def hash(self) -> str:
        """SHA-256, in hexadecimal, of the recipe's JSON: keys sorted, no spaces, floats in their shortest form."""
        text = json.dumps(as_json(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def epochs_and_steps(self, examples: int) -> tuple[int, int]:
        """Return the epochs that are started and the total steps; an epoch's last, short batch is left out.

        examples: Number of examples of an epoch.
        Raises ValueError for fewer examples than a batch.
        """
        per_epoch = examples // self.batch
        if per_epoch == 0:
            raise ValueError(f"batch={self.batch}: an epoch has {examples} images; a step needs a whole batch")
        if self.epochs is not None:
            return self.epochs, self.epochs * per_epoch
        assert self.steps is not None
        return -(-self.steps // per_epoch), self.steps


def as_json(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as JSON values, with its task's name and the format of the hash."""
    return {**asdict(recipe), "task": recipe.task, "format": FORMAT}


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """Return the order of ``count`` examples in an epoch, the same on every machine."""
    import torch

    return torch.randperm(count, generator=torch.Generator().manual_seed(derive_seed(seed, epoch))).tolist()


def derive_seed(*numbers: int) -> int:
    """Return a seed of 63 bits from numbers, as (seed, epoch, index); a different one for each tuple."""
    digest = hashlib.sha256(",".join(str(int(n)) for n in numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def batch_hash(batch: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of all that a batch holds."""
    digest = hashlib.sha256()
    for name in sorted(batch):
        digest.update(name.encode() + b"\0")
        _update(digest, batch[name])
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    if hasattr(value, "detach"):
        array = value.detach().cpu().contiguous()
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        digest.update(array.numpy().tobytes())
    elif isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}]".encode())
        for part in value:
            _update(digest, part)
    else:
        digest.update(repr(value).encode() + b"\0")


class Task(Protocol):
    """The task of one recipe: model, examples, loss and evaluation.

    All randomness in its examples comes from (seed, epoch, index), never from a global state.

    recipe: The recipe.
    checkpoint: The task in its model's checkpoint, one of ``linbench.models.checkpoint.TASKS``.
    teacher: Whether ``loss`` reads ``batch["embedding"]``: the teacher's embedding of ``batch["image"]``, which
        depends on ``batch["ids"]`` alone; ``linbench.recipes.teacher`` computes it.
    It may have ``check_micro_batch(images)``, which raises ValueError where that many images cannot go through the
    model at once.
    """

    recipe: Recipe
    checkpoint: ClassVar[str]
    teacher: ClassVar[bool]

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> "nn.Module":
        """Return the model on the backbone ``name``, with the parts frozen that the recipe freezes."""

    def examples(self, data: "str | RandomImages | None", seed: int) -> "Dataset[Batch]":
        """Return a map-style dataset with a length; its keys are (epoch, index), its items go into ``collate``.

        data: The value of ``--data``: None, a folder, or ``shapes``; or random images, which a plan is made with.
        A sample that cannot be used (an unreadable image, no instance left) is replaced by the next index's, wrapping
        at the end; the skipped ones are in the item's ``skipped``. It has ``checksums``, by dataset.
        Raises BadDataset that names the missing dataset.
        """

    def collate(self, items: Sequence[Batch]) -> Batch:
        """Join items: tensors or lists of them, ``ids`` (text), and ``skipped`` (pairs of id and reason)."""

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        """Apply Mixup and CutMix, if the recipe has them; ``step`` counts within the epoch.

        Neighbours are mixed, so that consecutive batches of an even number of images give what one large batch gives.
        """

    def weight(self, batch: Batch) -> float:
        """Return the number of terms that ``loss`` is a mean of."""

    def loss(self, model: "nn.Module", batch: Batch) -> "dict[str, Tensor]":
        """Return the loss as ``loss``, with a gradient, and its parts.

        model: As ``build`` returned it, not wrapped: what is wrapped for several devices, or compiled, is a module
            that holds it and whose forward calls this.
        """

    def parameter_groups(self, model: "nn.Module") -> list[dict[str, Any]]:
        """Return groups for an optimizer: ``params``, ``weight_decay``, and ``lr_scale`` if it is not 1."""

    def evaluate(self, model: "nn.Module", data: "str | RandomImages | None", images: int) -> dict[str, float]:
        """Return scores on at most ``images`` held-out images, and their number as ``images``.

        They show how the training went, and are no suite's number.
        """


#: Recipes in a row, each of which starts from the checkpoint of the one before: the paper's two steps of section 4.1
#: after the pretraining, and Table 7's ablation of the first.
PIPELINES: dict[str, tuple[str, ...]] = {
    "paper": ("imagenet", "sam-distill", "sam-joint"),
    "no-distillation": ("imagenet", "sam-joint"),
}
