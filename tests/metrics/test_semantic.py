"""Semantic segmentation: scikit-learn's numbers, exact sums, and what counts nowhere."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, jaccard_score

from linbench.metrics.semantic import Confusion, mean_iou, metric_intervals, stack_rows

seeds = st.integers(0, 2**32 - 1)


def images(seed, classes, n=3):
    """Predictions that are often right, and truth of which a tenth is ignored."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        h, w = rng.integers(1, 12, 2)
        truth = rng.integers(0, classes, (h, w))
        predicted = np.where(rng.random((h, w)) < 0.6, truth, rng.integers(0, classes, (h, w)))
        yield predicted.astype(np.uint8), np.where(rng.random((h, w)) < 0.1, 255, truth).astype(np.uint8)


@given(seeds, st.integers(1, 7))
def test_the_mean_and_the_accuracy_are_those_of_scikit_learn(seed, classes):
    confusion = Confusion(classes)
    predicted, true = [], []
    for prediction, truth in images(seed, classes):
        confusion.add(prediction, truth)
        predicted += prediction[truth != 255].tolist()
        true += truth[truth != 255].tolist()
    if not true:
        assert math.isnan(confusion.miou()) and math.isnan(confusion.pixel_accuracy())
        return
    assert confusion.miou() == pytest.approx(jaccard_score(true, predicted, average="macro"), abs=1e-12)
    assert confusion.pixel_accuracy() == pytest.approx(accuracy_score(true, predicted), abs=1e-12)


@given(seeds)
def test_shards_in_any_order_and_the_rows_of_images_give_the_same_sums(seed):
    cases = list(images(seed, 5, n=5))
    whole, left, right = (Confusion(5) for _ in range(3))
    rows = [whole.add(*case) for case in cases]
    for case in reversed(cases[::2]):
        right.add(*case)
    for case in cases[1::2]:
        left.add(*case)
    right.merge(left)
    assert np.array_equal(right.matrix, whole.matrix)
    assert mean_iou(stack_rows(rows, 5).sum(axis=0)) == pytest.approx(whole.miou(), abs=0, nan_ok=True)


def test_a_case_by_hand():
    confusion = Confusion(4)
    rows = confusion.add(np.array([[0, 0, 1], [1, 2, 2]]), np.array([[0, 1, 1], [1, 255, 0]]))
    # class 0: one right, two predicted, two true; 1: 2, 2, 3; 2: 0, 1, 0 (its pixel at 255 counts nowhere)
    assert rows == [[0, 1, 2, 2], [1, 2, 2, 3], [2, 0, 1, 0]]
    assert confusion.iou() == pytest.approx([1 / 3, 2 / 3, 0, math.nan], nan_ok=True)
    assert confusion.miou() == pytest.approx(1 / 3)
    assert confusion.pixel_accuracy() == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (np.array([[4]]), np.array([[0]]), "prediction must hold labels 0 to 3, got 4 to 4"),
        (np.array([[0]]), np.array([[9]]), "truth must hold labels 0 to 3, got 9 to 9"),
        (np.array([[0]]), np.array([[-1]]), "truth must hold labels 0 to 3, got -1"),
        (np.array([[0.0]]), np.array([[0]]), "prediction must hold integer labels, got float64"),
        (np.array([[0, 0]]), np.array([[0]]), "must have one size, got \\(1, 2\\) and \\(1, 1\\)"),
    ],
)
def test_an_image_that_cannot_be_counted_is_refused_whole(prediction, truth, message):
    confusion = Confusion(4)
    with pytest.raises(ValueError, match=message):
        confusion.add(prediction, truth)
    assert not confusion.matrix.any()


def test_what_the_ignored_label_hides_may_be_predicted_as_anything():
    confusion = Confusion(2)
    assert confusion.add(np.array([[200]]), np.array([[255]])) == []


def test_other_classes_cannot_be_merged_and_a_class_cannot_be_ignored():
    with pytest.raises(ValueError, match="must have 2 classes and ignore 255, got 3 and 255"):
        Confusion(2).merge(Confusion(3))
    with pytest.raises(ValueError, match="outside 0 to 3, got 4 and 3"):
        Confusion(4, ignored=3)


def test_the_interval_of_the_mean_holds_it_and_comes_from_images():
    rows = [Confusion(5).add(*case) for case in images(1, 5, n=40)]
    sums = stack_rows(rows, 5)
    interval = metric_intervals(sums, seed=3, resamples=200)
    low, high = interval["miou"]
    assert low < mean_iou(sums.sum(axis=0)) < high
    assert interval == metric_intervals(sums, seed=3, resamples=200)
    same = np.repeat(sums[:1], 40, axis=0)
    assert len(set(metric_intervals(same, seed=3, resamples=50)["miou"])) == 1
