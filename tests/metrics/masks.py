"""Random masks for properties, and a silence for pycocotools, which prints."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import numpy as np
from hypothesis import strategies as st


@contextmanager
def silence() -> Iterator[None]:
    with redirect_stdout(StringIO()):
        yield


@st.composite
def masks(draw: st.DrawFn, height: int | None = None, width: int | None = None) -> np.ndarray:
    """Blobs, holes and single pixels; sometimes nothing, sometimes everything."""
    h = height or draw(st.integers(1, 24))
    w = width or draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = np.zeros((h, w), np.bool_)
    for _ in range(draw(st.integers(0, 4))):
        y0, y1 = np.sort(rng.integers(0, h + 1, 2))
        x0, x1 = np.sort(rng.integers(0, w + 1, 2))
        mask[y0:y1, x0:x1] ^= True
    if draw(st.booleans()):
        mask ^= rng.random((h, w)) < 0.05
    return mask
