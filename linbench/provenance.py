"""The hash of the code behind a number: every module that runs between its first and its last sample.

The search follows imports from the modules in which a suite measures (its entries), and from the backbone. An import
inside a function counts, one for type checkers does not. A package's ``__init__`` is a table of contents: a name
imported from it counts as imported from the module that the ``__init__`` has it from, so that a new backbone beside
the others makes no record stale. Three kinds of modules end the search:

- LEAVES, which store, name, plan or show a number and cannot change it;
- all backbones but the measured one: a suite reaches each of them through the registry;
- modules that the caller passes as ``without``: the latency of a backbone runs no decoder, for example.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

_ROOT = Path(__file__).resolve().parent.parent  # the folder that holds the package

#: Modules and packages that no search goes into; named as an entry, one of them counts all the same.
LEAVES = (
    # Conditions stored beside a number, and how it is stored, named and shown.
    *("linbench._version", "linbench.choices", "linbench.environment"),
    *("linbench.system", "linbench.provenance", "linbench.registry"),
    *("linbench.records", "linbench.merging", "linbench.reports", "linbench.cli"),
    "linbench.suites.runner.journal",
    # The options of a run and the cells they lead to: all that these decide stands in the key.
    *("linbench.suites.runner.suite", "linbench.suites.runner.options", "linbench.suites.runner.resolutions"),
    *("linbench.suites.runner.model_options", "linbench.suites.runner.resuming"),
    *("linbench.suites.latency.options", "linbench.suites.latency.cells", "linbench.suites.latency.suite"),
    *("linbench.suites.throughput.options", "linbench.suites.throughput.cells", "linbench.suites.throughput.suite"),
    *("linbench.suites.training_step.options", "linbench.suites.training_step.cells"),
    "linbench.suites.training_step.suite",
    *("linbench.suites.kernels.options", "linbench.suites.kernels.cells", "linbench.suites.kernels.suite"),
    *("linbench.suites.accuracy.options", "linbench.suites.accuracy.cells", "linbench.suites.accuracy.suite"),
    # The search for settings, which are in the key; its own records are hashed with it.
    *("linbench.suites.latency.search", "linbench.suites.latency.trial"),
)
#: Modules that all backbones share; the other modules of their package are backbones.
_OF_ALL_BACKBONES = ("linbench.backbones.contract",)


def code_hash(entries: Iterable[str], backbone: str | Sequence[str], without: Iterable[str] = ()) -> str:
    """Return the SHA-256, cut to 16 digits, over ``measuring_modules``. Raises LookupError as it does."""
    digest = hashlib.sha256()
    for name, path in sorted(measuring_modules(entries, backbone, without).items()):
        digest.update(name.encode() + b"\0" + _content(path) + b"\0")
    return digest.hexdigest()[:16]


def measuring_modules(
    entries: Iterable[str], backbone: str | Sequence[str], without: Iterable[str] = ()
) -> Mapping[str, Path]:
    """Return the modules behind a number, and their files.

    entries: The modules where the suite measures.
    backbone: The module of the backbone, or of the op; several where a model takes parts of other backbones.
    without: Modules and packages that the suite imports and does not run for this number.
    A module that linbench no longer has is skipped: old records name it, and are stale without it.
    Raises LookupError for a module outside linbench whose source is not loaded, as a plug-in's.
    """
    modules = (backbone,) if isinstance(backbone, str) else tuple(backbone)
    return _modules_behind(tuple(entries), modules, tuple(without))


@cache
def _modules_behind(
    entries: tuple[str, ...], modules: tuple[str, ...], without: tuple[str, ...]
) -> Mapping[str, Path]:
    for name in (*modules, *entries):
        if _file(name) is None and not _within(name, ("linbench",)):
            raise LookupError(f"the source of {name} is missing; load its plug-in first")
    behind = _reached(modules, LEAVES)
    others = {name for name in _backbones() if name not in behind}
    return MappingProxyType(behind | _reached(entries, (*LEAVES, *without, *others)))


def _reached(start: Iterable[str], closed: tuple[str, ...]) -> dict[str, Path]:
    """Return the modules that ``start`` names and those reached from them by imports, without the closed ones."""
    files: dict[str, Path] = {}
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in files or path is None:
            continue
        files[name] = path
        waiting += (module for module in _imports(name) if module != "linbench" and not _within(module, closed))
    return files


def _within(name: str, closed: Iterable[str]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in closed)


def _backbones() -> Iterator[str]:
    """Yield the modules of ``linbench.backbones`` that hold one backbone or a family of them."""
    for path in (_ROOT / "linbench" / "backbones").glob("*.py"):
        name = f"linbench.backbones.{path.stem}"
        if path.stem != "__init__" and name not in _OF_ALL_BACKBONES:
            yield name


@cache
def _content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@cache
def _file(name: str) -> Path | None:
    """Return the source of a module: of linbench by its path, of a plug-in if it is loaded; nothing is imported."""
    base = _ROOT.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file) if file else None


@cache
def _imports(name: str) -> tuple[str, ...]:
    """Return the modules of linbench, and of the package of module ``name``, that it imports; in functions too."""
    modules = {source if bound is None else _home(source, bound) for source, bound, _ in _statements(name)}
    return tuple(sorted(module for module in modules if _file(module)))


@cache
def _home(module: str, name: str) -> str:
    """Return the module that ``from module import name`` takes ``name`` from."""
    if _file(f"{module}.{name}"):
        return f"{module}.{name}"
    path = _file(module)
    if path is not None and path.name == "__init__.py":
        for source, bound, known_as in _statements(module):
            if known_as == name and bound is not None and (source, bound) != (module, name):
                return _home(source, bound)
    return module


@cache
def _statements(name: str) -> tuple[tuple[str, str | None, str], ...]:
    """Return what module ``name`` imports: the module, the name taken from it or None, and the name bound to it."""
    path = _file(name)
    if path is None:
        return ()
    roots = ("linbench", name.partition(".")[0])
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports: list[tuple[str, str | None, str]] = []
    for node in _running(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            imports += [(alias.name, None, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            imports += [(source, alias.name, alias.asname or alias.name) for alias in node.names]
    return tuple(entry for entry in imports if entry[0].partition(".")[0] in roots)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a syntax tree, without those that only a type checker reads."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        yield node
        if isinstance(node, ast.stmt | ast.mod | ast.ExceptHandler | ast.match_case):  # imports are statements
            waiting += ast.iter_child_nodes(node)


def clear_caches() -> None:
    """Clear all caches, so that files that changed since are read again."""
    for function in (_modules_behind, _content, _file, _imports, _home, _statements):
        function.cache_clear()
