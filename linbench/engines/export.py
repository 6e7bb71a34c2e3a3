"""From a module to a file that an engine loads: torch.export, plain forms of linbench's operators, ONNX.

    program = export_program(model, (image,), "openvino")
    save_onnx(program, Path("model.onnx"), metadata)

Static shapes, one file per size: an export with symbolic height and width carries a guard on the grid that ONNX
cannot state, and is silently wrong at another size.
"""

import logging
import operator
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from linbench.kernels.decompositions import decompositions, name, operator_nodes

OPSET = 20
MOST_FOLDED = 2**20  # bytes of a value that is computed at the export: a larger one would only make the file larger


def export_program(model: nn.Module, inputs: tuple[Tensor, ...], engine: str) -> ExportedProgram:
    """Return a module's forward on inputs of these shapes, with no operator of linbench's left.

    model: In eval mode, on the CPU.
    engine: Whose forms of the operators are taken.
    Raises NotPortable where a form would be wrong for the weights, LookupError for an operator without one.
    """
    with torch.no_grad():
        program = torch.export.export(model, inputs)
        program = program.run_decompositions(decompositions(engine, program))
        program = torch.export.export(_folded(program.module(check_guards=False)), inputs)
    if left := {name(node.target) for node in operator_nodes(program)}:  # type: ignore[arg-type]
        raise LookupError(f"{', '.join(sorted(left))} is still in the exported program")
    _join_stacks(program)
    return program


def _folded(module: GraphModule) -> GraphModule:
    """Return an exported module whose small values that depend on weights alone are computed.

    The plain forms make matrices of decays and tables of indices: half of all nodes, at 10 ms each in the exporter.
    """
    values: dict[Node, Tensor] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr" and isinstance(value := _attribute(module, str(node.target)), Tensor):
            values[node] = value
        elif isinstance(node.target, OpOverload) and all(x in values for x in node.all_input_nodes):
            arguments, named = map_arg((node.args, node.kwargs), values.__getitem__)
            value = node.target(*arguments, **named)
            if isinstance(value, Tensor) and value.nbytes <= MOST_FOLDED:
                values[node] = value
    for number, (node, value) in enumerate(list(values.items())):
        if node.op == "get_attr" or all(user in values for user in node.users):
            continue
        module.register_buffer(f"folded_{number}", value.detach().clone().contiguous())
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.get_attr(f"folded_{number}"))
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _attribute(module: nn.Module, path: str) -> Any:
    return attrgetter(path)(module)


def _join_stacks(program: ExportedProgram) -> None:
    """Let the parts of a stack that is taken apart again be used as they are: engines would copy them twice."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is not torch.ops.aten.unbind.int:
            continue
        stack, axis = node.args[0], node.args[1] if len(node.args) > 1 else 0
        if stack.target is not torch.ops.aten.stack.default or (*stack.args[1:], 0)[0] != axis:
            continue
        for part in list(node.users):
            if part.target is operator.getitem and all(user.op != "output" for user in part.users):
                part.replace_all_uses_with(stack.args[0][part.args[1]])
                graph.erase_node(part)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def save_onnx(program: ExportedProgram, path: Path, metadata: Mapping[str, str] | None = None) -> int:
    """Write a program as ONNX, and its weights beside it where they exceed 2 GB; return the opset.

    A reader sees the whole file or none: it is written into a folder beside it, and renamed.
    metadata: Text by name, stored in the file.
    Raises OSError where it cannot be written.
    """
    with torch.no_grad(), _quiet():
        # The exporter's optimizer takes minutes for thousands of nodes; engines fold constants themselves.
        exported: Any = torch.onnx.export(
            program, (), dynamo=True, verbose=False, optimize=False, opset_version=OPSET
        )
    exported.model.metadata_props.update(metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        exported.save(str(folder / path.name))
        for part in sorted(folder.iterdir(), key=lambda part: part.name == path.name):  # the file itself comes last
            with part.open("r+b") as file:
                os.fsync(file.fileno())
            part.replace(path.with_name(part.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return OPSET


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's remarks about its own conversion, which are not about the model."""
    logger = logging.getLogger("torch.onnx")
    level, disabled = logger.level, logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        logging.disable(disabled)
