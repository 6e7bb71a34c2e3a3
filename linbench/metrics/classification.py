"""Classification: the rank of the true class, and top-k accuracy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ranks(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Return the rank of the true class in each image's scores, 0 for the best, ``b``.

    Among equal scores the lower class index comes first, on every machine.
    scores: ``b c``, higher is better.
    labels: Indices of the true classes, ``b``.
    Raises ValueError for scores that are NaN: they have no order.
    """
    table, true = np.asarray(scores), np.asarray(labels)
    if table.ndim != 2 or true.shape != table.shape[:1]:
        raise ValueError(f"scores must be `b c` and labels `b`, got sizes {table.shape} and {true.shape}")
    if true.dtype.kind not in "iu" or (true.size and not 0 <= true.min() <= true.max() < table.shape[1]):
        raise ValueError(f"labels must be indices of {table.shape[1]} classes, got {true.dtype}: {_first(true)}")
    if np.isnan(table).any():
        nan = np.flatnonzero(np.isnan(table).any(axis=1))
        raise ValueError(f"scores must not be NaN, got NaN for images {_first(nan)}")
    score = np.take_along_axis(table, true[:, None], axis=1)
    before = (table == score) & (np.arange(table.shape[1]) < true[:, None])
    return np.count_nonzero((table > score) | before, axis=1).astype(np.int64)


def topk(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> NDArray[np.bool_]:
    """Return whether the true class is among the k best of each image, ``b``; ties as in ``ranks``."""
    return ranks(scores, labels) < k


def _first(values: NDArray[Any]) -> str:
    return ", ".join(str(v) for v in values[:5].tolist()) + (", …" if values.size > 5 else "")
