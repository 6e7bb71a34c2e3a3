"""Large-scale jitter: a picture, its masks and their boxes stay one scene whatever the view."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linbench.models.sam.transforms import LongestSide
from linbench.recipes.augmentation import View, draw_view, mask_box, pad_to_square
from linbench.recipes.examples import normalize

SIDE = 64


def scene(height=50, width=80):
    """A picture that is white where the mask is, and black elsewhere."""
    mask = np.zeros((height, width), np.bool_)
    mask[height // 4 : height // 2, width // 4 : 3 * width // 4] = True
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), mask


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    resize=st.sampled_from([None, (0.1, 2.0), (0.8, 2.0)]),
)
def test_a_view_fits_the_input_and_the_resized_picture(seed, height, width, resize):
    view = draw_view(np.random.default_rng(seed), (height, width), SIDE, resize, 0.5)
    for start, seen, whole in zip(view.start, view.seen, view.resized, strict=True):
        assert 1 <= seen <= SIDE
        assert 0 <= start <= whole - seen
    low, high = resize or (1.0, 1.0)
    assert max(1, int(low * SIDE)) <= max(view.resized) <= high * SIDE + 1
    assert view.nearest(np.ones((height, width), np.bool_)).shape == view.seen
    assert view.image(np.zeros((height, width, 3), np.uint8)).shape == (*view.seen, 3)


@pytest.mark.parametrize("seed", range(30))
def test_picture_and_mask_show_the_same_place(seed):
    picture, mask = scene()
    view = draw_view(np.random.default_rng(seed), mask.shape, SIDE, (0.5, 2.0), 0.5)
    bright, seen = view.image(picture)[..., 0] > 127, view.nearest(mask)
    assert (bright != seen).sum() <= seen.shape[0] + seen.shape[1]  # a pixel along the edges, where resizing blurs


def test_a_nearest_pixel_is_the_one_whose_square_holds_the_centre():
    mask = np.array([[True, False, True]])
    view = View((1, 3), (2, 6), (0, 1), (1, 4), flip=False)
    assert view.nearest(mask).tolist() == [[True, False, False, True]]
    flipped = View((1, 3), (2, 6), (0, 1), (1, 4), flip=True)
    assert flipped.nearest(np.array([[True, False, False]])).tolist() == [[False, False, False, True]]


def test_a_part_of_the_resized_picture_is_what_it_is_in_the_whole():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    whole = View((40, 60), (80, 120), (0, 0), (80, 120), flip=False).image(picture).astype(int)
    part = View((40, 60), (80, 120), (13, 21), (50, 64), flip=False).image(picture).astype(int)
    assert np.abs(part - whole[13:63, 21:85]).max() <= 1  # rounding of Pillow's fixed-point coefficients


def test_without_jitter_the_input_is_what_the_model_is_given_when_it_is_asked():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    view = draw_view(np.random.default_rng(0), (40, 60), SIDE, None, 0.0)
    padded = pad_to_square(normalize(view.image(picture)), SIDE)
    torch.testing.assert_close(padded[None], LongestSide(SIDE).image(picture))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_a_box_holds_the_first_and_the_last_pixel_of_a_mask(seed):
    mask = np.random.default_rng(seed).random((9, 13)) > 0.9
    if not mask.any():
        return
    x0, y0, x1, y1 = mask_box(mask)
    pixels = [(x, y) for y in range(9) for x in range(13) if mask[y, x]]
    assert (x0, y0) == (min(x for x, _ in pixels), min(y for _, y in pixels))
    assert (x1, y1) == (max(x for x, _ in pixels), max(y for _, y in pixels))
