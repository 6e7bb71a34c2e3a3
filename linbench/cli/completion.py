"""Shell completion of ``linbench run``: the options of the named suites, and the values that are cheap to know.

``linbench --install-completion`` sets it up. No torch: names of backbones come from the source that registers them.
"""

import ast
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from linbench.groups import groups

if TYPE_CHECKING:
    from linbench.suites.runner.options import Option


def completion_of(option: "Option") -> Callable[[str], list[str]] | None:
    """Return the function that completes an option's values; None where they are not known cheaply."""
    names: Callable[[], Sequence[str]]
    if option.choices:
        names = lambda: [str(choice) for choice in option.choices]  # noqa: E731
    elif option.name == "--suite":
        names = _suites
    elif option.name == "--backbone":
        names = lambda: sorted((*groups(), *backbone_names()))  # noqa: E731
    else:
        return None

    def complete(incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",") if option.comma else ("", "", incomplete)
        taken = head.split(",")
        return [f"{head}{comma}{name}" for name in names() if name.startswith(last) and name not in taken]

    return complete


def _suites() -> Sequence[str]:
    from linbench.suites import suite

    return sorted(suite)


def backbone_names() -> Iterator[str]:
    """Yield the names in the ``@backbone`` decorators of the package's source, without those of families."""
    spec = find_spec("linbench")
    assert spec is not None and spec.origin is not None
    for file in sorted((Path(spec.origin).parent / "backbones").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            for decorator in decorators:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "backbone":
                    name = ast.literal_eval(decorator.args[0])
                    if not name.endswith("/*"):
                        yield name
