"""Scenes and their images: the same everywhere, with masks that are exact."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from linbench.data.shapes import CLASSES, TASKS, THINGS, make_scene, pixels, render, render_scene
from linbench.data.shapes.backgrounds import TOP, Background, Region
from linbench.data.shapes.manmade_objects import gear
from linbench.data.shapes.parts import Texture, bar, fill, plain, ring, stroke
from linbench.data.shapes.rng import ONE, Rng
from linbench.data.shapes.scene import Scene, Thing

#: By task, split, seed, index and size: of image, map of objects and map of stuff.
GOLDEN = {
    ("objects", "train", 0, 0, 64): "9235fb355854e693",
    ("objects", "val", 0, 3, (96, 160)): "ab48b9d94a9d21d5",
    ("objects", "train", 7, 11, 512): "fb72ad0accdf2db1",
    ("classes", "val", 1, 21, 64): "6f40ac5eb645b892",
    ("dis", "train", 0, 5, 128): "a48b7d7caa682453",
    ("dis", "val", 2, 9, (70, 50)): "e388eb6d97e8bce0",
    ("coift", "val", 0, 2, 96): "3a1df31e26f5bd74",
    ("hrsod", "val", 0, 1, 96): "fcbfffc13a23eafa",
    ("objects", "val", 3, 2, 1024): "8faafa70017717ac",
}


def digest(result):
    parts = (result.image, result.ids, result.stuff)
    assert [part.dtype.str for part in parts] == ["|u1", "<u2", "|u1"]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:16]


@pytest.mark.parametrize("key", GOLDEN, ids=str)
def test_images_and_masks_are_those_of_every_other_platform(key):
    task, split, seed, index, size = key
    assert digest(render_scene(make_scene(seed, index, task, split), size)) == GOLDEN[key]


@pytest.mark.parametrize("key", [key for key in GOLDEN if key[4] in (64, 96, 128)], ids=str)
def test_the_compiler_changes_nothing_and_no_product_leaves_64_bits(key, monkeypatch):
    """The same lines as plain Python and numpy, which warn of an overflow; warnings are errors here."""
    for module in (pixels, render):
        for name, value in vars(module).copy().items():
            if hasattr(value, "py_func"):
                monkeypatch.setattr(module, name, value.py_func)
    task, split, seed, index, size = key
    assert digest(render.render_scene(make_scene(seed, index, task, split), size)) == GOLDEN[key]


def grey():
    region = Region("wall", -1, ((120, 120, 120),) * 3, Texture.PLAIN, 4, 0)
    return Background((region,), -1, shadows=False)


def thing(*parts, x=TOP // 2, y=TOP // 2, size=TOP // 4, name="gear"):
    return Thing(name, parts, x, y, size, 0, False, False)


def drawn(*things, size=64):
    return render_scene(Scene(grey(), things, (0, -256), (0, 0, 0), 0, 0, 0), size)


def material():
    return plain(Rng("paint"))


def test_a_stroke_of_no_length_is_the_disc_of_all_pixels_whose_middle_is_in_it():
    result = drawn(thing(stroke(material(), bar((0, 0), (0, 0), ONE // 2))))
    y, x = np.mgrid[:64, :64] * 256 + 128 - 32 * 256
    assert np.array_equal(result.ids > 0, x * x + y * y < (8 * 256 + 1) ** 2)


def test_a_filled_outline_covers_the_pixels_whose_middle_is_inside_and_leaves_its_holes():
    square, hole = [(s * ONE, t * ONE) for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))], ring(ONE // 2, sides=64)
    result = drawn(thing(fill(material(), square, hole)))
    y, x = np.mgrid[:64, :64] + 0.5 - 32
    expected = (np.maximum(abs(x), abs(y)) < 16) & (x * x + y * y > 64)
    unsure = abs(np.hypot(x, y) - 8) < 0.1  # the hole is a polygon
    assert np.array_equal((result.ids > 0)[~unsure], expected[~unsure])
    assert not result.ids[32, 32]


def test_what_is_in_front_hides_what_is_behind():
    disc = stroke(material(), bar((0, 0), (0, 0), ONE))
    back, front = thing(disc, x=TOP * 3 // 8), thing(disc, x=TOP * 5 // 8)
    alone = [drawn(shape).ids > 0 for shape in (back, front)]
    both = drawn(back, front)
    assert np.array_equal(both.mask(both.objects[1]), alone[1])
    assert np.array_equal(both.mask(both.objects[0]), alone[0] & ~alone[1])


def test_one_sees_through_the_hole_of_a_gear_what_lies_behind():
    disc = thing(stroke(material(), bar((0, 0), (0, 0), ONE // 10)), name="ball")
    both = drawn(disc, thing(*gear(Rng(1))))
    assert [visible.category for visible in both.objects] == [THINGS.index("ball"), THINGS.index("gear")]
    assert np.array_equal(both.mask(both.objects[0]), drawn(disc).ids > 0)


def test_an_object_of_which_less_than_twelve_pixels_are_seen_is_none():
    def dot(pixels):
        return thing(stroke(material(), bar((0, 0), (0, 0), ONE * pixels // 16)))

    assert [visible.area for visible in drawn(dot(2)).objects] == [12]
    assert drawn(dot(1)).objects == ()
    assert not drawn(dot(1)).ids.any()


def test_no_stroke_breaks_however_small_the_image():
    wire = thing(stroke(material(), bar((-ONE, -ONE // 3), (ONE, ONE // 2), 1)))
    for size in (32, 61, 256):
        mask = drawn(wire, size=size).ids > 0
        columns = np.flatnonzero(mask.any(axis=0))
        assert np.array_equal(columns, np.arange(columns[0], columns[-1] + 1))
        assert size // 2 - 1 <= len(columns) <= size // 2 + 2


@pytest.mark.parametrize("task", TASKS)
def test_a_scene_is_the_same_at_two_sizes(task):
    """Each pixel of the small masks against the four of the large ones: they may differ at edges only."""
    for index in range(3):
        large, small = (render_scene(make_scene(5, index, task), size) for size in (512, 256))
        halves = large.ids.reshape(256, 2, 256, 2)
        agree = (halves == small.ids[:, None, :, None]).any(axis=(1, 3))
        assert agree.mean() > 0.995
        for visible in small.objects:
            if visible.area < 400:
                continue
            covered = (halves == visible.number).sum(axis=(1, 3)) >= 2
            both, either = (f(covered, small.ids == visible.number).sum() for f in (np.logical_and, np.logical_or))
            assert both / either > (0.6 if task == "dis" else 0.55)
        colours = large.image.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
        assert np.abs(colours - small.image).mean() < 8


def test_a_wider_frame_moves_objects_apart_and_does_not_stretch_them():
    disc = stroke(material(), bar((0, 0), (0, 0), ONE))
    scene = Scene(grey(), (thing(disc, x=TOP // 4),), (0, -256), (0, 0, 0), 0, 0, 0)
    square, wide = render_scene(scene, 64), render_scene(scene, (64, 128))
    assert np.array_equal(square.ids[:, :32], wide.ids[:, 16:48])


def test_splits_tasks_seeds_and_indices_have_no_scene_in_common():
    result = [
        repr(make_scene(seed, index, task, split).sun) + repr(make_scene(seed, index, task, split).seed)
        for seed in range(2)
        for index in range(8)
        for task in TASKS
        for split in ("train", "val")
    ]
    assert len(set(result)) == len(result)


def test_a_scene_is_drawn_again_as_it_was():
    first, again = (render_scene(make_scene(3, 4, "objects"), 64) for _ in range(2))
    assert digest(first) == digest(again)


def test_masks_are_those_of_the_map_and_classes_those_of_the_objects():
    result = render_scene(make_scene(0, 3, "objects"), (96, 160))
    assert len(result.objects) > 3
    assert sum(visible.area for visible in result.objects) == np.count_nonzero(result.ids)
    for visible in result.objects:
        mask = result.mask(visible)
        assert np.count_nonzero(mask) == visible.area
        assert np.unique(result.semantic[mask]).tolist() == [visible.category]
    behind = result.semantic[result.ids == 0]
    assert behind.min() >= len(THINGS)
    assert behind.max() < len(CLASSES)


def test_the_object_that_names_an_image_is_in_it_and_every_class_has_its_turn():
    labels = []
    for index in range(len(THINGS)):
        result = render_scene(make_scene(1, index, "classes"), 128)
        labels.append(result.label)
        largest = max((visible for visible in result.objects), key=lambda visible: visible.number)
        assert largest.category == result.label
    assert labels == list(range(len(THINGS)))


def thinness(mask):
    """Share of a mask's pixels that have a pixel outside it beside them."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return 1 - np.count_nonzero(mask & inside) / np.count_nonzero(mask)


def test_objects_of_dis_are_thin_and_a_ball_is_not():
    shares = [thinness(render_scene(make_scene(0, index, "dis"), 512).ids > 0) for index in range(12)]
    assert np.median(shares) > 0.08
    assert max(shares) > 0.5  # wires, of 2 px
    ball = thing(stroke(material(), bar((0, 0), (0, 0), ONE)))
    assert thinness(drawn(ball, size=512).ids > 0) < 0.03


def test_a_shadow_darkens_the_ground_and_no_mask():
    disc = thing(stroke(material(), bar((0, 0), (0, 0), ONE)))
    bright = Scene(grey(), (disc,), (180, -160), (0, 0, 0), 0, 0, 0)
    shaded = replace(bright, background=replace(grey(), shadows=True))
    without, with_shadow = render_scene(bright, 128), render_scene(shaded, 128)
    assert np.array_equal(without.ids, with_shadow.ids)
    darker = without.image.astype(int) - with_shadow.image
    assert darker[without.ids == 0].max() > 30
    assert darker.min() >= 0
    edge_free = (without.ids > 0) & (np.roll(without.ids, 2, 0) > 0) & (np.roll(without.ids, -2, 0) > 0)
    assert not darker[edge_free & np.roll(edge_free, 2, 1) & np.roll(edge_free, -2, 1)].any()


@pytest.mark.parametrize("size", [7, 9000, (64, 4)])
def test_a_size_that_cannot_be_drawn_is_refused(size):
    with pytest.raises(ValueError, match=r"each side is 8 to 8,192 px"):
        render_scene(make_scene(0, 0), size)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="allowed are classes, objects, dis, coift, hrsod"):
        make_scene(0, 0, "panoptic")
