"""Merging: nothing is lost, nothing leaves the folder, and the order does not matter."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from linbench.merging import merge
from linbench.records import Record, Status, Store
from tests.reports.accuracy_cases import score
from tests.reports.cases import record


def made(ms: float, day: int, **more: object) -> Record:
    """A record of three rounds that began on one day."""
    stored = record("vim-t", 512, ms)
    rounds = tuple({**entry, "started": f"2026-11-{day}T0{i}:00:00Z"} for i, entry in enumerate(stored.rounds))
    return replace(stored, rounds=rounds, **more)  # type: ignore[arg-type]


def folder(root: Path, name: str, *records: Record) -> Path:
    for entry in records:
        Store(root / name).put(entry)
    return root / name


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_rounds_of_one_measurement_gather_in_the_order_of_their_times(tmp_path):
    a, b = folder(tmp_path, "a", made(5.0, 21)), folder(tmp_path, "b", made(6.0, 22))
    done = merge([b, a], tmp_path / "out")
    (stored,) = Store(tmp_path / "out")
    assert [entry["started"][8:10] for entry in stored.rounds] == ["21"] * 3 + ["22"] * 3
    assert (done.records, done.joined, done.conflicts, done.faults) == (1, 1, (), ())


def test_another_commit_is_kept_beside_and_the_last_measured_is_the_one_that_a_run_and_a_report_find(tmp_path):
    old, new = made(5.0, 21, code_hash="old"), made(6.0, 22)
    out = tmp_path / "out"
    done = merge([folder(tmp_path, "a", new), folder(tmp_path, "b", old)], out)
    assert {stored.to_json() for stored in Store(out)} == {old.to_json(), new.to_json()}
    assert Store(out).get(new.key) == new
    assert list(Store(out))[-1] == new  # reports keep the last of one key
    assert [(entry.shown, entry.others) for entry in done.conflicts] == [(new, (old,))]


def disturbed(ms: float, day: int, others: float = 0.5, **more: object) -> Record:
    entry = made(ms, day, **more)
    return replace(entry, rounds=tuple({**part, "others_share": others} for part in entry.rounds))


def test_disturbed_rounds_join_no_undisturbed_ones_and_are_never_shown_instead(tmp_path):
    quiet, busy, busier = made(5.0, 21), disturbed(9.0, 22), disturbed(9.5, 23)
    out = tmp_path / "out"
    (conflict,) = merge([folder(tmp_path, str(i), e) for i, e in enumerate((busy, quiet, busier))], out).conflicts
    assert conflict.shown == Store(out).get(quiet.key) == quiet
    assert [len(other.rounds) for other in conflict.others] == [6]


def test_the_most_rounds_are_shown_and_not_the_last_measured(tmp_path):
    first, last = made(5.0, 21), made(6.0, 22, code_hash="new")
    last = replace(last, rounds=last.rounds[:2])
    (conflict,) = merge([folder(tmp_path, "a", last), folder(tmp_path, "b", first)], tmp_path / "out").conflicts
    assert (conflict.shown, conflict.others) == (first, (last,))


def test_a_cell_that_failed_on_one_machine_never_hides_its_times_on_another(tmp_path):
    failed = replace(made(5.0, 29), status=Status.OOM, reason="9 GB asked for", rounds=())
    done = merge([folder(tmp_path, "a", failed), folder(tmp_path, "b", made(5.0, 21))], tmp_path / "out")
    assert [entry.shown.status for entry in done.conflicts] == [Status.OK]
    assert done.records == 2


def test_scores_that_are_equal_but_for_the_clock_are_one_and_others_are_never_put_into_one_record(tmp_path):
    first = score("vim-t", "dis", 0.8)
    again = replace(first, rounds=({**first.rounds[0], "started": "2027-01-01", "seconds": 9.0},))
    other = replace(score("vim-t", "dis", 0.8, seed=5), key=first.key)
    out = tmp_path / "out"
    assert merge([folder(tmp_path, "a", first), folder(tmp_path, "b", again)], out).records == 1
    assert merge([folder(tmp_path, "c", other)], out).records == 2
    assert all(len(stored.rounds) == 1 for stored in Store(out))


def test_every_order_gives_the_same_files_and_the_second_time_none_is_written(tmp_path):
    sets = [made(5.0, 21), made(6.0, 22), made(7.0, 23, code_hash="old"), made(8.0, 20, log="x", status=Status.WRONG)]
    sets += [disturbed(9.0, 24), disturbed(9.5, 25), disturbed(9.9, 26, 0.2, code_hash="old")]
    folders = [folder(tmp_path, str(i), entry) for i, entry in enumerate(sets)]
    merge(folders, tmp_path / "all")
    merge(folders[::-1], tmp_path / "back")
    for entry in (folders[2], folders[5], folders[0], folders[4], folders[3], folders[6], folders[1]):
        merge([entry], tmp_path / "one by one")
    assert contents(tmp_path / "all") == contents(tmp_path / "back") == contents(tmp_path / "one by one")
    before = contents(tmp_path / "all")
    assert merge([*folders, tmp_path / "back"], tmp_path / "all").written == ()
    assert contents(tmp_path / "all") == before


def test_what_is_read_is_left_as_it_was_and_what_is_there_already_stays(tmp_path):
    a, b = folder(tmp_path, "a", made(5.0, 21)), folder(tmp_path, "b", made(6.0, 22, code_hash="old"))
    before = contents(a), contents(b)
    merge([a], b)
    assert contents(a) == before[0]
    assert {stored.to_json() for stored in Store(b)} == {
        made(5.0, 21).to_json(),
        made(6.0, 22, code_hash="old").to_json(),
    }


def test_a_damaged_file_is_named_and_where_a_good_one_takes_its_place_it_is_kept(tmp_path):
    a, out = folder(tmp_path, "a", made(5.0, 21)), folder(tmp_path, "out", made(5.0, 21))
    (place,) = (path for path, _ in Store(out).items())
    place.write_text("{", encoding="utf-8")
    done = merge([a], out)
    assert [path for path, _ in done.faults] == [place]
    assert Store(out).get(made(5.0, 21).key) == made(5.0, 21)
    assert place.with_name(f"{place.name}.damaged").read_text(encoding="utf-8") == "{"


@pytest.mark.parametrize(
    "key",
    [
        {"device": "../../elsewhere", "backbone": "../.."},
        {"device": "/etc", "backbone": "C:\\x"},
        {"backbone": "x\u0000y"},
    ],
)
def test_no_name_in_a_record_leads_out_of_the_folder(tmp_path, key):
    whole = replace(made(5.0, 21), key={**made(5.0, 21).key, **key})
    path = tmp_path / "a" / "d" / "s" / "b" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(whole.to_json(), encoding="utf-8")
    before = contents(tmp_path)
    done = merge([tmp_path / "a"], tmp_path / "out")
    made_here = contents(tmp_path).keys() - before.keys()
    assert done.records == 1 and all(name.startswith("out/") for name in made_here)


@pytest.mark.parametrize("key", [{"suite": "latency"}, {**record("x" * 300, 512, 1.0).key, "part": "p" * 300}])
def test_a_record_that_has_no_place_is_named_and_the_others_are_merged(tmp_path, key):
    a = folder(tmp_path, "a", made(5.0, 21))
    path = a / "d" / "s" / "b" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**json.loads(made(5.0, 21).to_json()), "key": key}), encoding="utf-8")
    done = merge([a], tmp_path / "out")
    assert (done.records, [fault for fault, _ in done.faults]) == (1, [path])


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    a = folder(tmp_path, "a", made(5.0, 21))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    device = next(path for path in a.iterdir()).name
    (tmp_path / "out" / device).symlink_to(tmp_path / "elsewhere")
    done = merge([a], tmp_path / "out")
    assert done.records == 0 and len(done.faults) == 1
    assert not list((tmp_path / "elsewhere").iterdir())
