"""``linbench list`` and ``linbench show``: what there is, and what is in it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from linbench.cli.refusal import load_plugins, refusing

Plugin = Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


OWN_SEGMENTERS = "and every backbone under its own name; `linbench show NAME` says which decoder it gets"


def list_(plugin: Plugin = None, as_json: Json = False) -> None:
    """List backbones, segmenters that have a name of their own, and suites, plug-ins included."""
    from linbench.backbones import backbone
    from linbench.models.sam import HQ
    from linbench.suites import suite

    load_plugins(plugin or [], backbone, suite)
    rows = [
        {"name": entry.name, "paper": entry.facts.get("paper", ""), "source": entry.facts.get("source", entry.source)}
        for entry in sorted(backbone.values(), key=lambda entry: entry.name)
    ]
    segmenters = [{"name": name, "backbone": below, "paper": "2306.01567"} for name, below in HQ.items()]
    suites = [{"name": e.name, "version": e.facts.get("version"), "what": _summary(e.build)} for e in suite.values()]
    if as_json:
        typer.echo(json.dumps({"backbones": rows, "segmenters": segmenters, "suites": suites}, indent=1))
        return
    from tabulate import tabulate

    heads = {"name": "backbone", "paper": "arXiv", "source": "source"}
    typer.echo(tabulate(rows, headers=heads, disable_numparse=True))
    typer.echo()
    heads = {"name": "segmenter", "backbone": "stands on", "paper": "arXiv"}
    typer.echo(tabulate(segmenters, headers=heads, disable_numparse=True))
    typer.echo(OWN_SEGMENTERS)
    typer.echo()
    typer.echo(tabulate(suites, headers={"name": "suite", "version": "version", "what": "what"}))


def show(
    name: Annotated[str, typer.Argument(help="A backbone; `linbench list` shows all.")],
    res: Annotated[str, typer.Option(help="One resolution: 1024 or 768x1024.")] = "1024",
    results: Annotated[Path, typer.Option(help="Folder of records: what the preset best chose.")] = Path("results"),
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Show a backbone.

    Its maps, parameters, FLOPs and source, what `best` chose for it, and the segmenter that stands on it; of
    hq-sam-b, -l and -h that segmenter and the backbone below it.
    """
    import torch

    from linbench.backbones import backbone, build_backbone
    from linbench.models.sam import HQ
    from linbench.suites.latency.complexity import complexity
    from linbench.suites.runner.resolutions import resolutions

    load_plugins(plugin or [], backbone)
    with refusing():
        entry = backbone[HQ.get(name, name)]
        (size, *rest) = resolutions(res)
        if rest:
            raise ValueError(f"--res {res}: show takes one resolution")
        with torch.device("meta"):
            model: Any = build_backbone(HQ.get(name, name), image_size=size).eval()  # type: ignore[attr-defined]
            image = torch.empty(1, 3, *size)
            maps = model(image)
    found = complexity(model, image)
    parts: dict[str, int] = {}
    for parameter, tensor in model.named_parameters():
        part = parameter.split(".")[0]
        parts[part] = parts.get(part, 0) + tensor.numel()
    facts: dict[str, Any] = {
        "name": entry.name,
        "what": _summary(entry.build),
        "paper": f"arXiv {entry.facts['paper']}" if "paper" in entry.facts else "",
        "source": entry.facts.get("source", ""),
        "file": entry.source,
        "options": [option for option in entry.options if option not in ("image_size", "impl")],
        "size": f"{size[0]}x{size[1]}",
        "parameters": found["parameters"]["value"],
        "flops": found["flops"]["value"],
        "flops_coverage": found["flops"]["coverage"],
        "flops_missing": found["flops"]["missing"],
        "maps": [
            {"stride": stride, "channels": m.shape[1], "height": m.shape[2], "width": m.shape[3]}
            for stride, m in zip(model.strides, maps, strict=True)
        ],
        "parts": parts,
        "best": _best(entry.name, results),
        "segmenter": _segmenter(name, size),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        _print(facts)


def _segmenter(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """What ``build_sam`` makes of the name: its decoder and the parameters of its parts, or why it makes nothing."""
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
    """What the searches under ``results`` chose for the backbone, one line each."""
    from linbench.records import Store
    from linbench.reports.latency.best_settings import best_of

    return [best_of(r) for r in Store(results) if r.key.get("suite") == "search" and r.key.get("backbone") == name]


def _print(facts: dict[str, Any]) -> None:
    from tabulate import tabulate

    bound = "" if facts["flops_coverage"] == 1 else "≥ "
    rows = [
        ("", facts["what"]),
        ("definition", " · ".join(filter(None, (facts["paper"], facts["source"], facts["file"])))),
        ("options", ", ".join(facts["options"]) or "none"),
        ("parameters", f"{facts['parameters']:,}"),
        (f"FLOPs at {facts['size']}", f"{bound}{facts['flops'] / 1e9:.2f} G (one multiply-add is two)"),
    ]
    if bound:
        rows.append(("not counted", ", ".join(facts["flops_missing"])))
    typer.echo(tabulate(rows, headers=[facts["name"], ""], tablefmt="simple", disable_numparse=True))
    typer.echo()
    for line in facts["best"]:
        typer.echo(f"best: {line}")
    typer.echo(tabulate(facts["maps"], headers="keys"))
    typer.echo()
    typer.echo(_shares(facts["parts"]))
    typer.echo()
    segmenter = facts["segmenter"]
    if not segmenter["decoder"]:
        typer.echo(f"segmenter: none, {segmenter['none_because']}")
        return
    typer.echo(f"segmenter {segmenter['name']}: {segmenter['decoder']}; {segmenter['total']:,} parameters")
    typer.echo(_shares(segmenter["parameters"]))


def _shares(parts: dict[str, int]) -> str:
    """A table of parts and their parameters."""
    from tabulate import tabulate

    rows = [(part, f"{n:,}", f"{n / sum(parts.values()):.1%}") for part, n in parts.items()]
    return tabulate(rows, headers=["part", "parameters", "share"], colalign=("left", "right", "right"))


def _summary(build: Any) -> str:
    text = getattr(build, "func", build).__doc__ or ""
    return text.strip().splitlines()[0] if text.strip() else ""
