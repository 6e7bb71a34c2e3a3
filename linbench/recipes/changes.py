"""Changes of a recipe: one value by its name, what differs between two, and the short form of each.

    override(chosen, "lr=2e-4", "entityseg.repeat=2")       # another recipe, with another hash
    diff(chosen, other)                                      # {"lr": (0.0001, 0.0002), …}
    shortened(chosen)                                        # about a minute on two CPU cores, marked ``smoke``

A recipe's values have these names: its own fields, its settings' fields, and ``source.field`` for each data set.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from math import isfinite
from typing import Any, Union, get_args, get_origin, get_type_hints

from linbench.recipes.contract import Recipe, Source, recipe

#: What names a recipe or its parts, and what marks it: not for a person to set.
FIXED = ("name", "scale", "dataset")


class UnknownField(ValueError):
    """A name that no value of a recipe bears; its text teaches the nearest."""


def flat(chosen: Recipe) -> dict[str, Any]:
    """Every value of a recipe by its name, ``name`` and ``scale`` among them."""
    found = {f.name: getattr(chosen, f.name) for f in fields(chosen) if f.name not in ("settings", "sources")}
    found |= {name: getattr(chosen.settings, name) for name in chosen.settings.__dataclass_fields__}
    for source in chosen.sources:
        found |= {
            f"{source.dataset}.{f.name}": getattr(source, f.name) for f in fields(source) if f.name != "dataset"
        }
    return found


def diff(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """The values that differ, as both have them, by name; None for one that a recipe does not have."""
    mine, its = flat(one), flat(other)
    names = [*mine, *(name for name in its if name not in mine)]
    found = {name: (mine.get(name), its.get(name)) for name in names if mine.get(name) != its.get(name)}
    return found if one.task == other.task else {"task": (one.task, other.task), **found}


def override(chosen: Recipe, *changes: str) -> Recipe:
    """The recipe with other values, each as ``name=value``; a range is ``0.1,2.0``, nothing is ``none``.

    Raises UnknownField, and ValueError for a value that the field does not take.
    """
    given: dict[str, str] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"a change reads name=value, as in lr=2e-4; got {change!r}")
        given[name.strip()] = text.strip()
    known = [name for name in flat(chosen) if name.split(".")[-1] not in FIXED]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            listed = f"nearest are {', '.join(near)}" if near else f"it has {', '.join(known)}"
            raise UnknownField(f"recipe {chosen.name} has no value {name!r}: {listed}")
    own = {f.name for f in fields(chosen)}
    settings = {name: text for name, text in given.items() if name in chosen.settings.__dataclass_fields__}
    return replace(
        chosen,
        **_values(Recipe, {name: text for name, text in given.items() if name in own}),
        settings=replace(chosen.settings, **_values(type(chosen.settings), settings)),
        sources=tuple(_changed(source, given) for source in chosen.sources),
    )


def shortened(chosen: Recipe) -> Recipe:
    """The recipe for about a minute on two CPU cores: as its registration says under ``smoke``, and marked.

    Raises ValueError where it says nothing.
    """
    changes = recipe[chosen.name].facts.get("smoke", ())
    if not changes:
        raise ValueError(f"recipe {chosen.name} has no short form; register it with smoke=('steps=100', …)")
    return replace(override(chosen, *changes), scale="smoke")


def _changed(source: Source, given: Mapping[str, str]) -> Source:
    prefix = f"{source.dataset}."
    own = {name.removeprefix(prefix): text for name, text in given.items() if name.startswith(prefix)}
    return replace(source, **_values(Source, own))


def _values(owner: type, given: Mapping[str, str]) -> dict[str, Any]:
    """Texts as values of the owner's types; raises ValueError that names the field."""
    hints = get_type_hints(owner)
    found = {}
    for name, text in given.items():
        try:
            found[name] = parse(text, hints[name])
        except ValueError as error:
            raise ValueError(f"{name}={text!r}: {error}") from None
    return found


def parse(text: str, hint: Any) -> Any:
    """A text as a value of the type ``hint``: bool, int, float, str, one of them or None, or a tuple of them."""
    if get_origin(hint) in (Union, types.UnionType):
        if text.lower() == "none":
            return None
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        return _tuple(text, get_args(hint))
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("true or false is asked")
        return text.lower() == "true"
    try:
        value = hint(text)
    except ValueError:
        raise ValueError(f"{'a whole number' if hint is int else 'a number'} is asked") from None
    if hint is float and not isfinite(value):
        raise ValueError("a finite number is asked")
    return value


def _tuple(text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if kinds[-1] is Ellipsis:
        return tuple(parse(part, kinds[0]) for part in parts)
    if len(parts) != len(kinds):
        raise ValueError(f"{len(kinds)} values with commas between are asked")
    return tuple(parse(part, kind) for part, kind in zip(parts, kinds, strict=True))
