"""Changes of a recipe: override values by name, list the differences of two, and derive the short form.

    override(chosen, "lr=2e-4", "entityseg.repeat=2")       # another recipe, with another hash
    diff(chosen, other)                                      # {"lr": (0.0001, 0.0002), …}
    shorten(chosen)                                          # about a minute on two CPU cores, marked ``smoke``

The names of a recipe's values are those of its own fields, those of its settings, and ``source.field`` for each
dataset.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from math import isfinite
from typing import Any, Union, get_args, get_origin, get_type_hints

from linbench.recipes.contract import Recipe, Source, recipe

#: Fields that name or mark a recipe or its parts, and cannot be overridden.
FIXED = ("name", "scale", "dataset")


class UnknownField(ValueError):
    """A name that no value of a recipe has; the text teaches the nearest."""


def flat_values(chosen: Recipe) -> dict[str, Any]:
    """Return every value of a recipe by its name, ``name`` and ``scale`` among them."""
    values = {f.name: getattr(chosen, f.name) for f in fields(chosen) if f.name not in ("settings", "sources")}
    values |= {name: getattr(chosen.settings, name) for name in chosen.settings.__dataclass_fields__}
    for source in chosen.sources:
        names = (f.name for f in fields(source) if f.name != "dataset")
        values |= {f"{source.dataset}.{name}": getattr(source, name) for name in names}
    return values


def diff(before: Recipe, after: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the values that differ, before and after, by name; None for a value that a recipe does not have."""
    old, new = flat_values(before), flat_values(after)
    names = [*old, *(name for name in new if name not in old)]
    changes = {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}
    return changes if before.task == after.task else {"task": (before.task, after.task), **changes}


def override(chosen: Recipe, *changes: str) -> Recipe:
    """Return the recipe with other values.

    changes: ``name=value`` each; a range is ``0.1,2.0``, an unset value ``none``.
    Raises UnknownField, and ValueError for text that is no value of the field.
    """
    texts: dict[str, str] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"a change must be name=value, as lr=2e-4; got {change!r}")
        texts[name.strip()] = text.strip()
    known = [name for name in flat_values(chosen) if name.split(".")[-1] not in FIXED]
    for name in texts:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"nearest are {', '.join(near)}" if near else f"it has {', '.join(known)}"
            raise UnknownField(f"recipe {chosen.name} has no value {name!r}: {hint}")
    own_fields = {f.name for f in fields(chosen)}
    settings = {name: text for name, text in texts.items() if name in chosen.settings.__dataclass_fields__}
    return replace(
        chosen,
        **_parse_fields(Recipe, {name: text for name, text in texts.items() if name in own_fields}),
        settings=replace(chosen.settings, **_parse_fields(type(chosen.settings), settings)),
        sources=tuple(_override_source(source, texts) for source in chosen.sources),
    )


def shorten(chosen: Recipe) -> Recipe:
    """Return the recipe's short form, about a minute on two CPU cores, marked ``smoke``.

    Raises ValueError if the recipe is registered without one.
    """
    changes = recipe[chosen.name].facts.get("smoke", ())
    if not changes:
        raise ValueError(f"recipe {chosen.name} has no short form; register it with smoke=('steps=100', …)")
    return replace(override(chosen, *changes), scale="smoke")


def _override_source(source: Source, texts: Mapping[str, str]) -> Source:
    prefix = f"{source.dataset}."
    changes = {name.removeprefix(prefix): text for name, text in texts.items() if name.startswith(prefix)}
    return replace(source, **_parse_fields(Source, changes))


def _parse_fields(owner: type, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return texts as values of the owner's field types. Raises ValueError that names the field."""
    hints = get_type_hints(owner)
    values = {}
    for name, text in texts.items():
        try:
            values[name] = parse_value(text, hints[name])
        except ValueError as error:
            raise ValueError(f"{name}={text!r}: {error}") from None
    return values


def parse_value(text: str, hint: Any) -> Any:
    """Return a text as a value of the type ``hint``: bool, int, float, str, optional ones, or a tuple of them."""
    if get_origin(hint) in (Union, types.UnionType):
        if text.lower() == "none":
            return None
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        return _parse_tuple(text, get_args(hint))
    if hint is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("expected true or false")
        return text.lower() == "true"
    try:
        value = hint(text)
    except ValueError:
        raise ValueError(f"expected {'a whole number' if hint is int else 'a number'}") from None
    if hint is float and not isfinite(value):
        raise ValueError("expected a finite number")
    return value


def _parse_tuple(text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if kinds[-1] is Ellipsis:
        return tuple(parse_value(part, kinds[0]) for part in parts)
    if len(parts) != len(kinds):
        raise ValueError(f"expected {len(kinds)} values, separated by commas")
    return tuple(parse_value(part, kind) for part, kind in zip(parts, kinds, strict=True))
