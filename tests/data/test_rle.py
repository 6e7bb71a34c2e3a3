"""Run lengths hold a mask exactly, in the words of COCO's own tools."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from linbench.data.rle import decode, encode


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (37, 61)])
def test_a_mask_comes_back_as_it_was_through_json(shape):
    mask = np.random.default_rng(0).random(shape) < 0.5
    runs = json.loads(json.dumps(encode(mask)))
    assert runs["size"] == list(shape)
    found = decode(runs)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, mask)


def test_runs_go_down_the_columns_as_cocos_do():
    mask = np.zeros((3, 5), dtype=bool)
    mask[1:, 2] = True
    uncompressed = {"size": [3, 5], "counts": [7, 2, 6]}
    assert encode(mask)["counts"].encode() == coco.frPyObjects(uncompressed, 3, 5)["counts"]
    assert coco.area({**encode(mask)}) == 2


def test_empty_and_full_masks_are_kept():
    for value in (False, True):
        np.testing.assert_array_equal(decode(encode(np.full((4, 6), value))), np.full((4, 6), value))
