"""The authors' own compiled packages, through their public Python functions: the implementation ``vendor``.

A package counts as present where a call of it, on a tiny input on the device in question, gives the numbers of our
own equation: a build for another torch or another GPU often imports and then fails, or computes something else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.impl import Unsupported

ERROR = 1e-4  # of max|y|, float32: the official kernels use fast exponentials


@dataclass(frozen=True)
class Package:
    """A function of a package, and what it must give.

    function: Its public name.  trial: Calls it on ``device``; returns its outputs and the true ones.
    """

    name: str
    function: str
    trial: Callable[[Callable[..., Any], torch.device], tuple[Tensor, Tensor]]


def has_selective_scan() -> bool:
    """Whether mamba_ssm is installed, working or not."""
    return _installed(SELECTIVE_SCAN)


def has_causal_conv1d() -> bool:
    """Whether causal_conv1d is installed, working or not."""
    return _installed(CAUSAL_CONV1D)


def selective_scan_fn(device: torch.device) -> Callable[..., Any]:
    """``mamba_ssm.ops.selective_scan_interface.selective_scan_fn``; raises Unsupported with the cause."""
    return working(SELECTIVE_SCAN, device)


def causal_conv1d_fn(device: torch.device) -> Callable[..., Any]:
    """``causal_conv1d.causal_conv1d_fn``; raises Unsupported with the cause."""
    return working(CAUSAL_CONV1D, device)


def working(package: Package, device: torch.device) -> Callable[..., Any]:
    """The function of ``package`` where it gives right numbers on ``device``; else raises Unsupported."""
    found = _tried(package, device)
    if isinstance(found, str):
        raise Unsupported(f"{package.name} {found}; use impl='fast' or impl='reference'")
    return found


def failing(package: Package, device: torch.device) -> str:
    """Why ``package`` cannot be used on ``device``, in words that follow its name; empty where it can."""
    found = _tried(package, device)
    return found if isinstance(found, str) else ""


def _installed(package: Package) -> bool:
    return find_spec(package.name) is not None


@cache
def _tried(package: Package, device: torch.device) -> Callable[..., Any] | str:
    """The function, or in words why it cannot be used on ``device``."""
    if not _installed(package):
        return "is not installed"
    module, _, leaf = package.function.rpartition(".")
    try:
        function: Callable[..., Any] = getattr(import_module(module), leaf)
    except Exception as error:  # noqa: BLE001 - a foreign build may raise anything at import; it is the cause
        return f"is installed, but its import failed with {_said(error)}"
    try:
        found, truth = package.trial(function, device)
        off = float((found.double() - truth.double()).abs().max() / truth.double().abs().max())
    except Exception as error:  # noqa: BLE001 - and anything when called
        needs = "it needs CUDA: " if device.type == "cpu" else ""
        return f"does not run on the {device.type} here; {needs}a call failed with {_said(error)}"
    if not off <= ERROR:  # NaN is wrong too
        return f"gave wrong numbers, by {off:.1e} of max|y| where {ERROR:.0e} is allowed"
    return function


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _try_selective_scan(function: Callable[..., Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """y and the last state of a tiny grouped, gated scan."""
    from linbench.kernels.selective_scan import reference
    from linbench.kernels.selective_scan.cases import inputs

    given: dict[str, Any] = {
        name: x.to(device) if isinstance(x, Tensor) else x for name, x in inputs(1, 8, 4, 20, groups=2).items()
    }
    y, last = function(**given, return_last_state=True)
    true_y, true_last = reference.selective_scan(**given)
    return torch.cat([y.flatten(), last.flatten()]), torch.cat([true_y.flatten(), true_last.flatten()])


def _try_causal_conv1d(function: Callable[..., Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """A convolution of 4 taps with bias and SiLU."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=generator).to(device) for shape in ((1, 8, 20), (8, 4), (8,)))
    y = function(x, weight, bias, activation="silu")
    return y, functional.silu(functional.conv1d(functional.pad(x, (3, 0)), weight[:, None], bias, groups=8))


SELECTIVE_SCAN = Package("mamba_ssm", "mamba_ssm.ops.selective_scan_interface.selective_scan_fn", _try_selective_scan)
CAUSAL_CONV1D = Package("causal_conv1d", "causal_conv1d.causal_conv1d_fn", _try_causal_conv1d)
