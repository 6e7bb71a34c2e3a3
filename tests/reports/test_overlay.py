"""The overlay: what is drawn lies where the mask, the box and the points are, and can be seen on any picture."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageChops

from linbench.reports.render.overlay import LONGEST, NARROWEST, SHORTEST, THINNEST, Mark, overlay
from linbench.reports.render.palette import INK, WARNING, mask_colour
from linbench.reports.render.tags import font, place_tag, wrapped


def picture(height, width, value=128):
    return np.full((height, width, 3), value, np.uint8)


def changed(image, value):
    """Where ``image``, ``h w``, is not of the one grey ``value``."""
    return (np.asarray(image).astype(int) != value).any(2)


def disc(height, width, x, y, radius):
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def difference(mine, other):
    return np.asarray(ImageChops.difference(mine, other)).max(2) > 8


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), (SHORTEST, 720)),
        ((1200, 1600), (1600, 1200)),
        ((3000, 6000), (LONGEST, 1024)),
        ((1, 900), (SHORTEST, 160)),
        ((900, 1), (NARROWEST, SHORTEST)),
        ((1, 1), (SHORTEST, SHORTEST)),
    ],
)
def test_a_picture_of_any_size_and_shape_is_drawn_at_one_that_can_be_looked_at(shape, size):
    assert overlay(picture(*shape), []).size == size


def test_a_strip_is_drawn_thick_enough_to_be_seen():
    drawn = np.asarray(overlay(picture(1, 900, 255), [])) == 255
    assert drawn.all(2).any(1).sum() == THINNEST


def test_without_marks_the_picture_is_only_enlarged():
    mine = np.random.default_rng(0).integers(0, 256, (960, 960, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(overlay(mine, [])), mine)


def test_the_fill_is_the_mask_and_nothing_beside_it_changes():
    """At one px for one px; the lines reach three px from the edge, and the box with its tag is elsewhere."""
    mask = disc(960, 960, 600, 500, 200)
    found = changed(overlay(picture(960, 960), [Mark("a", mask, (10, 900, 60, 950))]), 128)
    found[:, :200] = False
    assert found[mask].all()
    assert not found[~disc(960, 960, 600, 500, 205)].any()


@pytest.mark.parametrize("size", [240, 960, 4096])
def test_the_contour_follows_the_edge_of_the_mask_at_every_scale(size):
    """The pure colour of the line lies within 2.5 px, as drawn, of the circle and all around it."""
    mask = disc(size, size, 0.6 * size, 0.5 * size, 0.25 * size)
    drawn = np.asarray(overlay(picture(size, size), [Mark("a", mask, (0, 0.9 * size, 0.05 * size, 0.95 * size))]))
    side = len(drawn)
    y, x = np.nonzero((drawn == mask_colour(0)).all(2))
    y, x = (v[x > side / 5] + 0.5 for v in (y, x))
    away = np.hypot(x - 0.6 * side, y - 0.5 * side) - 0.25 * side
    assert np.abs(away).max() < 2.5 * max(1, side / 960)
    around = np.degrees(np.arctan2(y - 0.5 * side, x - 0.6 * side)) // 5
    assert len(np.unique(around)) == 72


def test_the_edges_of_lines_are_smooth():
    """Beside pure colours there are many between them: a drawing without smoothing has three."""
    mark = Mark("a", disc(960, 960, 600, 500, 200), (10, 900, 60, 950))
    drawn = np.asarray(overlay(picture(960, 960), [mark]))[250:760, 350:860]
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 40


def test_a_mask_at_the_edge_of_the_picture_is_closed_there():
    mask = np.zeros((960, 960), bool)
    mask[:, :300] = True
    drawn = np.asarray(overlay(picture(960, 960), [Mark("a", mask, (800, 800, 900, 900))]))
    assert (drawn[480, 0] == mask_colour(0)).all()
    assert (drawn[0, 150] == mask_colour(0)).all()


def test_an_empty_mask_draws_its_box_alone():
    box = (100, 100, 300, 300)
    empty = overlay(picture(960, 960), [Mark("a", np.zeros((960, 960), bool), box)])
    assert empty == overlay(picture(960, 960), [Mark("a", None, box)])


def test_later_fills_do_not_hide_earlier_contours():
    first, second = disc(960, 960, 400, 480, 200), disc(960, 960, 600, 480, 300)
    drawn = np.asarray(overlay(picture(960, 960), [Mark("a", m, (0, 0, 9, 9)) for m in (first, second)]))
    assert (drawn[478:482, 598:602] == mask_colour(0)).all(2).any()  # the right end of the first, inside the second


def test_the_picture_is_seen_through_any_number_of_masks_on_each_other():
    half = picture(960, 960)
    half[:, :480], half[:, 480:] = 0, 200
    whole = np.ones((960, 960), bool)
    drawn = np.asarray(overlay(half, [Mark("a", whole, (5, 5, 9, 9)) for _ in range(18)]), dtype=int)
    dark, bright = drawn[700, 200], drawn[700, 700]
    assert (bright - dark >= 0.39 * 200).all()
    one, two = (np.asarray(overlay(half, [Mark("a", whole, (5, 5, 9, 9))] * n))[700, 200] for n in (1, 2))
    assert (np.abs(one - 0.36 * np.array(mask_colour(0))) <= 1).all() and not (one == two).all()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_every_colour_is_seen_on_every_grey_by_its_line_or_by_its_dark_edge(value):
    box = (200, 200, 700, 700)
    for i in range(12):
        mark = [Mark("", None, (0, 0, 1, 1))] * i + [Mark("", None, box)]
        drawn = np.asarray(overlay(picture(960, 960, value), mark)).astype(int)
        across = drawn[400:401, 190:211].reshape(-1, 3)
        assert np.ptp(np.append(across, value)) > 110, (i, value)


def test_boxes_stand_where_they_were_asked_for():
    drawn = changed(overlay(picture(480, 480), [Mark("a", None, (100, 200, 300, 400))]), 128)
    rows, columns = np.flatnonzero(drawn[:, 210]), np.flatnonzero(drawn[700])
    assert abs(rows[-1] - 800) <= 4
    assert abs(columns[0] - 200) <= 4
    assert abs(columns[-1] - 600) <= 4


def test_places_on_a_strip_are_stretched_with_it():
    drawn = overlay(picture(1, 960), [Mark("a", None, (100, 0, 200, 1)), Mark("b", None, None, ((500.0, 0.5, 1),))])
    y, x = np.nonzero(changed(drawn.crop((480, 0, 520, 160)), 128)[68:92])
    assert (abs(x.mean() - 20) < 2, abs(y.mean() - 12) < 2) == (True, True)
    across = np.asarray(drawn)[:, 150].astype(int)
    rows = np.flatnonzero(np.abs(across - mask_colour(0)).max(1) < 40)
    assert (abs(rows[0] - 68) <= 2, abs(rows[-1] - 92) <= 2) == (True, True)


def test_foreground_and_background_points_look_different_and_lie_where_they_were_asked_for():
    blank = picture(960, 960)
    one, none = (overlay(blank, [Mark("a", None, None, ((500.0, 600.0, label),))]) for label in (1, 0))
    assert difference(one, none)[580:620, 480:520].any()
    y, x = np.nonzero(changed(one, 128)[590:, :])
    assert abs(x.mean() - 500) < 2
    assert y.max() + 590 < 612


@pytest.mark.parametrize(
    ("label", "above", "beside", "diagonal"),
    [(1, INK, INK, mask_colour(0)), (0, INK, mask_colour(0), INK)],  # a dark plus on colour; a coloured minus on dark
)
def test_the_sign_of_a_point_is_a_plus_or_a_minus(label, above, beside, diagonal):
    drawn = np.asarray(overlay(picture(960, 960), [Mark("a", None, None, ((500.0, 600.0, label),))])).astype(int)
    for found, wanted in ((drawn[597, 500], above), (drawn[600, 497], beside), (drawn[597, 497], diagonal)):
        assert np.abs(found - wanted).max() < 60


def test_a_tag_says_the_text_and_other_texts_look_different():
    box = (100, 200, 300, 400)
    one, other = (overlay(picture(960, 960), [Mark(text, None, box)]) for text in ("#1 0.91", "#1 0.19"))
    assert difference(one, other).any()


def test_tags_do_not_cover_each_other():
    taken = []
    for _ in range(8):
        tag = place_tag((80, 20), (300, 300, 500, 500), taken, (0, 0, 960, 960))
        for other in taken:
            assert tag[2] <= other[0] or other[2] <= tag[0] or tag[3] <= other[1] or other[3] <= tag[1]
        taken.append(tag)


@pytest.mark.parametrize("beside", [(0, 0, 5, 5), (955, 955, 960, 960), (-50, -50, -10, -10), (0, 0, 960, 960)])
def test_a_tag_lies_inside_the_picture(beside):
    x0, y0, x1, y1 = place_tag((80, 20), beside, [], (0, 0, 960, 960))
    assert 0 <= x0 < x1 <= 960
    assert 0 <= y0 < y1 <= 960


def test_a_warning_is_a_bright_band_above_and_a_caption_a_dark_one_below():
    plain = overlay(picture(960, 960), [])
    drawn = overlay(picture(960, 960), [], caption="a.png", warning="RANDOM WEIGHTS")
    above = np.asarray(drawn)[:4]
    assert (above == WARNING).all()
    assert (np.asarray(drawn)[-4:] == INK).all()
    assert drawn.height > plain.height
    assert overlay(picture(960, 960), [], caption="a.png").height < drawn.height


def test_text_from_elsewhere_makes_no_second_line_and_no_endless_tag():
    hostile = "a\nb\x1b[31m" + "x" * 10_000
    assert overlay(picture(960, 960), [Mark(hostile, None, (100, 200, 300, 400))], hostile[:500]).width == 960


def test_a_long_caption_is_broken_into_lines_that_fit():
    letters = font(16)
    lines = wrapped("two words and " + "x" * 200, letters, 300)
    assert " ".join(lines).replace(" ", "") == "twowordsand" + "x" * 200
    assert all(letters.getlength(line) <= 300 for line in lines)


def test_the_first_colours_differ_in_all_that_is_seen_and_dark_text_stands_on_each():
    colours = np.array([mask_colour(i) for i in range(12)]).astype(float)
    apart = np.abs(colours[:, None] - colours[None]).sum(2) + 999 * np.eye(12)
    assert apart.min() > 60
    light = (np.array([mask_colour(i) for i in range(200)]) / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    assert ((light + 0.05) / 0.0565).min() > 4.5  # WCAG's contrast, to INK


def test_a_mark_without_a_place_is_refused():
    with pytest.raises(ValueError, match="a mark needs a box or points"):
        Mark("a")


def test_drawing_needs_no_torch():
    code = "import sys, linbench.reports.render.overlay; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_marks_are_taken_one_at_a_time():
    """So that the masks of many prompts on a large picture need not all be in memory."""
    import weakref

    alive = []

    class Counted(np.ndarray):
        pass

    def marks():
        for _ in range(5):
            mask = disc(64, 64, 30, 30, 9).view(Counted)
            alive.append(weakref.ref(mask))
            yield Mark("a", mask, (1, 1, 9, 9))
            del mask
            assert sum(ref() is not None for ref in alive) <= 1

    overlay(picture(64, 64), marks())
    assert len(alive) == 5


def test_the_whole_is_a_picture_that_png_holds(tmp_path):
    overlay(picture(30, 40), [Mark("a", disc(30, 40, 20, 15, 9), (2, 2, 30, 28))]).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == "RGB"
