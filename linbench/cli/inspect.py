"""``linbench list`` and ``linbench show``: the registered names, and the contents of a backbone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linbench.cli.refusal import load_plugins, refusing
from linbench.registry import Entry, Registry

if TYPE_CHECKING:
    from linbench.reports.render.table import Table

Plugin = Annotated[list[Path] | None, typer.Option(help="A Python file that registers backbones; repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

WIDTH = 80
OTHER = "and every backbone under its own name; `linbench show NAME` names its decoder"


def list_(plugin: Plugin = None, as_json: Json = False) -> None:
    """List backbones, groups, recipes, suites, engines and datasets."""
    from linbench.backbones import backbone
    from linbench.data import roots  # noqa: F401 (it registers the datasets)
    from linbench.data.contract import dataset
    from linbench.engines import engine
    from linbench.groups import groups
    from linbench.recipes import recipe
    from linbench.suites import suite

    load_plugins(plugin or [], backbone, recipe, suite, dataset, engine)
    listed = {
        "backbones": _backbone_rows(backbone),
        "groups": [
            {"name": g.name, "what": g.what, "members": [m for m in g.members if m in backbone]}
            for g in groups().values()
        ],
        "segmenters": _segmenter_rows(),
        "recipes": [_recipe_row(entry) for entry in recipe.values()],
        "suites": [
            {"name": e.name, "version": e.facts.get("version"), "what": _summary(e.build)} for e in suite.values()
        ],
        "engines": [_engine_row(name) for name in sorted(engine, key=_order)],
        "datasets": [
            {"name": e.name, "title": e.facts["title"], "splits": ", ".join(e.facts["splits"])}
            for e in dataset.values()
        ],
    }
    typer.echo(json.dumps(listed, indent=1) if as_json else "\n".join(map(_table, _tables(listed))))


def _backbone_rows(registry: Registry) -> list[dict[str, Any]]:
    """Return the registered backbones, and the members of families that groups name, in the order of their cards."""
    from linbench.published.models import model_cards

    cards = model_cards()
    listed = [name for name in cards if name in registry]
    entries = [registry[name] for name in (*listed, *sorted(set(registry) - set(listed)))]
    return [
        {
            "name": entry.name,
            "paper": entry.facts.get("paper", ""),
            "source": entry.facts.get("source", entry.source),
            **_card_row(entry.name),
        }
        for entry in entries
    ]


def _card_row(name: str) -> dict[str, Any]:
    """Return what is known of a backbone without building it; ``None`` and empty texts for one without a card."""
    from linbench.published.models import model_cards

    card = model_cards().get(name)
    if card is None:
        return {"mixer": "", "strides": [], "parameters": None, "licence": "", "weights": ""}
    known = {"mixer": card.mixer, "strides": list(card.strides), "parameters": card.parameters or None}
    return {**known, "licence": card.licence, "weights": card.weights}


def _segmenter_rows() -> list[dict[str, Any]]:
    """Return the segmenters that are named otherwise than their backbones."""
    from linbench.models.sam import HQ, NAMED

    papers = {name: "2306.01567" if name in HQ else "2402.05008" for name in NAMED}
    return [{"name": name, "backbone": encoder, "paper": papers[name]} for name, encoder in NAMED.items()]


def _engine_row(name: str) -> dict[str, Any]:
    from linbench.engines.contract import UNTESTED, build

    chosen = build(name)
    state = chosen.version() or "part of torch" if chosen.is_installed else "not installed"
    what = chosen.what if chosen.is_tested else f"{chosen.what}; {UNTESTED}"
    return {"name": name, "state": state, "what": what, "install": chosen.install}


def _order(engine: str) -> tuple[bool, bool, str]:
    """Return a sort key of an engine: eager before what else runs in PyTorch, before all others."""
    from linbench.engines.contract import EAGER, exported

    return exported(engine) is not None, engine != EAGER, engine


def _recipe_row(entry: Entry) -> dict[str, Any]:
    chosen = entry.build()
    length = f"{chosen.epochs} epochs" if chosen.epochs is not None else f"{chosen.steps:,} steps"
    data = ", ".join(source.dataset for source in chosen.sources)
    return {"name": entry.name, "px": chosen.image_size, "batch": chosen.batch, "length": length, "data": data}


def _tables(listed: dict[str, list[dict[str, Any]]]) -> "Iterator[Table]":
    """Yield a table for each kind of name; what a suite measures stands below its table."""
    from linbench.recipes.contract import PIPELINES
    from linbench.reports.render.table import Table

    def rows(kind: str, *names: str) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(str(entry[name]) for name in names) for entry in listed[kind])

    yield from _backbone_tables(listed["backbones"])
    grouped = tuple((g["name"], str(len(g["members"])), g["what"]) for g in listed["groups"])
    sizes = "@linear, @transformer and @convolution: of each family the variant of about the size of vit-s"
    yield Table("Groups, as in --backbone @linear,vit-s", ("name", "models", "what"), grouped, (sizes,))
    yield Table(
        "Segmenters", ("name", "backbone", "arXiv"), rows("segmenters", "name", "backbone", "paper"), (OTHER,)
    )
    pipelines = tuple(f"pipeline {name}: {', '.join(names)}" for name, names in PIPELINES.items())
    heads = ("name", "px", "batch", "length", "data")
    yield Table("Recipes", heads, rows("recipes", *heads), pipelines)
    measures = tuple(f"{entry['name']}: {entry['what']}" for entry in listed["suites"])
    yield Table("Suites", ("name", "version"), rows("suites", "name", "version"), measures)
    runs = tuple(
        f"{entry['name']}: {entry['what']}" + (f" ({entry['install']})" if entry["install"] else "")
        for entry in listed["engines"]
    )
    yield Table("Engines", ("name", "state"), rows("engines", "name", "state"), runs)
    yield Table("Datasets", ("name", "title", "splits"), rows("datasets", "name", "title", "splits"))


def _backbone_tables(rows: list[dict[str, Any]]) -> "Iterator[Table]":
    """Yield the backbones of this package and of plug-ins, and those of timm that groups name."""
    from linbench.published.models import SIDE
    from linbench.reports.render.table import Table

    heads = ("name", "mixer", "strides", f"parameters\nat {SIDE}²", "licence", "weights")
    own = [row for row in rows if not row["name"].startswith("timm/")]
    sources: dict[str, list[str]] = {}
    for row in own:
        words = (f"arXiv {row['paper']}" * bool(row["paper"]), row["source"].partition("@")[0])
        sources.setdefault(", ".join(filter(None, words)), []).append(row["name"])
    notes = tuple(f"{', '.join(names)}: {source}" for source, names in sources.items())
    cells = tuple((*_cells(row), row["weights"] or "–") for row in own)
    yield Table("Backbones", heads, cells, notes)
    yield _timm_table([row for row in rows if row["name"].startswith("timm/") and row["mixer"]])


def _timm_table(rows: list[dict[str, Any]]) -> "Table":
    """Return the backbones of timm that groups name, narrow enough for their long names."""
    from linbench.published.models import MIXERS, SIDE
    from linbench.reports.render.table import Table

    cells = tuple(_cells({**row, "parameters": round(row["parameters"] / 1e6, 1)}) for row in rows)
    notes = (
        f"M: millions of parameters at {SIDE}²; all have official weights, under the licence that timm states; "
        "timm/* stands for every other model of timm's",
        "mixers: " + "; ".join(f"{name}: {what}" for name, what in MIXERS.items()),
    )
    return Table("Backbones of timm in groups", ("name", "mixer", "strides", "M", "licence"), cells, notes)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return name, mixer, strides, parameters and licence; a dash for what is not known."""
    ends = dict.fromkeys(str(stride) for stride in (*row["strides"][:1], *row["strides"][-1:]))
    count = f"{row['parameters']:,}" if row["parameters"] else ""
    return tuple(text or "–" for text in (row["name"], row["mixer"], "–".join(ends), count, row["licence"]))


def _table(table: "Table") -> str:
    from linbench.reports.render.table import to_terminal

    return to_terminal(table, WIDTH)


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

    Also the settings that the preset best chose, and the segmenter that uses the backbone; for hq-sam-b and
    efficientvit-sam-l0 and their kin that segmenter and its backbone.
    """
    from linbench.backbones import backbone
    from linbench.suites.runner.resolutions import resolutions

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
    from linbench.models.sam import backbone_of
    from linbench.suites.latency.complexity import complexity

    entry = backbone[backbone_of(name)]
    with torch.device("meta"):
        model: Any = build_backbone(entry.name, image_size=size).eval()  # type: ignore[attr-defined]
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
        **{key: known for key, known in _card_row(entry.name).items() if key in ("mixer", "licence", "weights")},
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
    import textwrap

    from linbench.reports.render.table import Table

    bound = "" if facts["flops_coverage"] == 1 else "≥ "
    lines = [
        facts["what"],
        "definition: " + " · ".join(filter(None, (facts["paper"], facts["source"], facts["file"]))),
        *([_card_line(facts)] if facts["mixer"] else []),
        "options: " + (", ".join(facts["options"]) or "none"),
        f"parameters at {facts['size']}: {facts['parameters']:,}",
        f"FLOPs at {facts['size']}: {bound}{facts['flops'] / 1e9:.2f} G (a multiply-add counts as two)",
        *([f"not counted: {', '.join(facts['flops_missing'])}"] if bound else []),
        *(f"best: {line}" for line in facts["best"]),
    ]
    typer.echo(f"{facts['name']}\n")
    for line in lines:
        typer.echo(textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    "))
    names = ("stride", "channels", "height", "width")
    maps = tuple(tuple(str(row[name]) for name in names) for row in facts["maps"])
    typer.echo("\n" + _table(Table("Maps", names, maps)))
    typer.echo(_table(_parameters(f"Parameters of the backbone at {facts['size']}", facts["parts"])))
    segmenter = facts["segmenter"]
    if not segmenter["decoder"]:
        typer.echo(textwrap.fill(f"segmenter: none, {segmenter['none_because']}", WIDTH))
        return
    typer.echo(
        textwrap.fill(
            f"segmenter {segmenter['name']}: {segmenter['decoder']}; {segmenter['total']:,} parameters", WIDTH
        )
    )
    typer.echo("\n" + _table(_parameters("Parameters of the segmenter", segmenter["parameters"])))


def _card_line(facts: dict[str, Any]) -> str:
    """Return mixer, licence and whether there are official weights in one line."""
    from linbench.published.models import MIXERS

    mixer = f"mixer: {facts['mixer']} ({MIXERS[facts['mixer']]})"
    return f"{mixer} · licence: {facts['licence']} · official weights: {facts['weights']}"


def _parameters(title: str, parts: dict[str, int]) -> "Table":
    """Return a table of parts and their parameters."""
    from linbench.reports.render.table import Table

    rows = tuple((part, f"{n:,}", f"{n / sum(parts.values()):.1%}") for part, n in parts.items())
    return Table(title, ("part", "parameters", "fraction"), rows)


def _summary(build: Any) -> str:
    text = getattr(build, "func", build).__doc__ or ""
    return text.strip().splitlines()[0] if text.strip() else ""
