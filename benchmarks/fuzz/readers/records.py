"""Folders of records, through the commands that read them; and what else those commands read."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

from benchmarks.fuzz import formats
from benchmarks.fuzz.contract import Files, Reader, value_error
from benchmarks.fuzz.guard import unclear
from benchmarks.fuzz.readers.annotations import files

NAMED = "left out: "  # how commands begin the line of a fault


class Refused(ValueError):
    """The message of a command that refuses."""


class Unexplained(Exception):
    """A command that ends with an exit code and gives no reason, or with signs that terminals obey."""


def command(*words: str) -> int:
    """Run a command of linbench here; return how many faults it names. Raises Refused, and what it raises."""
    from typer.testing import CliRunner

    from linbench.cli import app

    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return _judged(done.exit_code, done.stdout, done.stderr)


def refusing(call: Callable[[], int]) -> int:
    """What a function gives where commands turn its errors into refusals; raises Refused likewise."""
    from contextlib import redirect_stderr

    import typer

    from linbench.cli.refusal import refusing as turned

    stderr = StringIO()
    try:
        with redirect_stderr(stderr), turned():
            return call()
    except typer.Exit as ended:
        return _judged(ended.exit_code, "", stderr.getvalue())


def _judged(code: int, stdout: str, stderr: str) -> int:
    if any(ord(sign) < 32 and sign not in "\n\t" for sign in stdout + stderr):
        raise Unexplained(f"control characters: {stdout + stderr!r:.2000}")
    lines = stderr.splitlines()
    if code == 0:
        return 0
    if code == 1 and (stderr.strip() or stdout.strip()):
        return max(len(lines), 1)
    if not stderr.strip():
        raise Unexplained(f"exit code {code} without a word: {stdout!r:.1000}")
    if stderr.startswith("Usage:"):  # typer's own refusal of an option, below how the command is used
        raise Refused(lines[-1])
    raise Refused("\n".join(line for line in lines if not line.startswith(NAMED)))


def refused(call: Callable[[], int]) -> int:
    """What a call gives; 1 where it is refused. Raises where the refusal is not clear."""
    try:
        return call()
    except Refused as error:
        if unclear(str(error), None):
            raise
        return 1


def _refusals() -> tuple[type[BaseException], ...]:
    return (Refused,)


def stored(scratch: Path, records: Sequence[Any]) -> Files:
    """A folder of records as a run leaves it."""
    from linbench.records import Store

    store = Store(scratch / "store" / "results")
    for record in records:
        store.put(record)
    stored_files = files(store.root)
    import shutil

    shutil.rmtree(scratch / "store")
    return {f"results/{name}": body for name, body in stored_files.items()}


def _latency(scratch: Path) -> list[Files]:
    from tests.reports.cases import five_backbones, record

    some = five_backbones()
    best = record("vim-t", 512, 3.0, preset="best")
    search = {"kept": {"attention": "sdpa"}, "candidates": [{"status": "ok"}], "height": 512, "width": 512}
    search |= {"started": "2026-11-21", "margin": 0.02, "untried": []}
    return [
        stored(scratch, some[:2]),
        stored(scratch, [some[2], some[4], some[-1]]),
        stored(scratch, [replace(best, search=search), record("vim-t", 512, 4.0)]),
    ]


def _scores(scratch: Path) -> list[Files]:
    from tests.reports.accuracy_cases import score

    return [
        stored(scratch, [score("vim-t", "dis", 0.8, images=5), score("vrwkv-t", "dis", 0.7, images=5)]),
        stored(scratch, [score("vim-t", "coco", 0.8, images=4, whole={"map": 40.0, "mbap": 30.0})]),
    ]


def _kernels(scratch: Path) -> list[Files]:
    from tests.reports.kernel_cases import record

    return [stored(scratch, [record("bi_wkv", "toy", way, 1.0, rounds=2) for way in ("forward", "backward")])]


def _all(scratch: Path) -> list[Files]:
    return [*_latency(scratch), *_scores(scratch), *_kernels(scratch)]


def _report(folder: Path) -> int:
    words = ("--results", str(folder / "results"), "--out", str(folder / "out"), "--no-figures")
    return command("report", *words)


def _page(folder: Path) -> int:
    words = ("--results", str(folder / "results"), "--out", str(folder / "out"), "--no-figures", "--json")
    return command("report", *words, "--html", str(folder / "page.html"))


def _figures(folder: Path) -> int:
    return command("report", "--results", str(folder / "results"), "--out", str(folder / "out"), "--figures")


def _compare(folder: Path) -> int:
    """A folder against itself, and its backbones against one another."""
    results = str(folder / "results")
    faults = command("compare", results, results, "--across-devices")
    faults += command("compare", results, results, "--fail-on", "SLOWER:5%", "--fail-on", "BROKEN", "--json")
    return faults


def _merge(folder: Path) -> int:
    """Into a new folder, twice: the second time nothing is written."""
    results, out = str(folder / "results"), str(folder / "merged")
    faults = command("merge", results, "--out", out)
    before = files(Path(out))
    faults += command("merge", results, "--out", out)
    assert files(Path(out)) == before, "merging again changes files"
    return faults


def _choose(folder: Path) -> int:
    faults = 0
    words = ("choose", "--results", str(folder / "results"), "--latency-ms", "1000", "--metric")
    for metric in ("latency_ms", "dis_mbiou"):
        faults += refused(lambda metric=metric: command(*words, metric))
    return faults


def _paper(folder: Path) -> int:
    words = ("--results", str(folder / "results"), "--out", str(folder / "paper"), "--table", "2,5")
    return command("paper", *words)


def _plan(folder: Path) -> int:
    """What a run would measure, beside records and searches that are there."""
    words = ("--dry-run", "--json", "--results", str(folder / "results"), "--backbone", "vim-t", "--res", "512")
    return command("run", *words)


def _planned(scratch: Path) -> list[Files]:
    """The records and the search that a run looks for, under this machine's names."""
    from linbench.records import Record, Status
    from linbench.suites.latency.cells import cells
    from linbench.suites.latency.options import LatencyOptions
    from linbench.suites.latency.settings import Preset
    from linbench.suites.runner.resuming import required_searches

    options = LatencyOptions(backbones=("vim-t",), resolutions=((512, 512),), presets=(Preset.BEST, Preset.PAPER))
    plan = cells(options)
    records = []
    searches: list[Any] = [*required_searches(plan)]
    for search in searches:
        block = {
            "kept": search.base.settings.to_json(),
            "candidates": [],
            "untried": [],
            "height": 512,
            "width": 512,
            "started": "x",
        }
        records.append(Record(search.record_key(), Status.OK, code_hash=search.code_hash, search=block))
    assert records, "no cell waits for a search"
    settled = [cell for cell in plan if not cell.required_search]
    records += [Record(cell.key.to_json(), Status.OK, code_hash=cell.code_hash) for cell in settled]
    return [stored(scratch, records)]


def _show(folder: Path) -> int:
    """What searches have chosen for a backbone."""
    from linbench.records import Store
    from linbench.reports.latency.best_settings import describe_search_record
    from linbench.reports.validation import record_fault

    store = Store(folder / "results")
    searches = [record for record in store if record.key.get("suite") == "search"]
    valid = [record for record in searches if not record_fault(record)]
    assert all(map(describe_search_record, valid))
    return len(store.faults) + len(searches) - len(valid)


# what other commands of a report read


def _sets(scratch: Path) -> list[Files]:
    rows = [{"set": "COCONut-B", "split": "train", "images": 242_000, "masks": 2_780_000}]
    return [{"stats.json": formats.dumped(rows)}]


def _read_sets(folder: Path) -> int:
    words = ("--table", "2", "--results", str(folder / "none"), "--out", str(folder / "paper"))
    (folder / "none").mkdir()
    return command("paper", *words, "--sets", f"coconut={folder / 'stats.json'}")


def _predictions(scratch: Path) -> list[Files]:
    from linbench.coco import rle
    from tests.data.sets import photo, square

    image = photo(scratch / "a.jpg").read_bytes()
    by_box = {
        "prompt": 1,
        "box": [3, 2, 7, 6],
        "points": [],
        "name": "dog",
        "score": 0.9,
        "segmentation": rle.encode(square()),
    }
    by_point = {
        "prompt": 2,
        "box": None,
        "points": [[4, 4, 1]],
        "name": "",
        "score": 0.8,
        "segmentation": rle.encode(square()),
    }
    document = {
        "image": "a.jpg",
        "height": 12,
        "width": 16,
        "model": {"name": "vit-t", "sha256": "0" * 64, "weights": "a.pth"},
        "predictions": [by_box, by_point],
        "errors": [],
    }
    body = formats.dumped(document)
    return [{"one/a.masks.json": body, "two/a.masks.json": body, "images/a.jpg": image}]


def _read_predictions(folder: Path) -> int:
    from linbench.cli.paper_masks import read_rows

    rows, faults = read_rows([folder / "one", folder / "two"], folder / "images", 4)
    for row in rows:
        for answer in row.masks:
            assert answer.mask is None or answer.mask.shape == row.image.shape[:2]
    for fault in faults:
        assert len(fault.splitlines()) == 1, f"a fault of several lines: {fault}"
    return len(faults)


# journals


def _journal(scratch: Path) -> list[Files]:
    from linbench.suites.runner.journal import Journal

    journal = Journal(scratch / "journal" / "x.json", HEADER)
    for process, numbers in ((0, (0, 2)), (1, (1, 3))):
        with journal.appending(process) as append:
            for number in numbers:
                append({"number": number, "id": str(number), "iou": 0.5})
    return [files(scratch / "journal")]


HEADER = {"key": "k", "code": "c", "torch": "t"}


def _signed(scratch: Path) -> list[Files]:
    """Lines whose check is right and whose content is not."""
    import zlib

    inputs = []
    rows = (
        "[]",
        "1",
        "null",
        "{}",
        '{"number": "a"}',
        '{"number": [1]}',
        "[" * 5000 + "]" * 5000,
        "{",
        '{"number": 1e999}',
    )
    for row in rows:
        lines = [json.dumps(HEADER, separators=(",", ":")).encode(), row.encode()]
        inputs.append({"x.0.journal": b"".join(b"%08x %s\n" % (zlib.crc32(line), line) for line in lines)})
        inputs.append({"x.0.journal": b"%08x %s\n" % (zlib.crc32(row.encode()), row.encode())})
    return inputs


def _read_journal(folder: Path) -> int:
    """Read the rows, go on, and read them again: what was there stays."""
    from linbench.suites.runner.journal import Journal

    journal = Journal(folder / "x.json", HEADER)
    before = journal.rows()
    with journal.appending(0) as append:
        append({"number": 77, "id": "77", "iou": 1.0})
    after = journal.rows()
    assert {**before, 77: after[77]} == after or 77 in before, f"rows are lost: {before} {after}"
    return 0


def _os_error() -> tuple[type[BaseException], ...]:
    return (OSError,)


READERS = (
    Reader("report", _all, _report, _refusals, weight=16, names_file=False),
    Reader("report-page", _all, _page, _refusals, weight=5, names_file=False),
    Reader("report-figures", _all, _figures, _refusals, weight=1, names_file=False),
    Reader("compare", _all, _compare, _refusals, weight=8, names_file=False),
    Reader("merge", _all, _merge, _refusals, weight=8, names_file=False),
    Reader("choose", _all, _choose, _refusals, weight=5, names_file=False, valid=None),
    Reader("paper", _all, _paper, _refusals, weight=3, names_file=False),
    Reader("plan", _planned, _plan, _refusals, weight=3, names_file=False),
    Reader("show", _planned, _show, _refusals, weight=3, names_file=False),
    Reader("paper-sets", _sets, _read_sets, _refusals, weight=2),
    Reader("predictions", _predictions, _read_predictions, value_error, weight=4),
    Reader("journal", _journal, _read_journal, _os_error, weight=4, hostile=_signed),
)
