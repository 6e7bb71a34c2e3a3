"""Images and prompts into a model's input, logits back: against SAM's own numbers, and by what they must keep."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from linbench.models.sam import Prompts
from linbench.models.sam.transforms import LongestSide, Stretch
from tests.goldens import golden
from tests.models.sam import parts

SIZES = st.tuples(st.integers(1, 200), st.integers(1, 200))
SIDES = st.sampled_from([64, 96, 256])
TRANSFORMS = st.one_of(SIDES.map(LongestSide), SIDES.map(Stretch))


@pytest.mark.parametrize("case", ["up", "down", "same"])
def test_an_image_is_resized_normalised_and_padded_as_sam_does(case):
    _, expected = golden("sam_preprocess")
    pixels, transform = expected[f"in_image_{case}"], LongestSide(1024)
    height, width = transform.resized(pixels.shape[:2])
    assert [height, width] == expected[f"out_resized_size_{case}"].tolist()
    actual = transform.image(pixels)
    assert actual.shape == (1, 3, 1024, 1024)
    mean, deviation = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    grey = actual[0, :, :height, :width].permute(1, 2, 0) * deviation + mean
    # One grey level is what another version of Pillow may round differently.
    np.testing.assert_allclose(grey[::4, ::4].numpy(), expected[f"out_resized_{case}"], rtol=0, atol=1.001)
    np.testing.assert_allclose(actual[:, :, ::12, ::12].numpy(), expected[f"out_input_{case}"], rtol=0, atol=1 / 57)
    assert not actual[:, :, height:].any()
    assert not actual[:, :, :, width:].any()


@pytest.mark.parametrize("case", ["up", "down", "same"])
def test_boxes_are_moved_as_sam_does(case):
    _, expected = golden("sam_preprocess")
    boxes, original = torch.from_numpy(expected[f"in_boxes_{case}"]), expected[f"in_image_{case}"].shape[:2]
    actual = LongestSide(1024).boxes(boxes, original)
    np.testing.assert_allclose(actual.numpy(), expected[f"out_boxes_{case}"], rtol=1e-12, atol=0)


def test_sizes_are_rounded_as_sam_does_but_a_strip_keeps_one_pixel():
    _, expected = golden("sam_preprocess")
    actual = [LongestSide(1024).resized((h, w)) for h, w in expected["in_sizes"].tolist()]
    sources = expected["out_target_sizes"]
    assert (sources == 0).any()
    np.testing.assert_array_equal(actual, np.maximum(sources, 1))


def test_logits_come_back_in_the_sources_two_steps():
    _, expected = golden("decoder_s_256_2boxes")  # 64 x 64 in a 256 px input, of which 192 x 256 are the image
    actual = LongestSide(256).logits(torch.from_numpy(expected["out_masks"]), (300, 400))
    np.testing.assert_allclose(actual.numpy(), expected["out_post_logits"], rtol=0, atol=2e-5)


def hat(x):
    return np.maximum(0, 1 - np.abs(x))


def keys(x, a=-0.75):
    """Keys' cubic kernel with torch's parameter."""
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def along(kernel, before, after):
    """The matrix that resizes ``before`` samples to ``after``, with centres at halves and the border repeated."""
    matrix = np.zeros((after, before))
    for i in range(after):
        centre = max((i + 0.5) * before / after - 0.5, 0) if kernel is hat else (i + 0.5) * before / after - 0.5
        for j in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            matrix[i, min(max(j, 0), before - 1)] += kernel(centre - j)
    return matrix


@settings(max_examples=40, deadline=None)
@given(original=SIZES, side=SIDES, seed=st.integers(0, 99))
def test_logits_are_bilinear_twice_or_bicubic_once(original, side, seed):
    low = np.random.default_rng(seed).standard_normal((side // 4, side // 4))
    given_ = torch.from_numpy(low)[None, None]
    (h, w), (height, width) = LongestSide(side).resized(original), original
    up = along(hat, side // 4, side)
    cropped = (up @ low @ up.T)[:h, :w]
    expected = along(hat, h, height) @ cropped @ along(hat, w, width).T
    np.testing.assert_allclose(LongestSide(side).logits(given_, original)[0, 0], expected, rtol=0, atol=1e-9)
    expected = along(keys, side // 4, height) @ low @ along(keys, side // 4, width).T
    np.testing.assert_allclose(Stretch(side).logits(given_, original)[0, 0], expected, rtol=0, atol=1e-9)


def test_logits_of_zero_are_outside_sams_mask_and_inside_efficientsams():
    zero = torch.zeros(1, 1, 16, 16)
    assert not LongestSide(64).masks(zero, (20, 30)).any()
    assert Stretch(64).masks(zero, (20, 30)).all()


@settings(max_examples=60, deadline=None)
@given(original=st.tuples(st.integers(1, 3000), st.integers(1, 3000)), transform=TRANSFORMS)
def test_input_and_masks_have_the_sizes_of_the_model_and_of_the_picture(original, transform):
    image = np.zeros((*original, 3), np.uint8)
    side = transform.side
    assert transform.image(image).shape == (1, 3, side, side)
    masks = transform.masks(torch.randn(1, 3, side // 4, side // 4), original)
    assert masks.shape == (1, 3, *original)
    assert masks.dtype == torch.bool


@settings(deadline=None)
@given(original=SIZES, side=SIDES)
def test_the_long_side_fills_the_input_and_the_other_keeps_the_shape(original, side):
    resized = LongestSide(side).resized(original)
    assert max(resized) == side
    for actual, exact in zip(resized, (n * side / max(original) for n in original), strict=True):
        assert actual == max(1, actual)
        assert abs(actual - exact) <= 0.5 + 1e-9 or actual == 1


@settings(max_examples=50, deadline=None)
@given(original=SIZES, transform=TRANSFORMS)
def test_the_corners_of_the_picture_are_moved_to_its_corners_in_the_input(original, transform):
    height, width = original
    h, w = transform.resized(original)
    box = transform.boxes(torch.tensor([[0, 0, width, height]]), original)
    assert box.dtype == torch.float32
    torch.testing.assert_close(box, torch.tensor([[0.0, 0.0, w, h]]))
    points = transform.points(torch.tensor([[width, 0], [0, height]]), original)
    torch.testing.assert_close(points, torch.tensor([[w, 0.0], [0.0, h]]))


@st.composite
def rectangles(draw, least):
    """An image's size and a box of whole pixels in it."""
    height, width = draw(st.tuples(st.integers(max(least, 8), 200), st.integers(max(least, 8), 200)))
    x0, y0 = draw(st.integers(0, width - least)), draw(st.integers(0, height - least))
    x1, y1 = draw(st.integers(x0 + least, width)), draw(st.integers(y0 + least, height))
    return (height, width), (x0, y0, x1, y1)


def extent(mask):
    """The box around the true pixels of ``h w``."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@settings(max_examples=60, deadline=None)
@given(drawn=rectangles(least=2), side=st.sampled_from([256, 400]), kind=st.sampled_from([LongestSide, Stretch]))
def test_what_is_drawn_in_the_picture_lies_in_the_input_where_its_box_is_moved_to(drawn, side, kind):
    original, (x0, y0, x1, y1) = drawn
    image = np.zeros((*original, 3), np.uint8)
    image[y0:y1, x0:x1] = 255
    transform = kind(side)
    black, white = (kind(1).image(np.full((1, 1, 3), value, np.uint8))[0, 0, 0, 0] for value in (0, 255))
    h, w = transform.resized(original)
    bright = transform.image(image)[0, 0, :h, :w] > (black + white) / 2
    moved = transform.boxes(torch.tensor([x0, y0, x1, y1]), original)
    np.testing.assert_allclose(extent(bright.numpy()), moved.numpy(), rtol=0, atol=1)


@settings(max_examples=60, deadline=None)
@given(drawn=rectangles(least=30), kind=st.sampled_from([LongestSide, Stretch]))
def test_a_box_goes_to_the_input_and_its_mask_comes_back_to_the_box(drawn, kind):
    original, box = drawn
    transform, cells = kind(256), 64
    x0, y0, x1, y1 = transform.boxes(torch.tensor(box, dtype=torch.float64), original)
    centres = (torch.arange(cells) + 0.5) * transform.side / cells
    inside = ((centres > y0) & (centres < y1))[:, None] & ((centres > x0) & (centres < x1))
    mask = transform.masks(torch.where(inside, 1.0, -1.0)[None, None], original)[0, 0]
    resized = transform.resized(original)
    pitch = np.array([transform.side / cells * original[axis] / resized[axis] for axis in (1, 0, 1, 0)])
    assert (np.abs(extent(mask.numpy()) - box) <= 0.75 * pitch + 1).all()


@pytest.mark.parametrize("kind", [LongestSide, Stretch])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (10, 100, 200)])
def test_colours_are_normalised_by_imagenets_mean_and_deviation(kind, colour):
    actual = kind(32).image(np.full((5, 5, 3), colour, np.uint8))
    if kind is Stretch:
        mean, deviation, unit = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255
    else:
        mean, deviation, unit = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 1
    expected = [(value / unit - m) / d for value, m, d in zip(colour, mean, deviation, strict=True)]
    torch.testing.assert_close(
        actual, torch.tensor(expected).view(1, 3, 1, 1).expand(1, 3, 32, 32), atol=2e-6, rtol=0
    )


@pytest.mark.parametrize("size", [(32, 32), (7, 50), (100, 33)])
def test_stretch_interpolates_between_the_nearest_pixels_only(size):
    """Bilinear without antialiasing, shrinking as well."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    actual = Stretch(32).image(pixels)[0, 1].double() * 0.224 + 0.456
    expected = along(hat, size[0], 32) @ (pixels[:, :, 1] / 255) @ along(hat, size[1], 32).T
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_a_pillow_image_and_its_array_give_the_same_input():
    pixels = np.random.default_rng(1).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    for transform in (LongestSide(64), Stretch(64)):
        assert torch.equal(transform.image(Image.fromarray(pixels)), transform.image(pixels))


@pytest.mark.parametrize("transform", [LongestSide(64), Stretch(64)])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 5, 3), np.float32), r"`h w 3` of uint8, got float32"),
        (np.zeros((4, 5), np.uint8), r"got uint8 of shape \(4, 5\)"),
        (np.zeros((4, 5, 4), np.uint8), r"got uint8 of shape \(4, 5, 4\)"),
        (np.zeros((0, 5, 3), np.uint8), r"got uint8 of shape \(0, 5, 3\)"),
        (Image.new("RGBA", (4, 5)), "must be of mode RGB, got RGBA"),
    ],
)
def test_what_is_no_rgb_picture_is_refused(transform, image, words):
    with pytest.raises(ValueError, match=words):
        transform.image(image)


def test_prompts_of_another_shape_and_an_empty_input_are_refused():
    with pytest.raises(ValueError, match=r"boxes must be `… 4`, x0, y0, x1 and y1, got shape \(2,\)"):
        LongestSide(64).boxes(torch.zeros(2), (4, 5))
    with pytest.raises(ValueError, match=r"points must be `… 2`, x and y, got shape \(3, 4\)"):
        Stretch(64).points(torch.zeros(3, 4), (4, 5))
    for kind in (LongestSide, Stretch):
        with pytest.raises(ValueError, match="side must be at least 1, got 0"):
            kind(0)


def efficientsams(points, side, width, height):
    """Points as EfficientSAM's own code rescales them, one coordinate after the other in plain numbers."""
    sizes = (width, height)
    return [
        [[-1.0 if v < 0 else np.float32(v) * side / n for v, n in zip(p, sizes, strict=True)] for p in row]
        for row in points
    ]


def test_stretch_keeps_negative_coordinates_at_minus_one_as_efficientsam_does():
    points = [[[30.0, 40.0], [-1.0, -1.0]], [[-0.25, 200.5], [266.0, -3.0]]]
    actual = Stretch(1024).points(torch.tensor(points), (427, 267))
    expected = torch.tensor(efficientsams(points, 1024, 267, 427), dtype=torch.float32)
    torch.testing.assert_close(actual, expected, rtol=1e-7, atol=0)
    assert actual[0, 1].tolist() == [-1.0, -1.0]
    boxes = Stretch(1024).boxes(torch.tensor([[-1.0, 5.0, 300.0, 427.0], [0.0, -0.5, 10.0, 20.0]]), (427, 267))
    assert boxes[0, 0] == boxes[1, 1] == -1.0
    assert boxes[0, 2] == pytest.approx(300 * 1024 / 267)  # beyond the far edges nothing is cut
    assert boxes[1, 0] == 0.0


@pytest.mark.parametrize("transform", [LongestSide(1024), Stretch(1024)])
@torch.no_grad()
def test_prompts_that_are_padded_to_one_length_mean_what_they_mean_alone(transform):
    model = parts.efficientsam() if isinstance(transform, Stretch) else parts.sam()
    original, points, labels = (427, 267), [[30.0, 40.0], [200.5, 100.25]], [1, 1]
    embedding = parts.embedded(model, (1024, 1024))

    def answer(points, labels):
        moved = transform.points(torch.tensor(points), original)
        return model.decode(embedding, Prompts(points=moved, labels=torch.tensor(labels)), multimask=True)

    padded = answer([points, [points[0], [-1.0, -1.0]]], [labels, [1, -1]])
    alone = answer([points], [labels]), answer([points[:1]], [labels[:1]])
    if isinstance(transform, LongestSide):  # SAM itself adds a padding point to each: one more is one token more
        alone = alone[0], answer([[points[0], [7.0, 9.0]]], [[1, -1]])
    for both, *single in zip(padded, *alone, strict=True):
        torch.testing.assert_close(both, torch.cat(single), rtol=0, atol=2e-5)
