"""Records: whole or absent, strict on reading."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from linbench.records import BadRecord, Record, Status, Store, as_number, key_hash, preferred, read, slug

KEY: dict[str, Any] = {
    "suite": "latency",
    "backbone": "timm/resnet18",
    "height": 64,
    "width": 96,
    "dtype": "float32",
    "preset": "best",
    "device": "Intel(R) Xeon(R) CPU @ 2.80GHz",
}


def record(**changes: Any) -> Record:
    return Record(key=KEY | changes, status=Status.OK, rounds=({"samples_ms": [1.0, 2.0]},), code_hash="abc")


def test_a_record_survives_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record())
    assert store.get(KEY) == record()
    assert list(store) == [record()]


def test_the_path_tells_device_suite_backbone_and_the_keys_hash(tmp_path: Path) -> None:
    path = Store(tmp_path).put(record())
    expected = f"intel-xeon-cpu-2.80ghz/latency/timm-resnet18/64x96-float32-best-{key_hash(KEY)[:8]}.json"
    assert str(path.relative_to(tmp_path)) == expected


def test_the_hash_depends_on_every_entry_of_the_key_and_not_on_their_order() -> None:
    assert key_hash(KEY) == key_hash(dict(reversed(KEY.items())))
    assert len({key_hash(KEY), *(key_hash(KEY | {name: "other"}) for name in KEY)}) == len(KEY) + 1


def test_writing_again_replaces_and_leaves_one_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record())
    path = store.put(Record(key=KEY, status=Status.OOM, reason="no memory"))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert read(path).status is Status.OOM


def test_a_number_that_json_has_not_is_never_written(tmp_path: Path) -> None:
    bad = Record(key=KEY, status=Status.OK, rounds=({"samples_ms": [float("nan")]},))
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path).put(bad)
    assert list(Store(tmp_path)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version is 2, this linbench reads 1"),
        ({"status": "fine"}, "status 'fine' is none of ok, oom"),
        ({"rounds": "many"}, "'rounds' is not a list"),
        ({"rounds": [1]}, "a round or a metric in it is not an object"),
        ({"key": None}, "'key' is not a dict"),
    ],
)
def test_another_schema_is_refused_with_its_fault(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecord, match=message):
        Record.from_json(json.dumps(json.loads(record().to_json()) | change))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\x00"])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(BadRecord):
        Record.from_json(text)


def test_a_bad_file_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = store.put(record())
    bad = good.with_name("bad.json")
    bad.write_bytes(b"\xff\xfe")
    assert list(store) == [record()]
    assert store.faults == [(bad, "it is not UTF-8 text")]


def test_one_writer_at_a_time_and_leftovers_of_a_killed_one_are_cleared(tmp_path: Path) -> None:
    left = Store(tmp_path).path(KEY).with_name(".left.json.tmp")
    left.parent.mkdir(parents=True)
    left.touch()
    with Store(tmp_path).writing():
        assert not left.exists()
        with pytest.raises(BlockingIOError), Store(tmp_path).writing():
            pass
    with Store(tmp_path).writing():
        pass


@pytest.mark.parametrize(
    ("text", "name"), [("../..", "unnamed"), ("a/../b", "a-..-b"), ("NVIDIA H200", "nvidia-h200")]
)
def test_a_slug_is_one_plain_file_name(text: str, name: str) -> None:
    assert slug(text) == name


@pytest.mark.parametrize("value", [None, True, "1", [1], math.nan, math.inf, -math.inf, 10**400, 1e301])
def test_what_is_no_finite_number_in_a_record_is_read_as_nan(value: Any) -> None:
    assert math.isnan(as_number(value))


def test_a_number_below_the_least_is_read_as_nan() -> None:
    assert (as_number(0, least=0), as_number(-2.5)) == (0.0, -2.5)
    assert math.isnan(as_number(-1, least=0))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1e999", "it holds 1e999, a number that is not finite"),
        ("9" * 400, "it holds a number of 400 digits"),
        (r'"\ud800"', r"it holds half of a character, '\ud800'"),
        ("[" * 100 + "]" * 100, "its JSON is nested more than 60 deep"),
    ],
)
def test_what_could_not_be_written_or_copied_again_is_refused_on_reading(value: str, said: str) -> None:
    text = record(extra=1).to_json()
    with pytest.raises(BadRecord) as caught:
        Record.from_json(text.replace('"extra": 1', f'"extra": {value}'))
    assert str(caught.value) == said


def test_a_character_in_two_escapes_and_a_long_number_are_read() -> None:
    text = record(extra=1).to_json().replace('"extra": 1', rf'"extra": ["\ud83d\ude00", {"9" * 300}, 1e308]')
    found = Record.from_json(text)
    assert found.key["extra"] == ["😀", int("9" * 300), 1e308]
    assert Record.from_json(found.to_json()) == found


def test_what_cannot_be_read_in_a_records_place_is_no_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.path(KEY)
    path.mkdir(parents=True)
    assert store.get(KEY) is None
    path.rmdir()
    path.symlink_to(path.name)
    assert store.get(KEY) is None


def outcome(rounds: int, status: Status = Status.OK, **entry: Any) -> Record:
    entries = tuple({"samples_ms": [1.0], "started": "2026-11-21", **entry} for _ in range(rounds))
    return Record(key=KEY, status=status, rounds=entries)


def test_of_several_outcomes_the_undisturbed_one_with_the_most_rounds_is_preferred() -> None:
    from_worst = [
        outcome(5, Status.WRONG),
        outcome(5, others_share=0.72),
        outcome(6, throttled=["power cap"]),
        outcome(2, started="2026-11-29"),
        outcome(3, others_share=0.08, started="2026-11-29"),
        outcome(3, others_share=None),
        outcome(3, started="2026-11-22"),
        outcome(5),
    ]
    for i in range(1, len(from_worst)):
        assert preferred(from_worst[: i + 1]) is preferred(from_worst[i::-1]) is from_worst[i]
