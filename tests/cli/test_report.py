"""``linbench report`` on folders as people have them: whole, damaged, empty, guarded."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app, report
from linbench.records import LARGEST_BYTES, Store, key_hash
from tests.reports.accuracy_cases import score
from tests.reports.cases import power_law, record
from tests.reports.page_cases import accuracy, zoo

NOBODY = 65534


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments])


def folder(root: Path) -> Store:
    store = Store(root)
    for each in [*power_law("vit-t", 9, 1.5), *power_law("vim-t", 12, 1.0), accuracy("vit-t", 61.0)]:
        store.put(each)
    return store


def test_a_report_is_written_in_every_form(tmp_path: Path) -> None:
    store = folder(tmp_path / "results")
    page = tmp_path / "shown" / "page.html"
    result = call("--results", str(store.root), "--out", str(tmp_path / "out"), "--html", str(page))
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    latency = {f"latency.{kind}" for kind in ("md", "csv", "tex", "png", "svg")}
    assert names == {*latency, "accuracy.md", "accuracy.csv", "accuracy.tex"}
    assert r"\toprule" in (tmp_path / "out" / "latency.tex").read_text()
    assert "7 records" in page.read_text(encoding="utf-8")
    assert not list(store.root.glob("*.md"))


def damage(root: Path, whole: str) -> dict[str, str]:
    """Damaged files beside the others: name and what is said of it."""
    damaged = root / "xeon" / "latency" / "vit-t"
    damaged.mkdir(parents=True)
    bad = json.loads(whole)
    texts = {
        "cut.json": (whole[: len(whole) // 2], "it is not JSON"),
        "schema.json": (whole.replace('"schema_version": 1', '"schema_version": 99'), "its schema_version is 99"),
        "nan.json": (re.sub(r'"load_s": [\d.]+', '"load_s": NaN', whole, count=1), "it holds NaN"),
        "huge.json": (whole.replace('"batch": 1', '"batch": 1e999'), "it holds 1e999, a number that is not finite"),
        "digits.json": (whole.replace('"batch": 1', f'"batch": {"9" * 5000}'), "it holds a number of 5,000 digits"),
        "list.json": ("[]", "its schema_version is None"),
        "sizeless.json": (json.dumps({**bad, "key": {**bad["key"], "height": "tall"}}), "height of vit-t is 'tall'"),
        "suiteless.json": (json.dumps({**bad, "key": {}}), "a record needs a suite"),
        "accuracy.json": (json.dumps({**bad, "key": {**bad["key"], "suite": "dis"}}), "needs protocol"),
    }
    for name, (text, _) in texts.items():
        (damaged / name).write_text(text)
    (damaged / "binary.json").write_bytes(b"\xff\xfe{}")
    with (damaged / "large.json").open("wb") as file:
        file.truncate(200 * 2**20)
    (damaged / "folder.json").mkdir()
    said = {name: reason for name, (_, reason) in texts.items()}
    more = {
        "large.json": f"larger than {LARGEST_BYTES // 2**20} MiB",
        "folder.json": "it cannot be read: Is a directory",
    }
    return {**said, "binary.json": "it is not UTF-8 text", **more}


def test_damaged_records_are_named_and_skipped_and_the_report_still_comes(tmp_path: Path) -> None:
    store = folder(tmp_path / "results")
    expected = damage(store.root, record("vit-t", 512, 9.0).to_json())
    page = tmp_path / "page.html"
    result = call("--results", str(store.root), "--no-figures", "--html", str(page))
    assert result.exit_code == 1
    said = [line for line in result.stderr.splitlines() if line.startswith("left out: ")]
    found = {Path(line.split(": ")[1]).name: line for line in said}
    assert found.keys() == expected.keys()
    assert [name for name, reason in expected.items() if reason not in found[name]] == []
    assert f"{len(expected)} left out as damaged" in result.stderr
    assert "Latency of the backbone" in result.stdout
    assert (store.root / "latency.md").exists()
    text = page.read_text(encoding="utf-8")
    assert f"{len(expected)} damaged files were skipped" in text
    assert [name for name in expected if name not in text] == []
    assert "7 records" in text


def test_a_folder_of_damage_alone_is_a_report_of_what_was_skipped(tmp_path: Path) -> None:
    (tmp_path / "a" / "latency" / "b").mkdir(parents=True)
    (tmp_path / "a" / "latency" / "b" / "c.json").write_text("{")
    result = call("--results", str(tmp_path), "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 1
    assert "1 left out as damaged" in result.stderr
    assert "1 damaged file was skipped" in (tmp_path / "page.html").read_text(encoding="utf-8")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read all; somebody else may not."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_and_a_file_without_permission_are_named_and_skipped() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        store = folder(root)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)
        closed, file = next(root.glob("*/dis")), next(root.glob("*/latency/vim-t/*.json"))
        closed.chmod(0o0)
        file.chmod(0o0)
        with as_nobody():
            records, faults = report.sound(store)
        closed.chmod(0o755)
        assert sorted(faults) == sorted(
            (str(path), "it cannot be read: Permission denied") for path in (closed, file)
        )
        assert len(records) == 5


def test_figures_of_many_comparisons_are_drawn_on_request_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_DRAWN", 1)
    store = Store(tmp_path / "results")
    for each in [*power_law("vit-t", 9, 1.5), *power_law("vit-t", 9, 1.5, dtype="bfloat16")]:
        store.put(each)
    result = call("--results", str(store.root))
    assert "latency: 2 comparisons, so no figures; --figures draws them" in result.stderr
    assert not list(store.root.glob("*.svg"))
    call("--results", str(store.root), "--figures")
    assert len(list(store.root.glob("*.svg"))) == 2


def test_one_suite_is_reported_alone_and_json_holds_every_row(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    for each in zoo():
        store.put(each)
    result = call("--results", str(store.root), "--suite", "dis", "--json", "--no-figures")
    rows = json.loads(result.stdout)
    assert {row["suite"] for row in rows} == {"dis"}
    mine = [each for each in zoo() if each.key["suite"] == "dis"]
    assert {row["key_hash"] for row in rows} == {key_hash(each.key) for each in mine}


def test_a_page_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    store = folder(tmp_path / "results")
    (tmp_path / "file").write_text("")
    result = call("--results", str(store.root), "--no-figures", "--html", str(tmp_path / "file" / "page.html"))
    assert result.exit_code == 2
    assert "it cannot be written" in result.stderr
    assert "name another file" in result.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"search": {"candidates": 1}}, "search: candidates is 1"),
        ({"search": {"candidates": ["a"]}}, "search: a candidate is not an object"),
        ({"search": {"kept": "naive"}}, "search: kept is 'naive'"),
        ({"search": {"margin": "3"}}, "search: margin is '3'"),
        ({"key": {"prompts": "8"}}, "key: prompts of vim-t is '8'; it must be at least 0"),
    ],
)
def test_what_a_report_cannot_show_of_a_record_is_named_and_the_others_are_shown(
    tmp_path: Path, change: dict[str, dict[str, object]], said: str
) -> None:
    store = Store(tmp_path / "results")
    store.put(record("vit-t", 512, 5.0))
    odd = record("vim-t", 512, 3.0, preset="best", **change.get("key", {}))
    path = store.put(replace(odd, search=change.get("search", {})))
    done = call("--results", str(store.root), "--no-figures")
    assert done.exit_code == 1
    assert f"left out: {path}: {said}" in done.stderr
    assert "vit-t" in done.stdout


@pytest.mark.parametrize("name", ["fusion", "images", "suite_version", "split", "box_source", "protocol_version"])
def test_a_score_whose_key_lacks_a_condition_is_shown_without_it(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "results")
    made = score("vim-t", "dis", 0.8)
    store.put(replace(made, key={k: v for k, v in made.key.items() if k != name}))
    store.put(score("vit-t", "dis", 0.7))
    done = call("--results", str(store.root), "--no-figures")
    assert done.exit_code == 0, done.stderr
    assert "80.00" in done.stdout and "70.00" in done.stdout
