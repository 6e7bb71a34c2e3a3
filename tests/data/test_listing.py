"""Names of files in a folder, and the checksum over them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.data.contract import BadDataset
from linbench.data.listing import checksum, names_in


def test_names_are_sorted_and_hidden_files_and_others_are_left_out(tmp_path):
    for name in ("b.JPG", "a.jpeg", ".c.jpg", "d.txt", "é.png"):
        (tmp_path / name).write_text("")
    assert names_in(tmp_path) == ["a.jpeg", "b.JPG", "é.png"]
    with pytest.raises(BadDataset, match="the folder cannot be read: No such file"):
        names_in(tmp_path / "none")


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_two_sequences_of_parts_have_one_checksum_only_if_they_are_one(first, second):
    assert (checksum(first) == checksum(second)) == (first == second)
