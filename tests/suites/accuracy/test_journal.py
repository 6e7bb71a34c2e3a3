"""The journal: whatever a killed process left of it, each image counts once and no other run's does."""

import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linbench.suites.accuracy.journal import Journal

HEADER = {"key": "k", "code": "c"}
ROWS = [{"number": n, "id": f"ü{n}", "iou": n / 7} for n in range(4)]


def written(folder: Path, process: int = 0, rows=ROWS, header=HEADER) -> Path:
    with Journal(folder / "cell.json", header).appending(process) as append:
        for row in rows:
            append(row)
    return folder / f"cell.{process}.journal"


def rows(folder: Path, header=HEADER) -> dict:
    return Journal(folder / "cell.json", header).rows()


def test_rows_come_back_as_they_were_to_the_last_bit(tmp_path: Path) -> None:
    written(tmp_path)
    assert list(rows(tmp_path).values()) == ROWS


def test_a_journal_cut_at_any_byte_gives_its_whole_lines_and_can_be_gone_on_with(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        lines = max(0, sum(end <= size for end in ends) - 1)
        assert list(rows(tmp_path).values()) == ROWS[:lines], size
        written(tmp_path, rows=ROWS[lines:])
        assert path.read_bytes() == whole, size


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_never_gives_another_row(place: int, byte: int, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("journal")
    path = written(folder)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content)
    found = list(rows(folder).values())
    assert found == ROWS[: len(found)]


def test_the_journal_of_another_key_or_code_is_not_read_and_is_begun_anew(tmp_path: Path) -> None:
    path = written(tmp_path)
    other = HEADER | {"code": "d"}
    assert rows(tmp_path, other) == {}
    written(tmp_path, rows=ROWS[:1], header=other)
    assert list(rows(tmp_path, other).values()) == ROWS[:1]
    assert rows(tmp_path) == {}
    assert path.exists()


def test_an_image_that_two_processes_have_counts_once(tmp_path: Path) -> None:
    written(tmp_path, 0, ROWS[:3])
    written(tmp_path, 2, ROWS[1:])
    assert sorted(rows(tmp_path)) == [0, 1, 2, 3]


def test_clearing_removes_the_journals_of_all_processes_and_of_no_other_record(tmp_path: Path) -> None:
    written(tmp_path, 0)
    written(tmp_path, 5)
    other = tmp_path / "cell2.0.journal"
    other.write_bytes(b"")
    Journal(tmp_path / "cell.json", HEADER).clear()
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.parametrize("text", ["[]", "7", "null", "{}", '{"number": "1"}', "{", "[" * 5000, "9" * 5000])
def test_a_line_whose_check_is_right_and_which_is_no_row_ends_what_is_read(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, rows=ROWS[:2])
    with path.open("ab") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode()))
    assert list(rows(tmp_path).values()) == ROWS[:2]
    written(tmp_path, rows=ROWS[2:])
    assert list(rows(tmp_path).values()) == ROWS
