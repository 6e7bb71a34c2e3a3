"""The processes that torchrun started, which share the images of an evaluation, or the only one.

They exchange Python values over gloo, once before and once after their work; no tensor goes between them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch

T = TypeVar("T")

PATIENCE = timedelta(days=14)  # how long the fastest process waits for the slowest


@dataclass(frozen=True)
class Ranks:
    """mine: The number of this process, from 0.  of: How many there are.  local: Its number on this machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes the records."""
        return self.rank == 0

    def shard(self, count: int) -> range:
        """The numbers of this process's images: every image is one process's, none is padded or repeated."""
        return range(self.rank, count, self.world_size)

    def all_gather(self, value: T) -> list[T]:
        """The values of all processes, in all of them, in the order of their numbers."""
        if self.world_size == 1:
            return [value]
        found: list[T | None] = [None] * self.world_size
        torch.distributed.all_gather_object(found, value)
        return found  # type: ignore[return-value]

    def device(self, asked: torch.device) -> torch.device:
        """Of several processes each has a GPU of its own; raises ValueError where there are too few."""
        if asked.type != "cuda" or self.world_size == 1:
            return asked
        if self.local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"torchrun started more processes than there are GPUs here, {torch.cuda.device_count()}: lower "
                "--nproc-per-node, or take --device cpu"
            )
        return torch.device("cuda", self.local_rank)


def launched() -> bool:
    """Whether torchrun, or what sets its variables, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that this one belongs to, connected while the block runs."""
    if not launched():
        yield Ranks()
        return
    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(
            torch.distributed.get_rank(),
            torch.distributed.get_world_size(),
            int(os.environ.get("LOCAL_RANK", "0")),
        )
    finally:
        torch.distributed.destroy_process_group()
