"""What travels inside the page, without a browser."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hatchling.builders.wheel import WheelBuilder

from linbench.records import Status
from linbench.reports.latency.figure import figures as latency_figures
from linbench.reports.latency.rows import rows
from linbench.reports.page.columns import MOST_SAMPLES, number, relative_steps, samples_per_round, thin
from linbench.reports.page.document import json_block
from linbench.reports.page.figure import mark_paths
from linbench.reports.render.palette import MARKERS, SERIES
from tests.reports.cases import power_law, record
from tests.reports.page_cases import text_of, zoo


def data(text: str) -> dict:
    (block,) = re.findall(r'<script type="application/json" id="records">(.*?)</script>', text, re.S)
    return json.loads(block)


@pytest.mark.parametrize(
    "hostile", ["</script><script>alert(1)</script>", "<!--<script>", "a\u2028b\u2029c", "\ud800&amp;"]
)
def test_no_text_ends_its_block_and_all_is_read_back(hostile: str) -> None:
    text = json_block({"text": hostile})
    assert not set(text) & {"<", ">", "&", "\u2028", "\u2029"}
    assert json.loads(text)["text"] == hostile.replace("\ud800", "?")
    text.encode("utf-8")


def test_a_number_that_is_none_is_refused_in_a_block_and_missing_in_a_column() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_block({"value": float("nan")})
    assert [number(value) for value in (float("nan"), float("inf"), True, "7", 7.0, 1.2345678)] == [
        *(None, None, None, None),
        *(7, 1.2346),
    ]


def test_samples_are_thinned_evenly_and_kept_to_a_thousandth_of_their_median() -> None:
    samples = list(np.random.default_rng(0).uniform(90, 110, 100))
    kept = thin(samples, 7)
    assert (len(kept), kept[0], kept[-1]) == (7, samples[0], samples[-1])
    assert [samples.index(value) for value in kept] == [round(i * 99 / 6) for i in range(7)]
    back = [100 * (1 + away / 1000) for away in relative_steps(kept, 100.0)]
    assert np.abs(np.array(back) - kept).max() <= 0.05 + 1e-9
    assert thin(samples[:3], 7) == samples[:3]


def test_the_samples_of_a_page_are_bounded_however_many_cells_it_has() -> None:
    assert samples_per_round(10) == 60
    assert 5000 * 3 * samples_per_round(5000) <= MOST_SAMPLES
    assert samples_per_round(10**6) == 6


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
    assert marks == {"rwkv-sam-t": "~ᵃ†", "vit-t": ""}


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


def figures(text: str) -> dict[str, ElementTree.Element]:
    """The figures of a page, by their name."""
    blocks = re.findall(r'<template id="([^"]*)">(.*?)</template>', text, re.S)
    return {name: ElementTree.fromstring(svg) for name, svg in blocks}


def test_a_figure_of_the_page_is_lines_marks_and_text_only() -> None:
    hostile = "</text></template><script>alert(1)</script>"
    records = [*power_law("vit-t", 9, 1.6), *power_law("vim-t", 18, 1.0), record(hostile, 512, status=Status.OOM)]
    found = figures(text_of([*records, record(hostile, 1024, 5.0)]))
    assert set(found) == {"latency-0", "memory-0"}
    elements = [element for svg in found.values() for element in svg.iter()]
    assert {element.tag for element in elements} == {"svg", "g", "path", "text", "use"}
    assert {name for element in elements for name in element.attrib} <= {
        *("viewBox", "class", "data-model", "d", "x", "y", "text-anchor", "href"),
        "stroke-dasharray",
    }
    assert all(element.attrib["href"].startswith("#mark-") for element in elements if element.tag == "use")
    assert any((element.text or "").startswith("</text></template>") for element in elements)


def test_a_figure_of_the_page_has_a_point_for_each_measured_cell_and_each_failed_one() -> None:
    page = text_of(zoo())
    content, drawn = data(page), figures(page)
    cells = content["cells"]
    labels, statuses = ([content["texts"][i] for i in cells[name]] for name in ("label", "status"))
    models = [content["texts"][look["label"]] for look in content["looks"]]
    for column in range(len(content["columns"])):
        svg = drawn[f"latency-{column}"]
        for part, is_ok in (("line", True), ("failed", False)):
            points = {
                models[int(group.attrib["data-model"])]: path.attrib["d"].count("L") + 1
                for group in svg.iter("g")
                for path in group.findall("path")
                if group.attrib["class"].endswith(f" {part}")
            }
            expected = Counter(
                label
                for label, status, of in zip(labels, statuses, cells["column"], strict=True)
                if of == column and (status == "ok") is is_ok
            )
            assert points == expected


def test_the_page_and_the_figures_share_one_palette() -> None:
    page = text_of(zoo())
    assert all(f"--series-{i}: {colour};" in page for i, colour in enumerate(SERIES))
    (drawn,) = latency_figures(rows(power_law("vit-t", 9, 1.6)))
    assert drawn.axes[0].lines[0].get_color() == SERIES[0]
    assert set(mark_paths()) == {f"mark-{i}" for i in range(len(MARKERS))} | {"mark-failed", "mark-ring"}


def test_no_script_makes_markup_of_text() -> None:
    folder = Path(__file__).parents[2] / "linbench/reports/page"
    sources = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.js")}
    markup = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setHTML")
    assert [name for name, source in sources.items() if markup.search(source)] == []
