"""Names below a folder, and none that lead out of it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.data.contract import BadDataset
from linbench.data.listing import checksum, names_in
from linbench.system.untrusted import inside

ROOT = Path("/data/coco/val2017")
PART = st.sampled_from(["..", ".", "", "a", "b.jpg", "~", "...", "C:", "é", "\\", "..\\x", "\0", "%2e%2e", " .. "])


@given(st.lists(PART, max_size=6).map("/".join))
def test_a_name_is_refused_or_stays_in_the_folder(name):
    try:
        path = inside(ROOT, name)
    except ValueError as error:
        assert "leads out of" in str(error)
        assert "\n" not in str(error)
        return
    assert os.path.commonpath([ROOT, os.path.normpath(path)]) == str(ROOT)
    assert os.path.normpath(path) != str(ROOT)


@given(st.text(max_size=40))
def test_any_text_at_all_is_refused_or_stays_in_the_folder(name):
    try:
        path = inside(ROOT, name)
    except ValueError:
        return
    assert os.path.normpath(path).startswith(f"{ROOT}/")


@pytest.mark.parametrize("name", ["000000000042.jpg", "entity_01/a b.jpg", "été.png", "a..b.jpg", "...jpg"])
def test_plain_names_are_taken_as_they_are(name):
    assert inside(ROOT, name) == ROOT / name


def test_names_are_sorted_and_hidden_files_and_others_are_left_out(tmp_path):
    for name in ("b.JPG", "a.jpeg", ".c.jpg", "d.txt", "é.png"):
        (tmp_path / name).write_text("")
    assert names_in(tmp_path) == ["a.jpeg", "b.JPG", "é.png"]
    with pytest.raises(BadDataset, match="the folder cannot be read: No such file"):
        names_in(tmp_path / "none")


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_two_sequences_of_parts_have_one_checksum_only_if_they_are_one(first, second):
    assert (checksum(first) == checksum(second)) == (first == second)
