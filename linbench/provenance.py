"""The hash of the code behind a number: the suite's modules, and the backbone's with all it imports of linbench."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent  # the folder that holds the package


def code_hash(suite: Iterable[str], backbone: str | Sequence[str]) -> str:
    """SHA-256 over the suite's modules, and the backbone's with every linbench module that it imports.

    backbone: Its module; several where a model takes parts of other backbones.
    A change in reports, in the command line or in another backbone's kernels makes no record stale.
    """
    sources = {name: path.read_bytes() for name in suite if (path := _file(name))}
    own = [backbone] if isinstance(backbone, str) else list(backbone)
    waiting = list(own)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in sources or path is None:
            continue
        sources[name] = path.read_bytes()
        waiting += _imports(path)
    digest = hashlib.sha256()
    for name in own:
        if name not in sources:
            raise LookupError(f"the source of {name} is not here; load its plug-in first")
    for name in sorted(sources):
        digest.update(name.encode() + b"\0" + sources[name] + b"\0")
    return digest.hexdigest()[:16]


@cache
def _file(name: str) -> Path | None:
    """The source of a module: of linbench by its place, of a plug-in if it is loaded; nothing is imported."""
    base = _ROOT.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    found = getattr(sys.modules.get(name), "__file__", None)
    return Path(found) if found else None


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """The linbench modules that the file at ``path`` imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    own = (name for name in found if name.split(".")[0] == "linbench")
    return tuple(sorted(name for name in own if _file(name)))
