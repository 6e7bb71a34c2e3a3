"""The sweep beside a real competitor: it says so, waits, repeats, marks, and its exit code and JSON carry it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linbench.cli import app
from linbench.cli.doctor import _contention
from linbench.cli.quiet_progress import DISTURBED_EXIT, warn_of_disturbed
from linbench.records import Record, Status
from tests.reports.cases import record

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets affinities")
#: Starts a program that computes for at most five minutes, prints its id, and ends: the program is nobody's child.
START = """
import subprocess, sys
spin = "import time; end = time.monotonic() + 300\\nwhile time.monotonic() < end: pass"
print(subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
"""


@pytest.fixture
def shared_core() -> Iterator[int]:
    """The only core that this process may use in the test, on which another program computes too.

    That program gets about half of the core while we compute, and all of it while we wait.
    """
    allowed = os.sched_getaffinity(0)
    core = min(allowed)
    started = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    program = int(started.stdout)
    os.sched_setaffinity(program, {core})
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)
        os.kill(program, signal.SIGKILL)


def swept(results: Path, plugins: Path, *more: str) -> Result:
    """Run a sweep of one small cell on one core."""
    cell = ["--plugin", str(plugins / "toy.py"), "--backbone", "toy", "--res", "64", "--preset", "paper"]
    quick = ["--rounds", "1", "--cell-seconds", "1", "--device", "cpu", "--threads", "1", "--results", str(results)]
    return CliRunner().invoke(app, ["run", *cell, *quick, *more])


@pytest.mark.usefixtures("shared_core")
def test_beside_a_program_on_its_core_a_sweep_waits_warns_repeats_and_marks(tmp_path: Path, plugins: Path) -> None:
    done = swept(tmp_path, plugins, "--wait", "2", "--json")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("linbench: other programs use ") and "of the one core (most by " in lines[0]
    assert "close them; waiting for quiet, at most 2 s (--wait)" in lines[0]
    assert any(line.startswith("waiting for quiet, ") for line in lines)
    assert "linbench: still busy after 2 s: measuring anyway, and marking what is disturbed" in lines
    starts, ends = ([i for i, line in enumerate(lines) if line.startswith(begin)] for begin in ("toy ", "[1/1] toy "))
    assert lines[starts[0]] == "toy backbone 64x64 float32 paper: round 1 of 1"
    assert lines[starts[2]] == "toy backbone 64x64 float32 paper: round 1 of 1, attempt 3, as it was disturbed"
    assert starts < ends
    assert " ‡ disturbed: other programs used " in lines[ends[0]]
    assert lines[ends[0]].endswith(" of the cores; repeated 2 times")
    assert "1 of 1 cells was disturbed by other programs" in done.stderr
    assert done.exit_code == DISTURBED_EXIT
    (row,) = json.loads(done.stdout)
    assert (row["status"], row["disturbed"]) == ("ok", True)
    (path,) = tmp_path.glob("*/latency/toy/*.json")
    (entry,) = json.loads(path.read_text())["rounds"]
    shares = [attempt["others_share"] for attempt in entry["repeated_after"]]
    assert len(shares) == 2 and all(attempt["samples_ms"] for attempt in entry["repeated_after"])
    assert 0.1 < entry["others_share"] <= min(shares)


@pytest.mark.slow
@pytest.mark.usefixtures("shared_core")
def test_without_waiting_a_disturbed_round_is_measured_once_and_marked(tmp_path: Path, plugins: Path) -> None:
    done = swept(tmp_path, plugins, "--wait", "0")
    assert "measuring at once (--wait 0)" in done.stderr
    assert "waiting for quiet" not in done.stderr
    assert done.exit_code == DISTURBED_EXIT
    (path,) = tmp_path.glob("*/latency/toy/*.json")
    (entry,) = json.loads(path.read_text())["rounds"]
    assert entry["others_share"] > 0.1 and "repeated_after" not in entry
    again = swept(tmp_path, plugins)
    assert "other programs" not in again.stderr.splitlines()[0]  # nothing is measured, so nothing is waited for
    assert again.exit_code == DISTURBED_EXIT  # what was disturbed stays so


@pytest.mark.usefixtures("shared_core")
def test_the_doctor_says_that_a_program_computes_and_what_to_do() -> None:
    quiet = {finding.part: finding for finding in _contention()}["Quiet"]
    assert quiet.state == "warning"
    assert quiet.result.startswith("busy: other programs use ")
    assert "--wait" in quiet.remedy


def with_shares(*shares: float | None) -> Record:
    """A record whose rounds were disturbed by these shares of the cores."""
    made = record("vit-t", 512, 100.0)
    entries = tuple({**entry, "others_share": share} for entry, share in zip(made.rounds, shares, strict=False))
    return Record(made.key, Status.OK, rounds=entries)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([with_shares(0.01, 0.1, 0.05)], ""),
        ([with_shares(None, None, None)], ""),
        ([Record({}, Status.OOM)], ""),
        (
            [with_shares(0.01, 0.72, 0.05), with_shares(0.01, 0.02, 0.03)],
            "1 of 2 cells was disturbed by other programs",
        ),
    ],
)
def test_the_warning_counts_cells_with_a_disturbed_round(
    records: list[Record], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert warn_of_disturbed(records) is bool(message)
    printed = capsys.readouterr().err
    assert message in printed and bool(printed) is bool(message)


def test_a_negative_wait_is_refused() -> None:
    done = CliRunner().invoke(app, ["run", "--wait", "-1", "--dry-run"])
    assert (done.exit_code, "--wait -1.0: at least 0 is allowed" in done.stderr) == (2, True), done.stderr
