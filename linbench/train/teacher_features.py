"""The teacher beside a run: it adds ``embedding`` to the batches of a task that has one, and to no others.

An embedding is made of one image at a time, so that it does not depend on the batch that the image came in, and a run
with a cache sees the numbers of one without.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from torch import Tensor

from linbench.recipes.contract import Batch, Task
from linbench.recipes.teacher import Teacher, load_teacher
from linbench.train.batches import Step
from linbench.train.embeddings import Embeddings
from linbench.train.job import Job


@dataclass(frozen=True)
class Taught:
    """What makes a step's batches complete.

    hash: Of the teacher, or None where the task has none.
    """

    teacher: Teacher | None
    hash: str | None
    accelerator: Accelerator
    cache: Embeddings | None = None

    def step(self, step: Step) -> Step:
        """The step with the teacher's embeddings in it."""
        return step if self.teacher is None else replace(step, micro=tuple(map(self._batch, step.micro)))

    def _batch(self, batch: Batch) -> Batch:
        pairs = zip(batch["ids"], batch["image"], strict=True)
        return {**batch, "embedding": torch.stack([self._embedding(name, image) for name, image in pairs])}

    def _embedding(self, name: str, image: Tensor) -> Tensor:
        if self.cache is None:
            return self._compute(image)
        return self.cache.get(name, lambda: self._compute(image))

    def _compute(self, image: Tensor) -> Tensor:
        assert self.teacher is not None
        with torch.no_grad(), self.accelerator.autocast():
            return self.teacher.embed(image[None].to(self.accelerator.device))[0].float()


@contextmanager
def teaching(job: Job, task: Task, checksums: Mapping[str, str], accelerator: Accelerator) -> Iterator[Taught]:
    """The teacher of the job's task, if it has one; what it computed is in its cache when the block ends.

    checksums: Of the data, of which the cache is one.
    Raises ValueError where a teacher's file is missing or of no use, and CannotSave.
    """
    if not task.teacher:
        yield Taught(None, None, accelerator)
        return
    teacher = load_teacher(job.recipe, job.teacher)
    teacher.encoder.to(accelerator.device)
    digest = _hash(teacher.facts)
    with ExitStack() as stack:
        cache = None
        if job.teacher_cache:
            content = _hash({"data": dict(checksums), "precision": accelerator.mixed_precision})
            folder = job.teacher_cache / f"{digest[:16]}-{content[:16]}-{job.recipe.image_size}"
            cache = stack.enter_context(Embeddings(folder, accelerator.process_index))
        yield Taught(teacher, digest, accelerator, cache)


def _hash(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()
