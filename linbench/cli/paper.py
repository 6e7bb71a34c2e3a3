"""``linbench paper``: the paper's tables and figures, quoted beside measured."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linbench.cli.refusal import choice, refuse, refusing, split
from linbench.records import Store, slug

if TYPE_CHECKING:
    from linbench.reports.paper.evidence import Evidence
    from linbench.reports.paper.layout import PaperTable
    from linbench.reports.paper.pictures import Row

TABLES = ("1", "2", "3", "4", "5", "6", "7")
FIGURES = ("1", "3", "4", "6", "7", "8")
MASKS = ("4", "6", "7", "8")
ALL = "all"


@dataclass(frozen=True)
class Made:
    """What was made for one device.

    texts: For the terminal.
    """

    tables: "list[PaperTable]"
    texts: list[str]
    files: list[Path]


def paper(
    table: Annotated[
        str | None, typer.Option(help="1 to 7 by comma, or all; default all if --figure is not given.")
    ] = None,
    figure: Annotated[str | None, typer.Option(help="1, 3, 4, 6, 7, 8 by comma, or all; likewise.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="Folder for the files; default RESULTS/paper.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Of which device; several without it make files for each device.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option(help="Table 2: NAME=FILE of `linbench data stats NAME --json`; repeatable.")
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="Figures 4, 6, 7, 8: a folder of `linbench predict`, one for each model; repeatable."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Where the predictions' pictures are, if they moved.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Most prompts in a figure of masks.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="Print every cell as JSON instead of tables.")] = False,
) -> None:
    """Set the paper's numbers beside the measured ones.

    Each cell has its deviation, a verdict and where it is from; what is not measured, the command that would measure
    it. Writes Markdown, CSV, LaTeX and JSON for each table, PNG and SVG for each figure.
    """
    asked_tables = _asked("--table", table, TABLES, table is None and figure is None)
    asked_figures = _asked("--figure", figure, FIGURES, table is None and figure is None)
    folder = out or results / "paper"
    if not results.is_dir() and results != Path("results"):
        refuse(f"--results {results}: there is no such folder; without records name none")
    with refusing():
        pictures, more = _pictures(predictions or [], images, rows, figure)
        statistics = dict(_statistics(text) for text in sets or [])
        counted = [*asked_tables, *(["3"] if "1" in asked_figures else [])]  # Figure 1 is of Table 3's numbers
        found, faults = _evidence(results, counted, statistics, device)
    for fault in (*faults, *more):
        typer.echo(f"left out: {_harmless(fault)}", err=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = [_make(one, suffix, asked_tables, asked_figures, folder) for one, suffix in found]
        files = [path for name in asked_figures if name not in DRAWN for path in _masks(name, pictures, folder)]
    except OSError as error:
        refuse(f"--out {folder}: it cannot be written ({error.strerror or error}); name another folder")
    _print(made, as_json)
    for path in (*(path for each in made for path in each.files), *files):
        typer.echo(f"wrote {path}", err=True)
    if faults or more:
        typer.echo(f"linbench: {len(faults) + len(more)} left out; named above", err=True)
        raise typer.Exit(1)


def _asked(flag: str, text: str | None, allowed: Sequence[str], everything: bool) -> list[str]:
    if everything or text == ALL:
        return list(allowed)
    return [choice(flag, name, (*allowed, ALL)) for name in split(text or "")]


def _evidence(
    results: Path, counted: Sequence[str], statistics: Mapping[str, Mapping[str, int]], device: str | None
) -> "tuple[list[tuple[Evidence, str]], list[str]]":
    """What is known of each device that is asked for, with the suffix of its files, and what was left out.

    counted: The tables whose parameters are counted.
    """
    from linbench.cli.paper_models import count, recipes, stages
    from linbench.cli.report import present_hashes
    from linbench.reports.paper import table1
    from linbench.reports.paper.evidence import Evidence
    from linbench.reports.paper.gathered import devices, measured, needed

    store = Store(results)
    records = list(store)
    faults = [f"{path}: {reason}" for path, reason in store.faults]
    latency, scores, more = measured(records, present_hashes(records, "backbone"))
    names = devices(latency, scores)
    if device is not None:
        names = [_device(device, names)]
    common = Evidence(
        counts={of: count(of) for of in needed(counted)},
        stages=stages(table1.COUNTS) if "1" in counted else {},
        closed=recipes(),
        sets=statistics,
    )
    found = []
    for name in names or [""]:
        mine = latency[latency["device"] == name].reset_index(drop=True) if len(latency) else latency
        evidence = replace(common, device=name, latency=mine, scores=[s for s in scores if s.device == name])
        found.append((evidence, f"-{slug(name)}" if len(names) > 1 else ""))
    return found, [*faults, *more]


def _device(asked: str, names: Sequence[str]) -> str:
    """The device that is meant: its name, or a part that only its name has."""
    fitting = [name for name in names if asked.lower() in name.lower()]
    if asked in names or len(fitting) == 1:
        return asked if asked in names else fitting[0]
    if not names:
        refuse(f"--device {asked}: there are no records of any device")
    return choice("--device", asked, names)


def _statistics(text: str) -> tuple[str, dict[str, int]]:
    """A set's images and masks, from what ``linbench data stats`` printed of its training split."""
    from linbench.reports.paper.scores import EMBEDDED

    name, equals, file = text.partition("=")
    if not equals:
        raise ValueError(f"--sets {text}: write NAME=FILE, as coconut=coconut.json")
    try:
        rows = json.loads(Path(file).read_text(encoding="utf-8"))
        (found,) = (row for row in rows if row["split"] == "train")
        counts = {what: int(found[what]) for what in ("images", "masks")}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"--sets {text}: it is not what `linbench data stats {name} --split train --json` prints ({error})"
        ) from error
    if found.get("set") == EMBEDDED:
        raise ValueError(f"--sets {text}: it is of the embedded set, which is not the paper's; name --data")
    return name, counts


def _make(evidence: "Evidence", suffix: str, tables: Sequence[str], figures: Sequence[str], folder: Path) -> Made:
    """Write what is asked for, of one device."""
    from linbench.reports.paper import gathered, outside, shown, written
    from linbench.reports.table import to_terminal

    width = shutil.get_terminal_size((100, 24)).columns
    built = [build(evidence) for name in tables for build in gathered.TABLES[name]]
    files = [path for each in built for path in written.write(each, folder, suffix)]
    texts = [to_terminal(shown.glance(each), width) for each in built]
    apart = outside.build(evidence.scores)
    if apart and tables:
        files += written.write_plain(f"not-the-paper{suffix}", apart, folder)
        texts += [to_terminal(each, width) for each in apart]
    for name in figures:
        if name in DRAWN:
            each, paths = DRAWN[name](evidence, folder, suffix)
            built.append(each)
            files += paths
            texts.append(to_terminal(shown.glance(each), width))
    if built:
        files += written.write_summary(built, folder, suffix)
        texts.append(to_terminal(written.summary(built), width))
    return Made(built, texts, files)


def _figure_1(evidence: "Evidence", folder: Path, suffix: str) -> "tuple[PaperTable, list[Path]]":
    from linbench.reports.latency_figure import save
    from linbench.reports.paper import figure1, figure1_drawn, written

    each = figure1.build(evidence)
    name = f"{each.name}{suffix}"
    files = save(figure1_drawn.draw(evidence), folder / f"{name}.svg")
    return each, [*files, *written.write(each, folder, suffix, above=f"![{each.title}]({name}.svg)\n\n")]


def _figure_3(evidence: "Evidence", folder: Path, suffix: str) -> "tuple[PaperTable, list[Path]]":
    from linbench.reports.latency_figure import save
    from linbench.reports.paper import figure3, figure3_drawn, written

    each, files, above = figure3.build(evidence), [], ""
    for words, groups in figure3.pages(evidence).items():
        name = f"{each.name}{suffix}{words}"
        files += save(figure3_drawn.draw(groups, evidence.device), folder / f"{name}.svg")
        above += f"![{each.title}]({name}.svg)\n\n"
    return each, [*files, *written.write(each, folder, suffix, above=above)]


def _pictures(
    folders: Sequence[Path], images: Path | None, most: int, figure: str | None
) -> "tuple[list[Row], list[str]]":
    """The rows of the figures of masks; none where no predictions are given."""
    from linbench.cli.paper_pictures import read_rows

    if not folders:
        return [], []
    if figure not in MASKS:
        refuse(f"--predictions: say for which figure, --figure {', '.join(MASKS)}; they show masks")
    return read_rows(folders, images, most)


def _masks(name: str, rows: "Sequence[Row]", folder: Path) -> list[Path]:
    """A figure of masks with its caption; without predictions only the words on how to come by it."""
    from linbench.reports.latency_figure import save
    from linbench.reports.paper import pictures, pictures_drawn
    from linbench.reports.text_files import write_texts

    files = save(pictures_drawn.draw(rows, pictures.title(name)), folder / f"figure-{name}.svg") if rows else []
    if not files:
        typer.echo(f"figure {name}: {pictures.how(name)}", err=True)
    return [*files, *write_texts({folder / f"figure-{name}.md": pictures.caption(name, rows)})]


def _print(made: Sequence[Made], as_json: bool) -> None:
    from linbench.reports.paper.shown import plain_cells

    if as_json:
        cells = [cell for each in made for table in each.tables for cell in plain_cells(table)]
        typer.echo(json.dumps(cells, indent=1))
        return
    for each in made:
        for text in each.texts:
            typer.echo(text + "\n")


def _harmless(text: str) -> str:
    from linbench.reports.plain_text import plain

    return plain(text)


DRAWN: "dict[str, Callable[[Evidence, Path, str], tuple[PaperTable, list[Path]]]]" = {"1": _figure_1, "3": _figure_3}
