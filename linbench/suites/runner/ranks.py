"""The processes that torchrun started, which share the images of an evaluation, or the only process.

They exchange Python values over gloo, once before and once after their work; no tensor goes between them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

PATIENCE = timedelta(days=14)  # how long the fastest process waits for the slowest


@dataclass(frozen=True)
class Ranks:
    """The place of this process among all: its rank from 0, their number, and its rank on this machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes the records."""
        return self.rank == 0

    def shard(self, count: int) -> range:
        """Return the indices of this process's images: every image belongs to one process, none is repeated."""
        return range(self.rank, count, self.world_size)

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, in all of them, in the order of their ranks."""
        if self.world_size == 1:
            return [value]
        import torch

        values: list[T | None] = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def device(self, requested: "torch.device") -> "torch.device":
        """Return a GPU of its own for each of several processes; raises ValueError where there are too few."""
        if requested.type != "cuda" or self.world_size == 1:
            return requested
        import torch

        if self.local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"torchrun started more processes than there are GPUs here, {torch.cuda.device_count()}: lower "
                "--nproc-per-node, or take --device cpu"
            )
        return torch.device("cuda", self.local_rank)


def is_launched() -> bool:
    """Return whether torchrun, or what sets its variables, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def joined_ranks() -> Iterator[Ranks]:
    """Connect the processes that this one belongs to while the block runs."""
    if not is_launched():
        yield Ranks()
        return
    import torch

    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(
            torch.distributed.get_rank(),
            torch.distributed.get_world_size(),
            int(os.environ.get("LOCAL_RANK", "0")),
        )
    finally:
        torch.distributed.destroy_process_group()
