"""``linbench profile``: where the time of a forward goes, by module and by operator."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.option_groups import grouped_options
from linbench.cli.refusal import choice, explain_threads, load_plugins, pairs, refuse, refusing

if TYPE_CHECKING:
    from linbench.suites.profile import Profile

ORDERS = ("module", "operator")
FORMATS = (".svg", ".png", ".csv", ".json")
DEPTH = 3
Texts = list[str] | None


@dataclass(frozen=True)
class ModelOptions:
    """The forward that is profiled."""

    name: Annotated[str, typer.Argument(help="A backbone, or with --part its segmenter; `linbench list` shows all.")]
    res: Annotated[str, typer.Option(help="One resolution: 1024 or 768x1024.")] = "1024"
    batch: Annotated[int, typer.Option(min=1, help="Images in one forward.")] = 1
    part: Annotated[str | None, typer.Option(help="backbone, encoder, decoder or end-to-end.")] = None
    prompts: Annotated[int | None, typer.Option(help="Box prompts of decoder and end-to-end.")] = None
    fusion: Annotated[str | None, typer.Option(help="RWKV-SAM's fusion: conv, mamba, rwkv or dcn.")] = None
    option: Annotated[Texts, typer.Option(help="An option of the backbone, NAME=VALUE; repeatable.")] = None
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file that registers backbones.")] = None


@dataclass(frozen=True)
class SettingOptions:
    """How it runs."""

    preset: Annotated[str, typer.Option(help="paper, or best as a search chooses it.")] = "paper"
    impl: Annotated[str | None, typer.Option(help="reference, fast or vendor, instead of the preset's.")] = None
    attention: Annotated[str | None, typer.Option(help="naive, sdpa or chunked, instead of the preset's.")] = None
    setting: Annotated[Texts, typer.Option(help="Any setting, as memory_format=channels_last; repeatable.")] = None
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32"
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto"
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None
    seconds: Annotated[float, typer.Option(min=0, help="Time for forwards, plain and profiled in turn, s.")] = 10.0
    seed: Annotated[int, typer.Option(help="Of random weights and images.")] = 0
    results: Annotated[Path, typer.Option(help="Folder of records; keeps the profile too.")] = Path("results")


@dataclass(frozen=True)
class OutputOptions:
    """What is shown."""

    by: Annotated[str, typer.Option(help="module or operator.")] = "module"
    depth: Annotated[
        int | None, typer.Option(min=0, help=f"Levels of modules; default {DEPTH}, with --expand all.")
    ] = None
    expand: Annotated[bool, typer.Option("--expand", help="Show each repeated block by itself.")] = False
    out: Annotated[Path | None, typer.Option(help="Also write a figure (.svg, .png), .csv or .json.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False


@grouped_options
def profile(model: ModelOptions, settings: SettingOptions, output: OutputOptions) -> None:
    """Show where the time of one forward goes.

    Time, FLOPs, bytes, distance from this machine's roofline, and memory, of each module or operator. The overhead
    of the profiler is measured and stated. The profile is kept for the page of linbench report --html. Exit code 1
    if the forward fails.
    """
    choice("--by", output.by, ORDERS)
    if output.out is not None and output.out.suffix not in FORMATS:
        refuse(f"--out {output.out}: the ending selects the format; allowed are {', '.join(FORMATS)}")
    if output.by == "operator" and (output.expand or output.depth is not None):
        refuse("--depth and --expand: with --by module only; operators have no levels")
    document = _measured(model, settings).to_json()
    _print(document, output)
    _store(document, settings.results)
    if output.out is not None:
        _write(document, output.out, output.by)


def _measured(model: ModelOptions, settings: SettingOptions) -> "Profile":
    """Profile in a fresh process; refuses wrong options, and exits with 1 where the forward fails."""
    from linbench.backbones import backbone
    from linbench.suites.profile import NotProfiled
    from linbench.suites.profile.named import is_searched, plan, profile_cell, settle
    from linbench.suites.runner.resolutions import resolutions

    plugins = model.plugin or []
    load_plugins(plugins, backbone)
    with refusing():
        (size, *rest) = resolutions(model.res)
        if rest:
            raise ValueError(f"--res {model.res}: profile takes one resolution")
        cell = plan(model.name, size, batch=model.batch, **_settings(model, settings))
        explain_threads(settings.threads)
        if is_searched(cell, settings.results):
            typer.echo("linbench: searching the settings of the preset best; about 30 s", err=True)
        cell = settle(cell, settings.results, settings.seed, plugins)
        try:
            return profile_cell(cell, settings.seconds, settings.seed, plugins)
        except NotProfiled as error:
            typer.echo(f"linbench: {model.name}: no profile, {error}", err=True)
            raise typer.Exit(1) from error


def _settings(model: ModelOptions, settings: SettingOptions) -> dict[str, Any]:
    """Return the options of ``latency`` that the command line gives."""
    return {
        "part": model.part,
        "prompts": model.prompts,
        "fusion": model.fusion,
        "options": pairs("--option", model.option or [], "position_embedding=true"),
        "preset": settings.preset,
        "impl": settings.impl,
        "attention": settings.attention,
        "setting": pairs("--setting", settings.setting or [], "memory_format=channels_last"),
        "dtype": settings.dtype,
        "device": settings.device,
        "threads": settings.threads,
    }


def _print(document: Mapping[str, Any], output: OutputOptions) -> None:
    from linbench.reports.profile.table import module_table, operator_table
    from linbench.reports.render.table import to_terminal

    if output.as_json:
        typer.echo(json.dumps(document, indent=1))
        return
    depth = DEPTH if output.depth is None and not output.expand else output.depth
    is_by_module = output.by == "module"
    table = module_table(document, depth, output.expand) if is_by_module else operator_table(document)
    typer.echo(to_terminal(table, shutil.get_terminal_size((100, 24)).columns))


def _store(document: Mapping[str, Any], results: Path) -> None:
    """Keep the profile beside the records, for the page of ``linbench report --html``."""
    from linbench.reports.profile import stored

    try:
        typer.echo(f"wrote {stored.store(document, results)}", err=True)
    except OSError as error:
        refuse(f"--results {results}: it cannot be written ({error.strerror or error}); name another folder")


def _write(document: Mapping[str, Any], out: Path, by: str) -> None:
    try:
        _write_file(document, out, by)
    except OSError as error:
        refuse(f"--out {out}: it cannot be written ({error.strerror or error}); name another file")
    typer.echo(f"wrote {out}", err=True)


def _write_file(document: Mapping[str, Any], out: Path, by: str) -> None:
    from linbench.reports.profile import figure
    from linbench.reports.profile.table import module_frame, operator_frame
    from linbench.reports.render.table import frame_to_csv, write_texts

    if out.suffix in (".svg", ".png"):
        figure.write(figure.icicle(document), out)
    elif out.suffix == ".json":
        write_texts({out: json.dumps(document, indent=1) + "\n"})
    else:
        frame = module_frame(document) if by == "module" else operator_frame(document)
        write_texts({out: frame_to_csv(frame)})
