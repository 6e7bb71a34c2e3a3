"""The plain forms of all linbench's operators in an exported program, as the table that torch's exporter takes.

    plain = program.run_decompositions(decompositions("onnxruntime", program))

A form may depend on weights, which a decomposition, run on tensors without data, cannot see: they are read from the
program first.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Node

from linbench.kernels.operators import NotPortable as NotPortable
from linbench.kernels.operators import lowering_of

NAMESPACE = "linbench"


def decompositions(engine: str, program: ExportedProgram) -> dict[OpOverload, Callable[..., Any]]:
    """Return linbench's operators in a program, each with a function of plain operators that replaces it.

    engine: The engine that will run it; some forms differ.
    Raises NotPortable where a form would be wrong for the program's weights, LookupError for an operator without one.
    """
    load_portable_forms()
    constants = _Constants(program)
    calls: dict[OpOverload, list[Any]] = {}
    for node in operator_nodes(program):
        calls.setdefault(node.target, []).append([constants.value(argument) for argument in node.args])  # type: ignore[arg-type]
    return {overload: lowering_of(name(overload))(engine, given) for overload, given in calls.items()}


def operator_nodes(program: ExportedProgram) -> list[Node]:
    """Return the calls of linbench's operators in a program, in their order."""
    return [
        node
        for node in program.graph.nodes
        if isinstance(node.target, OpOverload) and node.target.namespace == NAMESPACE
    ]


def name(overload: OpOverload) -> str:
    """Return the qualified name of an operator, as ``linbench::bi_wkv``."""
    return overload._schema.name


def load_portable_forms() -> None:
    """Import ``portable.py`` of each op package, which registers its forms; the packages are beside this file."""
    for path in sorted(Path(__file__).parent.glob("*/portable.py")):
        import_module(f"linbench.kernels.{path.parent.name}.portable")


class _Constants:
    """The values of a program's nodes that depend on its weights alone."""

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        stored = {**dict(program.constants), **program.state_dict}
        self.known: dict[Node, Any] = {}
        for node in program.graph.nodes:
            target = named.get(node.name) or signature.inputs_to_lifted_tensor_constants.get(node.name)
            if node.op == "placeholder" and target in stored:
                self.known[node] = stored[target]

    def value(self, argument: Any) -> Any:
        """Return an argument with each node in it as its tensor; one that depends on the input is on ``meta``."""
        if isinstance(argument, (list, tuple)):
            return [self.value(part) for part in argument]
        if not isinstance(argument, Node):
            return argument
        if argument not in self.known:
            self.known[argument] = self._computed(argument)
        return self.known[argument]

    def _computed(self, node: Node) -> Any:
        shape = node.meta["val"]
        if node.op == "call_function" and isinstance(node.target, OpOverload):
            arguments = self.value(node.args)
            if not node.kwargs and not any(_is_meta(x) for x in arguments):
                with torch.no_grad():
                    return node.target(*arguments)
        return shape.to("meta") if isinstance(shape, Tensor) else shape


def _is_meta(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_meta, value))
    return isinstance(value, Tensor) and value.device.type == "meta"
