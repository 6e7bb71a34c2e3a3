"""The end of ``linbench run`` in plain words: what the latencies say, where the files are, and what to do next."""

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

import typer

from linbench.records import Record

WIDTH = 80  # columns
KINDS = {"Table": ".md", "Figure": ".png", "Page": ".html"}
MOST_NAMED = 3  # files of one kind


def print_summary(records: Sequence[Record], paths: Sequence[Path], results: Path) -> None:
    """Print what the records of one run say, the files that it wrote, and the next sensible command.

    paths: Files that were written; those that a person opens are named.
    results: The folder of the records.
    """
    for line in summary_lines(records, paths, results):
        typer.echo(line)


def summary_lines(records: Sequence[Record], paths: Sequence[Path], results: Path) -> list[str]:
    """Return the lines of ``print_summary``, each within 80 columns where a name allows it."""
    from linbench.reports.latency.commands import measure_again
    from linbench.reports.latency.rows import SUITE, comparisons, rows
    from linbench.reports.latency.summary import sentences
    from linbench.reports.latency.table import title
    from linbench.reports.staleness import present_hashes

    latency = [record for record in records if record.key.get("suite") == SUITE]
    groups = comparisons(rows(latency, present_hashes(latency, "backbone")))
    lines = []
    for group in groups:
        texts = sentences(group)
        lines += [*_wrapped(f"{title(group)}."), *(line for text in texts for line in _wrapped(text, "  ")), ""]
    lines += [line for kind, ending in KINDS.items() for line in _files(kind, ending, paths)]
    commands = [command for group in groups for command in measure_again(group, str(results))]
    if commands:
        return [*lines, *_next("To measure what is missing:", commands[:MOST_NAMED])]
    folder = ["--results", str(results)]
    if not groups:
        has_throughput = any(record.key.get("suite") == "throughput" for record in records)
        front = ["linbench", "choose", "--metric", "images_per_s", "--front", "params_m", *folder]
        return [*lines, *(_next("Next, the front of throughput:", [shlex.join(front)]) if has_throughput else [])]
    if any(path.suffix == ".html" for path in paths):
        size, part = groups[0]["size"].iloc[-1].replace("²", "").replace("×", "x"), str(groups[0]["part"].iloc[0])
        choose = ["linbench", "choose", "--metric", "latency_ms", "--res", size, "--part", part, *folder]
        return [*lines, *_next("Next, which backbone under a budget:", [shlex.join(choose)])]
    page = ["linbench", "report", *folder, "--html", str(results / "report.html")]
    return [*lines, *_next("Next, all records on one page:", [shlex.join(page)])]


def _files(kind: str, ending: str, paths: Sequence[Path]) -> list[str]:
    """Name the files of one kind, each in a line that can be copied."""
    from linbench.reports.render.plain_text import plain

    names = [str(path) for path in paths if path.suffix == ending]
    more = len(names) - MOST_NAMED
    return [f"{kind}: {plain(name)}" for name in names[:MOST_NAMED]] + ([f"and {more} more"] if more > 0 else [])


def _next(heading: str, commands: Sequence[str]) -> list[str]:
    """Return commands under a heading, in lines that a shell takes as they are."""
    lines = [heading]
    for command in commands:
        first, *rest = textwrap.wrap(command, WIDTH - 6, break_on_hyphens=False, break_long_words=False)
        lines += [f"  {first}", *(f"      {line}" for line in rest)]
        lines[-len(rest) - 1 : -1] = [f"{line} \\" for line in lines[-len(rest) - 1 : -1]]
    return lines


def _wrapped(text: str, indent: str = "") -> list[str]:
    from linbench.reports.render.plain_text import plain

    hanging = f"{indent}  " if indent else ""
    return textwrap.wrap(
        plain(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
