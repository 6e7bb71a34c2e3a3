"""Residual addition and RMS norm as a torch operator: checks, choice of implementation, dispatch, autograd, FLOPs."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.add_rms_norm import reference
from linbench.kernels.impl import Impl, Unsupported
from linbench.shapes import check


def add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-5, *, impl: Impl | str = Impl.FAST
) -> tuple[Tensor, Tensor]:
    """Return the norm of residual + x, ``b t c`` of weight's dtype, and the sum itself (see ``reference``).

    x: What is added, ``b t c``.  residual: The stream so far, ``b t c``, float32 or float64: the sum is kept so.
    weight: The norm's, ``c``.  eps: Added to the mean of the squares.
    impl: ``fast`` reads x and residual once; ``reference`` is the equation.
    Raises ValueError on arguments that break the contract, Unsupported for ``vendor``, and on CUDA for float64 and
    for more channels than a program holds.
    Source: arXiv 1910.07467, eq. 4.
    """
    dims = check(residual=(residual, "b t c"))
    check(dims, x=(x, "b t c"), weight=(weight, "c"))
    if residual.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"residual must be float32 or float64, the stream that sums are kept in; got {residual.dtype}"
        )
    if Impl(impl) is Impl.VENDOR:
        raise Unsupported("add_rms_norm has no vendor implementation; use impl='fast' or impl='reference'")
    if Impl(impl) is Impl.REFERENCE:
        return reference.add_rms_norm(x, residual, weight, eps)
    return _add_rms_norm(x, residual, weight, eps)


@torch.library.custom_op("linbench::add_rms_norm", mutates_args=(), device_types="cpu")
def _add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    from linbench.kernels.add_rms_norm import cpu  # numba is imported where the CPU kernel first runs

    return cpu.add_rms_norm(x, residual, weight, eps)


@torch.library.custom_op("linbench::add_rms_norm_backward", mutates_args=(), device_types="cpu")
def _add_rms_norm_backward(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    from linbench.kernels.add_rms_norm import cpu

    return cpu.add_rms_norm_backward(gn, gz, z, weight, eps)


@_add_rms_norm.register_kernel("cuda")
def _(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    from linbench.kernels.add_rms_norm import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.add_rms_norm(x, residual, weight, eps)


@_add_rms_norm_backward.register_kernel("cuda")
def _(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    from linbench.kernels.add_rms_norm import gpu

    return gpu.add_rms_norm_backward(gn, gz, z, weight, eps)


@_add_rms_norm.register_fake
def _(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return residual.new_empty(residual.shape, dtype=weight.dtype), residual.new_empty(residual.shape)


@_add_rms_norm_backward.register_fake
def _(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape), weight.new_empty(weight.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, _, weight, ctx.eps = inputs
    ctx.dtype = x.dtype
    ctx.save_for_backward(output[1], weight)


def _differentiate(ctx: Any, gn: Tensor, gz: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    g, gweight = _add_rms_norm_backward(gn, gz, *ctx.saved_tensors, ctx.eps)
    return g.to(ctx.dtype), g, gweight, None


_add_rms_norm.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula([torch.ops.linbench.add_rms_norm, torch.ops.linbench.add_rms_norm_backward])
def flops(*_: object, **__: object) -> int:
    """0: torch's counter counts no norm and no addition, and a model's count depends on no form of it."""
    return 0
