"""A run's log and its curves: of every whole line, whatever stands between."""

import json
import math

import pytest

from linbench.train.log import LOG_NAME, read_log, write_curves

LINE = {"step": 1, "losses": {"loss": 2.0, "plain": "nan"}, "lr": 0.1}


def write(folder, *lines):
    (folder / LOG_NAME).write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    )


def test_only_objects_whose_step_is_an_integer_are_lines(tmp_path):
    write(
        tmp_path, "{", "[" * 5000, "9" * 5000, "[]", {"step": "1"}, {"step": None}, {"step": True}, LINE, {"how": 1}
    )
    assert list(read_log(tmp_path / LOG_NAME)) == [LINE, {"how": 1}]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "9" * 5000,
        {**LINE, "step": "1"},
        {**LINE, "step": -1},
        {**LINE, "step": 2**60},
        {**LINE, "losses": {"other": 1.0}},
        {**LINE, "losses": {"loss": [], "plain": 1.0}},
        {**LINE, "losses": {"loss": "much", "plain": 1.0}},
        {**LINE, "losses": []},
        {**LINE, "lr": None},
        {"step": 2, "losses": LINE["losses"]},
    ],
)
def test_a_line_that_is_no_step_is_left_out(tmp_path, line):
    write(tmp_path, LINE, line, {**LINE, "step": 3})
    assert write_curves(tmp_path) == [tmp_path / "curves.png"]
    write(tmp_path, line)
    if not (
        isinstance(line, dict) and line["losses"] == {"other": 1.0}
    ):  # the first line says which losses there are
        with pytest.raises(ValueError, match="with a step in it"):
            write_curves(tmp_path)


def test_a_name_with_dollars_is_text_and_no_formula(tmp_path):
    write(tmp_path, {**LINE, "losses": {r"$\frac{": 1.0, "a\nb": math.pi}})
    assert write_curves(tmp_path) == [tmp_path / "curves.png"]
