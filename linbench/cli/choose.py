"""``linbench choose``: which backbone under a budget."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.decisions import echo_commands, echo_wrapped, print_tables, read_cells
from linbench.cli.refusal import choice, echo_faults, exit_if, pairs, refuse, refusing, split
from linbench.groups import expand

if TYPE_CHECKING:
    from linbench.reports.decide.comparable_cells import ComparableCell
    from linbench.reports.decide.recommend import Recommendation


def choose(
    metric: Annotated[
        str, typer.Option(help="The metric to be best in: dis_mbiou, coco_map, imagenet_top1, … or latency_ms.")
    ],
    res: Annotated[
        str | None, typer.Option(help="Resolutions, comma-separated: 2048, 768x1024; default all recorded.")
    ] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0.0, help="Largest latency, ms.")] = None,
    memory_gb: Annotated[float | None, typer.Option(min=0.0, help="Largest peak memory, 10⁹ bytes.")] = None,
    params_m: Annotated[float | None, typer.Option(min=0.0, help="Largest number of parameters, millions.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device of the latencies, where several are recorded; a unique part of its name suffices."),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset of the latencies; default best where recorded.")] = None,
    part: Annotated[
        str | None, typer.Option(help="Part that the latencies are of: backbone, encoder, decoder, end-to-end.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset of the scores; shapes admits scores of the embedded dataset, marked as such."),
    ] = None,
    backbones: Annotated[
        str | None,
        typer.Option(help="Only these, comma-separated, or a group such as @linear; default all recorded."),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE that all numbers must share, such as threads=8; repeatable."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Recommend a backbone under a budget.

    Names the best backbone, the runner-up, and whether the difference is more than noise; then the models left out
    with the reasons, and the commands that measure what is missing. A latency of few rounds, disturbed by other
    programs or throttled is listed and not ranked. Exit code 1 where nothing fits or can be ranked.
    """
    from linbench.reports.decide.conditions import AmbiguousRequest
    from linbench.reports.decide.recommend import Request, recommend

    conditions = {name: str(value) for name, value in pairs("--condition", condition or [], "threads=8").items()}
    request = Request(metric, _sizes(res), latency_ms, memory_gb, params_m, device, preset, part, dataset, conditions)
    cells, faults = _read(results, metric)
    if backbones is not None:
        cells = _of_backbones(cells, backbones)
    echo_faults(faults)
    try:
        answer = recommend(request, cells)
    except AmbiguousRequest as error:
        refuse(f"--results {results}: {error}")
    _print(answer, as_json, "" if results == Path("results") else str(results))
    exit_if(answer.best is None, faults)


def _read(results: Path, metric: str) -> "tuple[list[ComparableCell], list[str]]":
    """Return the recorded cells and the faults; refuse an unknown metric and a missing folder."""
    from linbench.reports.decide.recommend import METRICS

    if not results.is_dir():
        refuse(f"--results {results}: no such folder; `linbench run --results {results}` makes one")
    cells, faults = read_cells(results)
    recorded = sorted({str(cell.key["metric"]) for cell in cells if "metric" in cell.key})
    choice("--metric", metric, tuple(dict.fromkeys((*METRICS, *(name for name in recorded if name[-1] != "_")))))
    return cells, faults


def _of_backbones(cells: "list[ComparableCell]", backbones: str) -> "list[ComparableCell]":
    """Return the cells of the named backbones; refuse one without a record."""
    recorded = sorted({cell.labels["backbone"] for cell in cells} - {""})
    with refusing():
        listed = expand(split(backbones), recorded, "--backbones")
    names = {choice("--backbones", name, recorded) for name in listed}
    return [cell for cell in cells if cell.labels["backbone"] in names]


def _print(answer: "Recommendation", as_json: bool, folder: str) -> None:
    from linbench.reports.decide import recommend_table

    if as_json:
        typer.echo(json.dumps(recommend_table.as_json(answer), indent=1))
        return
    for line in recommend_table.describe(answer):
        echo_wrapped(line)
    typer.echo()
    print_tables(recommend_table.tables(answer))
    echo_commands(recommend_table.left_out(answer, folder))


def _sizes(text: str | None) -> list[tuple[int, int]]:
    """Parse heights and widths in px."""
    sizes = []
    for part in split(text or ""):
        match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", part)
        if not match:
            refuse(f"--res {text}: {part} is not a resolution; write 2048 or 768x1024 (height x width)")
        sizes.append((int(match[1]), int(match[2] or match[1])))
    return sizes
