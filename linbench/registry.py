"""A registry: a Mapping from names to factories, a decorator that adds one, and plug-ins.

    backbone = Registry("backbone", group="linbench.backbones")

    @backbone("vrwkv-t", paper="2403.02308")
    def vrwkv_t(image_size, impl): ...

    backbone["vrwkv-t"].build(image_size=(512, 512), impl="fast")

A name that ends in ``/*`` stands for a family, such as ``timm/*``: its factory receives the rest of the name as its
first argument. Its fact ``members`` returns the names in it, of which one without its prefix is suggested.
"""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class UnknownName(KeyError):
    """A name without a registry entry; its text names the nearest ones."""

    def __str__(self) -> str:
        return str(self.args[0])


class PluginFailed(RuntimeError):
    """A plug-in that could not be imported; the cause is chained."""


@dataclass(frozen=True)
class Entry:
    """A registered factory with its name, the facts of its registration, and the module that registered it."""

    name: str
    build: Callable[..., Any]
    facts: Mapping[str, Any]
    source: str

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the factory's arguments."""
        return tuple(inspect.signature(self.build).parameters)


class Registry(Mapping[str, Entry]):
    """Entries of one kind by name; calling it returns the decorator that adds one."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, Entry] = {}
        self._points: tuple[EntryPoint, ...] = tuple(entry_points(group=group))  # not yet imported

    def __call__(self, name: str, **facts: Any) -> Callable[[F], F]:
        """Return a decorator that registers a factory under ``name``; raise ValueError for a taken name."""

        def register(build: F) -> F:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is already registered by {self._entries[name].source}")
            self._entries[name] = Entry(name, build, facts, build.__module__)
            return build

        return register

    def __getitem__(self, name: str) -> Entry:
        if name in self._entries:
            return self._entries[name]
        self.load_entry_points()
        if name in self._entries:
            return self._entries[name]
        prefix, slash, rest = name.partition("/")
        if slash and rest and (family := self._entries.get(f"{prefix}/*")):
            return Entry(name, partial(family.build, rest), family.facts, family.source)
        raise UnknownName(f"unknown {self.kind} {name!r}: {self._nearest(name)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _nearest(self, name: str) -> str:
        near = self._in_families(name) or get_close_matches(name, self._entries, n=3, cutoff=0.5)
        hint = f"`linbench list` shows all {len(self)}"
        return f"nearest are {', '.join(near)}; {hint}" if near else f"none is near; {hint}"

    def _in_families(self, name: str) -> list[str]:
        """Return the full name of a member of a family that is named without its prefix, or with ``-`` for ``_``."""
        families = (entry for entry in self._entries.values() if entry.name.endswith("/*"))
        return [
            f"{family.name[:-1]}{member}"
            for family in families
            for member in dict.fromkeys((name, name.replace("-", "_")))
            if member in family.facts.get("members", tuple)()
        ]

    def load_entry_points(self) -> None:
        """Import every installed plug-in of this registry's group, once; raise PluginFailed."""
        points, self._points = self._points, ()
        for point in points:
            try:
                point.load()
            except Exception as error:
                raise PluginFailed(_message(f"{point.name} ({point.value})", error)) from error


def load_plugin(path: Path) -> str:
    """Import the Python file at ``path``, which registers its entries; return its module name.

    Raises PluginFailed where the file is missing or raises at import. A file loads once per process.
    """
    path = path.resolve()
    name = f"linbench_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return name
    if not path.is_file():
        raise PluginFailed(f"plug-in {path} is not a file")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginFailed(f"plug-in {path} is not a Python file (*.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginFailed(_message(str(path), error)) from error
    return name


def plugin_files() -> list[Path]:
    """Return the plug-in files that this process has loaded."""
    modules = [module for name, module in sys.modules.items() if name.startswith("linbench_plugin_")]
    return [Path(module.__file__) for module in modules if module.__file__]


def _message(plugin: str, error: Exception) -> str:
    return f"plug-in {plugin} raised {type(error).__name__} at import: {error}"
