"""``linbench export``: a model as files for an engine, each held against eager float32."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.option_groups import grouped_options
from linbench.cli.progress import progress
from linbench.cli.refusal import explain_threads, load_plugins, pairs, refuse, refusing

if TYPE_CHECKING:
    from linbench.api.export import Exported

Texts = list[str] | None
WIDTH = 80


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and where it goes."""

    name: Annotated[str, typer.Argument(help="A model; `linbench list` shows all.")]
    engine: Annotated[str, typer.Option(help="onnxruntime or openvino: each has its own forms of the operators.")]
    out: Annotated[Path, typer.Option(help="The file, ending in .onnx.")]
    res: Annotated[str | None, typer.Option(help="Of the input: 1024; a backbone's also 768x1024.")] = None
    part: Annotated[
        str, typer.Option(help="segmenter (encoder, and decoder beside it), encoder, decoder or backbone.")
    ] = "segmenter"
    checkpoint: Annotated[Path | None, typer.Option(help="Weights: .safetensors, or an official .pth.")] = None
    weights: Annotated[str | None, typer.Option(help="model or ema, if the checkpoint holds both.")] = None
    option: Annotated[Texts, typer.Option(help="Option of the model, NAME=VALUE; repeatable.")] = None
    plugin: Annotated[list[Path] | None, typer.Option(help="Python file that registers backbones.")] = None
    threads: Annotated[int | None, typer.Option(help="CPU threads of the check.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False


@grouped_options
def export(options: ExportOptions) -> None:
    """Write a model as ONNX for an engine.

    OUT is the encoder; its decoder is written beside it, as model.decoder.onnx beside model.onnx, and takes boxes.
    Both are checked in the engine against eager float32. `linbench predict --checkpoint OUT` and
    `linbench run --suite dis --checkpoint OUT` use them. Exit code 1 if a file's outputs are wrong.
    """
    explain_threads(options.threads)
    with progress("files", 2 if options.part == "segmenter" else 1) as advance:
        files = _export(options, advance.now)
        advance("", len(files))
    if options.as_json:
        typer.echo(json.dumps([_entry(file) for file in files], indent=1))
    else:
        _print(files)


def _export(options: ExportOptions, now: Any) -> "Sequence[Exported]":
    """Export; refuse what cannot be exported, and exit with 1 for a file that is wrong."""
    from linbench.api.export import WrongArtifact
    from linbench.api.export import export as write
    from linbench.backbones import backbone
    from linbench.suites.runner.resolutions import resolutions
    from linbench.system.threads import thread_count

    load_plugins(options.plugin or [], backbone)
    with refusing():
        sizes = resolutions(options.res) if options.res else [None]
        if len(sizes) != 1:
            raise ValueError(f"--res {options.res}: a file is of one size; export each size by itself")
        try:
            return write(
                options.name,
                engine=options.engine,
                path=options.out,
                image_size=sizes[0],
                part=options.part,
                checkpoint=options.checkpoint,
                weights=options.weights,
                options=pairs("--option", options.option or [], "attention=naive"),
                threads=thread_count(options.threads),
                progress=now,
            )
        except LookupError as error:
            raise ValueError(str(error)) from error
        except OSError as error:
            refuse(f"--out {options.out}: it cannot be written ({error.strerror or error})")
        except WrongArtifact as error:
            typer.echo(f"linbench: {error}", err=True)
            raise typer.Exit(1) from None


def _entry(file: "Exported") -> dict[str, Any]:
    return {**asdict(file), "path": str(file.path), "error": file.error.largest, "error_rms": file.error.rms}


def _print(files: "Sequence[Exported]") -> None:
    from linbench.reports.render.table import Table, to_terminal

    rows = tuple(
        (
            file.path.name,
            file.artifact.part,
            f"{file.mib:.1f}",
            f"{file.seconds:.1f}",
            f"{file.load_seconds:.1f}",
            f"{file.error.largest:.1e}",
        )
        for file in files
    )
    height, width = files[0].artifact.image_size
    title = f"{files[0].artifact.name} at {height} x {width} px for {files[0].artifact.engine}"
    typer.echo(to_terminal(Table(title, ("file", "part", "MiB", "export s", "load s", "error"), rows), WIDTH))
    typer.echo("error: of max|y|, against eager float32, on images that the export did not see")
