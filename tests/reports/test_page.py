"""The page in a real browser: what a person sees, points at, types and hears."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from linbench.records import Record
from tests.reports.cases import power_law
from tests.reports.derived_oracle import Oracle, random_set, side_of
from tests.reports.page_cases import FAMILIES, HOSTILE, accuracy, text_of, zoo

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
FAULT = ("results/a/latency/b/c.json", "it is not JSON: <b>")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def zoo_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text_of(zoo(), [FAULT]), encoding="utf-8")
    return path


@pytest.fixture
def opened(chromium: Any, zoo_page: Path) -> Iterator[Any]:
    """Opens a page, watched: what it asks for, and what it complains about, fails the test at its end."""
    seen = SimpleNamespace(requests=[], complaints=[])
    contexts = []

    def open_(path: Path = zoo_page, width: int = 1280, height: int = 900, **more: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: seen.requests.append(request.url))
        tab.on("console", lambda message: seen.complaints.append(message.text))
        tab.on("pageerror", lambda error: seen.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (seen.complaints.append(dialog.message), dialog.dismiss()))
        tab.goto(path.as_uri())
        return tab

    yield open_
    for context in contexts:
        context.close()
    assert [url for url in seen.requests if not url.startswith("file:")] == []
    assert len(seen.requests) == len(contexts)  # the file itself and nothing else
    assert seen.complaints == []


def column(tab: Any, place: int) -> list[str]:
    return [text.strip() for text in tab.locator(f"#cells tbody tr > :nth-child({place})").all_inner_texts()]


def milliseconds(texts: list[str]) -> list[float | None]:
    return [float(found[1]) if (found := re.match(r"~?([\d.]+) ms", text)) else None for text in texts]


def test_all_of_the_page_works_without_a_request_or_a_complaint(opened: Any) -> None:
    tab = opened()
    for name in ("memory", "accuracy", "latency"):
        tab.select_option("#metric", name)
        assert tab.locator("#curves g.point").count() > 3
    for place in range(tab.locator("#measure option").count()):
        tab.select_option("#measure", index=place)
    for device in ("NVIDIA A100-SXM4-40GB", "Intel Xeon Processor @ 2.80GHz"):
        tab.select_option("#device", device)
    for button in tab.locator("#cells td button").all()[:12]:
        button.click()
        tab.keyboard.press("Escape")
    tab.locator("#scores td button").first.click()
    assert "Scores of single images" in tab.locator("#details").inner_text()


def test_the_policy_lets_no_other_script_run_and_nothing_be_loaded(chromium: Any, zoo_page: Path) -> None:
    tab = chromium.new_page()
    requests: list[str] = []
    tab.route("**/*", lambda route: (requests.append(route.request.url), route.abort()))
    tab.set_content(zoo_page.read_text(encoding="utf-8"))
    tried = """async () => {
        const script = document.createElement('script');
        script.textContent = 'document.title = "taken over"';
        const image = document.createElement('img');
        image.src = 'https://example.org/x.png';
        const frame = document.createElement('iframe');
        frame.src = 'https://example.org/';
        document.body.append(script, image, frame);
        await fetch('https://example.org/').catch(() => {});
        await new Promise((done) => setTimeout(done, 100));
        return document.title;
    }"""
    assert tab.evaluate(tried) == "linbench report"
    assert requests == []
    tab.close()


def test_a_backbone_called_like_markup_stays_text_wherever_it_is_shown(opened: Any) -> None:
    tab = opened()
    tab.select_option("#preset", label="paper")
    assert HOSTILE in column(tab, 1)
    assert HOSTILE in tab.locator("#curves .legend").inner_text()
    tab.locator("#cells tr", has_text=HOSTILE).locator("button").first.click()
    assert tab.locator("#details h2").inner_text() == f"{HOSTILE} at 1024²"
    assert tab.locator("img").count() == 0
    assert FAULT[1] in tab.locator("details.notice li").text_content()


@pytest.mark.parametrize("place", [3, 4])
def test_a_head_sorts_by_its_column_says_so_and_leaves_what_is_missing_below(opened: Any, place: int) -> None:
    tab = opened()
    head = tab.locator(f"#cells thead th:nth-child({place})")
    for sorts, down in (("ascending", False), ("descending", True)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == sorts
        found = milliseconds(column(tab, place))
        known = [value for value in found if value is not None]
        assert len(known) > 5
        assert known == sorted(known, reverse=down)
        assert found[: len(known)] == known
    others = tab.locator(f"#cells thead th:not(:nth-child({place}))")
    assert {other.get_attribute("aria-sort") for other in others.all()} == {"none"}


def test_the_table_is_sorted_from_the_keyboard_and_the_focus_stays(opened: Any) -> None:
    tab = opened()
    tab.locator("#cells thead button").nth(2).focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "descending"


def test_words_filter_by_model_status_and_mark(opened: Any) -> None:
    tab = opened()
    whole = len(column(tab, 1))
    for words, size in (("vmamba-t 2048", {"vmamba-t"}), ("oom", {"vit-t"}), ("stale", {"rwkv-sam-t"})):
        tab.fill("#filter", words)
        assert set(column(tab, 1)) == size
        assert f"of {whole} without a filter" in tab.locator("#count").inner_text()
        assert tab.locator("#announcement").inner_text() == tab.locator("#count").inner_text()
    tab.fill("#filter", "no such thing")
    assert tab.locator("#count").inner_text() == f"None of {whole} rows passes the filter"
    tab.fill("#filter", "")
    tab.select_option("#status", "timeout")
    assert column(tab, 1) == ["vmamba-t"]


def test_a_point_tells_the_same_to_a_pointer_and_to_the_keyboard(opened: Any) -> None:
    tab = opened()
    point = tab.locator("#front g.point", has_text="").first
    point.hover()
    hovered = tab.locator("#tip").inner_text()
    tab.mouse.move(1, 1)
    assert not tab.locator("#tip").is_visible()
    point.focus()
    assert tab.locator("#tip").inner_text() == hovered
    assert point.get_attribute("aria-label") == ", ".join(hovered.splitlines())
    assert "ms" in hovered
    assert "mIoU" in hovered
    tab.keyboard.press("Enter")
    assert tab.locator("#details").evaluate("dialog => dialog.open")


def test_arrows_go_along_a_curve_and_to_the_next_one(opened: Any) -> None:
    tab = opened()
    tab.locator("#curves g.point[tabindex='0']").focus()
    said = [tab.evaluate("document.activeElement.getAttribute('aria-label')")]
    for key in ("ArrowRight", "ArrowUp"):
        tab.keyboard.press(key)
        said.append(tab.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert said[0].startswith("vit-t at 512²")
    assert said[1].startswith("vit-t at 1024²")
    assert not said[2].startswith("vit-t")
    assert tab.locator("#curves g.point[tabindex='0']").count() == 1


def test_of_points_that_lie_on_each_other_the_nearest_one_is_shown(opened: Any) -> None:
    tab = opened()
    tab.select_option("#preset", label="paper")
    for name in ("vrwkv-t at 1024²", HOSTILE):  # 379 and 333 ms
        box = tab.locator("#curves g.point .hit").and_(tab.locator(f"g[aria-label^='{name}'] .hit")).bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert tab.locator("#tip").inner_text().startswith(name)


def test_arrows_go_from_the_fastest_to_the_slowest_of_the_front(opened: Any) -> None:
    tab = opened()
    tab.locator("#front g.point[tabindex='0']").focus()
    said = []
    for _ in range(len(FAMILIES)):
        said.append(tab.evaluate("document.activeElement.getAttribute('aria-label')"))
        tab.keyboard.press("ArrowRight")
    times = [float(text.split(", ")[1].split(" ")[0]) for text in said]
    assert times == sorted(set(times))


def test_the_front_is_what_no_other_beats(opened: Any) -> None:
    tab = opened()
    tab.select_option("#preset", label="paper")
    tab.select_option("#front-size", "1024²")
    points = [label.get_attribute("aria-label") for label in tab.locator("#front g.point").all()]
    parts = [text.split(", ") for text in points]
    found = {name: (float(ms.split(" ")[0]), "on the front" in rest) for name, ms, *rest in parts}
    expected = {
        name: not any(
            found[other][0] < found[name][0] and FAMILIES[other][2] >= FAMILIES[name][2] for other in FAMILIES
        )
        for name in FAMILIES
    }
    assert {name: on for name, (_, on) in found.items()} == expected
    assert set(expected.values()) == {True, False}


def test_a_cell_opens_its_samples_conditions_and_environment_and_gives_the_focus_back(opened: Any) -> None:
    tab = opened()
    button = tab.locator("#cells tbody tr", has_text="1024²").locator("button").first
    button.focus()
    tab.keyboard.press("Enter")
    drill = tab.locator("#details")
    assert drill.locator("svg circle.dot").count() == 75
    said = drill.inner_text()
    assert re.search(r"^9\d\d ms", said, re.M)
    assert "75 in 3 rounds" in said
    assert "naive" in said
    assert "Xeon" in said
    drill.locator("summary", has_text="Environment").click()
    assert "2.15.0+cpu" in drill.inner_text()
    tab.keyboard.press("Escape")
    assert not drill.evaluate("dialog => dialog.open")
    assert button.evaluate("node => node === document.activeElement")


def test_what_failed_stands_at_its_resolution_with_its_reason(opened: Any) -> None:
    tab = opened()
    tab.select_option("#preset", label="paper")
    ticks = {t.text_content(): float(t.get_attribute("x")) for t in tab.locator("#curves text").all()}
    cross = tab.locator("#curves g.point[aria-label^='vit-t at 2048²']")
    assert cross.get_attribute("aria-label") == "vit-t at 2048², oom, 9.1 GB asked for, 6.0 GB free"
    assert float(cross.locator(".hit").get_attribute("cx")) == pytest.approx(ticks["2048²"], abs=20)
    assert {"oom", "timeout", "wrong", "failed"} <= set(" ".join(column(tab, 3)).split())


def test_a_device_a_part_and_a_number_of_prompts_are_each_looked_at_alone(opened: Any) -> None:
    tab = opened()
    parts = [option.text_content() for option in tab.locator("#part option").all()]
    assert sorted(parts) == ["backbone", "decoder for 8 boxes", "segmenter end to end for 1 box"]
    tab.select_option("#part", "decoder for 8 boxes")
    assert sorted(column(tab, 1)) == ["rwkv-sam-t (conv fusion)", "rwkv-sam-t (mamba fusion)", "vit-t"]
    slow = max(value or 0 for value in milliseconds(column(tab, 3)))
    assert slow < 100  # the backbones take longer
    tab.select_option("#device", "NVIDIA A100-SXM4-40GB")
    assert [option.text_content() for option in tab.locator("#part option").all()] == ["backbone"]
    assert tab.locator("#cells caption").inner_text().startswith("backbone on NVIDIA A100")
    assert "no kernel was timed on this device" in tab.locator("#kernels").inner_text().lower()


def test_numbers_that_compare_with_nothing_published_say_so(opened: Any) -> None:
    tab = opened()
    assert not tab.locator("#standing").is_visible()
    said = [option.text_content() for option in tab.locator("#measure option").all()]
    marked = [words for words in said if words.startswith("⚠")]
    assert any("smoke recipes" in words for words in marked)
    assert any("random weights, the embedded dataset" in words for words in marked)
    tab.select_option("#measure", label=next(words for words in marked if "smoke" in words))
    assert "compares with nothing published: smoke recipes" in tab.locator("#standing").inner_text()
    assert tab.locator("#cells thead").inner_text().count("⚠") == 1
    smoke = {"22.00", "18.00", "31.00", "27.00"}  # both metrics of both models, and no other evaluation
    assert smoke == {text.split()[0] for text in tab.locator("#scores td button").all_inner_texts()}


def test_a_model_is_hidden_and_shown_by_its_button(opened: Any) -> None:
    tab = opened()
    before = tab.locator("#curves g.line").count()
    button = tab.locator("#curves .legend button", has_text="vim-t")
    button.click()
    assert tab.locator("#curves g.line").count() == before - 1
    assert button.get_attribute("aria-pressed") == "false"
    assert button.evaluate("node => node === document.activeElement")


def test_after_hiding_a_model_nothing_stays_faded(opened: Any) -> None:
    tab = opened()
    tab.locator("#curves .legend button", has_text="vim-t").click()
    assert tab.locator("#curves svg.dimmed").count() == 0
    tab.locator("#curves .legend button", has_text="vmamba-t").hover()
    assert tab.locator("#curves svg.dimmed g.model.lit").count() > 1


@pytest.mark.parametrize("touch", [False, True])
def test_after_hiding_and_showing_a_model_all_are_as_before(opened: Any, touch: bool) -> None:
    tab = opened(has_touch=touch, reduced_motion="reduce")
    opacities = "[...document.querySelectorAll('#curves g.model')].map((node) => getComputedStyle(node).opacity)"
    before = tab.evaluate(opacities)
    assert set(before) == {"1"}
    for _ in range(2):
        button = tab.locator("#curves .legend button", has_text="vim-t")
        (button.tap if touch else button.click)()
    if not touch:
        tab.mouse.move(1, 1)
    assert tab.evaluate(opacities) == before


@pytest.mark.parametrize("metric", ["latency", "memory"])
def test_a_point_of_the_figure_is_at_the_value_that_it_tells(opened: Any, metric: str) -> None:
    tab = opened()
    tab.select_option("#preset", label="paper")
    tab.select_option("#metric", metric)
    points = []
    for point in tab.locator("#curves g.point").all():
        value = re.search(r"([\d.]+) (ms|MiB)", point.get_attribute("aria-label"))
        if value:
            points.append((float(value[1]), -float(point.locator(".hit").get_attribute("cy"))))
    assert len(points) > 10
    values, heights = zip(*sorted(points), strict=True)
    steps = np.diff(np.log(values))
    assert (np.abs(np.diff(heights) - steps * (heights[-1] - heights[0]) / np.sum(steps)) < 1.0).all()


def test_a_figure_is_light_on_a_dark_page(opened: Any) -> None:
    for system, colour in (("light", "rgb(0, 0, 0)"), ("dark", "rgb(255, 255, 255)")):
        tab = opened(color_scheme=system)
        stroke = "getComputedStyle(document.querySelector('#curves .line.series-0 path')).stroke"
        assert tab.evaluate(stroke) == colour


def background(tab: Any) -> int:
    return sum(map(int, re.findall(r"\d+", tab.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))


def test_the_scheme_is_the_systems_and_a_button_changes_it(opened: Any) -> None:
    for system, dark in (("light", False), ("dark", True)):
        tab = opened(color_scheme=system)
        assert (background(tab) < 200) is dark
        assert tab.locator("#scheme").inner_text() == ("Light scheme" if dark else "Dark scheme")
        tab.locator("#scheme").click()
        assert (background(tab) < 200) is not dark


def test_a_phone_scrolls_tables_inside_their_boxes_and_never_the_page(opened: Any) -> None:
    tab = opened(width=390, height=844, has_touch=True)
    wide = "document.documentElement.scrollWidth"
    assert tab.evaluate(wide) == 390
    box = tab.locator("#cells .scroll")
    assert box.evaluate("node => node.scrollWidth > node.clientWidth")
    assert box.get_attribute("tabindex") == "0"
    for part in [option.text_content() for option in tab.locator("#part option").all()]:
        tab.select_option("#part", part)
        assert tab.evaluate(wide) == 390
    tab.locator("#cells td button").first.click()
    assert tab.evaluate(wide) == 390
    assert tab.locator("#details").evaluate("node => node.scrollWidth <= node.clientWidth")


def test_every_control_has_a_name_and_every_table_heads(opened: Any) -> None:
    tab = opened()
    unnamed = """[...document.querySelectorAll('select, input, button, [role=button], [role=region]')].filter(
        (node) => !node.labels?.length && !node.textContent.trim() && !node.getAttribute('aria-label')).length"""
    assert tab.evaluate(unnamed) == 0
    assert tab.evaluate("[...document.querySelectorAll('th')].filter((node) => !node.scope).length") == 0
    assert tab.evaluate("[...document.querySelectorAll('main table')].filter((node) => !node.caption).length") == 0
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_without_accuracy_and_without_latency_the_page_says_what_measures_them(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "latency.html"
    path.write_text(text_of(power_law("vit-t", 100, 1.6)), encoding="utf-8")
    tab = opened(path)
    assert "linbench run --suite dis --checkpoint FILE" in tab.locator("#notes").inner_text()
    assert "the front shows parameters instead" in tab.locator("#front-text").inner_text()
    path = tmp_path / "accuracy.html"
    path.write_text(text_of([accuracy("vit-t", 61.0)]), encoding="utf-8")
    tab = opened(path)
    assert "linbench run --suite latency" in tab.locator("#notes").inner_text()
    assert tab.locator("#scores td button").count() == 2  # mIoU and mBIoU
    path = tmp_path / "nothing.html"
    path.write_text(text_of([], [FAULT]), encoding="utf-8")
    assert "1 damaged file was skipped" in opened(path).locator("details.notice").inner_text()


def test_a_page_of_accuracies_has_no_empty_section_and_all_metrics_in_one_table(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "accuracy.html"
    found = [accuracy("vit-t", 61.0), accuracy("vim-t", 58.0), accuracy("vim-t", 44.0, suite="coco", images=12)]
    path.write_text(text_of(found), encoding="utf-8")
    tab = opened(path)
    assert [head.inner_text() for head in tab.locator("h2:visible").all()] == [
        *("Against resolution", "Accuracy", "How to read it"),
    ]
    assert tab.locator("select:visible").count() == 2  # which accuracy, and which quantity
    heads = tab.locator("#scores thead th").all_inner_texts()
    metrics = ["coco mask AP", "coco boundary AP", "dis mIoU", "dis mBIoU"]
    assert [head.splitlines()[0] for head in heads] == ["Model", *metrics, "Weights"]
    texts = tab.locator("#scores td button").all_inner_texts()
    assert [text.split()[0] for text in texts] == ["44.00ᵇ", "40.00ᵇ", "58.00", "54.00", "61.00", "57.00"]
    assert "ᵇ few images: fewer than 30" in tab.locator("#notes").inner_text()


def disturbed(made: Record, share: float = 0.5) -> Record:
    return replace(made, rounds=tuple({**entry, "others_share": share} for entry in made.rounds))


def test_a_page_of_disturbed_records_says_so_on_top_and_states_nothing_derived(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "disturbed.html"
    path.write_text(text_of([disturbed(made) for made in zoo()]), encoding="utf-8")
    tab = opened(path)
    headline = tab.locator("p.notice.strong").first.inner_text()
    assert re.fullmatch(
        r"⚠ (\d+) of \1 latencies were disturbed by other programs \(up to 50 % of the cores\): "
        r"do not compare them\.",
        headline,
    )
    shown = tab.locator("#warnings .notice").all_inner_texts()
    assert shown
    assert all("disturbed by other programs (up to 50 % of the cores)" in text for text in shown)
    assert set(tab.locator("#curves .legend small").all_inner_texts()) == {
        "nothing derived: disturbed by other programs (up to 50 % of the cores)"
    }
    assert tab.locator("#curves .ring").count() == 0
    assert tab.locator("#curves .line use:not(.hollow)").count() == 0
    assert tab.locator("#front path.step").count() == 0
    assert "On the front" not in tab.locator("#front-text").inner_text()
    assert tab.locator("#front-text").inner_text().startswith("Not ranked, disturbed by other programs")
    for point in tab.locator("#front g.point").all():
        assert re.search(r"ms( ±[\d.]+ %)?ᵃ?‡†?,.* not ranked: disturbed", point.get_attribute("aria-label"))
    heads = tab.locator("#cells thead th").all_inner_texts()
    assert set(column(tab, 1 + next(i for i, head in enumerate(heads) if "÷" in head))) == {"–"}
    tab.locator("#cells td button").first.click()
    details = tab.locator("#details").inner_text()
    assert re.search(r"^[\d.]+ ms‡", details, re.M)
    assert "Nothing is derived from this time, and it is not ranked: disturbed" in details


def test_the_ratio_of_two_presets_needs_both_times_undisturbed(opened: Any, tmp_path: Path) -> None:
    path = tmp_path / "one.html"
    best = [made for made in zoo() if made.key.get("preset") == "best" and made.rounds]
    others = [made for made in zoo() if made not in best]
    path.write_text(text_of([*others, disturbed(best[0]), *best[1:]]), encoding="utf-8")
    tab = opened(path)
    heads = tab.locator("#cells thead th").all_inner_texts()
    gains = dict(
        zip(
            zip(column(tab, 1), column(tab, 2), strict=True),
            column(tab, 1 + next(i for i, head in enumerate(heads) if "÷" in head)),
            strict=True,
        )
    )
    key = best[0].key
    assert gains[key["backbone"], f"{key['height']}²"] == "–"
    measured = {(made.key["backbone"], f"{made.key['height']}²") for made in best[1:]}
    assert all(gains[cell].endswith("×") for cell in measured)


def check_legend(oracle: Oracle, name: str, text: str) -> None:
    """Check each part of a model's legend."""
    if text.startswith("nothing derived: "):
        assert not oracle.is_sound(name)
        return
    assert oracle.is_sound(name)
    for part in filter(None, text.split("; ")):
        if fit := re.fullmatch(r"exponent of tokens (-?[\d.]+)( ±[\d.]+)?†?", part):
            assert float(fit[1]) == pytest.approx(oracle.slope(name), abs=0.006)
            continue
        crossing = re.fullmatch(r"crossover with (\S+): (slower from |below |above |)(\d+)( \(.*\))?†? px", part)
        assert crossing, part
        other, kind, px = crossing[1], crossing[2], int(crossing[3])
        assert oracle.is_sound(name, other)
        roots = oracle.crossings(name, other)
        if kind in ("below ", "above "):
            assert not roots
            assert (oracle.log_time(name, px) < oracle.log_time(other, px)) == (kind == "below ")
        else:
            assert px == pytest.approx(roots[-1], rel=0.01)
            slower_above = oracle.log_time(name, roots[-1] * 1.01) > oracle.log_time(other, roots[-1] * 1.01)
            assert slower_above == (kind == "slower from ")


def check_front(oracle: Oracle, side: int, labels: list[str], text: str) -> None:
    """Check what each point of a front says, and the text below it."""
    assert sorted(label.split(", ")[0] for label in labels) == sorted(oracle.ran(side))
    for label in labels:
        name = label.split(", ")[0]
        is_doubtful = oracle.is_doubtful(name, side)
        behind = re.search(r"behind (\S+): that is faster", label)
        assert ("not ranked" in label) == is_doubtful
        assert ("on the front" in label) == (not is_doubtful and behind is None)
        if behind:
            assert oracle.is_shown(behind[1], name, side)
    listed = re.search(r"On the front, from the fastest: (.*?)\. ", text)
    on_front = re.findall(r"(\S+) \(~?[\d.]+ m?s", listed[1]) if listed else []
    assert [oracle.ms(name, side) for name in on_front] == sorted(oracle.ms(name, side) for name in on_front)
    assert set(on_front) == {label.split(", ")[0] for label in labels if "on the front" in label}
    left = [name for names in re.findall(r"Not ranked, [^:]*: ([^.]*)\.", text) for name in names.split(", ")]
    assert sorted(left) == sorted(name for name in oracle.ran(side) if oracle.is_doubtful(name, side))


@pytest.mark.parametrize("sets", [range(20), pytest.param(range(20, 200), marks=pytest.mark.slow)])
def test_what_a_page_states_of_models_is_implied_by_the_records(chromium: Any, tmp_path: Path, sets: range) -> None:
    tab = chromium.new_page()
    path, fronts, curves = tmp_path / "random.html", 0, 0
    for seed in sets:
        oracle = random_set(seed)
        path.write_text(text_of(list(oracle.records.values())), encoding="utf-8")
        tab.goto(path.as_uri())
        rounds = [entry for made in oracle.records.values() for entry in made.rounds]
        is_disturbed = any((entry["others_share"] or 0) > 0.1 for entry in rounds)
        assert (tab.locator("p.notice.strong").count() > 0) == is_disturbed
        for entry in tab.locator("#curves .legend button").all():
            name, *text = entry.inner_text().splitlines()
            check_legend(oracle, name, " ".join(text).strip())
            curves += "crossover" in " ".join(text)
        sizes = tab.locator("#front-size option").all_text_contents()
        for size in sizes:
            if len(sizes) > 1:  # the only one is chosen already, and its control is disabled
                tab.select_option("#front-size", size)
            labels = [point.get_attribute("aria-label") for point in tab.locator("#front g.point").all()]
            check_front(oracle, side_of(size), labels, tab.locator("#front-text").inner_text())
            fronts += "On the front" in tab.locator("#front-text").inner_text()
    assert fronts > len(sets) / 2
    assert curves > len(sets) / 10
    tab.close()
