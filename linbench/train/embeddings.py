"""A teacher's embeddings on the disk: computed once, then read; a run that was interrupted goes on filling them.

    CACHE/<teacher>-<data>-<side>/p0-000000.safetensors     embeddings by the image's id
    CACHE/<teacher>-<data>-<side>/p0-000000.json            its SHA-256 and the ids; written last

A shard counts once its JSON is there. It is held against its checksum when it is first read; a damaged one is removed
and made again. Each process writes shards of its own, and sees those of the others.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from linbench.atomic import replacing
from linbench.train.files import sha256, writing

SHARD_BYTES = 256 * 2**20


class Embeddings:
    """The embeddings in a folder.

    process: Of this run, which names its shards.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.folder = folder
        self.process = process
        self.notes: list[str] = []  # shards that were damaged
        self._place: dict[str, Path] = {}  # shard of an id
        self._read: set[Path] = set()  # JSON files whose ids are known
        self._stated: dict[Path, str] = {}  # the checksum of a shard by its JSON
        self._sound: set[Path] = set()  # shards that agreed with it
        self._new: dict[str, Tensor] = {}
        with writing(folder / "", "the teacher's cache", "nothing was computed"):
            folder.mkdir(parents=True, exist_ok=True)
        self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.flush()

    def __len__(self) -> int:
        return len(self._place) + len(self._new)

    def get(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """The embedding of an image, on the CPU; computed and kept where there is none yet."""
        if name in self._new:
            return self._new[name]
        if name not in self._place:
            self._look()  # another process may have it
        found = self._from_disk(name)
        if found is None:
            found = self._new[name] = compute().cpu()
            if sum(x.numel() * x.element_size() for x in self._new.values()) >= SHARD_BYTES:
                self.flush()
        return found

    def flush(self) -> None:
        """Write what is new as a shard. Raises CannotSave."""
        if not self._new:
            return
        number = len(list(self.folder.glob(f"p{self.process}-*.json")))
        while (shard := self.folder / f"p{self.process}-{number:06d}.safetensors").exists():
            number += 1
        with writing(shard, "a shard of the teacher's embeddings", "the other shards are whole"):
            with replacing(shard) as temporary:
                safetensors.torch.save_file({k: x.contiguous() for k, x in self._new.items()}, temporary)
            with replacing(shard.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps({"sha256": sha256(shard), "ids": list(self._new)}), encoding="utf-8")
        self._place |= dict.fromkeys(self._new, shard)
        self._read.add(shard.with_suffix(".json"))
        self._sound.add(shard)
        self._new.clear()

    def _look(self) -> None:
        for path in sorted(set(self.folder.glob("p*-*.json")) - self._read):
            shard = path.with_suffix(".safetensors")
            try:
                ids, self._stated[shard] = _told(path)
            except (OSError, ValueError):
                self._discard(shard)
                continue
            self._read.add(path)
            self._place |= dict.fromkeys(ids, shard)

    def _from_disk(self, name: str) -> Tensor | None:
        shard = self._place.get(name)
        if shard is None:
            return None
        if shard not in self._sound:
            if not shard.is_file() or sha256(shard) != self._stated[shard]:
                self._discard(shard)
                return None
            self._sound.add(shard)
        try:
            with safe_open(shard, framework="pt") as file:
                found: Tensor = file.get_tensor(name).clone()
        except SafetensorError:  # its JSON says what it does not hold
            self._discard(shard)
            return None
        return found

    def _discard(self, shard: Path) -> None:
        self.notes.append(f"{shard}: it is damaged; its embeddings are computed again")
        with writing(shard, "the removal of a damaged shard", "the other shards are whole"):
            shard.with_suffix(".json").unlink(missing_ok=True)
            shard.unlink(missing_ok=True)
        self._place = {name: place for name, place in self._place.items() if place != shard}


def _told(path: Path) -> tuple[list[str], str]:
    """The ids of a shard's embeddings and its SHA-256; raises OSError, ValueError where the JSON is another."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    ids, stated = (found.get("ids"), found.get("sha256")) if isinstance(found, dict) else (None, None)
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids) or not isinstance(stated, str):
        raise ValueError("it does not state `ids` and `sha256`")
    return ids, stated
