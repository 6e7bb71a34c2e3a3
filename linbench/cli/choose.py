"""``linbench choose``: which backbone under a budget."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.decisions import echo_commands, echo_wrapped, print_tables, read_cells
from linbench.cli.option_groups import grouped_options
from linbench.cli.refusal import choice, echo_faults, exit_if, pairs, refuse, refusing, split
from linbench.groups import expand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from linbench.reports.decide.comparable_cells import ComparableCell
    from linbench.reports.decide.contenders import Request
    from linbench.reports.render.table import Table


@dataclass(frozen=True)
class GoalOptions:
    """What to be best in, and within which limits."""

    metric: Annotated[
        str, typer.Option(help="To be best in: latency_ms, images_per_s, or an accuracy as dis_mbiou, coco_map, ….")
    ]
    front: Annotated[
        str | None,
        typer.Option(help="Show the front of latency_ms or images_per_s against this: params_m or an accuracy."),
    ] = None
    family: Annotated[
        str | None,
        typer.Option(help="With --front: is it on the front at every resolution? A name or a family; default vit."),
    ] = None
    latency_ms: Annotated[float | None, typer.Option(min=0.0, help="Largest latency, ms.")] = None
    memory_gb: Annotated[float | None, typer.Option(min=0.0, help="Largest peak memory, 10⁹ bytes.")] = None
    params_m: Annotated[float | None, typer.Option(min=0.0, help="Largest number of parameters, millions.")] = None


@dataclass(frozen=True)
class RecordOptions:
    """Which records count."""

    res: Annotated[
        str | None, typer.Option(help="Resolutions, comma-separated: 2048, 768x1024; default all recorded.")
    ] = None
    device: Annotated[
        str | None,
        typer.Option(help="Device of the times, where several are recorded; a unique part of its name suffices."),
    ] = None
    preset: Annotated[str | None, typer.Option(help="Preset of the times; default best where recorded.")] = None
    part: Annotated[
        str | None, typer.Option(help="Part that the times are of: backbone, encoder, decoder, end-to-end.")
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset of the scores; shapes admits scores of the embedded dataset, marked as such."),
    ] = None
    backbones: Annotated[
        str | None,
        typer.Option(help="Only these, comma-separated, or a group such as @linear; default all recorded."),
    ] = None
    condition: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE that all numbers must share, such as threads=8; repeatable."),
    ] = None
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results")


@dataclass(frozen=True)
class OutputOptions:
    """How the answer is printed."""

    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False


@grouped_options
def choose(goal: GoalOptions, records: RecordOptions, output: OutputOptions) -> None:
    """Recommend a backbone under a budget.

    Names the best backbone, the runner-up, and whether the difference is more than noise; then the models left out
    with the reasons, and the commands that measure what is missing. A time of few rounds, disturbed by other
    programs or throttled is listed and not ranked. With --front: which models no other is ahead of, at each
    resolution. Exit code 1 where nothing fits or can be ranked.
    """
    from linbench.reports.decide.conditions import AmbiguousRequest

    results = records.results
    request = _request(goal, records)
    cells, faults = _read(results)
    if records.backbones is not None:
        cells = _of_backbones(cells, records.backbones)
    _refuse_metrics(request, goal.family, cells)
    echo_faults(faults)
    folder = "" if results == Path("results") else str(results)
    try:
        if goal.front:
            has_answer = _front(request, cells, goal.family, folder, output.as_json)
        else:
            has_answer = _recommend(request, cells, folder, output.as_json)
    except AmbiguousRequest as error:
        refuse(f"--results {results}: {error}")
    exit_if(not has_answer, faults)


def _request(goal: GoalOptions, records: RecordOptions) -> "Request":
    from linbench.reports.decide.contenders import Request

    conditions = pairs("--condition", records.condition or [], "threads=8")
    return Request(
        metric=goal.metric,
        sizes=_sizes(records.res),
        latency_ms=goal.latency_ms,
        memory_gb=goal.memory_gb,
        params_m=goal.params_m,
        device=records.device,
        preset=records.preset,
        part=records.part,
        dataset=records.dataset,
        conditions={name: str(value) for name, value in conditions.items()},
        axis=goal.front or "",
    )


def _read(results: Path) -> "tuple[list[ComparableCell], list[str]]":
    """Return the recorded cells and the faults; refuse a missing folder."""
    if not results.is_dir():
        refuse(f"--results {results}: no such folder; `linbench run --results {results}` makes one")
    return read_cells(results)


def _refuse_metrics(request: "Request", family: str | None, cells: "Sequence[ComparableCell]") -> None:
    """Refuse an unknown metric or axis, and options that do not go together."""
    from linbench.reports.decide.contenders import METRICS, PARAMETERS, SCORES
    from linbench.reports.decide.speed import LATENCY, SPEEDS

    recorded = sorted({str(cell.key["metric"]) for cell in cells if "metric" in cell.key})
    named = [name for name in recorded if name[-1] != "_"]
    choice("--metric", request.metric, tuple(dict.fromkeys((*METRICS, *named))))
    if request.latency_ms is not None and request.speed is not LATENCY:
        refuse(f"--latency-ms: --metric {request.metric} ranks no latencies; --memory-gb and --params-m limit it")
    if request.axis:
        choice("--front", request.axis, tuple(dict.fromkeys((PARAMETERS, *SCORES, *named))))
        if request.metric not in SPEEDS:
            refuse(f"--front: --metric {request.metric} is no speed; name {' or '.join(SPEEDS)}")
        if request.latency_ms is not None:
            refuse("--latency-ms: a front shows every latency; --memory-gb and --params-m limit it")
    elif family is not None:
        refuse("--family: with --front only, as --front params_m")


def _of_backbones(cells: "list[ComparableCell]", backbones: str) -> "list[ComparableCell]":
    """Return the cells of the named backbones; refuse one without a record."""
    recorded = sorted({cell.labels["backbone"] for cell in cells} - {""})
    with refusing():
        listed = expand(split(backbones), recorded, "--backbones")
    names = {choice("--backbones", name, recorded) for name in listed}
    return [cell for cell in cells if cell.labels["backbone"] in names]


def _recommend(request: "Request", cells: "Sequence[ComparableCell]", folder: str, as_json: bool) -> bool:
    """Print a recommendation; return whether there is a best model.

    folder: Of the records, where it is not the default.
    """
    from linbench.reports.decide import recommend_table
    from linbench.reports.decide.recommend import recommend

    answer = recommend(request, cells)
    if as_json:
        typer.echo(json.dumps(recommend_table.as_json(answer), indent=1))
    else:
        lines, tables = recommend_table.describe(answer), recommend_table.tables(answer)
        _print(lines, tables, recommend_table.left_out(answer, folder))
    return answer.best is not None


def _front(
    request: "Request", cells: "Sequence[ComparableCell]", family: str | None, folder: str, as_json: bool
) -> bool:
    """Print the front at each resolution, and whether a family is on all of them; return whether there is any."""
    from linbench.reports.decide import front_table
    from linbench.reports.decide.front import answer_for, fronts

    front = fronts(request, cells)
    standing = answer_for(front, family or front_table.PLAIN)
    if family is not None and standing is None:
        names = {s.contender.cell.labels["backbone"] for group in front.sizes for s in group.standings}
        refuse(f"--family {family}: no such model is recorded here; there are {', '.join(sorted(names))}")
    if as_json:
        typer.echo(json.dumps(front_table.as_json(front, standing), indent=1))
    else:
        lines, tables = front_table.describe(front, standing), front_table.tables(front)
        _print(lines, tables, front_table.left_out(front, folder))
    return bool(front.sizes)


def _print(lines: "Sequence[str]", tables: "Sequence[Table]", left_out: "Sequence[str]") -> None:
    """Print the answer first, then the tables, then what is left out."""
    for line in lines:
        echo_wrapped(line)
    typer.echo()
    print_tables(tables)
    echo_commands(left_out)


def _sizes(text: str | None) -> list[tuple[int, int]]:
    """Parse heights and widths in px."""
    sizes = []
    for part in split(text or ""):
        match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", part)
        if not match:
            refuse(f"--res {text}: {part} is not a resolution; write 2048 or 768x1024 (height x width)")
        sizes.append((int(match[1]), int(match[2] or match[1])))
    return sizes
