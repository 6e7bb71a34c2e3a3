"""Profiles that are stored beside the records: how they are read, what is refused, and how a page shows them."""

import copy
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from linbench.records import Store
from linbench.reports.page.document import PageContent, html
from linbench.reports.profile.stored import BadProfile, path_of, read, read_all, store
from tests.reports.cases import record
from tests.reports.page_cases import HOSTILE
from tests.reports.profile_cases import document
from tests.reports.test_page import chromium, opened, pytestmark, zoo_page  # noqa: F401 - fixtures

Change = Callable[[dict[str, Any]], Any]


def page_of(*documents: Any) -> str:
    empty = pd.DataFrame()
    return html(PageContent([], empty, empty, empty, [], profiles=documents))


def test_what_is_stored_is_read_back_and_replaces_the_profile_of_the_same_forward(tmp_path: Path) -> None:
    first, second = document(), document(others_share=0.5)
    assert store(first, tmp_path) == store(second, tmp_path) == path_of(first, tmp_path)
    assert read_all(tmp_path) == ([second], [])
    other = copy.deepcopy(first)
    other["subject"]["settings"]["attention"] = "sdpa"
    assert path_of(other, tmp_path) != path_of(first, tmp_path)


def test_stored_profiles_are_no_records_and_no_damaged_ones(tmp_path: Path) -> None:
    records = Store(tmp_path)
    records.put(record("vit-t", 512, 9.0))
    store(document(), tmp_path)
    assert len(list(records)) == 1 and records.faults == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=2), "its schema is 2, this linbench reads 1"),
        (lambda d: d.pop("subject"), "subject: None is not an object"),
        (lambda d: d["subject"].update(size=[512]), "its size is [512], not a height and a width"),
        (lambda d: d["subject"].update(model=7), "subject: model is 7, not a str"),
        (lambda d: d["subject"].update(settings=[]), "its settings are no object"),
        (lambda d: d.update(whole_ms=0.0), "whole_ms is 0.0; it must be above 0"),
        (lambda d: d.update(whole_ms=float("nan")), "whole_ms is nan, not a number"),
        (lambda d: d.update(plain_ms=[]), "plain_ms is no list of times"),
        (lambda d: d.update(rates={}), "rates has no flops_per_s"),
        (lambda d: d.update(modules={}), "modules is no list"),
        (lambda d: d["modules"].pop(0), "one of them must be the whole model"),
        (lambda d: d["modules"].append(d["modules"][1]), "no two have one name"),
        (lambda d: d["modules"][1].update(name=".".join("a" * 70)), "more than 60 levels deep"),
        (lambda d: d["modules"][1].update(own_ms="1"), "modules: own_ms is '1', not a float"),
        (lambda d: d["modules"][1].update(peak_bytes=True), "modules: peak_bytes is True"),
        (lambda d: d["operators"][0].update(module="lost"), "operators: 'lost' is none of the modules"),
        (lambda d: d["operators"][0].update(flops=-1), "operators: flops is -1"),
        (lambda d: d["flops"].update(missing=[1]), "flops has no list of missing operators"),
        (lambda d: d.update(conditions=None), "its conditions are no object"),
        (lambda d: d["conditions"].update(others_share="x"), "others_share is 'x'"),
    ],
)
def test_a_file_of_which_nothing_can_be_drawn_is_named_with_the_reason(
    tmp_path: Path, change: Change, message: str
) -> None:
    damaged = document()
    change(damaged)
    path = path_of(document(), tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(damaged))
    with pytest.raises(BadProfile, match=re.escape(message)):
        read(path)
    assert [reason for _, reason in read_all(tmp_path)[1]] and read_all(tmp_path)[0] == []


def test_no_field_that_is_missing_or_replaced_ends_in_anything_but_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    for name in document():
        for value in (None, [], {}, "x", -1, [[]], [None], {"": 0}, True):
            path.write_text(json.dumps(document() | {name: value}))
            try:
                page_of(read(path))
            except BadProfile:
                continue


def test_a_file_that_is_huge_deep_a_pipe_or_no_json_is_left_out_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = store(document(), tmp_path).parent
    (folder / "huge.json").write_bytes(b" " * (16 * 2**20 + 1))
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "half.json").write_text('{"schema": 1')
    (folder / "bytes.json").write_bytes(b"\xff\xfe\xfa")
    os.mkfifo(folder / "pipe.json")
    documents, faults = read_all(tmp_path)
    assert documents == [document()]
    assert {Path(path).stem for path, _ in faults} == {"huge", "deep", "half", "bytes", "pipe"}


def test_the_page_shows_the_icicle_whose_lowest_parts_sum_to_the_parents() -> None:
    text = page_of(document())
    boxes = {hint: float(ms) for hint, ms in re.findall(r"<title>([^<]*): ([\d.]+) ms", text)}
    assert boxes["net-s"] == pytest.approx(29.0)
    below = [ms for path, ms in boxes.items() if re.fullmatch(r"net-s\.[^.]+(\.\d+(-\d+)?)?", path)]
    assert sum(below) == pytest.approx(boxes["net-s"], abs=0.05)
    assert "<td>29.00</td>" in text and "Python, dispatch" in text


def test_a_name_like_markup_is_text_in_icicle_and_table(opened: Any, tmp_path: Path) -> None:  # noqa: F811
    made = json.loads(json.dumps(document()).replace("stem", HOSTILE).replace("net-s", HOSTILE))
    path = tmp_path / "page.html"
    path.write_text(page_of(made, document(others_share=0.4)), encoding="utf-8")
    HTMLParser().feed(path.read_text())
    tab = opened(path)
    assert tab.locator("img").count() == 0 and tab.locator("script").count() == 2
    assert HOSTILE in tab.locator("#profiles summary").first.inner_text()
    fill = tab.locator(".icicle rect").first.evaluate("rect => getComputedStyle(rect).fill")
    assert fill not in ("rgb(0, 0, 0)", "none")
    tab.locator("#profiles summary").nth(1).click()
    assert "Other programs used 40 % of the cores" in tab.locator("#profiles .notice").inner_text()


def test_a_page_without_profiles_has_no_section_of_them() -> None:
    assert "Where the time goes" not in page_of()
