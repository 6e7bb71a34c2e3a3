"""Memory that tells on a kernel: filled with NaN, with more behind its end; or spread over terabytes of addresses."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

APART = 2**30 + 64  # itself within 32 bits: with three of an axis only the products are beyond
NO_RESERVE = 0x4000  # Linux's MAP_NORESERVE, which Python's mmap lacks before 3.13


@contextmanager
def guarded() -> Iterator[None]:
    """New floating memory holds NaN, and NaN behind its end, which must still be there afterwards."""
    makers = torch.empty, Tensor.new_empty
    behind: list[Tensor] = []

    def guard(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x
        memory = torch.full((x.numel() + 64,), torch.nan, dtype=x.dtype)
        behind.append(memory[x.numel() :])
        return memory[: x.numel()].view(x.shape)

    def of(make: Any) -> Any:
        return lambda *args, **kwargs: guard(make(*args, **kwargs))

    torch.empty, Tensor.new_empty = map(of, makers)
    try:
        yield
    finally:
        torch.empty, Tensor.new_empty = makers
    assert all(x.isnan().all() for x in behind), "a kernel wrote behind the end of its output"


def spread(x: Tensor, axis: int) -> Tensor:
    """x with neighbours on one axis ``APART`` numbers apart; of the addresses few are used. Linux only."""
    strides = list(x.stride())
    strides[axis] = APART
    size = x.itemsize * (1 + sum((n - 1) * stride for n, stride in zip(x.shape, strides, strict=True)))
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | NO_RESERVE)
    return torch.frombuffer(memory, dtype=x.dtype).as_strided(x.shape, strides).copy_(x)
