"""Files that others wrote: names stay in their folder, nothing blocks, and messages are one printable line."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.system.untrusted import Fault, inside, open_file, plain

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


@given(st.text(max_size=40))
def test_the_texts_of_a_fault_are_printable_utf8_in_one_line(text):
    fault = Fault(text, text, text)
    for value in (fault.id, fault.file, fault.reason, plain(text)):
        assert len(value.splitlines()) <= 1
        assert value.encode("utf-8") and value == plain(value) if value else text == ""


def test_a_folder_and_a_pipe_are_refused_without_waiting(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder; name the files in it"):
        open_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe, not a file"):
        open_file(tmp_path / "pipe")
