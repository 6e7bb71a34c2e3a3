"""``linbench check PLUGIN``: the conformance test of backbones, for plug-ins."""

import json
from pathlib import Path
from typing import Annotated

import typer

from linbench.cli.refusal import refuse, refusing
from linbench.registry import load_plugin


def check(
    plugin: Annotated[str, typer.Argument(help="A Python file, or the name of a registered backbone.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Check that a plug-in meets the backbone contract.

    Exit code 1 where a backbone violates it; each violation is one line.
    """
    from linbench.backbones import backbone
    from linbench.backbones.conformance import conform

    with refusing():
        if plugin in backbone:
            names = [backbone[plugin].name]
        else:
            before = set(backbone)
            module = load_plugin(Path(plugin))
            names = [name for name, entry in backbone.items() if name not in before or entry.source == module]
            if not names:
                refuse(f'{plugin} registers no backbone; decorate its factory with @backbone("name")')
    findings = {name: list(conform(name)) for name in names}
    if as_json:
        typer.echo(json.dumps(findings, indent=1))
    else:
        for name, violations in findings.items():
            typer.echo(f"{name}: " + (_count(len(violations)) if violations else "conforms"))
            for violation in violations:
                typer.echo(f"  - {violation}")
    if any(findings.values()):
        raise typer.Exit(1)


def _count(violations: int) -> str:
    return f"{violations} violation{'s' * (violations != 1)}"
