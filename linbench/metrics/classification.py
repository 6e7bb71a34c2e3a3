"""Classification: whether the true class is among the k best."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ranks(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """The place of the true class in each image's scores, 0 for the best, ``b``.

    Of classes with equal scores the one with the lower index comes first, on every machine.
    scores: ``b c``, the higher the better.
    labels: Indices of the true classes, ``b``.
    Raises ValueError for scores that are NaN: they have no order.
    """
    table, true = np.asarray(scores), np.asarray(labels)
    if table.ndim != 2 or true.shape != table.shape[:1]:
        raise ValueError(f"scores are b c and labels b; found {table.shape} and {true.shape}")
    if true.dtype.kind not in "iu" or (true.size and not 0 <= true.min() <= true.max() < table.shape[1]):
        raise ValueError(f"labels are indices of {table.shape[1]} classes; found {true.dtype}: {_some(true)}")
    if np.isnan(table).any():
        raise ValueError(
            f"scores are numbers; found NaN for images {_some(np.flatnonzero(np.isnan(table).any(axis=1)))}"
        )
    own = np.take_along_axis(table, true[:, None], axis=1)
    before = (table == own) & (np.arange(table.shape[1]) < true[:, None])
    return np.count_nonzero((table > own) | before, axis=1).astype(np.int64)


def topk(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> NDArray[np.bool_]:
    """Whether the true class is among the k best of each image, ``b``; equal scores as in ``ranks``."""
    return ranks(scores, labels) < k


def _some(values: NDArray[Any]) -> str:
    return ", ".join(str(v) for v in values[:5].tolist()) + (", …" if values.size > 5 else "")
