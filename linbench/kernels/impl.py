"""Which implementation of an op runs. It is always an argument and always stored with the number.

``vendor`` is a package of the authors, called through its public Python function. It counts as present where a call,
on a tiny input on the device in question, gives the numbers of our own equation: a build for another torch or another
GPU often imports and then fails, or computes something else. The ``op.py`` of an op names its package.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from linbench.choices import Impl as Impl

TOLERANCE = 1e-4  # of max|y|, float32: the official kernels use fast exponentials


class Unsupported(RuntimeError):
    """An implementation that this op lacks, or lacks on this machine; the message names an alternative."""


def is_reference(impl: Impl | str, op: str) -> bool:
    """Return whether ``impl`` is the reference, for an op without a vendor implementation.

    Raises Unsupported for ``vendor``, ValueError for an unknown implementation.
    """
    if Impl(impl) is Impl.VENDOR:
        raise Unsupported(f"{op} has no vendor implementation; use impl='fast' or impl='reference'")
    return Impl(impl) is Impl.REFERENCE


@dataclass(frozen=True)
class VendorPackage:
    """A function of the authors' package, and a trial that it must pass.

    name: The package.
    function: The public name of the function, with its module.
    trial: Calls the function on a device; returns its output and the true one.
    """

    name: str
    function: str
    trial: Callable[[Callable[..., Any], torch.device], tuple[Tensor, Tensor]]

    def is_installed(self) -> bool:
        """Return whether the package is installed, working or not."""
        return find_spec(self.name) is not None

    def load(self, device: torch.device) -> Callable[..., Any]:
        """Return the function where it passes its trial on ``device``; raise Unsupported with the cause."""
        result = _try(self, device)
        if isinstance(result, str):
            raise Unsupported(f"{self.name} {result}; use impl='fast' or impl='reference'")
        return result

    def problem(self, device: torch.device) -> str:
        """Return why the package cannot be used on ``device``, as a predicate of its name; empty where it can."""
        result = _try(self, device)
        return result if isinstance(result, str) else ""


@cache
def _try(package: VendorPackage, device: torch.device) -> Callable[..., Any] | str:
    """Return the function, or why it cannot be used on ``device``."""
    if not package.is_installed():
        return "is not installed"
    module, _, name = package.function.rpartition(".")
    try:
        function: Callable[..., Any] = getattr(import_module(module), name)
    except Exception as error:  # noqa: BLE001 - a foreign build may raise anything at import; it is the cause
        return f"is installed, but its import failed with {_first_line(error)}"
    try:
        output, truth = package.trial(function, device)
        error_of_max = float((output.double() - truth.double()).abs().max() / truth.double().abs().max())
    except Exception as error:  # noqa: BLE001 - and anything when called
        needs = "it needs CUDA: " if device.type == "cpu" else ""
        return f"does not run on the {device.type} here; {needs}a call failed with {_first_line(error)}"
    if not error_of_max <= TOLERANCE:  # NaN is wrong too
        return f"gave wrong numbers, by {error_of_max:.1e} of max|y| where {TOLERANCE:.0e} is allowed"
    return function


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
