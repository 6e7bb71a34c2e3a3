"""The tree of a model's modules with the time and work of each, from the JSON of a profile.

Repeated blocks, neighbours of one class with the same parts and the same FLOPs, can be joined into one node;
containers that never run, such as an ``nn.ModuleList``, then dissolve into their members, and other modules that
never run are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import groupby
from operator import add
from typing import Any


@dataclass(frozen=True)
class Work:
    """Time and work, of an operator or a module.

    ideal_ms: The least time at this machine's rates: of each operator, its FLOPs or its bytes, whichever take longer.
    """

    ms: float = 0.0
    flops: int = 0
    bytes: int = 0
    ideal_ms: float = 0.0
    calls: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.ms + other.ms,
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.ideal_ms + other.ideal_ms,
            self.calls + other.calls,
        )


@dataclass(frozen=True)
class Node:
    """A module, or repeated modules as one.

    label: Its name below its parent, such as ``blocks.0-11``; the model's for the root.
    modules: How many modules it stands for.  calls: Of them, in one forward.
    own: Of its own operators and of Python between them; ``operators`` by name.
    """

    label: str
    type: str
    own: Work
    operators: Mapping[str, Work] = field(default_factory=dict)
    children: tuple["Node", ...] = ()
    modules: int = 1
    calls: int = 0
    parameters: int = 0
    peak_bytes: int | None = None

    @cached_property
    def total(self) -> Work:
        """Time and work with all modules below."""
        return reduce(add, (child.total for child in self.children), self.own)

    @property
    def is_container(self) -> bool:
        """Whether it only holds other modules."""
        return self.calls == 0 and self.own.ms == 0 and bool(self.children)

    @property
    def has_run(self) -> bool:
        """Whether it, or a module below it, ran in the forward."""
        return any(node.calls for _, node in self.walk())

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "Node"]]:
        """Yield this node and those below it, each with its depth, parents first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


def read_tree(document: Mapping[str, Any]) -> Node:
    """Return the tree of a profile, each module as a node of its own."""
    works = operator_works(document)
    children: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    names = {module["name"] for module in document["modules"]}
    for module in document["modules"]:
        if module["name"]:
            children[_parent(module["name"], names)].append(module)

    def node(module: Mapping[str, Any], label: str) -> Node:
        name = module["name"]
        prefix = f"{name}." if name else ""
        operators = works.get(name, {})
        own = replace(reduce(add, operators.values(), Work()), ms=module["own_ms"])
        return Node(
            label=label,
            type=module["type"],
            own=own,
            operators=operators,
            children=tuple(node(child, child["name"].removeprefix(prefix)) for child in children[name]),
            calls=module["calls"],
            parameters=module["parameters"],
            peak_bytes=module["peak_bytes"],
        )

    (root,) = (module for module in document["modules"] if not module["name"])
    return node(root, document["subject"]["model"])


def _parent(name: str, names: set[str]) -> str:
    """Return the longest beginning of a dotted name that is a module too."""
    while name:
        name = name.rpartition(".")[0]
        if name in names:
            return name
    return ""


def operator_works(document: Mapping[str, Any]) -> Mapping[str, Mapping[str, Work]]:
    """Return the work of each operator by the name of the module that calls it."""
    rates = document["rates"]
    works: dict[str, dict[str, Work]] = defaultdict(dict)
    for entry in document["operators"]:
        ideal = max(entry["flops"] / rates["flops_per_s"], entry["bytes"] / rates["bytes_per_s"])
        work = Work(entry["ms"], entry["flops"], entry["bytes"], 1e3 * ideal, entry["calls"])
        works[entry["module"]][entry["operator"]] = work
    return works


def joined(mappings: Iterable[Mapping[str, Work]]) -> dict[str, Work]:
    """Return the sums of works by name."""
    result: dict[str, Work] = {}
    for mapping in mappings:
        for name, work in mapping.items():
            result[name] = result.get(name, Work()) + work
    return result


def grouped(node: Node) -> Node:
    """Return the tree with repeated blocks as one node each, without containers and what never ran."""
    children = [grouped(child) for child in node.children if child.has_run]
    flat = [member for child in children for member in _members(child)]
    runs = [list(run) for _, run in groupby(flat, key=_signature)]
    return replace(node, children=tuple(part for run in runs for part in _merged_run(run)))


def _members(node: Node) -> Sequence[Node]:
    """Return a node, or the members of a container under its name."""
    if not node.is_container:
        return (node,)
    return [replace(child, label=f"{node.label}.{child.label}") for child in node.children]


def _signature(node: Node) -> Any:
    """Return what repeated blocks have in common: where they stand, class, parts and FLOPs."""
    place, _, number = node.label.rpartition(".")
    repeats = number.isdigit() or (number.replace("-", "").isdigit())
    parts = tuple((child.label, child.type, child.total.flops) for _, child in node.walk())[1:]
    return (place if repeats else node.label, repeats, node.type, node.total.flops, parts)


def _merged_run(run: Sequence[Node]) -> Sequence[Node]:
    """Return one node for neighbours that repeat each other."""
    return run if len(run) == 1 else (_merged(run),)


def _merged(nodes: Sequence[Node]) -> Node:
    first, last = nodes[0].label, nodes[-1].label
    peaks = [node.peak_bytes for node in nodes if node.peak_bytes is not None]
    return replace(
        nodes[0],
        label=first if first == last else f"{first}-{last.rpartition('.')[2]}",
        own=reduce(add, (node.own for node in nodes)),
        operators=joined(node.operators for node in nodes),
        children=tuple(_merged(parts) for parts in zip(*(node.children for node in nodes), strict=True)),
        modules=sum(node.modules for node in nodes),
        calls=sum(node.calls for node in nodes),
        parameters=sum(node.parameters for node in nodes),
        peak_bytes=max(peaks, default=None),
    )
