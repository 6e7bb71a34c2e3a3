"""The contract of a backbone: its shape, its name, how it is built, and how official weights are loaded into it."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from linbench.backbones.layouts import entries_of, readings
from linbench.kernels.impl import Impl
from linbench.registry import Registry

#: All backbones by name. ``@backbone("vit-t", paper="2012.12877", …)`` adds the factory
#: ``vit_t(image_size, impl, …)``; its other arguments are the backbone's options.
#: Facts: ``paper`` (arXiv number); ``source`` (repository, commit and file); ``multiple_of`` (divides height and
#: width; 1 where any size is allowed or the model pads, as its source does); ``classifier`` (options that a
#: classifier builds it with, where its source's classifier differs from its dense form); ``semantic`` (options that a
#: semantic segmenter builds it with, likewise); ``weights`` (``ema`` where its source's published accuracy is that of
#: the moving average of the weights; ``model``, the trained ones, where it does not say).
backbone = Registry("backbone", group="linbench.backbones")


@runtime_checkable
class Backbone(Protocol):
    """An ``nn.Module`` that maps ``b 3 h w`` to a map ``b c h/s w/s`` per stride s, fine to coarse.

    strides: Pixels of the image per cell of each map.
    widths: Channels of each map.
    It has no head and no pixel normalisation. It may have ``pooled(image) -> b c``: the vector that its source's
    classifier reads; without it a classifier takes the mean of the last map. It may have
    ``refit(entries, image_size)``: the state dict of such a backbone built for another size, fitted to this one.
    """

    strides: tuple[int, ...]
    widths: tuple[int, ...]

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]: ...


def build_backbone(
    name: str, *, image_size: int | tuple[int, int] = 1024, impl: Impl | str = Impl.FAST, **overrides: Any
) -> Backbone:
    """Return the backbone registered as ``name``, randomly initialised.

    image_size: Side, or height and width, in pixels; it sets the size of learned position tables.
    impl: Implementation of the ops inside.
    overrides: The backbone's own options, as ``linbench show NAME`` lists them.
    Raises UnknownName, and ValueError for a size or an option that the backbone does not take.
    """
    entry = backbone[name]
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    multiple = entry.facts.get("multiple_of", 1)
    if len(size) != 2 or any(side < 1 or side % multiple for side in size):
        raise ValueError(f"image_size={image_size}: {name} takes heights and widths that {multiple} divides")
    unknown = [option for option in overrides if option not in entry.options]
    if unknown:
        allowed = ", ".join(o for o in entry.options if o not in ("image_size", "impl")) or "none"
        raise ValueError(f"{name} has no option {unknown[0]!r}; its options: {allowed}")
    built: Backbone = entry.build(image_size=size, impl=Impl(impl), **overrides)
    return built


M = TypeVar("M", bound=nn.Module)
#: Renames an official state dict's entries to ours; entries of the classification head to ``head.*``.
KeyTable = Callable[[M, Mapping[str, Tensor]], dict[str, Tensor]]

_key_tables: dict[type[nn.Module], KeyTable[Any]] = {}


class Misfit(ValueError):
    """Weights whose names or shapes are not the model's; nothing was loaded."""


def official(kind: type[M]) -> Callable[[KeyTable[M]], KeyTable[M]]:
    """Register the decorated function as the key table of models of class ``kind``.

    A backbone has one, and so does a task model whose release holds more than a backbone and a head.
    """

    def register(table: KeyTable[M]) -> KeyTable[M]:
        _key_tables[kind] = table
        return table

    return register


def load_official(model: nn.Module, state_dict: Mapping[str, Any]) -> None:
    """Fill a backbone or a classifier with weights in its official repository's key layout, or under its own names.

    state_dict: The plain entries, or a checkpoint that holds them as ``layouts`` lists; of the trained weights and
        their average, the trained ones. A head in it is left out when ``model`` is a backbone.
    Raises Misfit, a ValueError, that lists the entries which are missing, left over or of another shape or dtype:
    nothing is loaded in part.
    """
    load_named(model, official_names(model, state_dict))


def official_names(model: nn.Module, state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the entries of ``load_official``'s state dict under the model's own names, whether they fit or not.

    A prefix that all entries bear, as ``module.``, is taken off where they do not fit with it, with a warning.
    """
    own = model.state_dict()
    named: dict[str, Tensor] = {}
    for prefix, entries in readings(entries_of(state_dict)):
        named = dict(entries) if entries.keys() == own.keys() else _renamed(model, entries)
        if not mismatches(own, named):
            if prefix:
                warnings.warn(f"all {len(entries)} names begin with {prefix}, which is taken off", stacklevel=2)
            break
    return named


def _renamed(model: nn.Module, entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries by the key table of the model or its backbone; without one, the own names are the layout."""
    inner = getattr(model, "backbone", model)
    table = _key_tables.get(type(inner))
    try:
        ours = table(inner, entries) if table else dict(entries)
    except (RuntimeError, TypeError, LookupError) as error:  # of a table of positions that cannot be resampled
        raise Misfit(f"the checkpoint does not fit {type(model).__name__}: {error}") from error
    if inner is model:
        return {k: v for k, v in ours.items() if not k.startswith("head.")}
    return {k if k.startswith("head.") else f"backbone.{k}": v for k, v in ours.items()}


def load_named(model: nn.Module, named: Mapping[str, Tensor]) -> None:
    """Fill a model with entries under its own names; raise Misfit as ``load_official`` does."""
    if message := mismatches(model.state_dict(), named):
        raise Misfit(f"the checkpoint does not fit {type(model).__name__}: {message}")
    model.load_state_dict(named, strict=True)


def mismatches(wanted: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> str:
    """Describe what is missing, left over, or of another shape or kind of dtype; empty where all entries fit."""
    common = sorted(wanted.keys() & named.keys())
    shapes, dtypes = ({k: (getattr(named[k], n), getattr(wanted[k], n)) for k in common} for n in ("shape", "dtype"))
    faults = {
        "missing": sorted(wanted.keys() - named.keys()),
        "left over": sorted(named.keys() - wanted.keys()),
        "of another shape": [f"{k} {tuple(a)} for {tuple(b)}" for k, (a, b) in shapes.items() if a != b],
        "of another dtype": [f"{k} {a} for {b}" for k, (a, b) in dtypes.items() if _kind(a) != _kind(b)],
    }
    return "; ".join(f"{len(keys)} {label}: {_listed(keys)}" for label, keys in faults.items() if keys)


def _kind(dtype: torch.dtype) -> str:
    """Return what a dtype's values are: values of one kind are copied into each other.

    Integers differ from quantized numbers, whose scales are stored elsewhere, and so do the eight bits of a float8.
    """
    if dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        return "float"
    return "integer" if dtype in (torch.int64, torch.int32) else str(dtype)


def _listed(keys: list[str], limit: int = 10) -> str:
    return ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
