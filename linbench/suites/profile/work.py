"""The work of a forward, operator by operator and module by module: calls, FLOPs and bytes.

FLOPs are counted as in ``latency/complexity.py``. Bytes are the least that an operator must move: each input read
once, each output written once; a view moves none. linbench's own operators have formulas for both.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from linbench.kernels.operators import bytes_moved, tensor_bytes
from linbench.suites.latency.complexity import CORRECTED
from linbench.suites.profile.modules import watched

#: Operators that write their first argument without reading it.
OVERWRITING = frozenset(f"aten::{name}_" for name in ("copy", "fill", "zero", "normal", "uniform"))

#: The name of a module and of an operator that it calls.
Site: TypeAlias = tuple[str, str]


@dataclass
class Work:
    """The calls of an operator in one module, and what they do."""

    calls: int = 0
    flops: int = 0
    bytes: int = 0


class _Counter(TorchDispatchMode):
    """Adds up the work of the operators that run while it is entered, by the innermost module that runs."""

    def __init__(self, stack: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stack = stack
        self.work: dict[Site, Work] = defaultdict(Work)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.stack:
            entry = self.work[self.stack[-1], func._schema.name]
            entry.calls += 1
            entry.flops += _flops(func, args, kwargs, out)
            entry.bytes += moved_bytes(func, args, kwargs, out)
        return out


def count_work(model: nn.Module, run: Callable[[], object]) -> Mapping[Site, Work]:
    """Return the work of one forward, counted on the real inputs."""
    stack: list[str] = []
    counter = _Counter(stack)
    with torch.no_grad(), watched(model, stack.append, stack.pop), counter:
        run()
    return counter.work


def _flops(func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> int:
    formula = CORRECTED.get(func._overloadpacket) or flop_registry.get(func._overloadpacket)
    return int(formula(*args, **kwargs, out_val=out)) if formula else 0


def moved_bytes(func: Any, args: Any, kwargs: Mapping[str, Any], out: Any) -> int:
    """Return the bytes that a call of an operator must read and write."""
    name = func._schema.name
    if name.startswith("linbench::"):
        return bytes_moved(name)(*args)
    outputs = _tensors(out)
    if "empty" in name:
        return 0
    inputs = list(_inputs(func, args, kwargs))
    if not func._schema.is_mutable and outputs and _addresses(outputs) <= _addresses(inputs):
        return 0  # a view
    return tensor_bytes(*inputs, *outputs)


def _inputs(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors that are read."""
    yield from _tensors(args[1:] if func._schema.name in OVERWRITING else args)
    results = {a.name for a in func._schema.arguments if a.kwarg_only and a.alias_info and a.alias_info.is_write}
    yield from _tensors({name: value for name, value in kwargs.items() if name not in results})


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _addresses(tensors: Iterable[Tensor]) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}
