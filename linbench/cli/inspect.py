"""``linbench list`` and ``linbench show``: what there is, and what is in it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from linbench.cli.refusal import load_plugins, refusing

Plugin = Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def list_(plugin: Plugin = None, as_json: Json = False) -> None:
    """List backbones and suites, plug-ins included."""
    from linbench.backbones import backbone
    from linbench.suites import suite

    load_plugins(plugin or [], backbone, suite)
    rows = [
        {"name": entry.name, "paper": entry.facts.get("paper", ""), "source": entry.facts.get("source", entry.source)}
        for entry in sorted(backbone.values(), key=lambda entry: entry.name)
    ]
    suites = [{"name": e.name, "version": e.facts.get("version"), "what": _summary(e.build)} for e in suite.values()]
    if as_json:
        typer.echo(json.dumps({"backbones": rows, "suites": suites}, indent=1))
        return
    from tabulate import tabulate

    heads = {"name": "backbone", "paper": "arXiv", "source": "source"}
    typer.echo(tabulate(rows, headers=heads, disable_numparse=True))
    typer.echo()
    typer.echo(tabulate(suites, headers={"name": "suite", "version": "version", "what": "what"}))


def show(
    name: Annotated[str, typer.Argument(help="A backbone; `linbench list` shows all.")],
    res: Annotated[str, typer.Option(help="One resolution: 1024 or 768x1024.")] = "1024",
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Show a backbone: maps, parameters, FLOPs, source."""
    import torch

    from linbench.backbones import backbone, build_backbone
    from linbench.suites.complexity import complexity
    from linbench.suites.resolutions import resolutions

    load_plugins(plugin or [], backbone)
    with refusing():
        entry = backbone[name]
        (size, *rest) = resolutions(res)
        if rest:
            raise ValueError(f"--res {res}: show takes one resolution")
        with torch.device("meta"):
            model: Any = build_backbone(name, image_size=size).eval()  # type: ignore[attr-defined]
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
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        _print(facts)


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
    typer.echo(tabulate(facts["maps"], headers="keys"))
    typer.echo()
    shares = [(part, f"{n:,}", f"{n / facts['parameters']:.1%}") for part, n in facts["parts"].items()]
    typer.echo(tabulate(shares, headers=["part", "parameters", "share"], colalign=("left", "right", "right")))


def _summary(build: Any) -> str:
    text = getattr(build, "func", build).__doc__ or ""
    return text.strip().splitlines()[0] if text.strip() else ""
