"""The paper's figures by what they plot."""

import math

import numpy as np
import pytest

from linbench.records import Status
from linbench.reports.paper import figure1, figure3, masks
from linbench.reports.paper.masks import ModelMask, PromptRow
from linbench.reports.statistics.crossover import Crossover
from tests.reports.cases import power_law, record
from tests.reports.paper.cases import build_table, evidence, score, some

SIDES = (512, 1024, 2048)


def sweep():
    """Two backbones under both presets; under ``paper`` the last size of one is out of memory."""
    best = {"preset": "best", "matmul": "medium", "allocator": "keep"}
    return [
        *power_law("vit-s", 300, 2.0, SIDES[:2], noise=0.0),
        record("vit-s", 2048, status=Status.OOM),
        *power_law("rwkv-sam-s", 600, 1.0, SIDES, noise=0.0),
        *power_law("vit-s", 200, 2.0, SIDES, noise=0.0, **best),
        *power_law("rwkv-sam-s", 100, 1.0, SIDES, noise=0.0, **best),
        *power_law("vim-s", 100, 1.0, SIDES, noise=0.0, part="encoder", prompts=0),
    ]


def drawn(records):
    """The only picture of Figure 3."""
    known = evidence(records)
    (groups,) = figure3.pages(known.latency).values()
    return figure3.draw(groups, known.device)


def figure_1(records):
    """The numbers of Figure 1."""
    return build_table("figure-1", evidence(records))


def points(axes, **wanted):
    """The lines of a look, as arrays of x and y."""
    return [
        (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def test_figure_3_has_a_panel_for_each_preset_on_one_scale():
    left, right = panels = drawn(sweep()).axes
    assert (left.get_title("left"), right.get_title("left")) == ("preset paper, float32", "preset best, float32")
    assert left.get_ylim() == right.get_ylim()
    assert [axes.get_xscale() + axes.get_yscale() for axes in panels] == ["loglog"] * 2
    (vit,) = points(left, label="vit-s\np = 2.00 ±0.00")
    assert vit == ([512, 1024], pytest.approx([300, 4800]))
    (ours,) = points(right, label="rwkv-sam-s\np = 1.00 ±0.00")
    assert ours == ([512, 1024, 2048], pytest.approx([100, 400, 1600]))
    assert not [text for axes in panels for text in axes.get_legend().get_texts() if "vim" in text.get_text()]


def test_figure_3_marks_a_failure_at_its_resolution_and_the_crossover_on_the_line():
    left, right = drawn(sweep()).axes
    assert [x for x, _ in points(left, marker="x")] == [[2048]]
    assert points(right, marker="x") == []
    assert [text.get_text() for text in left.texts] == ["vit-s: oom"]
    (ring,) = points(left, markerfacecolor="none")
    assert ring == ([pytest.approx(512 * 2**0.5)], [pytest.approx(1200)])


def test_the_interval_of_a_crossover_is_a_bar_through_its_ring():
    noisy = [*power_law("vit-s", 300, 2.0, SIDES, noise=0.1), *power_law("vim-s", 600, 1.0, SIDES, noise=0.1)]
    (axes,) = drawn(noisy).axes
    ((px,), (ms,)) = points(axes, markerfacecolor="none")[0]
    ((low, high), at) = points(axes, marker="|")[0]
    assert low < px < high
    assert at == [ms, ms]


def test_figure_3_has_the_papers_points_hollow_in_milliseconds():
    left, right = drawn(sweep()).axes
    hollow = points(left, markerfacecolor="white")
    assert hollow == [
        ([512, 1024], pytest.approx([1000 / 86.8, 1000 / 17.8])),
        ([512, 1024], pytest.approx([1000 / 73.4, 1000 / 40.3])),
    ]
    assert points(right, markerfacecolor="white") == []
    assert left.get_ylim()[0] < 1000 / 86.8
    assert "rwkv-sam-s\nquoted, A100" in [text.get_text() for text in left.get_legend().get_texts()]


def test_figure_3_never_has_quoted_points_of_another_variant_than_the_curves():
    tiny = [*power_law("vit-t", 100, 2.0), *power_law("rwkv-sam-t", 90, 1.0)]
    (axes, *_) = drawn(tiny).axes
    assert points(axes, markerfacecolor="white") == []
    assert "hollow" not in drawn(tiny).get_supxlabel()
    both = [*tiny, *power_law("vit-s", 300, 2.0)]
    assert points(drawn(both).axes[0], markerfacecolor="white") == []


def test_figure_3_of_nothing_is_no_picture_and_still_a_table():
    assert figure3.pages(evidence([]).latency) == {}
    assert figure3.pages(evidence([record("vit-s", 512, status=Status.OOM)]).latency) == {}
    assert len(build_table("figure-3", evidence([])).cells()) == 8


def test_figure_1_shows_quoted_points_and_of_the_measured_those_that_have_rate_and_accuracy():
    quoted, paper, best = figure1.panels(figure_1(some()))
    assert [(point.method, point.fps, point.accuracy, point.parameters) for point in quoted.points][-1] == (
        "RWKV-SAM",
        *(40.3, 80.5, 19.7),
    )
    for panel in (paper, best):
        assert [point.method for point in panel.points] == ["RWKV-SAM"]
        assert panel.points[0].accuracy == 80.1
        assert "Vim-S + SAM (rate)" in panel.omitted
    assert "SAM (ViT-H) (rate)" in paper.omitted  # it ran out of memory


def test_figure_1_draws_areas_that_grow_with_the_parameters():
    left, middle, _ = figure1.draw(figure_1(some())).axes
    areas = sorted((circle.get_sizes()[0], tuple(circle.get_offsets()[0])) for circle in left.collections)
    assert areas[-1] == (4.0 * 600, (2.5, 62.0))
    assert [tuple(circle.get_facecolors().shape) for circle in left.collections] == [(0, 4)] * 7  # hollow
    ours = [circle.get_offsets()[0][1] for circle in middle.collections if hasattr(circle, "get_sizes")]
    assert 80.1 in [pytest.approx(y) for y in ours]
    assert left.get_ylim() == middle.get_ylim()


def test_figure_1_without_measurements_is_the_papers_points_alone():
    (axes,) = figure1.draw(figure_1([score("vim-s", "dis", {"miou": 77.0})])).axes
    assert axes.get_title("left") == "quoted, A100"


def image():
    return np.full((100, 200, 3), 120, np.uint8)


def mask(*rectangles):
    found = np.zeros((100, 200), bool)
    for x0, y0, x1, y1 in rectangles:
        found[y0:y1, x0:x1] = True
    return found


def row(*masks, points=()):
    entries = tuple(ModelMask(f"model {i}", one) for i, one in enumerate(masks))
    return PromptRow("a.jpg #1", image(), (10.0, 10.0, 90.0, 90.0), points, entries)


def test_the_close_up_is_where_models_disagree():
    same = (10, 10, 60, 60)
    place = masks.close_up(row(mask(same), mask(same, (150, 70, 170, 90))))
    assert place[0] <= 150 and place[2] >= 170 and place[1] <= 70 and place[3] >= 90
    assert place[2] - place[0] == place[3] - place[1]


def test_the_close_up_of_one_model_is_on_its_boundary():
    x0, y0, x1, y1 = masks.close_up(row(mask((120, 30, 190, 95))))
    inside = mask((120, 30, 190, 95))[y0:y1, x0:x1]
    assert 0 < inside.mean() < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_the_close_up_stays_in_the_picture(size):
    one = PromptRow("", np.zeros((*size, 3), np.uint8), None, (), (ModelMask("", np.ones(size, bool)),))
    x0, y0, x1, y1 = masks.close_up(one)
    assert 0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]


def test_a_grid_has_each_picture_whole_and_close_for_each_model():
    drawn = masks.draw([row(mask((5, 5, 50, 50)), None), row(mask((5, 5, 9, 9)), mask())], "title $x$")
    assert len(drawn.axes) == 4 * 3
    whole, close = drawn.axes[1], drawn.axes[4]
    assert np.asarray(whole.images[0].get_array()).tolist() == masks.blended(image(), mask((5, 5, 50, 50))).tolist()
    x0, y0, x1, y1 = masks.close_up(row(mask((5, 5, 50, 50)), None))
    assert (close.get_xlim(), close.get_ylim()) == ((x0, x1), (y1, y0))
    assert [text.get_text() for text in drawn.axes[2].texts] == ["no answer"]
    assert drawn.axes[0].get_ylabel() == "a.jpg #1"


def test_a_mask_is_coloured_and_what_is_around_it_darkened():
    found = masks.blended(image(), mask((0, 0, 100, 100)))
    assert found[50, 150].tolist() == [86, 86, 86]
    assert found[50, 50, 2] > 120 > found[50, 50, 0]


def test_a_warning_stands_over_its_model():
    answer = ModelMask("vit-t", mask((5, 5, 50, 50)), "RANDOM WEIGHTS")
    drawn = masks.draw([PromptRow("a", image(), None, ((20.0, 20.0, 1), (90.0, 9.0, 0)), (answer,))], "")
    assert drawn.axes[1].get_title() == "vit-t\nRANDOM WEIGHTS"
    assert "RANDOM WEIGHTS" in masks.caption("4", [PromptRow("a", image(), None, (), (answer,))])


def test_without_predictions_the_caption_says_how_to_come_by_them():
    assert "linbench predict IMAGE … --backbone hq-sam-l" in masks.caption("4", [])
    assert "linbench paper --figure 8 --predictions" in masks.caption("8", [])


def test_an_interval_that_leaves_the_range_is_said_in_words():
    found = Crossover("vit-s", 600.0, -math.inf, 700.0, "rounds", 512.0, 1024.0, "faster", 1)
    assert found.between() == "below 512–700"
    assert str(found) == "600 (below 512–700)"


def test_dtypes_and_thread_counts_are_pictures_of_their_own():
    records = [
        *power_law("vit-s", 300, 2.0),
        *power_law("vit-s", 200, 2.0, preset="best"),
        *power_law("vit-s", 100, 2.0, dtype="bfloat16", threads=8),
    ]
    found = figure3.pages(evidence(records).latency)
    assert {name: len(groups) for name, groups in found.items()} == {
        "-float32-threads-2": 2,
        "-bfloat16-threads-8": 1,
    }


def test_a_picture_names_how_many_models_it_has_no_room_for():
    records = [one for i in range(20) for one in power_law(f"net-{i:02}", 300 + i, 1.0, noise=0.0)]
    (groups,) = figure3.pages(evidence([*records, *power_law("vit-s", 300, 2.0)]).latency).values()
    labels, left_out = figure3.choose_models(groups)
    assert (len(labels), left_out, labels[0]) == (16, 5, "vit-s")
    assert "5 more models" in figure3.draw(groups, "x").get_supxlabel()
