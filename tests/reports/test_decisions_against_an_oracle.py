"""Every sentence that ``choose`` and ``compare`` print about a pair is implied by the records."""

import math
import re
from dataclasses import replace
from random import Random

from linbench.records import Record, Status
from linbench.reports.decide import compare_table, marks, recommend_table
from linbench.reports.decide.comparable_cells import ComparableCell, comparable_cells
from linbench.reports.decide.compare import Margins, compare_backbones
from linbench.reports.decide.contenders import Request
from linbench.reports.decide.recommend import recommend
from linbench.reports.render.table import Table, to_terminal
from tests.reports.cases import record
from tests.reports.decision_oracle import Cell, all_pairs, digits, verdicts

SETS = 200
NAMES = ("vit-t", "vim-t", "vmamba-t", "vrwkv-t", "rwkv-sam-t")
LOSS = {"TIE": "a tie", "AMBIGUOUS": "within the uncertainty", "SLOWER": "more than the uncertainty"}


def random_records(rng: Random) -> list[Record]:
    """Records with few rounds or samples, disturbed, throttled, failed; of one to three sizes, and some not there."""
    sizes = rng.sample((512, 1024, 2048), rng.randint(1, 3))
    doubtful = rng.choice((0.0, 0.2, 0.5, 1.0))
    noise = rng.choice((0.001, 0.01, 0.05))
    cells = [(name, size) for name in rng.sample(NAMES, rng.randint(3, 5)) for size in sizes if rng.random() < 0.95]
    made = [_random_record(rng, name, size, doubtful, noise) for name, size in cells]
    return made or random_records(rng)


def _random_record(rng: Random, name: str, size: int, doubtful: float, noise: float) -> Record:
    if rng.random() < doubtful / 4:
        return record(name, size, status=rng.choice((Status.OOM, Status.FAILED, Status.TIMEOUT)), reason="made up")
    ms = rng.choice((10.0, 10.05, 11.0, 20.0)) * (size / 512) ** rng.choice((2, 3))
    is_doubtful = rng.random() < doubtful
    rounds = []
    for entry in record(
        name, size, ms, rounds=rng.choice((1, 2, 3, 5)) if is_doubtful else rng.choice((3, 5))
    ).rounds:
        median = ms * math.exp(rng.gauss(0, noise))
        samples = [median * math.exp(rng.gauss(0, noise)) for _ in range(rng.choice((1, 4, 12)))]
        others = rng.choice((None, 0.05, 0.1, 0.11, 0.72)) if is_doubtful else rng.choice((None, 0.0, 0.1))
        throttled = ["power cap"] if is_doubtful and rng.random() < 0.2 else []
        converged = rng.random() < 0.9
        rounds.append(
            {**entry, "samples_ms": samples, "others_share": others, "throttled": throttled, "converged": converged}
        )
    return replace(record(name, size, ms), rounds=tuple(rounds))


def test_every_sentence_of_choose_and_compare_is_implied_by_the_records():
    seen: set[str] = set()
    for seed in range(SETS):
        rng = Random(seed)
        made = random_records(rng)
        known, faults = comparable_cells(made)
        assert not faults
        cells = [Cell(entry) for entry in made]
        limit = rng.choice((None, rng.choice([None, *(round(cell.ms, 2) for cell in cells if cell.is_ok)])))
        try:
            check_choose(cells, known, limit)
            seen |= check_compare(cells, known)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
    assert {"FASTER", "SLOWER", "TIE", "AMBIGUOUS", ""} <= seen


def check_choose(cells: list[Cell], known: list[ComparableCell], limit: float | None) -> None:
    answer = recommend(Request("latency_ms", latency_ms=limit), known)
    good = [cell for cell in cells if cell.supports and (limit is None or cell.ms <= limit)]
    good.sort(key=lambda cell: (cell.ms, cell.name))
    doubtful = [cell for cell in cells if cell.is_ok and not cell.supports]
    lines = recommend_table.describe(answer)
    found = recommend_table.tables(answer)
    text = "\n".join([*lines, *(to_terminal(table, 80) for table in found), *recommend_table.left_out(answer)])
    assert "overlap" not in text and "apart" not in text and "faster" not in text.lower()
    check_headline(lines, [*good, *doubtful])
    check_unranked(text, good, doubtful, limit)
    too_slow = {c.name for c in cells if c.supports and limit is not None and c.ms > limit}
    assert {line.split()[0] for line in text.splitlines() if "too slow" in line} == too_slow
    titles = [table.title.split()[0] for table in found]
    assert titles == ["What"] * bool(good) + ["Not"] * bool(doubtful)
    if not good:
        assert "Best" not in text and "Runner-up" not in text
        assert ("No recommendation" if doubtful else "Nothing fits") in text
        return
    judged = verdicts([(good[0], other) for other in good[1:]])
    check_best(lines, good, judged, limit, bool(doubtful))
    check_ranked(found[0], good, judged)


def check_headline(lines: list[str], shown: list[Cell]) -> None:
    disturbed = [cell.by_others for cell in shown if cell.by_others > 0.1]
    warning = f"{len(disturbed)} of {len(shown)} latencies "
    share = f"(up to {100 * max(disturbed, default=0):.0f} % of the cores)"
    assert (lines[0].startswith(warning) and share in lines[0]) == bool(disturbed)


def check_unranked(text: str, good: list[Cell], doubtful: list[Cell], limit: float | None) -> None:
    found = re.search(r"Not ranked: (\d+) of (\d+) \((.*)\)(; whether these take at most .* ms is unknown)?\.", text)
    assert bool(found) == bool(doubtful)
    if not found:
        return
    assert (int(found[1]), int(found[2])) == (len(doubtful), len(good) + len(doubtful))
    assert bool(found[4]) == (limit is not None)
    most = max(cell.by_others for cell in doubtful)
    reasons = ["fewer than 3 rounds"] * any("ᵃ" in cell.marks for cell in doubtful)
    reasons += [f"disturbed by other programs (up to {100 * most:.0f} % of the cores)"] * (most > 0.1)
    reasons += ["the device throttled"] * any(cell.is_throttled for cell in doubtful)
    assert found[3].split("; ") == reasons
    commands = [line for line in text.splitlines() if line.startswith("linbench run")]
    measured = {
        (m[1], int(s))
        for c in commands
        if (m := re.search(r"backbone (\S+) .*--res (\S+)", c))
        for s in m[2].split(",")
    }
    assert measured == {(cell.name, cell.size) for cell in doubtful}


def check_best(
    lines: list[str], good: list[Cell], judged: list[str], limit: float | None, has_doubtful: bool
) -> None:
    (best,) = [line for line in lines if line.startswith("Best ")]
    assert f": {good[0].name} at {good[0].size}², {good[0].text} ms" in best
    among = f"of the {len(good)} that can be ranked" if len(good) > 1 else "the only one that can be ranked"
    assert (among in best) == ("can be ranked" in best) == has_doubtful
    may_be_above = any("may be above the limit" in line for line in lines)
    assert may_be_above == (limit is not None and good[0].high > limit)
    runner_up = [line for line in lines if line.startswith("Runner-up")]
    assert len(runner_up) == (len(good) > 1)
    if runner_up:
        assert f"Runner-up: {good[1].name} at {good[1].size}², {good[1].text} ms" in runner_up[0]
        ratio = good[1].ms / good[0].ms
        loss = f"{100 * (ratio - 1):.1f} % longer" if ratio <= 2 else f"{ratio:.3g} times as long"
        assert f"it takes {loss}" in runner_up[0]
        assert judged[0] == "?" or LOSS[judged[0]] in runner_up[0]


def check_ranked(table: Table, good: list[Cell], judged: list[str]) -> None:
    sized = ("size",) if "size" in table.columns else ()
    for row, cell, verdict in zip(table.rows, good, ["best", *judged], strict=True):
        assert row[: 2 + len(sized)] == (cell.name, *(f"{cell.size}²" for _ in sized), cell.text)
        assert len(good) == 1 or verdict in (row[-1], "?")
        assert verdict == "best" or row[-2].startswith(f"{digits(cell.ms / good[0].ms)} (")


def check_compare(cells: list[Cell], known: list[ComparableCell]) -> set[str]:
    """Compare with the oracle and return its verdicts."""
    names = list(dict.fromkeys(cell.name for cell in cells))
    if len(names) < 3:
        return set()
    comparison = compare_backbones(names, known, Margins())
    pairs = all_pairs(cells, names)
    judged = verdicts(pairs)
    *times, ranking = compare_table.tables(comparison)
    if not pairs:
        return set()
    rows = [row for table in times for row in table.rows]
    for row, (a, b), verdict in zip(rows, pairs, judged, strict=True):
        assert row[:4] == (a.name, b.name, a.text, b.text)
        if verdict:
            assert row[4] == f"{b.ms / a.ms:.3f}" and verdict in (row[6], "?")
        else:
            statuses = (
                a.record.status if a.record.status == b.record.status else f"{a.record.status} → {b.record.status}"
            )
            assert row[4:] == ("–", "–", "not compared" if a.is_ok and b.is_ok else statuses)
    check_ranks(ranking, pairs, judged)
    warning = marks.headline(comparison.compared)
    check_headline([warning], list({id(cell): cell for pair in pairs for cell in pair if cell.is_ok}.values()))
    assert all(len(line) <= 80 for table in (*times, ranking) for line in to_terminal(table, 80).splitlines())
    return set(judged)


def check_ranks(table: Table, pairs: list[tuple[Cell, Cell]], judged: list[str]) -> None:
    if "?" in judged:
        return
    sizes = sorted({a.size for a, _ in pairs})
    for row in table.rows:
        for size, shown in zip(sizes, row[1:], strict=True):
            own = [(*pair, verdict) for pair, verdict in zip(pairs, judged, strict=True) if pair[0].size == size]
            own = [entry for entry in own if row[0] in (entry[0].name, entry[1].name)]
            cells = [cell for a, b, _ in own for cell in (a, b) if cell.name == row[0]]
            worse = sum(verdict == ("SLOWER" if b.name == row[0] else "FASTER") for _, b, verdict in own)
            if any(verdict for *_, verdict in own):
                assert shown == str(1 + worse)
            else:
                assert shown == ("–" if not cells else f"–{cells[0].marks}" if cells[0].is_ok else cells[0].text)
