"""The contract of a backbone: its shape, its name, how it is built, and how official weights are loaded into it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from linbench.kernels.impl import Impl
from linbench.registry import Registry

#: All backbones by name. ``@backbone("vit-t", paper="2012.12877", …)`` adds the factory
#: ``vit_t(image_size, impl, …)``; its other arguments are the backbone's options.
#: Facts: ``paper`` (arXiv number); ``source`` (repository, commit and file); ``multiple_of`` (divides height and
#: width; 1 where any size is allowed or the model pads, as its source does); ``classifier`` (options that a
#: classifier builds it with, where its source's classifier differs from its dense form); ``semantic`` (options that a
#: semantic segmenter builds it with, likewise).
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
    """Fill a backbone or a classifier with weights in its official repository's key layout.

    state_dict: The plain entries, or a checkpoint that holds them under ``model``, ``state_dict`` or, without
        these, ``model_ema``. A head in it is ignored when ``model`` is a backbone.
    Raises Misfit, a ValueError, that lists the entries which are missing, left over or of another shape, before
    anything is loaded. Raises TypeError for a model without a key table.
    """
    load_named(model, official_names(model, state_dict))


def official_names(model: nn.Module, state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the entries of ``load_official``'s state dict under the model's own names, whether they fit or not."""
    inner = getattr(model, "backbone", model)
    table = _key_tables.get(type(inner))
    if table is None:
        known = ", ".join(sorted(kind.__name__ for kind in _key_tables))
        raise TypeError(f"no official key layout is known for {type(inner).__name__}; there is one for {known}")
    ours = table(inner, entries_of(state_dict))
    if inner is model:
        return {k: v for k, v in ours.items() if not k.startswith("head.")}
    return {k if k.startswith("head.") else f"backbone.{k}": v for k, v in ours.items()}


def load_named(model: nn.Module, named: Mapping[str, Tensor]) -> None:
    """Fill a model with entries under its own names; raise Misfit as ``load_official`` does."""
    _refuse_mismatch(model, named)
    model.load_state_dict(named, strict=True)


def entries_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """Return the plain entries of a state dict, or of a checkpoint that holds one."""
    for key in ("model", "state_dict", "model_ema"):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


def _refuse_mismatch(model: nn.Module, named: Mapping[str, Tensor]) -> None:
    expected = model.state_dict()
    mismatches = {
        "missing": sorted(expected.keys() - named.keys()),
        "left over": sorted(named.keys() - expected.keys()),
        "of another shape": [
            f"{k} {tuple(named[k].shape)} for {tuple(expected[k].shape)}"
            for k in sorted(expected.keys() & named.keys())
            if named[k].shape != expected[k].shape
        ],
    }
    message = "; ".join(f"{len(keys)} {label}: {_listed(keys)}" for label, keys in mismatches.items() if keys)
    if message:
        raise Misfit(f"the checkpoint does not fit {type(model).__name__}: {message}")


def _listed(keys: list[str], limit: int = 10) -> str:
    return ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
