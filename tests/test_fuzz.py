"""The fuzzer: what it looks for it finds, an input is known by its number, and linbench's readers stand it."""

import faulthandler
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz import bait
from benchmarks.fuzz.contract import Outcome, Reader
from benchmarks.fuzz.inputs import Source
from benchmarks.fuzz.pool import results
from benchmarks.fuzz.readers import READERS

ROOT = Path(__file__).parents[1]
FILE = "a.json"


class Bad(ValueError):
    """The error that the readers here document."""


def reader(read: Callable[[Path], int]) -> Reader:
    return Reader("planted", lambda scratch: [{FILE: b'{"a": [1, 2]}'}], read, lambda: (Bad,))


def found(read: Callable[[Path], int], limit: float = 5.0) -> Outcome:
    """What becomes of a valid input under a reader."""
    planted = reader(read)
    source = Source(planted, tuple(planted.seeds(Path())), ())
    (result,) = results({"planted": source}, [("planted", -1)], 0, limit, 1)
    return result.outcome


def _refuse(text: str) -> Callable[[Path], int]:
    def read(folder: Path) -> int:
        raise Bad(text.replace("FILE", str(folder / FILE)))

    return read


def _raise(error: BaseException) -> Callable[[Path], int]:
    def read(folder: Path) -> int:
        raise error

    return read


def _refused(call: Callable[[], object]) -> Callable[[Path], int]:
    """A reader that hides what a call raises behind an error that it documents."""

    def read(folder: Path) -> int:
        try:
            call()
        except BaseException as error:
            raise Bad(f"{folder / FILE}: it cannot be read") from error
        return 0

    return read


def _does(call: Callable[[], object]) -> Callable[[Path], int]:
    def read(folder: Path) -> int:
        call()
        return 0

    return read


def _loop() -> None:
    while True:
        pass


class _Calls:
    def __reduce__(self) -> tuple[object, ...]:
        return bait.spring, ("hello",)


OUTSIDE = Path(tempfile.gettempdir()) / "written-by-a-planted-reader"
CALLS = pickle.dumps(_Calls())


@pytest.mark.parametrize(
    ("read", "outcome"),
    [
        (lambda folder: 0, Outcome.READ),
        (lambda folder: 3, Outcome.FAULT),
        (_refuse("FILE: it is no file of this kind"), Outcome.REFUSED),
        (lambda folder: (folder / "own").mkdir() or (folder / "own" / "x").write_text(""), Outcome.READ),
        (_raise(KeyError("id")), Outcome.TRACEBACK),
        (_raise(SystemExit(1)), Outcome.TRACEBACK),
        (_does(faulthandler._sigsegv), Outcome.TRACEBACK),  # type: ignore[attr-defined]
        (_does(lambda: os._exit(0)), Outcome.TRACEBACK),
        (_refuse("FILE: one line\nand another"), Outcome.UNCLEAR),
        (_refuse("it is no file of this kind"), Outcome.UNCLEAR),
        (_refuse("FILE: \x1b[31mred"), Outcome.UNCLEAR),
        (_refuse("FILE: " + "a" * 3000), Outcome.UNCLEAR),
        (_refuse(""), Outcome.UNCLEAR),
        (_does(lambda: np.ones(5 * 2**25)), Outcome.MEMORY),
        (_does(lambda: np.zeros(5 * 2**25)), Outcome.MEMORY),  # reserved, and never touched
        (_refused(lambda: np.ones(2**36)), Outcome.MEMORY),
        (_does(lambda: np.ones(2**26)), Outcome.READ),  # half a GiB
        (_does(lambda: os.system("true")), Outcome.EXECUTED),
        (_refused(lambda: os.system("true")), Outcome.EXECUTED),
        (_refused(lambda: subprocess.run(["true"], check=True)), Outcome.EXECUTED),
        (_refused(lambda: OUTSIDE.write_text("")), Outcome.EXECUTED),
        (_refused(lambda: OUTSIDE.mkdir()), Outcome.EXECUTED),
        (_refused(lambda: __import__("antigravity")), Outcome.EXECUTED),
        (_refused(lambda: pickle.loads(CALLS)), Outcome.EXECUTED),
    ],
)
def test_each_outcome_is_told_from_the_others(read: Callable[[Path], int], outcome: Outcome) -> None:
    assert found(read) is outcome
    assert not OUTSIDE.exists()


@pytest.mark.parametrize("hang", [lambda: time.sleep(100), _loop])
def test_a_reader_that_hangs_is_ended_and_the_next_input_is_read(hang: Callable[[], object]) -> None:
    began = time.perf_counter()
    assert found(_does(hang), limit=0.5) is Outcome.HANG
    assert time.perf_counter() - began < 60
    assert found(_does(lambda: time.sleep(0.1)), limit=2.0) is Outcome.READ


def test_an_input_is_known_by_seed_and_number() -> None:
    source = command.source(reader(lambda folder: 0), Path(tempfile.mkdtemp()))
    first = [source.input(0, number) for number in range(50)]
    assert first == [source.input(0, number) for number in range(50)]
    assert first != [source.input(1, number) for number in range(50)]
    assert len({str(one.files) for one in first}) > 40
    assert source.input(0, -1).files == source.seeds[0]


def test_the_command_names_a_failing_place_once_and_keeps_inputs_that_fail_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    valid = b'{"a": [1, 2]}'

    def read(folder: Path) -> int:
        if (folder / FILE).is_file() and (folder / FILE).read_bytes() != valid:
            raise KeyError("changed")
        return 0

    monkeypatch.setattr(command, "READERS", {"planted": reader(read)})
    assert command.main(["--inputs", "20", "--keep", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("## planted: traceback:") == 1
    kept = sorted(tmp_path.iterdir())
    assert len(kept) > 10
    assert "KeyError: 'changed'" in (kept[0] / "what.txt").read_text()
    assert (
        (kept[0] / "what.txt").read_text().startswith("python -m benchmarks.fuzz --seed 0 --reader planted --only ")
    )
    number = kept[0].name.rpartition("-")[2]
    assert command.main(["--only", number]) == 1
    row = next(line for line in printed.splitlines() if line.startswith("all "))
    assert row.split()[1:6] == ["20", str(20 - len(kept)), "0", "0", str(len(kept))]


def test_a_valid_input_that_is_not_read_stops_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "READERS", {"planted": reader(_refuse("FILE: never"))})
    assert command.main(["--inputs", "20"]) == 2
    assert "planted: valid input 0 is not read: refused" in capsys.readouterr().err


def test_every_reader_reads_a_valid_input(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sources = {}
    for name, one in READERS.items():
        (tmp_path / name).mkdir()
        sources[name] = Source(one, tuple(one.seeds(tmp_path / name))[:1], ())
    command.warm(sources, tmp_path)
    assert command.sound(sources, 0), capfd.readouterr().err


def test_readers_stand_a_hundred_malformed_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    names = (
        "train-state",
        "train-run",
        "train-log",
        "embeddings",
        "journal",
        "merge",
        "paper-sets",
    )
    assert command.main(["--inputs", "100", *(f"--reader={name}" for name in names)]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_all_readers_stand_ten_thousand_malformed_inputs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(done.stdout[-10_000:])  # noqa: T201
    assert done.returncode == 0, done.stdout[-10_000:]
