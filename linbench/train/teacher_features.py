"""The teacher's features: ``embedding`` is added to the batches of a task that has a teacher, and to no others.

Each image is embedded by itself, so its embedding does not depend on the batch, and a run with a cache sees the same
numbers as one without. The cache on the disk is filled as far as a run gets; later runs read it and go on filling it:

    CACHE/<teacher>-<data>-<side>/p0-000000.safetensors     embeddings by the image's id
    CACHE/<teacher>-<data>-<side>/p0-000000.json            its SHA-256 and the ids; written last

A shard counts once its JSON exists. Its checksum is verified when it is first read; a damaged shard is removed and
computed again. Each rank writes shards of its own, and reads those of all ranks.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import safetensors.torch
import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from torch import Tensor

from linbench.recipes.contract import Batch, Task
from linbench.recipes.teacher import Teacher, load_teacher
from linbench.system.files import file_sha256, replacing
from linbench.train.batches import StepBatches
from linbench.train.run import Run
from linbench.train.states import CannotSave, saving

SHARD_BYTES = 256 * 2**20


class EmbeddingCache:
    """The embeddings in a folder.

    folder: Created if it is missing.
    rank: Of this process, which names its shards.
    notes: One sentence for each damaged shard.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        self.rank = rank
        self.notes: list[str] = []
        self._shards: dict[str, Path] = {}  # by the image's id
        self._indexed: set[Path] = set()  # JSON files whose ids are known
        self._checksums: dict[Path, str] = {}  # of the shards, as their JSON states them
        self._verified: set[Path] = set()  # shards that agree with their checksum
        self._unwritten: dict[str, Tensor] = {}
        with saving(folder / "", "the teacher's cache", "nothing was computed"):
            folder.mkdir(parents=True, exist_ok=True)
        self._index()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.flush()

    def __len__(self) -> int:
        return len(self._shards) + len(self._unwritten)

    def get(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return the embedding of an image, on the CPU; compute and store it if it is missing. Raises CannotSave."""
        if name in self._unwritten:
            return self._unwritten[name]
        if name not in self._shards:
            self._index()  # another rank may have it
        embedding = self._read(name)
        if embedding is None:
            embedding = self._unwritten[name] = compute().cpu()
            if sum(x.numel() * x.element_size() for x in self._unwritten.values()) >= SHARD_BYTES:
                self.flush()
        return embedding

    def flush(self) -> None:
        """Write the new embeddings as a shard. Raises CannotSave."""
        if not self._unwritten:
            return
        index = len(list(self.folder.glob(f"p{self.rank}-*.json")))
        while (shard := self.folder / f"p{self.rank}-{index:06d}.safetensors").exists():
            index += 1
        with saving(shard, "a shard of the teacher's embeddings", "the other shards are whole"):
            with replacing(shard) as temporary:
                safetensors.torch.save_file({k: x.contiguous() for k, x in self._unwritten.items()}, temporary)
            content = {"sha256": file_sha256(shard), "ids": list(self._unwritten)}
            with replacing(shard.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps(content), encoding="utf-8")
        self._shards |= dict.fromkeys(self._unwritten, shard)
        self._indexed.add(shard.with_suffix(".json"))
        self._verified.add(shard)
        self._unwritten.clear()

    def _index(self) -> None:
        """Note the ids of shards that were written since the last call."""
        for path in sorted(set(self.folder.glob("p*-*.json")) - self._indexed):
            shard = path.with_suffix(".safetensors")
            try:
                ids, self._checksums[shard] = _read_description(path)
            except (OSError, ValueError):
                self._discard(shard)
                continue
            self._indexed.add(path)
            self._shards |= dict.fromkeys(ids, shard)

    def _read(self, name: str) -> Tensor | None:
        shard = self._shards.get(name)
        if shard is None:
            return None
        if shard not in self._verified:
            if not shard.is_file() or file_sha256(shard) != self._checksums[shard]:
                self._discard(shard)
                return None
            self._verified.add(shard)
        try:
            with safe_open(shard, framework="pt") as file:
                embedding: Tensor = file.get_tensor(name).clone()
        except SafetensorError:  # its JSON lists an id that it does not hold
            self._discard(shard)
            return None
        return embedding

    def _discard(self, shard: Path) -> None:
        """Remove a damaged shard. Raises CannotSave."""
        self.notes.append(f"{shard}: damaged; its embeddings are computed again")
        try:
            shard.with_suffix(".json").unlink(missing_ok=True)
            shard.unlink(missing_ok=True)
        except OSError as error:
            raise CannotSave(
                f"{shard}: damaged, and it cannot be removed: {error}; the other shards are whole; remove it and its "
                "JSON, and give the same command"
            ) from error
        self._shards = {name: path for name, path in self._shards.items() if path != shard}


def _read_description(path: Path) -> tuple[list[str], str]:
    """Return the ids and the SHA-256 that a shard's JSON states. Raises OSError and ValueError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    ids, checksum = (content.get("ids"), content.get("sha256")) if isinstance(content, dict) else (None, None)
    if not isinstance(ids, list) or not all(isinstance(name, str) for name in ids) or not isinstance(checksum, str):
        raise ValueError("it does not state `ids` and `sha256`")
    return ids, checksum


@dataclass(frozen=True)
class TeacherFeatures:
    """What completes the batches of a task with a teacher.

    teacher: None if the task has none.
    hash: Of the teacher, or None.
    cache: None to compute each embedding anew.
    """

    teacher: Teacher | None
    hash: str | None
    accelerator: Accelerator
    cache: EmbeddingCache | None = None

    def complete(self, step: StepBatches) -> StepBatches:
        """Return the step with the teacher's embeddings in its batches."""
        if self.teacher is None:
            return step
        return replace(step, micro_batches=tuple(map(self._with_embedding, step.micro_batches)))

    def _with_embedding(self, batch: Batch) -> Batch:
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
def teacher_features(
    run: Run, task: Task, checksums: Mapping[str, str], accelerator: Accelerator
) -> Iterator[TeacherFeatures]:
    """Yield the features of the run's teacher, if its task has one; write what is new to the cache at the end.

    checksums: Of the data, which the cache belongs to.
    Raises ValueError where a teacher's file is missing or unusable, and CannotSave.
    """
    if not task.teacher:
        yield TeacherFeatures(None, None, accelerator)
        return
    teacher = load_teacher(run.recipe, run.teacher)
    teacher.encoder.to(accelerator.device)
    digest = _hash(teacher.facts)
    with ExitStack() as stack:
        cache = None
        if run.teacher_cache:
            content = _hash({"data": dict(checksums), "precision": accelerator.mixed_precision})
            folder = run.teacher_cache / f"{digest[:16]}-{content[:16]}-{run.recipe.image_size}"
            cache = stack.enter_context(EmbeddingCache(folder, accelerator.process_index))
        yield TeacherFeatures(teacher, digest, accelerator, cache)


def _hash(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()
