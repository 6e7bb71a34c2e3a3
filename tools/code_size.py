"""Print the size and the shape of the package: files, lines, functions, docstrings, cycles, repetition, vague words.

    python tools/code_size.py            # the tables
    python tools/code_size.py --list     # and what breaks a limit, and the repeated passages
    python tools/code_size.py --check    # exit code 1 where a limit of this file is broken

An import cycle counts wherever the import stands: at the top, inside a function or under ``TYPE_CHECKING``. A passage
of WINDOW lines is repeated where the same lines stand elsewhere, without blank lines, comments, imports and
indentation. A file without a line, as an empty ``__init__.py``, is no short file.
"""

import argparse
import ast
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "linbench"
LONGEST_FUNCTION = 60  # lines, outside kernels
SHORT_FILE = 40
MOST_SHORT_FILES = 30
WINDOW = 6  # lines of a passage that is compared with all others
VAGUE = re.compile(r"\b(found|asked|said|told)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def undocumented(tree: ast.Module, module: str) -> Iterator[str]:
    """Yield the public modules, classes, functions and methods that have no docstring."""
    if not ast.get_docstring(tree):
        yield module
    waiting: list[tuple[str, ast.AST]] = [(module, tree)]
    while waiting:
        prefix, parent = waiting.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                name = f"{prefix}.{node.name}"
                if not ast.get_docstring(node) and not is_forward(node) and not is_overload(node):
                    yield name
                if isinstance(node, ast.ClassDef):
                    waiting.append((name, node))


def is_overload(node: ast.AST) -> bool:
    """Return whether the node is a signature for type checkers, which its implementation describes (ruff D418)."""
    return isinstance(node, Function) and any(ast.unparse(part).endswith("overload") for part in node.decorator_list)


def is_forward(node: ast.AST) -> bool:
    """Return whether the node is an ``nn.Module``'s ``forward``, which its class describes."""
    return isinstance(node, ast.FunctionDef) and node.name == "forward"


def imports(tree: ast.Module, modules: set[str], module: str) -> set[str]:
    """Return the modules of the package that a module imports, wherever the import stands."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                names.add(submodule if submodule in modules else node.module)
    return (names & modules) - {module}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan, iterative)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []
    for start in graph:
        if start in order:
            continue
        work = [(start, iter(sorted(graph[start])))]
        order[start] = low[start] = len(order)
        stack.append(start)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in order:
                    order[successor] = low[successor] = len(order)
                    stack.append(successor)
                    work.append((successor, iter(sorted(graph[successor]))))
                    break
                if successor in stack:
                    low[node] = min(low[node], order[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    component = []
                    while not component or component[-1] != node:
                        component.append(stack.pop())
                    if len(component) > 1:
                        components.append(sorted(component))
    return components


def passages(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the first line number and the lines of each passage of WINDOW lines of code."""
    stripped = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    code = [(number, line) for number, line in stripped if line and not line.startswith(("#", "import ", "from "))]
    for start in range(len(code) - WINDOW + 1):
        yield code[start][0], tuple(line for _, line in code[start : start + WINDOW])


def row(name: str, files: list[int], lengths: list[int]) -> str:
    def quantiles(values: list[int]) -> str:
        if not values:
            return "     –"
        ninetieth = sorted(values)[min(len(values) - 1, int(0.9 * len(values)))]
        return f"{statistics.median(values):6.0f}{ninetieth:6d}"

    return f"{name:<16}{len(files):6d}{sum(files):8d}{quantiles(files)}{len(lengths):8d}{quantiles(lengths)}"


def main() -> int:
    """Print the tables; return 1 with ``--check`` where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a limit is broken")
    parser.add_argument("--list", action="store_true", help="name what breaks a limit")
    options = parser.parse_args()

    paths = sorted(PACKAGE.rglob("*.py"))
    modules = {module_name(path) for path in paths}
    files: dict[str, list[int]] = defaultdict(list)
    lengths: dict[str, list[int]] = defaultdict(list)
    graph: dict[str, set[str]] = {}
    broken: dict[str, list[str]] = {name: [] for name in ("long functions", "short files", "no docstring", "cycles")}
    vague: list[str] = []
    locations: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path in paths:
        text = path.read_text(encoding="utf-8")
        tree, module = ast.parse(text), module_name(path)
        part = path.relative_to(PACKAGE).parts[0] if path.parent != PACKAGE else "(root)"
        lines = text.count("\n")
        files[part].append(lines)
        lengths[part] += [length(node) for node in functions(tree)]
        graph[module] = imports(tree, modules, module)
        if part != "kernels":
            long = (node for node in functions(tree) if length(node) > LONGEST_FUNCTION)
            broken["long functions"] += [f"{module}.{node.name}: {length(node)} lines" for node in long]
        for number, passage in passages(text):
            locations[passage].append(f"{module}:{number}")
        if 0 < lines < SHORT_FILE:
            broken["short files"].append(f"{module}: {lines} lines")
        broken["no docstring"] += undocumented(tree, module)
        vague += [
            f"{module}:{n}: {line.strip()}" for n, line in enumerate(text.splitlines(), 1) if VAGUE.search(line)
        ]
    broken["cycles"] = [" ↔ ".join(component) for component in cycles(graph)]

    print(f"{'package':<16}{'files':>6}{'lines':>8}{'median':>6}{'90 %':>6}{'funcs':>8}{'median':>6}{'90 %':>6}")
    for part in sorted(files):
        print(row(part, files[part], lengths[part]))
    print(row("all", [n for part in files.values() for n in part], [n for part in lengths.values() for n in part]))
    print()
    tables = sum(
        0 < path.read_text(encoding="utf-8").count("\n") < SHORT_FILE for path in PACKAGE.rglob("__init__.py")
    )
    for name, entries in broken.items():
        note = f" ({tables} of them `__init__.py`)" if name == "short files" else ""
        print(f"{name}: {len(entries)}{note}")
        if options.list:
            print("".join(f"    {entry}\n" for entry in entries), end="")
    print(f"lines with found, asked, said or told: {len(vague)}")
    if options.list:
        print("".join(f"    {entry}\n" for entry in vague), end="")
    repeated = [where for where in locations.values() if len(where) > 1]
    fraction = sum(map(len, repeated)) / sum(map(len, locations.values()))
    print(f"repetition: {fraction:.2%} of the passages of {WINDOW} lines stand more than once")
    if options.list:
        print("".join(f"    {' = '.join(where)}\n" for where in sorted(repeated)), end="")
    allowed = {"short files": MOST_SHORT_FILES}
    return int(options.check and any(len(entries) > allowed.get(name, 0) for name, entries in broken.items()))


if __name__ == "__main__":
    sys.exit(main())
