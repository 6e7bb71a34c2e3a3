"""What a round stores of the processor: its own part and that of others, of the cores that it may use."""

import os
import subprocess
import sys

import pytest

CODE = (
    "import threading, time; from linbench.suites.runner.cpu_usage import cpu_usage\n"
    "def spin():\n"
    "    end = time.perf_counter() + 1\n"
    "    while time.perf_counter() < end: pass\n"
    "with cpu_usage(1) as usage:\n"
    "    thread = threading.Thread(target=spin); thread.start(); spin(); thread.join()\n"
    "print(usage['cpu_share'], usage['others_share'])"
)


@pytest.mark.skipif(sys.platform != "linux", reason="sets affinities")
def test_the_threads_of_a_round_and_other_programs_share_its_core() -> None:
    """A round that computes on one core leaves others the rest of it, whatever runs on the machine's other cores."""
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    own, others = map(float, done.stdout.split())
    assert own > 0.1
    assert own + others == pytest.approx(1, abs=0.15)
