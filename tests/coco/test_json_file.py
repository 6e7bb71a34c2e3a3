"""JSON that is read by entries says the same as JSON read at once, and both name the byte where they stop."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linbench.coco.json_file import entries, load
from tests.data.sets import dump

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(st.text(max_size=4), st.lists(VALUES, max_size=4) | VALUES, max_size=4)


@given(table=TABLES | st.lists(VALUES, max_size=4), ascii_=st.booleans(), indent=st.sampled_from([None, 1]))
def test_entries_are_those_of_the_lists_and_stand_where_they_say(tmp_path_factory, table, ascii_, indent):
    file = tmp_path_factory.mktemp("json") / "a.json"
    file.write_text(json.dumps(table, ensure_ascii=ascii_, indent=indent), encoding="utf-8")
    content = file.read_bytes()
    lists = {"": table} if isinstance(table, list) else table
    expected = [value for values in lists.values() if isinstance(values, list) for value in values]
    result = list(entries(file))
    assert [entry.value for entry in result] == expected
    assert [json.loads(content[entry.begin : entry.end]) for entry in result] == expected


@pytest.mark.parametrize("text", ['{"a": [1, 2, "é"], "b": ?}', '{"a": ["日本", ?]}', "[1, ?]"])
def test_both_ways_of_reading_name_the_byte_and_not_the_character(tmp_path, text):
    content = text.encode()
    position = content.index(b"?")
    with pytest.raises(ValueError, match=rf"^x: it is not JSON at byte {position} of {len(content)}: "):
        load(content, "x")
    file = dump(tmp_path / "a.json", text)
    with pytest.raises(ValueError, match=rf"a\.json: it is not JSON at byte {position} of {len(content)}: "):
        list(entries(file))


def test_what_is_before_the_damage_has_been_given_when_the_damage_is_met(tmp_path):
    reading = entries(dump(tmp_path / "a.json", '[1, 2, {"a": 3}, x]'))
    assert [next(reading).value for _ in range(3)] == [1, 2, {"a": 3}]
    with pytest.raises(ValueError, match="at byte 17 of 19"):
        next(reading)


def test_a_file_that_is_too_large_or_missing_is_refused_before_it_is_read(tmp_path):
    file = dump(tmp_path / "a.json", "[1, 2]")
    with pytest.raises(ValueError, match=r"a\.json: it has 6 bytes; at most 5 are read"):
        list(entries(file, most_bytes=5))
    with pytest.raises(ValueError, match=r"b\.json: it cannot be read: No such file"):
        list(entries(tmp_path / "b.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"[]", mtime=0), "it is compressed by gzip; decompress it"),
        (b"PK\x03\x04 and so on", "it is a zip; unpack it"),
        ("[]".encode("utf-16"), "it is UTF-16 text; store it as UTF-8"),
    ],
)
def test_json_in_another_coat_is_refused_with_what_it_is(tmp_path, content, message):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{file}: {message}"):
        list(entries(file))
