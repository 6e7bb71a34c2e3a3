"""Worker processes that read inputs, and the watchdog that ends one which hangs; a new one takes its place."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from benchmarks.fuzz.contract import Outcome, Result
from benchmarks.fuzz.guard import Watch, guarded, waited
from benchmarks.fuzz.inputs import Source, write

GIVEN = "given-7f3a"  # the folder of an input, which no message names by chance
POLL = 0.2  # seconds between two looks at the workers
Job = tuple[str, int]  # reader and number


@dataclass
class _Worker:
    """A process and what it does now."""

    process: Any
    pipe: Connection
    job: Job | None = None
    began: float = 0.0
    waited: float = 0.0
    made: str = ""
    folder: Path = field(default_factory=Path)

    def seconds(self) -> float:
        """How long it is at its job, without the time that it waited for a core."""
        return time.perf_counter() - self.began - (_waited(self.process.pid) - self.waited)


def results(
    sources: Mapping[str, Source], jobs: Sequence[Job], seed: int, limit: float, workers: int
) -> Iterator[Result]:
    """What becomes of each job's input, in any order.

    limit: Seconds that an input may take.
    """
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    pending = list(reversed(jobs))
    pool: list[_Worker] = []
    try:
        pool += [_started(sources, seed, scratch) for _ in range(min(workers, len(jobs)))]
        while pending or any(worker.job for worker in pool):
            for worker in pool:
                if worker.job is None and pending:
                    _give(worker, pending.pop())
            ready = wait([worker.pipe for worker in pool if worker.job], timeout=POLL)
            for index, worker in enumerate(pool):
                if worker.job is None:
                    continue
                result = _answer(worker) if worker.pipe in ready else _late(worker, limit)
                if result is None:
                    continue
                yield result
                worker.job = None
                if not worker.process.is_alive() or result.outcome in (Outcome.MEMORY, Outcome.EXECUTED):
                    _end(worker)
                    pool[index] = _started(sources, seed, scratch)
    finally:
        for worker in pool:
            _end(worker)
        shutil.rmtree(scratch, ignore_errors=True)


def _started(sources: Mapping[str, Source], seed: int, scratch: Path) -> _Worker:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    ours, its = get_context("fork").Pipe()
    process = get_context("fork").Process(target=_work, args=(its, sources, seed, folder), daemon=True)
    process.start()
    its.close()
    return _Worker(process, ours, folder=folder)


def _give(worker: _Worker, job: Job) -> None:
    worker.job, worker.began, worker.waited = job, time.perf_counter(), _waited(worker.process.pid)
    worker.made = ""
    worker.pipe.send(job)


def _answer(worker: _Worker) -> Result | None:
    """The result that a worker sent; None where it describes only its input; its end is a result too."""
    assert worker.job is not None
    try:
        result = worker.pipe.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        code = worker.process.exitcode
        description = f"the process ended with {signal.Signals(-code).name if code and code < 0 else code}"
        return Result(*worker.job, Outcome.TRACEBACK, description, description, worker.made)
    if isinstance(result, str):
        worker.made, worker.began, worker.waited = result, time.perf_counter(), _waited(worker.process.pid)
        return None
    return result


def _late(worker: _Worker, limit: float) -> Result | None:
    """The result of a worker that takes too long, which is ended."""
    assert worker.job is not None
    if worker.seconds() <= limit or not worker.process.is_alive():  # its end is read from the pipe
        return None
    os.kill(worker.process.pid, signal.SIGUSR1)  # writes where it hangs
    time.sleep(0.1)
    worker.process.kill()
    worker.process.join()
    trace = (worker.folder / "hang").read_text() if (worker.folder / "hang").exists() else ""
    frames = [line.strip() for line in trace.splitlines() if "/linbench/linbench/" in line or "/linbench/" in line]
    location = frames[0].rpartition("/linbench/")[2] if frames else f"{worker.job[0]} hangs"
    return Result(*worker.job, Outcome.HANG, f"over {limit:g} s\n{trace}", location, worker.made, limit)


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()


def _waited(process: int) -> float:
    try:
        return waited(process)
    except (OSError, IndexError):  # it has ended
        return 0.0


def _work(pipe: Connection, sources: Mapping[str, Source], seed: int, folder: Path) -> None:
    """Read inputs until the pipe is closed: what they are is sent before, what became of them after."""
    import faulthandler

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trace = (folder / "hang").open("w")
    faulthandler.enable(trace)
    faulthandler.register(signal.SIGUSR1, trace)
    os.environ["XDG_CACHE_HOME"] = str(folder / "case" / "cache")
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
    watch = Watch()
    with suppress(EOFError, ConnectionError):
        while True:
            name, number = pipe.recv()
            source = sources[name]
            made = source.input(seed, number)
            case = folder / "case"
            shutil.rmtree(case, ignore_errors=True)
            size = write(made.files, (case / GIVEN))
            pipe.send(made.made)
            result = guarded(source.reader, number, case / GIVEN, watch, size)
            pipe.send(replace(result, made=made.made))
