"""The command: see the package."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; workers are forked

from tabulate import tabulate

from benchmarks.fuzz.contract import FAILURES, Outcome, Reader, Result
from benchmarks.fuzz.inputs import Source, source, write
from benchmarks.fuzz.pool import Job, results
from benchmarks.fuzz.readers import READERS

INPUTS = 10_000
LIMIT = 5.0  # seconds
SECONDS_BETWEEN_LINES = 20.0


def main(words: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    arguments = _arguments(words)
    readers = {name: READERS[name] for name in arguments.reader or READERS}
    with tempfile.TemporaryDirectory() as scratch:
        sources = {name: source(reader, Path(scratch)) for name, reader in readers.items()}
        warm(sources, Path(scratch))
        if not sound(sources, arguments.seed):
            return 2
        jobs = _jobs(readers, arguments.inputs) if arguments.only is None else [(n, arguments.only) for n in readers]
        began = time.perf_counter()
        outcomes = list(_with_progress(results(sources, jobs, arguments.seed, LIMIT, arguments.workers), len(jobs)))
    failed = [result for result in outcomes if result.outcome in FAILURES]
    report(failed)
    if arguments.keep:
        _keep(failed if arguments.only is None else outcomes, sources, arguments.seed, arguments.keep)
    print(table(outcomes))
    seconds = time.perf_counter() - began
    print(f"\nseed {arguments.seed}: {len(outcomes):,} inputs in {seconds:.0f} s, {len(failed)} failures")
    return 1 if failed else 0


def _with_progress(stream: Iterable[Result], total: int) -> Iterator[Result]:
    """Results as they come, with a line now and then on standard error."""
    last = time.perf_counter()
    for count, result in enumerate(stream, 1):
        yield result
        if time.perf_counter() - last > SECONDS_BETWEEN_LINES:
            last = time.perf_counter()
            print(f"{count:,} of {total:,} inputs", file=sys.stderr, flush=True)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description="Malformed files against every reader."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=INPUTS, help="over all readers")
    parser.add_argument("--reader", action="append", choices=tuple(READERS), help="repeatable; default all")
    parser.add_argument("--only", type=int, help="the one input of this number of each reader")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--keep", type=Path, help="a folder for inputs that fail")
    return parser.parse_args(words)


def warm(sources: dict[str, Source], scratch: Path) -> None:
    """Read a valid input of each reader here, so that workers, which are forked, have all modules loaded."""
    for name, reader_source in sources.items():
        folder = scratch / f"{name}-warm"
        write(reader_source.seeds[0], folder)
        with suppress(Exception):  # what fails here fails again, and is reported, in `sound`
            reader_source.reader.read(folder)


def sound(sources: dict[str, Source], seed: int) -> bool:
    """Whether every valid input is read, in workers of their own; says which is not."""
    jobs: list[Job] = [
        (name, -1 - number) for name, reader_source in sources.items() for number in range(len(reader_source.seeds))
    ]
    outcomes = list(results(sources, jobs, seed, 60.0, 1))
    wanted = {name: reader_source.reader.valid for name, reader_source in sources.items()}
    bad = [
        result
        for result in outcomes
        if result.outcome is not (wanted[result.reader] or result.outcome) or result.outcome in FAILURES
    ]
    for result in bad:
        print(f"{result.reader}: {result.made} is not read: {result.outcome}: {result.detail}", file=sys.stderr)
    return not bad


def _jobs(readers: dict[str, Reader], inputs: int) -> list[Job]:
    """Readers and numbers, as many of each reader as its weight is, in turn."""
    whole = sum(reader.weight for reader in readers.values())
    counts = {name: -(-inputs * reader.weight // whole) for name, reader in readers.items()}
    numbered = [(number / counts[name], name, number) for name in readers for number in range(counts[name])]
    return [(name, number) for _, name, number in sorted(numbered)]


def report(failed: Sequence[Result]) -> None:
    """Print each finding once: failures at one location, with the first input that shows it."""
    findings: dict[tuple[str, Outcome, str], list[Result]] = defaultdict(list)
    for result in failed:
        findings[result.reader, result.outcome, result.location].append(result)
    for (reader, outcome, location), several in sorted(findings.items()):
        first = min(several, key=lambda result: len(result.made))
        print(
            f"## {reader}: {outcome}: {location}: {len(several)} inputs, as --reader {reader} --only {first.number}"
        )
        shown = first.detail[:1500] if outcome is Outcome.HANG else first.detail.strip()[-1500:]
        print(f"   {first.made}\n   {shown}\n")


def table(outcomes: Sequence[Result]) -> str:
    """The counts by reader and outcome."""
    counts: dict[str, Counter[Outcome]] = defaultdict(Counter)
    for result in outcomes:
        counts[result.reader][result.outcome] += 1
    rows = []
    for name, count in counts.items():
        selected = [result for result in outcomes if result.reader == name]
        most = (max(result.seconds for result in selected), max(result.mib for result in selected))
        rows.append(
            [name, len(selected), *(count[outcome] for outcome in Outcome), f"{most[0]:.2f}", f"{most[1]:,.0f}"]
        )
    whole = [sum(count[outcome] for count in counts.values()) for outcome in Outcome]
    most = (
        max((result.seconds for result in outcomes), default=0.0),
        max((result.mib for result in outcomes), default=0.0),
    )
    rows.append(["all", len(outcomes), *whole, f"{most[0]:.2f}", f"{most[1]:,.0f}"])
    headers = ["reader", "inputs", *map(str, Outcome), "longest s", "most MiB"]
    return tabulate(rows, headers=headers, intfmt=",", disable_numparse=[0, len(headers) - 2, len(headers) - 1])


def _keep(failed: Sequence[Result], sources: dict[str, Source], seed: int, folder: Path) -> None:
    """Write each failing input with its traceback and the command that repeats it."""
    for result in failed:
        target = folder / f"{result.reader}-{seed}-{result.number}"
        write(sources[result.reader].input(seed, result.number).files, target / "files")
        command = f"python -m benchmarks.fuzz --seed {seed} --reader {result.reader} --only {result.number}"
        (target / "what.txt").write_text(
            f"{command}\n{result.outcome}\n{result.made}\n{result.detail}\n", errors="backslashreplace"
        )


if __name__ == "__main__":
    sys.exit(main())
