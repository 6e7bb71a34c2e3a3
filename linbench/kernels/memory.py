"""Memory for a kernel's output: its layout, and its pages.

The system backs a large new tensor with memory only when it is first written: each page of 4 KiB then costs a page
fault, and threads that split the channels write to the same pages and each pay for it. Measured for bi-WKV at 4096
tokens on two cores: 3200 faults without huge pages and 1000 with them, a fifth of its time. Writing to all pages
beforehand gained nothing more.
"""

import ctypes
import sys
from functools import cache
from typing import Any

from torch import Tensor

SMALLEST = 2**22  # bytes that are worth the call; numpy draws the line there as well
_PAGE = 4096
_HUGE_PAGE = 14  # madvise(2): back this with huge pages


def empty_in_layout_of(x: Tensor) -> Tensor:
    """Return an empty tensor like x, ``b d t``: channel-last in memory where x is, else contiguous."""
    b, d, t = x.shape
    return x.new_empty(b, t, d).transpose(1, 2) if x.stride(1) == 1 else x.new_empty(b, d, t)


def on_huge_pages(x: Tensor) -> Tensor:
    """Return the dense CPU tensor x after requesting huge pages under it; without them nothing changes."""
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
