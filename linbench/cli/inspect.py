"""``linbench list`` and ``linbench show``: the registered names, and the contents of a backbone."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from linbench.cli.refusal import load_plugins, refusing

Plugin = Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

OTHER_SEGMENTERS = "and every backbone under its own name; `linbench show NAME` names its decoder"


def list_(plugin: Plugin = None, as_json: Json = False) -> None:
    """List backbones, segmenters and suites, plug-ins included."""
    from linbench.backbones import backbone
    from linbench.models.sam import HQ
    from linbench.suites import suite

    load_plugins(plugin or [], backbone, suite)
    rows = [
        {"name": entry.name, "paper": entry.facts.get("paper", ""), "source": entry.facts.get("source", entry.source)}
        for entry in sorted(backbone.values(), key=lambda entry: entry.name)
    ]
    segmenters = [{"name": name, "backbone": encoder, "paper": "2306.01567"} for name, encoder in HQ.items()]
    suites = [{"name": e.name, "version": e.facts.get("version"), "what": _summary(e.build)} for e in suite.values()]
    if as_json:
        typer.echo(json.dumps({"backbones": rows, "segmenters": segmenters, "suites": suites}, indent=1))
        return
    from tabulate import tabulate

    heads = {"name": "backbone", "paper": "arXiv", "source": "source"}
    typer.echo(tabulate(rows, headers=heads, disable_numparse=True) + "\n")
    heads = {"name": "segmenter", "backbone": "backbone", "paper": "arXiv"}
    typer.echo(tabulate(segmenters, headers=heads, disable_numparse=True))
    typer.echo(OTHER_SEGMENTERS + "\n")
    typer.echo(tabulate(suites, headers={"name": "suite", "version": "version", "what": "measures"}))


def show(
    name: Annotated[str, typer.Argument(help="A backbone; `linbench list` shows all.")],
    res: Annotated[str, typer.Option(help="One resolution: 1024 or 768x1024.")] = "1024",
    results: Annotated[
        Path, typer.Option(help="Folder of records with the settings that the preset best chose.")
    ] = Path("results"),
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Show one backbone: maps, parameters, FLOPs, source.

    Also the settings that the preset best chose, and the segmenter that uses the backbone; for hq-sam-b, -l and -h
    that segmenter and its backbone.
    """
    from linbench.backbones import backbone
    from linbench.suites.resolutions import resolutions

    load_plugins(plugin or [], backbone)
    with refusing():
        (size, *rest) = resolutions(res)
        if rest:
            raise ValueError(f"--res {res}: show takes one resolution")
        facts = _facts(name, size, results)
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        _print(facts)


def _facts(name: str, size: tuple[int, int], results: Path) -> dict[str, Any]:
    """Return what ``show`` prints; raise UnknownName, ValueError."""
    import torch

    from linbench.backbones import backbone, build_backbone
    from linbench.models.sam import HQ
    from linbench.suites.complexity import complexity

    entry = backbone[HQ.get(name, name)]
    with torch.device("meta"):
        model: Any = build_backbone(HQ.get(name, name), image_size=size).eval()  # type: ignore[attr-defined]
        image = torch.empty(1, 3, *size)
        maps = model(image)
    metrics = complexity(model, image)
    parts: dict[str, int] = {}
    for parameter, tensor in model.named_parameters():
        part = parameter.split(".")[0]
        parts[part] = parts.get(part, 0) + tensor.numel()
    return {
        "name": entry.name,
        "what": _summary(entry.build),
        "paper": f"arXiv {entry.facts['paper']}" if "paper" in entry.facts else "",
        "source": entry.facts.get("source", ""),
        "file": entry.source,
        "options": [option for option in entry.options if option not in ("image_size", "impl")],
        "size": f"{size[0]}x{size[1]}",
        "parameters": metrics["parameters"]["value"],
        "flops": metrics["flops"]["value"],
        "flops_coverage": metrics["flops"]["coverage"],
        "flops_missing": metrics["flops"]["missing"],
        "maps": [
            {"stride": stride, "channels": m.shape[1], "height": m.shape[2], "width": m.shape[3]}
            for stride, m in zip(model.strides, maps, strict=True)
        ],
        "parts": parts,
        "best": _best(entry.name, results),
        "segmenter": _segmenter(name, size),
    }


def _segmenter(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the decoder and the parameter counts that ``build_sam`` gives the name, or why there is no segmenter."""
    import torch

    from linbench.models.sam import build_sam

    try:
        with torch.device("meta"):
            sam = build_sam(name, image_size=size)
    except ValueError as error:
        return {"name": name, "decoder": "", "none_because": str(error)}
    parts = {"encoder": sam.encoder, "prompt encoder": sam.prompt, "mask decoder": sam.decoder}
    counts = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    return {"name": name, "decoder": sam.description, "parameters": counts, "total": sum(counts.values())}


def _best(name: str, results: Path) -> list[str]:
    """Return a line for each search under ``results``: the settings that it chose for the backbone."""
    from linbench.records import Store
    from linbench.reports.latency.best_settings import describe_search_record
    from linbench.reports.render.plain_text import plain
    from linbench.reports.validation import record_fault

    searches = (record for record in Store(results) if record.key.get("suite") == "search")
    chosen = (record for record in searches if record.key.get("backbone") == name and not record_fault(record))
    return [plain(describe_search_record(record)) for record in chosen]


def _print(facts: dict[str, Any]) -> None:
    from tabulate import tabulate

    bound = "" if facts["flops_coverage"] == 1 else "≥ "
    rows = [
        ("", facts["what"]),
        ("definition", " · ".join(filter(None, (facts["paper"], facts["source"], facts["file"])))),
        ("options", ", ".join(facts["options"]) or "none"),
        ("parameters", f"{facts['parameters']:,}"),
        (f"FLOPs at {facts['size']}", f"{bound}{facts['flops'] / 1e9:.2f} G (a multiply-add counts as two)"),
    ]
    if bound:
        rows.append(("not counted", ", ".join(facts["flops_missing"])))
    typer.echo(tabulate(rows, headers=[facts["name"], ""], tablefmt="simple", disable_numparse=True) + "\n")
    for line in facts["best"]:
        typer.echo(f"best: {line}")
    typer.echo(tabulate(facts["maps"], headers="keys") + "\n")
    typer.echo(_parameters(facts["parts"]) + "\n")
    segmenter = facts["segmenter"]
    if not segmenter["decoder"]:
        typer.echo(f"segmenter: none, {segmenter['none_because']}")
        return
    typer.echo(f"segmenter {segmenter['name']}: {segmenter['decoder']}; {segmenter['total']:,} parameters")
    typer.echo(_parameters(segmenter["parameters"]))


def _parameters(parts: dict[str, int]) -> str:
    """Return a table of parts and their parameters."""
    from tabulate import tabulate

    rows = [(part, f"{n:,}", f"{n / sum(parts.values()):.1%}") for part, n in parts.items()]
    return tabulate(rows, headers=["part", "parameters", "fraction"], colalign=("left", "right", "right"))


def _summary(build: Any) -> str:
    text = getattr(build, "func", build).__doc__ or ""
    return text.strip().splitlines()[0] if text.strip() else ""
