"""``linbench choose``: which backbone under a budget."""

import json
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer

from linbench.cli.refusal import choice, pairs, refuse, split
from linbench.records import Store


def choose(
    metric: Annotated[
        str, typer.Option(help="What to be best in: dis_mbiou, coco_map, imagenet_top1, … or latency_ms.")
    ],
    res: Annotated[str | None, typer.Option(help="2048, 768x1024, by comma; default all that are recorded.")] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0.0, help="At most.")] = None,
    memory_gb: Annotated[float | None, typer.Option(min=0.0, help="At most, 10⁹ bytes.")] = None,
    params_m: Annotated[float | None, typer.Option(min=0.0, help="At most, millions.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Of which latencies, where several are recorded; a part of its name suffices.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Of the latencies; default best where recorded.")] = None,
    part: Annotated[str | None, typer.Option(help="Of the latencies: backbone, encoder, end-to-end.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Of the scores; shapes counts the embedded set, smoke and random, labelled.")
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE that all must share, as threads=8; repeatable.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Name the best backbone under a budget, the runner-up, and whether the difference is more than noise.

    Also what does not count and why, with the command that would measure what lacks. Exit code 1 where nothing fits.
    """
    from linbench.reports.choice import METRICS, Question
    from linbench.reports.choice import choose as answered
    from linbench.reports.choice_conditions import Unclear
    from linbench.reports.choice_table import as_json as plain
    from linbench.reports.choice_table import left_out, sentences, tables
    from linbench.reports.compared_cells import cells
    from linbench.reports.plain_text import plain as harmless
    from linbench.reports.table import to_terminal

    asked = pairs("--condition", condition or [], "threads=8")
    sizes = _sizes(res)
    if not results.is_dir():
        refuse(f"--results {results}: there is no such folder; `linbench run --results {results}` makes one")
    store = Store(results)
    found, faults = cells(list(store))
    known = sorted({str(cell.key["metric"]) for cell in found if "metric" in cell.key} - {""})
    choice("--metric", metric, tuple(dict.fromkeys((*METRICS, *(name for name in known if name[-1] != "_")))))
    question = Question(
        metric=metric,
        sizes=sizes,
        latency_ms=latency_ms,
        memory_gb=memory_gb,
        params_m=params_m,
        device=device,
        preset=preset,
        part=part,
        dataset=dataset,
        conditions={name: str(value) for name, value in asked.items()},
    )
    faults = [*(f"{path}: {reason}" for path, reason in store.faults), *faults]
    for fault in faults:
        typer.echo(harmless(f"left out: {fault}"), err=True)
    try:
        answer = answered(question, found)
    except Unclear as error:
        refuse(harmless(f"--results {results}: {error}"))
    if as_json:
        typer.echo(json.dumps(plain(answer), indent=1))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        typer.echo("\n".join(harmless(line) for line in sentences(answer)) + "\n")
        for table in tables(answer):
            typer.echo(to_terminal(table, width) + "\n")
        for line in left_out(answer):
            typer.echo(harmless(line) if line.endswith(":") else f"  {harmless(line)}")
    if faults:
        typer.echo(f"linbench: {len(faults)} left out; named above", err=True)
    if faults or answer.best is None:
        raise typer.Exit(1)


def _sizes(text: str | None) -> list[tuple[int, int]]:
    """Heights and widths in px."""
    found = []
    for part in split(text or ""):
        size = re.fullmatch(r"(\d+)(?:[x×](\d+))?", part)
        if not size:
            refuse(f"--res {text}: {part} is not a resolution; write 2048 or 768x1024 (height x width), by comma")
        found.append((int(size[1]), int(size[2] or size[1])))
    return found
