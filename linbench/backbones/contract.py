"""What a backbone is, how it is named, and how official weights reach it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from linbench.registry import Registry

#: All backbones by name. ``@backbone("vit-t", paper="2012.12877", …)`` adds the factory
#: ``vit_t(image_size, impl, …)``; its further arguments are the backbone's options.
#: Facts: ``paper`` (arXiv number); ``source`` (repository and file); ``multiple_of`` (what must divide height
#: and width; 1 where any size goes or the model pads, as its source does); ``classifier`` (options that a
#: classifier builds it with, where its source's classifier differs from its dense form); ``semantic`` (options that a
#: semantic segmenter builds it with, likewise).
backbone = Registry("backbone", group="linbench.backbones")


@runtime_checkable
class Backbone(Protocol):
    """An ``nn.Module`` that maps ``b 3 h w`` to one map per stride, fine to coarse.

    strides: Pixels of the image per cell of each map.
    widths: Channels of each map.
    It has no head and no pixel normalisation inside. It may have ``pooled(image) -> b c``: the vector that its
    source's classifier reads; without it a classifier takes the mean of the last map. It may have
    ``refit(entries, image_size)``: entries of such a backbone built for another size as this one has them.
    """

    strides: tuple[int, ...]
    widths: tuple[int, ...]

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]: ...


M = TypeVar("M", bound=nn.Module)
#: Names an official state dict's entries as we do; entries of the classification head as ``head.*``.
KeyTable = Callable[[M, Mapping[str, Tensor]], dict[str, Tensor]]

_key_tables: dict[type[nn.Module], KeyTable[Any]] = {}


class Misfit(ValueError):
    """Weights whose names or shapes are not the model's; nothing was loaded."""


def official(kind: type[M]) -> Callable[[KeyTable[M]], KeyTable[M]]:
    """Register the decorated function as the key table of models of class ``kind``.

    A backbone has one; so has a task model whose release names more than a backbone and a head.
    """

    def register(table: KeyTable[M]) -> KeyTable[M]:
        _key_tables[kind] = table
        return table

    return register


def load_official(model: nn.Module, state_dict: Mapping[str, Any]) -> None:
    """Fill a backbone or a classifier with weights in its official repository's key layout.

    state_dict: The plain entries, or a checkpoint that holds them under ``model``, ``state_dict`` or, where
        neither is there, ``model_ema``. A head in it is left out when ``model`` is a backbone.
    Raises Misfit, a ValueError, that lists the entries which are missing, left over or of another shape: nothing is
    loaded in part. Raises TypeError for a model without a key table.
    """
    load_named(model, official_names(model, state_dict))


def official_names(model: nn.Module, state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The entries of ``load_official``'s state dict under the model's own names, whether they fit or not."""
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
    """Fill a model with entries under its own names; raises Misfit as ``load_official`` does."""
    _refuse_mismatch(model, named)
    model.load_state_dict(named, strict=True)


def entries_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The plain entries of a state dict, or of a checkpoint that holds one."""
    for key in ("model", "state_dict", "model_ema"):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    return checkpoint


def _refuse_mismatch(model: nn.Module, named: Mapping[str, Tensor]) -> None:
    wanted = model.state_dict()
    faults = {
        "missing": sorted(wanted.keys() - named.keys()),
        "left over": sorted(named.keys() - wanted.keys()),
        "of another shape": [
            f"{k} {tuple(named[k].shape)} for {tuple(wanted[k].shape)}"
            for k in sorted(wanted.keys() & named.keys())
            if named[k].shape != wanted[k].shape
        ],
    }
    found = "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in faults.items() if keys)
    if found:
        raise Misfit(f"the checkpoint does not fit {type(model).__name__}: {found}")


def _some(keys: list[str], most: int = 10) -> str:
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
