"""Top-k: the place of the true class in a stable order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.metrics.classification import ranks, topk


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 9))
def test_the_rank_is_the_place_in_a_stable_descending_sort(seed, images, classes):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-2, 3, (images, classes)).astype(np.float32)  # many ties
    labels = rng.integers(0, classes, images)
    expected = [
        sorted(range(classes), key=lambda c, row=row: -row[c]).index(label)
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True)
    ]
    assert ranks(scores, labels).tolist() == expected
    for k in (1, 2, 5):
        assert topk(scores, labels, k).tolist() == [rank < k for rank in expected]


def test_scores_that_are_all_equal_are_right_for_the_first_classes_only():
    assert topk(np.zeros((4, 10)), np.arange(4) * 2, k=5).tolist() == [True, True, True, False]


def test_an_infinite_score_has_its_place():
    assert ranks([[np.inf, 0.0, -np.inf]] * 3, [0, 1, 2]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0.0, 1.0], [0.0, np.nan]], [0, 1], "got NaN for images 1"),
        ([[0.0, 1.0]], [2], "indices of 2 classes, got int64: 2"),
        ([[0.0, 1.0]], [-1], "indices of 2 classes"),
        ([[0.0, 1.0]], [0.5], "got float64"),
        ([[0.0, 1.0]], [0, 1], "got sizes \\(1, 2\\) and \\(2,\\)"),
    ],
)
def test_what_has_no_rank_is_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        ranks(scores, labels)
