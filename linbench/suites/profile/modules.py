"""The calls of a model's modules, watched from outside by hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch._library.custom_ops import CustomOpDef
from torch.autograd.profiler import record_function

MARK = "linbench.module:"


@contextmanager
def watched(model: nn.Module, enter: Callable[[str], object], leave: Callable[[], object]) -> Iterator[None]:
    """Call ``enter`` with a module's name before each forward in the block, and ``leave`` after it, raised or not."""
    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_entering(enter, name), prepend=True))
        handles.append(module.register_forward_hook(_leaving(leave), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(enter: Callable[[str], object], name: str) -> Callable[..., None]:
    def hook(*_: object) -> None:  # what a hook returns would replace the module's input
        enter(name)

    return hook


def _leaving(leave: Callable[[], object]) -> Callable[..., None]:
    def hook(*_: object) -> None:
        leave()

    return hook


@contextmanager
def marked(model: nn.Module) -> Iterator[None]:
    """Give each module and each custom operator that runs in the block a range in the profiler's trace."""
    open_ranges: list[record_function] = []

    def enter(name: str) -> None:
        open_ranges.append(record_function(MARK + name))
        open_ranges[-1].__enter__()

    def leave() -> None:
        open_ranges.pop().__exit__(None, None, None)

    with watched(model, enter, leave), _recorded_custom_operators():
        yield


@contextmanager
def _recorded_custom_operators() -> Iterator[None]:
    """Record custom operators under their names: torch 2.14 records none that Python calls without autograd."""
    call: Any = CustomOpDef.__call__

    def recorded(operator: CustomOpDef, *args: Any, **kwargs: Any) -> Any:
        with record_function(operator._qualname):
            return call(operator, *args, **kwargs)

    CustomOpDef.__call__ = recorded  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        CustomOpDef.__call__ = call  # type: ignore[method-assign]
