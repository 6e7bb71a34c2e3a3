"""Throughput on the page, in a real browser: its section, its points, and its front."""

from pathlib import Path
from typing import Any

import pytest

from linbench.records import Record, Status
from tests.reports.page_cases import GPU, HOSTILE, accuracy, text_of
from tests.reports.test_front import throughput
from tests.reports.test_page import chromium, opened, power_law, pytestmark, zoo_page  # noqa: F401 - fixtures

#: Milliseconds per image at 512², and millions of parameters.
MODELS = {"vit-t": (9.0, 5.0), "vim-t": (30.0, 7.0), "rwkv-sam-t": (6.0, 4.0), HOSTILE: (20.0, 9.0)}


def throughputs(**rest: Any) -> list[Record]:
    return [
        throughput(name, size, ms * (size / 512) ** 2, parameters, **rest)
        for name, (ms, parameters) in MODELS.items()
        for size in (512, 1024)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "both.html"
    latencies = [record for name, (ms, _) in MODELS.items() for record in power_law(name, 2 * ms, 1.0, (512, 1024))]
    oom = throughput("vit-t", 2048, None, status=Status.OOM, reason="a batch of 1 does not fit into memory")
    scores = [accuracy(name, 60.0, size=512) for name in ("vit-t", "rwkv-sam-t")]
    records = [*latencies, *throughputs(), *throughputs(**GPU), oom, *scores]
    path.write_text(text_of(records), encoding="utf-8")
    return path


def test_throughput_has_a_figure_of_points_a_table_and_a_memory(opened: Any, both: Path) -> None:  # noqa: F811
    tab = opened(both)
    assert tab.locator("#throughput g.point").count() == 9  # four models at two sizes, and an oom
    labels = [point.get_attribute("aria-label") for point in tab.locator("#throughput g.point").all()]
    assert any("images/s" in (label or "") for label in labels)
    assert any("oom, a batch of 1 does not fit into memory" in (label or "") for label in labels)
    assert tab.locator("#throughput-table tbody tr").count() == 9
    tab.select_option("#rate", "throughput-memory")
    assert "MiB" in (tab.locator("#throughput g.point").first.get_attribute("aria-label") or "")


def test_a_throughput_opens_its_conditions_and_gives_the_focus_back(opened: Any, both: Path) -> None:  # noqa: F811
    tab = opened(both)
    button = tab.locator("#throughput-table tbody button").first
    button.click()
    assert "images/s, over the rounds" in tab.locator("#details .headline").inner_text()
    assert "record" in tab.locator("#details dl").nth(1).inner_text()
    tab.keyboard.press("Escape")
    assert not tab.locator("#details").is_visible()


def test_hiding_a_model_hides_it_in_both_figures_and_on_the_front(opened: Any, both: Path) -> None:  # noqa: F811
    tab = opened(both)
    tab.locator("#throughput .legend button", has_text="vim-t").click()
    for plot in ("#curves", "#throughput", "#front"):
        names = [point.get_attribute("aria-label") or "" for point in tab.locator(f"{plot} g.point").all()]
        assert names and not any(name.startswith("vim-t") for name in names)
    assert tab.evaluate("document.activeElement.closest('.plot').id") == "throughput"


def test_the_front_of_throughput_is_right_of_what_is_behind_it(opened: Any, both: Path) -> None:  # noqa: F811
    tab = opened(both)
    tab.select_option("#front-speed", "throughput")
    tab.select_option("#front-size", "1024²")
    text = tab.locator("#front-text").inner_text()
    assert text.startswith("On the front, from the fastest: rwkv-sam-t (") and "images/s" in text
    assert "vim-t" not in text.split(". ")[0]
    points = {
        (point.get_attribute("aria-label") or "").split(",")[0]: point.bounding_box()["x"]
        for point in tab.locator("#front g.point").all()
    }
    assert points["rwkv-sam-t"] > points["vit-t"] > points["vim-t"]
    tab.select_option("#front-size", "512²")
    assert tab.locator("#front-axis").input_value() == "accuracy"


def test_a_device_brings_its_throughputs_and_a_name_stays_text(opened: Any, both: Path) -> None:  # noqa: F811
    tab = opened(both)
    assert tab.locator("#comparison option").count() == 2
    tab.select_option("#comparison", index=1)
    assert "A100" in tab.locator("#throughput-table caption").inner_text()
    assert HOSTILE in tab.locator("#throughput-table").inner_text()
    assert tab.locator("img").count() == 0


def test_a_page_of_throughputs_alone_has_their_front_and_no_empty_section(opened: Any, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "throughput.html"
    path.write_text(text_of(throughputs()), encoding="utf-8")
    tab = opened(path)
    shown = [heading.inner_text() for heading in tab.locator("h2").all() if heading.is_visible()]
    assert "Throughput against resolution" in shown and "Pareto front" in shown
    assert "Against resolution" not in shown
    assert "images/s" in tab.locator("#front-text").inner_text()


def test_without_throughputs_there_is_no_section_and_no_choice_of_speed(opened: Any) -> None:  # noqa: F811
    tab = opened()
    assert not tab.locator("#throughput-heading").is_visible()
    assert not tab.locator("#front-speed").is_visible()


def test_disturbed_throughputs_are_counted_on_top_and_not_ranked(opened: Any, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "few.html"
    path.write_text(text_of(throughputs(rounds=2)), encoding="utf-8")
    tab = opened(path)
    assert "Not ranked, fewer than 3 rounds" in tab.locator("#front-text").inner_text()
    assert tab.locator("#throughput .hollow").count() == 8
