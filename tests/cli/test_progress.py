"""Progress is a bar on a terminal and plain lines elsewhere, both on standard error."""

import os
import subprocess
import sys

import pytest

CODE = """
from linbench.cli.progress import progress
with progress("pictures", 2) as advance:
    advance("[bold]one", 1)
    advance("two", 1)
"""


def test_elsewhere_each_step_is_a_plain_line():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "[1/2] [bold]one\n[2/2] two\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_there_is_a_bar_below_the_lines():
    import pty

    ours, theirs = pty.openpty()
    running = subprocess.Popen([sys.executable, "-c", CODE], stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other end was closed
        pass
    os.close(ours)
    assert running.wait() == 0
    assert b"2/2" in shown
    assert b"[bold]one" in shown
    assert b"[1/2]" not in shown
