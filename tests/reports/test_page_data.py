"""What travels inside the page, without a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hatchling.builders.wheel import WheelBuilder

from linbench.records import Status
from linbench.reports.page.columns import MOST_SAMPLES, around, number, samples_of_a_round, thinned
from linbench.reports.page.document import embedded
from tests.reports.cases import power_law, record
from tests.reports.page_cases import text_of, zoo


def data(text: str) -> dict:
    (block,) = re.findall(r'<script type="application/json" id="records">(.*?)</script>', text, re.S)
    return json.loads(block)


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "<!--<script>", "a\u2028b\u2029c", "\ud800&amp;"]
)
def test_no_text_ends_its_block_and_all_is_read_back(hostile: str) -> None:
    text = embedded({"text": hostile})
    assert not set(text) & {"<", ">", "&", "\u2028", "\u2029"}
    assert json.loads(text)["text"] == hostile.replace("\ud800", "?")
    text.encode("utf-8")


def test_a_number_that_is_none_is_refused_in_a_block_and_missing_in_a_column() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embedded({"value": float("nan")})
    assert [number(value) for value in (float("nan"), float("inf"), True, "7", 7.0, 1.2345678)] == [
        *(None, None, None, None),
        *(7, 1.2346),
    ]


def test_samples_are_thinned_evenly_and_kept_to_a_thousandth_of_their_median() -> None:
    samples = list(np.random.default_rng(0).uniform(90, 110, 100))
    kept = thinned(samples, 7)
    assert (len(kept), kept[0], kept[-1]) == (7, samples[0], samples[-1])
    assert [samples.index(value) for value in kept] == [round(i * 99 / 6) for i in range(7)]
    back = [100 * (1 + away / 1000) for away in around(kept, 100.0)]
    assert np.abs(np.array(back) - kept).max() <= 0.05 + 1e-9
    assert thinned(samples[:3], 7) == samples[:3]


def test_the_samples_of_a_page_are_bounded_however_many_cells_it_has() -> None:
    assert samples_of_a_round(10) == 60
    assert 5000 * 3 * samples_of_a_round(5000) <= MOST_SAMPLES
    assert samples_of_a_round(10**6) == 6


def test_two_presets_of_one_device_share_a_scene_and_two_devices_never_do() -> None:
    found = data(text_of(zoo()))
    names = [
        (found["texts"][scene["device"]], found["texts"][scene["part"]], len(scene["columns"]))
        for scene in found["scenes"]
    ]
    assert ("Intel Xeon Processor @ 2.80GHz", "backbone", 2) in names
    assert sum(scene[0].startswith("NVIDIA") for scene in names) == 1
    assert sorted(column for scene in found["scenes"] for column in scene["columns"]) == list(
        range(len(found["columns"]))
    )


def test_a_preset_that_comes_twice_is_told_by_what_it_chose() -> None:
    found = data(text_of([*power_law("vit-t", 9, 1.0), *power_law("vit-t", 9, 1.0, matmul="medium")]))
    assert len(found["scenes"]) == 1
    assert {found["texts"][column["name"]] for column in found["columns"]} == {
        "paper, matmul highest",
        "paper, matmul medium",
    }


def test_every_latency_record_is_a_cell_with_its_status() -> None:
    records = [each for each in zoo() if each.key["suite"] == "latency"]
    found = data(text_of(zoo()))
    kept = [found["texts"][place] for place in found["cells"]["status"]]
    assert sorted(kept) == sorted(str(each.status) for each in records)
    assert set(kept) >= {str(status) for status in Status}


def test_a_stale_and_a_lone_round_are_marked() -> None:
    found = data(text_of([record("rwkv-sam-t", 512, 9.0, rounds=1, converged=False), record("vit-t", 512, 9.0)]))
    marks = dict(
        zip((found["texts"][place] for place in found["cells"]["label"]), found["cells"]["marks"], strict=True)
    )
    assert marks == {"rwkv-sam-t": "cfs", "vit-t": ""}


def test_the_same_records_give_the_same_page() -> None:
    assert text_of(zoo()) == text_of(zoo())


def test_an_environment_is_kept_once_and_a_log_by_its_end() -> None:
    failed = replace(record("vit-t", 512, status=Status.FAILED), log="x" * 5000 + "the end")
    found = data(text_of([failed, *power_law("vit-t", 9, 1.0, (1024, 2048))]))
    assert len(found["environments"]) == 1
    (log,) = {found["texts"][place] for place in found["cells"]["log"]} - {""}
    assert log.endswith("the end")
    assert len(log) == 1500


def test_the_template_style_and_script_are_in_the_wheel() -> None:
    root = Path(__file__).parents[2]
    packed = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}
    beside = {
        path.relative_to(root).as_posix() for path in (root / "linbench/reports/page").iterdir() if path.is_file()
    }
    assert len({path for path in beside if path.endswith(".js")}) > 5
    assert beside <= packed


def test_no_script_makes_markup_of_text() -> None:
    folder = Path(__file__).parents[2] / "linbench/reports/page"
    sources = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.js")}
    markup = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML")
    assert [name for name, source in sources.items() if markup.search(source)] == []
