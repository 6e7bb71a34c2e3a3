"""``linbench.measure``: the latency of registered backbones and of modules of your own, from Python."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import torch
from torch import Tensor

from linbench.api.results import Results
from linbench.choices import choose
from linbench.records import Record, Store
from linbench.suites.latency.live import LiveModel, measure_live
from linbench.suites.latency.options import LatencyOptions
from linbench.suites.latency.settings import Preset
from linbench.suites.latency.suite import latency
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.execute import Stored, run_rounds, run_searches
from linbench.suites.runner.quiet import Waiting
from linbench.suites.runner.resolutions import Size, resolutions
from linbench.suites.runner.resuming import with_settings
from linbench.suites.runner.sampling import SamplingConfig
from linbench.system.durations import format_ms

Forward: TypeAlias = Callable[[Tensor], Any]
#: A registered name, a module, a function of an image ``b 3 h w``; several of them in a list, or in a dictionary by
#: the names that results show.
Models: TypeAlias = str | Forward | Sequence[str | Forward] | Mapping[str, str | Forward]
#: A side in px, a height and width, or the command line's ``512..2048``; several of them in a list.
Sizes: TypeAlias = int | Size | str | Sequence[int | Size]


def measure(
    models: Models,
    sizes: Sizes = (512, 1024, 2048),
    *,
    batch: int | Sequence[int] = 1,
    dtype: str | torch.dtype | None = None,
    device: str | None = None,
    preset: str = "best",
    engine: str | None = None,
    rounds: int = 3,
    seconds: float = 20.0,
    wait: float = 60.0,
    results: str | Path | None = None,
    progress: Callable[[str], None] | None = print,
    **options: Any,
) -> Results:
    """Measure the latency of ``models`` at ``sizes``: one forward on images ``b 3 h w`` of random numbers.

    A registered name (``linbench list``) runs as on the command line: each round in a fresh process, the settings of
    ``preset`` chosen by a search. A module, a compiled module or any function of an image runs in this process, as it
    is, with one round; its output may be a tensor, or a tuple, list or dictionary that holds some.

    batch: Images in one forward.
    dtype: float32, bfloat16 or float16; by default a module's own, and float32 of a registered name.
    device: cpu, cuda or cuda:N; by default a module's own, and for a registered name the GPU where there is one.
    preset, engine: Of a registered name; ``paper``, ``best`` or ``deployed``, and ``openvino``, say, for its own.
    rounds, seconds: Fresh processes of each name (three or more let results be compared), sampling budget of each.
    wait: Longest wait of a registered name for other programs to stop computing, s, at the start and for each round.
    results: A results folder: records that are there already are not measured again. By default none is kept.
    progress: Takes a line of progress; None for silence.
    options: Further options of the suite ``latency`` for registered names: ``threads=4``, ``search_seconds=0``.

    Raises ValueError, TypeError and registry.UnknownName for what cannot be measured; a model that fails at one size
    has a record that says so.
    """
    tell = progress or (lambda line: None)
    named = _named(models)
    images = [*dict.fromkeys([batch] if isinstance(batch, int) else batch)]
    if not images or min(images) < 1:
        raise ValueError(f"batch must be at least 1, got {batch!r}")
    precision = _dtype(dtype)
    records: list[Record] = []
    registered = [model for model in named.values() if isinstance(model, str)]
    options |= {"engines": (engine,)} if engine else {}
    if registered:
        options |= {"device": device or "auto", "dtypes": (precision or Dtype.FLOAT32,), "batches": tuple(images)}
        presets = (Preset(choose("preset", preset, (Preset.PAPER, Preset.BEST, Preset.DEPLOYED))),)
        chosen = LatencyOptions(backbones=tuple(registered), resolutions=_sizes(sizes), presets=presets, **options)
        records += _measure_registered(chosen, SamplingConfig(rounds, seconds, wait_s=wait), results, tell)
    elif options or engine:
        raise TypeError(f"{[*options, 'engine'][0]}: an option of registered names; none is among the models")
    for name, model in named.items():
        if not isinstance(model, str):
            where = torch.device(device) if device else None
            live = LiveModel.of(model, name, precision.torch if precision else None, where)
            records += _measure_live(live, _sizes(sizes), images, seconds, tell)
    return Results(tuple(records))


def _measure_registered(
    options: LatencyOptions, sampling: SamplingConfig, results: str | Path | None, tell: Callable[[str], None]
) -> list[Record]:
    """Measure registered names in fresh processes, in ``results`` or in a folder that is removed afterwards."""
    suite = latency()
    cells = suite.cells(options)
    with tempfile.TemporaryDirectory(prefix="linbench-") as temporary:
        store = Store(Path(results) if results is not None else Path(temporary))
        with store.writing():
            for search, step in run_searches(cells, store, sampling):
                tell(f"search {search.name}: candidate {step.number} of {search.candidates}")
            cells = with_settings(cells, store)
            for event in run_rounds("latency", cells, store, sampling):
                if isinstance(event, Waiting):
                    tell("waiting: other programs use the cores")
                elif isinstance(event, Stored):
                    tell(f"{suite.cell_name(event.cell)}: {_state(event.record)}")
            return [record for cell in cells if (record := store.get(cell.key.to_json()))]


def _state(record: Record) -> str:
    """Return what became of the last round."""
    return record.reason or f"round {len(record.rounds)}, {format_ms(median(record.rounds[-1]['samples_ms']))}"


def _measure_live(
    model: LiveModel, sizes: Iterable[Size], batches: Sequence[int], seconds: float, tell: Callable[[str], None]
) -> Iterator[Record]:
    for size in sizes:
        for batch in batches:
            record = measure_live(model, size, batch, seconds)
            tell(f"{model.name} {size[0]}x{size[1]}, batch {batch}: {record.reason or record.status}")
            yield record


def _named(models: Models) -> dict[str, str | Forward]:
    """Return the models by the names that results show; two modules of one class get numbers."""
    if isinstance(models, Mapping):
        return dict(models)
    listed = [models] if isinstance(models, str) or callable(models) else list(models)
    named: dict[str, str | Forward] = {}
    for model in listed:
        name = model if isinstance(model, str) else LiveModel.of(model).name
        number = 1 + sum(other == name or other.startswith(f"{name} ") for other in named)
        named[name if number == 1 or isinstance(model, str) else f"{name} {number}"] = model
    if not named:
        raise ValueError("models is empty: give a name, a module, or a list of them")
    return named


def _sizes(sizes: Sizes) -> tuple[Size, ...]:
    """Return heights and widths in px; raises ValueError that names the allowed forms."""
    if isinstance(sizes, str):
        return tuple(resolutions(sizes))
    listed = [sizes] if isinstance(sizes, int) else list(sizes)
    texts = [f"{size[0]}x{size[1]}" if isinstance(size, tuple) else str(size) for size in listed]
    return tuple(resolutions(",".join(texts)))


def _dtype(dtype: str | torch.dtype | None) -> Dtype | None:
    if dtype is None:
        return None
    return Dtype(choose("dtype", str(dtype).removeprefix("torch."), tuple(Dtype)))
