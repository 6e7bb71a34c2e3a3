"""Fresh memory for a kernel's output, at the price of few page faults.

A large tensor often lies on memory that the system has yet to back: every 4 KiB of it then costs a page fault, and
kernels that split channels over threads meet on each page and pay it twice. Measured for bi-WKV at 4096 tokens on
two cores: 3200 faults without this and 1000 with it, a fifth of its time. Backing the rest in one call beforehand
gained nothing more.
"""

import ctypes
import sys
from functools import cache
from typing import Any

from torch import Tensor

SMALLEST = 2**22  # bytes that are worth the call; numpy draws the line there as well
_PAGE = 4096
_HUGE_PAGE = 14  # madvise(2): back this with huge pages


def on_huge_pages(x: Tensor) -> Tensor:
    """Return the dense CPU tensor x, having asked for huge pages under it; where there are none nothing changes."""
    if x.nbytes >= SMALLEST and (madvise := _madvise()) is not None:
        first = -(-x.data_ptr() // _PAGE)
        madvise(first * _PAGE, ((x.data_ptr() + x.nbytes) // _PAGE - first) * _PAGE, _HUGE_PAGE)
    return x


@cache
def _madvise() -> Any:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return function
