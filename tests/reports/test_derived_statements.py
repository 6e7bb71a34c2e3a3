"""What is derived from latencies: each statement is implied by the records, or the reason stands in its place."""

import re
import shlex
from dataclasses import replace

import pytest

from linbench.cli.run_options import parse
from linbench.cli.run_summary import summary_lines
from linbench.records import Record, Status
from linbench.reports.latency.commands import measure_again
from linbench.reports.latency.figure import figures
from linbench.reports.latency.notes import doubt_notes
from linbench.reports.latency.report import printed, sections
from linbench.reports.latency.rows import comparisons, duration, rows
from linbench.reports.latency.summary import sentences
from linbench.reports.latency.table import build
from linbench.reports.render.table import to_markdown, to_terminal
from linbench.reports.statistics.crossover import reference_of
from tests.reports.cases import power_law, record, tables
from tests.reports.derived_oracle import Oracle, listed_cells, names_of, random_set, side_of

SETS = 200
FIT, CROSSING = "exponent\nof tokens", "crossover\nwith ViT, px"


def disturbed(made: Record, share: float = 0.5) -> Record:
    return replace(made, rounds=tuple({**entry, "others_share": share} for entry in made.rounds))


def group(records):
    (rows_of_one,) = comparisons(rows(records))
    return rows_of_one


def cells(records):
    """Of the only comparison: model → column → text."""
    table = build(group(records))
    return {line[0]: dict(zip(table.columns, line, strict=True)) for line in table.rows}


SOUND = [*power_law("vit-t", 100, 1.6), *power_law("vim-t", 180, 1.0)]


def test_sound_records_state_exponents_crossovers_and_sentences():
    found = cells(SOUND)
    assert found["vim-t"][FIT].startswith("1.") and "(" in found["vim-t"][CROSSING]
    said = sentences(group(SOUND))
    assert said[0].startswith("At 2048², vim-t needs 0.34 of vit-t's time (95 %: 0.3")
    assert re.fullmatch(
        r"Between 512 and 2048 px, vit-t is faster up to 8\d\d px, vim-t above \(95 %: .*\)\.", said[1]
    )
    assert not doubt_notes(group(SOUND))


TROUBLES = {
    "few rounds": lambda made: replace(made, rounds=made.rounds[:2]),
    "disturbed": disturbed,
    "no interval": lambda made: replace(made, rounds=({**made.rounds[0], "samples_ms": [9.0]},)),
    "throttled": lambda made: replace(made, rounds=tuple({**e, "throttled": ["heat"]} for e in made.rounds)),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_one_doubtful_time_takes_exponent_crossover_ring_and_claim_away_and_the_reason_stands_there(trouble):
    records = [
        TROUBLES[trouble](made) if made.key["height"] == 2048 and made.key["backbone"] == "vit-t" else made
        for made in SOUND
    ]
    found = cells(records)
    assert found["vit-t"][FIT] == "–" and found["vim-t"][FIT] != "–"
    assert CROSSING not in found["vim-t"]  # no model has one
    (drawn,) = figures(rows(records))
    assert not any(line.get_markerfacecolor() == "none" for line in drawn.axes[0].lines)  # no ring
    hollow = [line for line in drawn.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow] == [[2048.0]]
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert not any("faster" in text for text in legend) and "vit-t" in legend
    said = sentences(group(records))
    assert said[-1].startswith("Nothing is derived from these times: vit-t at 2048²: ")
    assert said[-2].startswith("At 1024², ") and not any(" up to " in text and "px" in text for text in said)
    assert doubt_notes(group(records))[1].startswith("To measure them: `linbench run --backbone vit-t --res 2048 ")


def test_a_headline_stands_above_the_table_in_the_figure_and_before_the_sentences():
    records = [*SOUND[:3], *(disturbed(made, 0.72) for made in SOUND[3:])]
    text = "3 of 6 latencies were disturbed by other programs (up to 72 % of the cores): do not compare them."
    table = build(group(records))
    assert table.warnings == (text,) and sentences(group(records))[0] == text
    terminal = to_terminal(table, 120)
    assert terminal.index("do not compare") < terminal.index("vit-t")
    assert to_markdown(table).index("do not compare") < to_markdown(table).index("vit-t")
    (drawn,) = figures(rows(records))
    assert " ".join(drawn.get_suptitle().split()) == text


def test_a_larger_image_that_is_faster_beyond_the_intervals_is_a_warning_and_within_them_is_none():
    falling = [record("vim-t", 512, 900.0), record("vim-t", 1024, 400.0)]
    (text,) = build(group(falling)).warnings
    assert text.startswith("vim-t is faster at 1024² (395 ms) than at 512² (904 ms), beyond the intervals")
    level = [record("vim-t", 512, 101.0, noise=0.05), record("vim-t", 1024, 100.0, noise=0.05)]
    assert not build(group(level)).warnings
    unknown = [record("vim-t", 512, 900.0, rounds=1, samples=1), record("vim-t", 1024, 400.0, rounds=1, samples=1)]
    assert not build(group(unknown)).warnings


def test_a_table_of_one_size_has_no_scaling_and_says_nothing_of_it():
    table = build(group([record("vit-t", 512, 10.0), record("vim-t", 512, 5.0)]))
    assert table.columns[-1] == "peak MiB\n512²"
    assert not any("exponent" in note or "crossover" in note for note in table.notes)


def test_a_figure_explains_what_it_has_and_nothing_else():
    (drawn,) = figures(rows([record("vit-t", 512, 10.0, rounds=1, samples=1)]))
    assert drawn.get_supxlabel() == "hollow: fewer than 3 rounds"
    (drawn,) = figures(rows(SOUND))
    assert drawn.get_supxlabel() == "p: latency ∝ tokens$^p$; bands, bars and ±: 95 %; rings: crossover with ViT"


def test_times_are_in_the_unit_that_a_person_writes():
    assert [duration(ms) for ms in (0.1234, 97.0, 9999.0, 17129.0, 123456.0)] == [
        *("0.123 ms", "97.0 ms", "9999 ms", "17.1 s", "123 s")
    ]


def test_parameters_are_those_of_the_largest_image_and_say_so():
    small, large = ({"parameters": {"value": value}} for value in (6_120_000, 9_070_000))
    records = [record("vrwkv-t", 512, 1.0, metrics=small), record("vrwkv-t", 2048, 9.0, metrics=large)]
    records.append(record("vim-t", 512, 1.0, metrics=small))
    found = cells(records)
    assert found["vrwkv-t"]["params M\n2048²"] == "9.07"
    assert found["vim-t"]["params M\n2048²"] == "6.12 at 512²"


def test_the_parts_of_a_segmenter_are_one_table_with_their_sum():
    decoder = {"prompts": 1, "fusion": "conv"}
    records = [record("vit-t", 512, 100.0, part="encoder", noise=0.0)]
    records += [record("vit-t", 512, 10.0, part="decoder", noise=0.0, **decoder)]
    records += [record("vit-t", 512, 112.0, part="end-to-end", noise=0.0, **decoder)]
    frame = rows(records)
    table, *others = printed(frame, sections(frame))
    assert others == []
    assert [head.replace("\n", " ") for head in table.columns[1:]] == [
        *("encoder", "decoder", "encoder + decoder", "end to end")
    ]
    assert table.rows == (("vit-t 512²", "100 ms ±0 %", "10.0 ms ±0 %", "110 ms ±0 %", "112 ms ±0 %"),)
    few = [replace(made, rounds=made.rounds[:1]) if made.key["part"] == "decoder" else made for made in records]
    frame = rows(few)
    assert printed(frame, sections(frame))[0].rows[0][3].endswith("ᵃ")  # the sum has the marks of its parts
    frame = rows([*records[:1], *power_law("vim-t", 5, 1.0)])
    assert len(printed(frame, sections(frame))) == 4  # one part alone, beside a backbone: a table each


def test_the_interval_of_a_sum_adds_the_errors_of_its_parts():
    made = [record("vit-t", 512, 100.0, part="encoder"), record("vit-t", 512, 50.0, part="decoder", prompts=1)]
    for one, values in zip(made, ((98.0, 100.0, 102.0), (49.0, 50.0, 51.0)), strict=True):
        for entry, ms in zip(one.rounds, values, strict=True):
            entry["samples_ms"][:] = [ms] * 25
    frame = rows(made)
    # Errors 1.155 and 0.577 ms make 1.291 ms; Welch's 2.94 degrees of freedom give t = 3.22.
    assert printed(frame, sections(frame))[0].rows[0][3] == "150 ms ±2.8 %"


def test_how_many_settings_best_tried_is_said_in_words():
    search = {
        "kept": {"matmul": "medium"},
        "start": {},
        "candidates": [{"status": "ok"}],
        "untried": [{}, {}],
        "height": 1024,
        "width": 1024,
        "started": "2026",
    }
    made = replace(record("vim-t", 512, 5.0, preset="best"), search=search)
    (table, _) = tables([made])
    assert any("(1 setting tried at 1024²: the starting point; 2 untried" in note for note in table.notes)
    assert any(
        text.startswith("best: 1 setting tried: the starting point (vim-t). Not tried for lack of time: 2 settings;")
        for text in sentences(group([made]))
    )


def test_the_command_for_missing_rounds_asks_for_the_very_cells_that_lack_them():
    few = [
        record(name, size, 5.0, rounds=1, part="decoder", prompts=4, fusion="conv", dtype="bfloat16")
        for name in ("vit-t", "vim-t")
        for size in ((512, 512), (512, 768))
    ]
    (command,) = measure_again(
        group([*few, record("vrwkv-t", 512, 5.0, part="decoder", prompts=4, fusion="conv", dtype="bfloat16")]),
        "my results",
    )
    program, name, *arguments = shlex.split(command)
    request = parse(arguments, "")
    assert (program, name, str(request.run.results), request.run.rounds) == ("linbench", "run", "my results", 3)
    assert request.run.redo is None
    suite, options = request.suites["latency"], request.options["latency"]
    names = ("backbone", "height", "width", "part", "prompts", "dtype", "preset", "threads", "device_type", "mode")
    planned = {tuple(cell.key.to_json()[name] for name in names) for cell in suite.cells(options)}
    assert planned == {tuple(made.key[name] for name in names) for made in few}


def test_stale_and_disturbed_cells_need_to_be_measured_anew():
    made = [record("vit-t", 512, 5.0, rounds=1), disturbed(record("vim-t", 512, 5.0)), record("vrwkv-t", 512, 5.0)]
    (command,) = measure_again(group(made))
    assert command.endswith("--rounds 3 --redo disturbed") and "--backbone vit-t,vim-t " in command
    (stale,) = comparisons(rows(made[:1], {"vit-t": "other"}))
    assert measure_again(stale)[0].endswith("--redo stale")
    assert measure_again(group([record("vit-t", 512, 5.0, rounds=1, preset="custom")])) == []


def test_the_end_of_a_run_fits_80_columns_and_ends_with_the_next_command(tmp_path):
    files = [tmp_path / "latency.md", tmp_path / "latency.png"]
    lines = summary_lines(SOUND, files, tmp_path)
    assert all(len(line) <= 80 or str(tmp_path) in line for line in lines)
    assert f"Table: {files[0]}" in lines and f"Figure: {files[1]}" in lines
    joined = " ".join(line.rstrip("\\").strip() for line in lines)
    assert joined.endswith(f"linbench report --results {tmp_path} --html {tmp_path}/report.html")
    few = [replace(made, rounds=made.rounds[:1]) for made in SOUND]
    joined = " ".join(line.rstrip("\\").strip() for line in summary_lines(few, [], tmp_path))
    assert f"To measure what is missing: {measure_again(group(few), str(tmp_path))[0]}" in joined


# Random record sets: every statement is implied by the records.


@pytest.fixture(scope="module", params=[0, 1, *(pytest.param(i, marks=pytest.mark.slow) for i in range(2, 8))])
def sets(request):
    return [random_set(seed) for seed in range(SETS) if seed % 8 == request.param]


def test_each_exponent_and_crossover_of_a_table_is_implied_by_the_records(sets):
    for oracle in sets:
        frame = group(oracle.records.values())
        for name, texts in cells(oracle.records.values()).items():
            sides = oracle.ok(name)
            is_fitted = texts.get(FIT, "–") != "–"
            assert is_fitted == (oracle.is_sound(name) and len(sides) > 1), (name, texts)
            if is_fitted:
                assert float(texts[FIT].split()[0]) == pytest.approx(oracle.slope(name), abs=0.006)
            text = texts.get(CROSSING, "–")
            if text == "–":
                continue
            other = reference_of(name, frame)
            assert other == "vit-t" and oracle.is_sound(name, other)
            found = oracle.crossings(name, other)
            if text.startswith(("below", "above")):
                assert not found
                largest = min(sides[-1], oracle.ok(other)[-1])
                is_faster = oracle.log_time(name, largest) < oracle.log_time(other, largest)
                assert text.startswith("below") == is_faster
            else:
                px = float(re.search(r"\d+", text)[0])
                assert px == pytest.approx(found[-1], rel=0.01)


def test_each_note_and_warning_about_doubt_names_the_cells_that_the_records_doubt(sets):
    for oracle in sets:
        frame = group(oracle.records.values())
        doubtful = {(n, s) for n in names_of(oracle) for s in oracle.ok(n) if oracle.is_doubtful(n, s)}
        notes = doubt_notes(frame)
        assert bool(notes) == bool(doubtful)
        if notes:
            assert _doubted(notes[0].partition("): ")[2]) == doubtful
        others = [
            max((e.get("others_share") or 0) for e in oracle.records[n, s].rounds)
            for n in names_of(oracle)
            for s in oracle.ok(n)
        ]
        count = sum(share > 0.1 for share in others)
        table = build(frame)
        heads = [text for text in table.warnings if "disturbed" in text]
        assert [re.match(r"\d+ of \d+", text)[0] for text in heads] == (
            [f"{count} of {len(others)}"] if count else []
        )
        for note in table.notes:
            if pairs := re.fullmatch(r"crossover of (.*) with vit-t\.", note):
                assert all(oracle.is_sound(name, "vit-t") for name in pairs[1].split(", "))
            if fewer := re.fullmatch(r"Fitted over fewer than (\d+) sizes, so less comparable: (.*)\.", note):
                for name, sizes in re.findall(r"(\S+) \((\d+)\)", fewer[2]):
                    assert len(oracle.ok(name)) == int(sizes) < int(fewer[1]) and oracle.is_sound(name)


def _doubted(text: str) -> set[tuple[str, int]]:
    """The cells in "vit-t at 512²; vim-t at 1024²: fewer than 3 rounds; …"."""
    found = set()
    for part in re.findall(r"((?:[\w-]+(?:, )?)+ at (?:\d+²(?:, )?)+)", text):
        found |= set(listed_cells(part))
    return found


NUMBER = r"(\d+(?:\.\d+)?)"
INTERVAL = rf"{NUMBER}–{NUMBER}"


def check_ratio(oracle: Oracle, side: int, name: str, other: str, ratio: str, low: str, high: str) -> None:
    """Check "name needs ratio of other's time" against Welch's interval, which the estimate may widen."""
    assert not oracle.is_doubtful(name, side) and not oracle.is_doubtful(other, side)
    assert side == max(
        s
        for s in oracle.ok(name)
        if s in oracle.ok(other) and not oracle.is_doubtful(name, s) and not oracle.is_doubtful(other, s)
    )
    truth = oracle.ms(name, side) / oracle.ms(other, side)
    _, start, end = oracle.welch(name, other, side)
    digits = len(ratio.partition(".")[2])
    assert float(ratio) == pytest.approx(truth, abs=0.51 * 10**-digits)
    for text, bound, away in ((low, min(start, truth), -1), (high, max(end, truth), 1)):
        step = 10 ** -len(text.partition(".")[2])
        assert -1e-3 * bound <= away * (float(text) - bound) <= step + 1e-3 * bound  # never narrower


def check_sentence(oracle: Oracle, text: str) -> str:
    """Check one sentence, and return which kind it is."""
    if m := re.fullmatch(rf"At (\d+)², (\S+) needs {NUMBER} of (\S+)'s time \(95 %: {INTERVAL}\)\.", text):
        side, name, ratio, other, low, high = m.groups()
        check_ratio(oracle, int(side), name, other, ratio, low, high)
        assert oracle.is_shown(name, other, int(side))
        return "part of the time"
    if m := re.fullmatch(rf"At (\d+)², (\S+) needs {NUMBER} times as long as (\S+) \(95 %: {INTERVAL}\)\.", text):
        side, name, ratio, other, low, high = m.groups()
        check_ratio(oracle, int(side), name, other, ratio, low, high)
        assert oracle.is_shown(other, name, int(side))
        return "times as long"
    if m := re.fullmatch(
        rf"At (\d+)², no test shows whether (\S+) or (\S+) is faster \(ratio {NUMBER}, 95 %: {INTERVAL}\)\.", text
    ):
        side, name, other, ratio, low, high = m.groups()
        check_ratio(oracle, int(side), name, other, ratio, low, high)
        assert not oracle.is_shown(name, other, int(side)) and not oracle.is_shown(other, name, int(side))
        return "not shown"
    if m := re.fullmatch(
        r"Between (\d+) and (\d+) px, (\S+) is faster up to (\d+) px, (\S+) above(?: \(95 %: (\d+)–(\d+) px\))?\.",
        text,
    ):
        first, last, below, px, above, low, high = m.groups()
        assert oracle.is_sound(below, above)
        (crossing,) = oracle.crossings(below, above)
        assert float(px) == pytest.approx(crossing, rel=0.01)
        assert low is None or float(low) - 1 <= float(px) <= float(high) + 1
        common = [s for s in oracle.ok(below) if s in oracle.ok(above)]
        assert (int(first), int(last)) == (
            max(oracle.ok(below)[0], oracle.ok(above)[0]),
            min(oracle.ok(below)[-1], oracle.ok(above)[-1]),
        )
        assert oracle.is_shown(below, above, common[0]) and oracle.is_shown(above, below, common[-1])
        return "crossing"
    if m := re.fullmatch(r"(\S+) is faster than (\S+) at each of (\d+) sizes, (\d+)² to (\d+)²\.", text):
        faster, slower, count, first, last = m.groups()
        common = [s for s in oracle.ok(faster) if s in oracle.ok(slower)]
        assert (len(common), common[0], common[-1]) == (int(count), int(first), int(last))
        assert all(oracle.is_shown(faster, slower, side) for side in common)
        assert not oracle.crossings(faster, slower)
        return "each size"
    if m := re.fullmatch(r"(\S+) is the fastest of the (\d+) that ran at (.*)\.", text):
        name, count, sizes = m.groups()
        for side in map(side_of, sizes.split(", ")):
            assert oracle.is_fastest(name, side) and len(oracle.ran(side)) == int(count)
        return "fastest"
    if m := re.fullmatch(
        r"(\S+) is faster at (\d+)² \((.*)\) than at (\d+)² \((.*)\), beyond the intervals: .*", text
    ):
        name, large, large_ms, small, small_ms = m.groups()
        assert int(large) > int(small) and oracle.ms(name, int(large)) < oracle.ms(name, int(small))
        assert (large_ms, small_ms) == (duration(oracle.ms(name, int(large))), duration(oracle.ms(name, int(small))))
        return "falling"
    if m := re.fullmatch(r"No time: (.*)\.", text):
        failed = [f"{n} at {s}² (oom)" for (n, s), made in oracle.records.items() if made.status is Status.OOM]
        named = re.findall(r"\S+ at \d+² \(oom\)", m[1])
        more = int(found[1]) if (found := re.search(r"and (\d+) more", m[1])) else 0
        assert set(named) <= set(failed) and len(named) + more == len(failed)
        return "failed"
    if m := re.fullmatch(r"Nothing is derived from these times: (.*)\.", text):
        doubtful = {(n, s) for n in names_of(oracle) for s in oracle.ok(n) if oracle.is_doubtful(n, s)}
        assert _doubted(m[1]) == doubtful
        return "doubt"
    if text.startswith("Only one model was measured"):
        assert len(names_of(oracle)) == 1
        return "alone"
    if text == "No model is shown to be the fastest at any size.":
        sides = {side for _, side in oracle.records}
        several = [side for side in sides if len(oracle.ran(side)) > 1]
        assert not any(oracle.is_fastest(name, side) for side in several for name in oracle.ran(side))
        return "no winner"
    assert re.fullmatch(r"\d+ of \d+ latencies (was|were) disturbed by other programs .*", text), text
    return "headline"


def test_each_sentence_of_a_summary_is_implied_by_the_records(sets):
    kinds = {check_sentence(oracle, text) for oracle in sets for text in sentences(group(oracle.records.values()))}
    assert {"part of the time", "fastest", "doubt", "failed", "headline"} <= kinds  # the sets are not empty of sense
    assert len(kinds) >= 9
