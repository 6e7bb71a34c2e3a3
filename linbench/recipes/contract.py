"""What a recipe is, and what the training loop asks of its task.

    chosen = override(recipe["sam-joint"].build(), "lr=2e-4")  # a Recipe, frozen, with a hash
    its = task[chosen.task].build(chosen)
    model = its.build("rwkv-sam-t", impl="fast")
    examples = its.examples(data=None, seed=0)  # a map-style data set, whose keys are (epoch, index)
    for epoch in range(…):
        keys = [(epoch, index) for index in order(len(examples), seed=0, epoch=epoch)]
        batch = its.collate([examples[key] for key in keys[:n]])
        batch = its.mix(batch, seed=0, epoch=epoch, step=step)
        losses = its.loss(model, batch)  # {"loss": …, "ce": …, "dice": …}

Nothing in a recipe can name a backbone, and nothing that a batch holds depends on the model: two backbones with one
recipe and seed see the same pictures, crops, boxes and points in the same order; ``batch_hash`` shows it.

How a step is averaged. ``loss`` is a mean over what the batch holds, and ``weight(batch)`` says over how much:
images, masks, pixels. The gradient of a step that is split over devices and accumulated batches is that of
Σ weight · loss / Σ weight over all its parts, so that it does not depend on the split.
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

#: All recipes by name. ``@recipe("imagenet")`` adds a factory without arguments that gives a ``Recipe``.
recipe = Registry("recipe", group="linbench.recipes")
#: All tasks by name. ``@task("classification")`` adds a factory ``Recipe -> Task``.
task = Registry("task", group="linbench.tasks")

#: Part of every hash: raised when the same values come to mean another training.
FORMAT = 1
SCHEDULES = ("cosine", "poly")
SCALES = ("full", "smoke")
Batch = dict[str, Any]
Key = tuple[int, int]


def at_least_one(value: Any, *names: str) -> None:
    """Raise ValueError for the first of the named numbers that is below 1; None is no number."""
    for name in names:
        if (found := getattr(value, name)) is not None and found < 1:
            raise ValueError(f"{name}={found}: at least 1 is asked")


def shares(value: Any, *names: str) -> None:
    """Raise ValueError for the first of the named numbers that is not within 0 to 1."""
    for name in names:
        if not 0 <= (found := getattr(value, name)) <= 1:
            raise ValueError(f"{name}={found}: a share, of 0 to 1, is asked")


@dataclass(frozen=True)
class Source:
    """One data set of a mix.

    dataset: Its name, as ``linbench.data`` knows it.
    split: ``train`` or ``val``.
    repeat: How often an epoch holds each of its samples.
    resize: Large-scale jitter: range of the resized long side as a share of the input's; None for no augmentation.
    flip: Probability of a horizontal flip.
    images: How many images are made of it where the embedded set stands in for it.
    """

    dataset: str
    split: str = "train"
    repeat: int = 1
    resize: tuple[float, float] | None = None
    flip: float = 0.0
    images: int = 64

    def __post_init__(self) -> None:
        at_least_one(self, "repeat", "images")
        shares(self, "flip")


class Settings(Protocol):
    """What a task adds to a recipe: a frozen dataclass of plain values, with the task's name."""

    task: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """A training run, whatever the backbone.

    name: As it is registered.
    settings: The task, and what is its own.
    sources: The data mix.
    image_size: Side of the model's input, px.
    embedded_size: Side of the pictures that are made where the embedded set stands in, px.
    batch: Images a step, over all devices and accumulated batches.
    epochs, steps: Length; one of them, the other is None.
    lr, betas, eps, weight_decay: Of AdamW.
    undecayed: Parameters whose name holds one of these parts have no weight decay.
    decay_vectors: Whether biases and other parameters of one axis have weight decay; those of normalisations never.
    head_lr: Factor of the learning rate of parameters whose name holds ``head``.
    clip: Largest norm of the gradient, or None.
    schedule: ``cosine`` or ``poly``, per step, after the warm-up.
    power: Of ``poly``.
    final_factor: Learning rate at the end, as a share of ``lr``.
    warmup_epochs, warmup_steps: Length of the linear warm-up; one of them is 0.
    warmup_factor: Learning rate at its start, as a share of ``lr``.
    ema: Decay of a moving average of the weights, which is what is kept then; or None.
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
            raise ValueError(f"a recipe has epochs or steps, got epochs={self.epochs} and steps={self.steps}")
        at_least_one(self, "image_size", "embedded_size", "batch", "epochs", "steps")
        for name in ("lr", "eps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}={getattr(self, name)}: a number above 0 is asked")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule={self.schedule!r}: it is one of {', '.join(SCHEDULES)}")
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale!r}: it is one of {', '.join(SCALES)}")
        if self.warmup_epochs and self.warmup_steps:
            raise ValueError("the warm-up has epochs or steps, got both")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema={self.ema}: a decay lies between 0 and 1")

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
        """Epochs that are begun, and steps in all, on so many examples; an epoch's last, short batch is left out."""
        per_epoch = examples // self.batch
        if per_epoch == 0:
            raise ValueError(f"batch={self.batch}: an epoch has {examples} images; a step needs a whole batch")
        if self.epochs is not None:
            return self.epochs, self.epochs * per_epoch
        assert self.steps is not None
        return -(-self.steps // per_epoch), self.steps


def as_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON has it, with its task's name and the format of the hash."""
    return {**asdict(recipe), "task": recipe.task, "format": FORMAT}


def order(count: int, seed: int, epoch: int) -> list[int]:
    """The order of ``count`` examples in an epoch, the same on every machine."""
    import torch

    return torch.randperm(count, generator=torch.Generator().manual_seed(derived(seed, epoch))).tolist()


def derived(*numbers: int) -> int:
    """A seed of 63 bits from numbers, as (seed, epoch, index); another for each tuple."""
    digest = hashlib.sha256(",".join(str(int(n)) for n in numbers).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def batch_hash(batch: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of all that a batch holds."""
    digest = hashlib.sha256()
    for name in sorted(batch):
        digest.update(name.encode() + b"\0")
        _absorb(digest, batch[name])
    return digest.hexdigest()


def _absorb(digest: Any, value: Any) -> None:
    if hasattr(value, "detach"):
        array = value.detach().cpu().contiguous()
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        digest.update(array.numpy().tobytes())
    elif isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}]".encode())
        for part in value:
            _absorb(digest, part)
    else:
        digest.update(repr(value).encode() + b"\0")


class Task(Protocol):
    """One recipe's task. All randomness of what it feeds comes from (seed, epoch, index), never from a global state.

    recipe: Whose it is.
    checkpoint: What its model's checkpoint says it is, one of ``linbench.models.checkpoint.TASKS``.
    teacher: Whether ``loss`` reads ``batch["embedding"]``, which is the teacher's of ``batch["image"]`` and depends
        on ``batch["ids"]`` alone; ``linbench.recipes.teacher`` makes it.
    """

    recipe: Recipe
    checkpoint: ClassVar[str]
    teacher: ClassVar[bool]

    def build(self, name: str, *, impl: str = "fast", **options: Any) -> "nn.Module":
        """The model on the backbone ``name``, with what the recipe freezes frozen."""

    def examples(self, data: str | None, seed: int) -> "Dataset[Batch]":
        """A map-style data set with a length; its keys are (epoch, index), its items are what ``collate`` joins.

        data: As ``--data`` says it: None, a folder, or ``shapes``.
        An item that cannot be used (an unreadable picture, no instance left) is replaced by the next index's, round
        the end; each one that was passed over stands in the item's ``skipped``. It has ``checksums``: by data set.
        Raises BadDataset that names the set which is missing.
        """

    def collate(self, items: Sequence[Batch]) -> Batch:
        """Join items: tensors or lists of them, ``ids`` (text), and ``skipped`` (pairs of id and reason)."""

    def mix(self, batch: Batch, *, seed: int, epoch: int, step: int) -> Batch:
        """Mixup and CutMix where the recipe has them; ``step`` counts within the epoch. Neighbours are mixed, so that
        batches of an even number of images that follow each other give what one large batch gives.
        """

    def weight(self, batch: Batch) -> float:
        """Over how much ``loss`` is a mean."""

    def loss(self, model: "nn.Module", batch: Batch) -> "dict[str, Tensor]":
        """The loss under ``loss``, with a gradient, and its parts.

        model: As ``build`` gave it, not wrapped: what is wrapped for several devices, or compiled, is a module that
            holds it and whose forward calls this.
        """

    def parameter_groups(self, model: "nn.Module") -> list[dict[str, Any]]:
        """Groups for an optimiser: ``params``, ``weight_decay``, and ``lr_scale`` where it is not 1."""

    def evaluate(self, model: "nn.Module", data: str | None, images: int) -> dict[str, float]:
        """Scores on so many held-out images, or all there are, and how many as ``images``: a look at how the training
        went, and no suite's number.
        """


#: Recipes in a row, each one's checkpoint handed to the next: section 4.1's two sessions after the pretraining, and
#: Table 7's ablation of the first.
PIPELINES: dict[str, tuple[str, ...]] = {
    "paper": ("imagenet", "sam-distill", "sam-joint"),
    "no-distillation": ("imagenet", "sam-joint"),
}
