"""Run lengths hold a mask exactly, in the words of COCO's own tools."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from linbench.coco.rle import decode, encode


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 61)])
def test_a_mask_comes_back_as_it_was_through_json(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    runs = json.loads(json.dumps(encode(mask)))
    assert runs["size"] == list(shape)
    result = decode(runs)
    assert result.dtype == np.bool_
    np.testing.assert_array_equal(result, mask)


def test_runs_go_down_the_columns_as_cocos_do():
    mask = np.zeros((3, 5), dtype=bool)
    mask[1:, 2] = True
    uncompressed = {"size": [3, 5], "counts": [7, 2, 6]}
    assert encode(mask)["counts"].encode() == coco.frPyObjects(uncompressed, 3, 5)["counts"]
    assert coco.area({**encode(mask)}) == 2


def test_empty_and_full_masks_are_kept():
    for value in (False, True):
        np.testing.assert_array_equal(decode(encode(np.full((4, 6), value))), np.full((4, 6), value))


@given(arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_what_pycocotools_encodes_is_decoded_as_pycocotools_does(mask):
    runs = encode(mask)
    np.testing.assert_array_equal(decode(runs), mask)
    np.testing.assert_array_equal(decode(runs | {"counts": runs["counts"].encode()}), mask)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=30), st.integers(1, 8))
def test_text_that_is_no_mask_of_that_size_is_refused_and_never_read_past_its_end(text, side):
    try:
        result = decode({"size": [side, side], "counts": text})
    except ValueError as error:
        assert "run" in str(error)
        return
    assert encode(result)["size"] == [side, side]
    np.testing.assert_array_equal(decode(encode(result)), result)


def test_a_run_of_negative_length_is_refused_though_the_sum_is_right():
    with pytest.raises(ValueError, match="a run length is negative"):
        decode({"size": [4, 4], "counts": "Oa0"})  # -1 and 17


@pytest.mark.parametrize("size", [[-4, -4], [2**20, 2**20], [4], None, ["a", 4]])
def test_a_size_that_is_none_or_too_large_is_refused_before_anything_is_decoded(size):
    with pytest.raises(ValueError, match="run lengths"):
        decode({"size": size, "counts": [16]})
