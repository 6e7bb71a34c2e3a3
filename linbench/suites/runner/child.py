"""The fresh process of one round: ``python -m linbench.suites.runner.child`` reads a request and prints its outcome.

Request (JSON on standard input): ``suite``, ``call`` (``measure``, ``trial`` or ``export``), ``key``, ``seconds``,
``seed``, ``plugins``, ``parent`` (process id).
Outcome: one line of JSON on standard output; whatever else prints goes to standard error, the round's log.
"""

import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the request, measure, and print the outcome."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.read())
    _die_with(request["parent"])
    _offer_to_oom_killer()
    json.dump(_outcome(request), answer, allow_nan=False)
    answer.close()


def _outcome(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a request; whatever the measurement raises becomes its status."""
    from linbench.records import Status
    from linbench.registry import load_plugin
    from linbench.suites import suite
    from linbench.suites.runner.memory import is_out_of_memory
    from linbench.suites.runner.suite import Outcome, Suite

    try:
        for plugin in request["plugins"]:
            load_plugin(Path(plugin))
        built: Suite[Any, Any] = suite[request["suite"]].build()
        measure = {"measure": built.measure, "trial": built.trial, "export": built.export}[request["call"]]
        if measure is None:
            raise ValueError(f"the suite {request['suite']} has no {request['call']}")
        outcome = measure(built.key.from_json(request["key"]), request["seconds"], request["seed"])
    except Exception as error:  # noqa: BLE001 - a backbone may raise anything; it becomes the outcome
        traceback.print_exc()
        status = Status.OOM if is_out_of_memory(error) else Status.FAILED
        lines = str(error).strip().splitlines()
        outcome = Outcome(status, reason=f"{type(error).__name__}: {lines[0] if lines else 'no message'}")
    return asdict(outcome)


def _die_with(parent: int) -> None:
    """End this process when the sweep ends, even by SIGKILL, so that no orphan disturbs the next one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _offer_to_oom_killer() -> None:
    """Make the system that runs out of memory end this process, not the sweep or somebody's editor."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
