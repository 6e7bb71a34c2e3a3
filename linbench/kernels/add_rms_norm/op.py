"""Residual addition and RMS norm as a torch operator: checks, dispatch, autograd, FLOPs and bytes."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.add_rms_norm import reference
from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check


def add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float = 1e-5, *, impl: Impl | str = Impl.FAST
) -> tuple[Tensor, Tensor]:
    """Return the norm of residual + x, ``b t c`` of weight's dtype, and the sum itself (see ``reference``).

    x: The addend, ``b t c``.
    residual: The stream before the addition, ``b t c``, float32 or float64; the sum has its dtype.
    weight: Of the norm, ``c``.  eps: Added to the mean of the squares.
    impl: ``fast`` reads x and residual once; ``reference`` is the equation.
    Raises ValueError on arguments that break the contract, Unsupported for ``vendor``, and on CUDA for float64 and
    for more channels than a program holds.
    Source: arXiv 1910.07467, eq. 4.
    """
    dims = check(residual=(residual, "b t c"))
    check(dims, x=(x, "b t c"), weight=(weight, "c"))
    if residual.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"residual must be float32 or float64, the stream that sums are kept in, got {residual.dtype}"
        )
    if is_reference(impl, "add_rms_norm"):
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
    """Return 0: torch counts no norm and no addition, and a model's count must not depend on fusing them."""
    return 0


@byte_formula("linbench::add_rms_norm")
def forward_bytes(x: Tensor, residual: Tensor, weight: Tensor, *_: object) -> int:
    """Count x, the residual and the weight in; the norm, of the weight's dtype, and the sum out."""
    return tensor_bytes(x, residual, weight) + x.numel() * weight.element_size() + tensor_bytes(residual)


@byte_formula("linbench::add_rms_norm_backward")
def backward_bytes(gn: Tensor, gz: Tensor, z: Tensor, weight: Tensor, *_: object) -> int:
    """Count both gradients, the sum and the weight in; one gradient for both summands and the weight's out."""
    return tensor_bytes(gn, gz, z, weight) + tensor_bytes(z, weight)
