"""Norm, Q-Shift and mixes as a torch operator: checks, dispatch, autograd, FLOPs and bytes.

One operator serves both functions: without weight and bias there is no norm. The mixes are the first axis of the
output, ``m b t c``, so that projections of equal size could be one batched product.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.kernels.shift_mix import reference
from linbench.shapes import check

_INPUTS = "Tensor x, Tensor? weight, Tensor? bias, Tensor[] mixes, float eps, SymInt h, SymInt w"
_SCHEMA = f"({_INPUTS}) -> Tensor"
_BACKWARD_SCHEMA = f"(Tensor gy, {_INPUTS}) -> Tensor[]"


def norm_shift_mix(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mixes: Sequence[Tensor],
    grid: tuple[int, int],
    eps: float = 1e-5,
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor:
    """Return mixes of the normalised tokens with their Q-Shift, ``m b (h w) c``, of x's dtype (see ``reference``).

    x: Tokens of the grid, ``b (h w) c``.  weight, bias: Of the layer norm, ``c``.
    mixes: One to three μ, ``c``: the weight of the token itself.  grid: ``(h, w)``.  eps: Added to the variance.
    impl: ``fast`` reads x once and computes in float32 (on the CPU in float64 for float64), its gradient too;
        ``reference`` is the equation.
    Raises ValueError on arguments that break the contract, Unsupported for ``vendor``, and on CUDA for float64 and
    for more channels than a program holds.
    Source: arXiv 2403.02308, eq. 2.
    """
    dims = _check(x, mixes, grid)
    check(dims, weight=(weight, "c"), bias=(bias, "c"))
    if is_reference(impl, "norm_shift_mix"):
        return reference.norm_shift_mix(x, weight, bias, mixes, grid, eps)
    return _shift_mix(x, weight, bias, list(mixes), eps, *grid)


def shift_mix(x: Tensor, mixes: Sequence[Tensor], grid: tuple[int, int], *, impl: Impl | str = Impl.FAST) -> Tensor:
    """Return the mixes of the tokens with their Q-Shift, ``m b (h w) c``; all else as in ``norm_shift_mix``."""
    _check(x, mixes, grid)
    if is_reference(impl, "shift_mix"):
        return reference.shift_mix(x, mixes, grid)
    return _shift_mix(x, None, None, list(mixes), 0.0, *grid)


def _check(x: Tensor, mixes: Sequence[Tensor], grid: tuple[int, int]) -> dict[str, int]:
    dims = check(x=(x, "b t c"))
    h, w = grid
    if min(h, w) < 0 or h * w != dims["t"]:
        raise ValueError(f"grid must be (h, w) with h * w = t = {dims['t']}, got ({h}, {w})")
    if not 1 <= len(mixes) <= 3:
        raise ValueError(f"mixes must be one to three tensors `c`, got {len(mixes)}")
    for i, mix in enumerate(mixes):
        check(dims, **{f"mixes[{i}]": (mix, "c")})
    return dims


@torch.library.custom_op("linbench::shift_mix", mutates_args=(), device_types="cpu", schema=_SCHEMA)
def _shift_mix(*inputs: Any) -> Tensor:
    from linbench.kernels.shift_mix import cpu  # numba is imported where the CPU kernel first runs

    return cpu.shift_mix(*inputs)


@torch.library.custom_op("linbench::shift_mix_backward", mutates_args=(), device_types="cpu", schema=_BACKWARD_SCHEMA)
def _shift_mix_backward(gy: Tensor, *inputs: Any) -> list[Tensor]:
    from linbench.kernels.shift_mix import cpu

    return cpu.shift_mix_backward(gy, *inputs)


@_shift_mix.register_kernel("cuda")
def _(*inputs: Any) -> Tensor:
    from linbench.kernels.shift_mix import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.shift_mix(*inputs)


@_shift_mix_backward.register_kernel("cuda")
def _(gy: Tensor, *inputs: Any) -> list[Tensor]:
    from linbench.kernels.shift_mix import gpu

    return gpu.shift_mix_backward(gy, *inputs)


@_shift_mix.register_fake
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], *_: Any) -> Tensor:
    return x.new_empty(len(mixes), *x.shape)


@_shift_mix_backward.register_fake
def _(
    gy: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], *_: Any
) -> list[Tensor]:
    return [p.new_empty(p.shape) for p in (x, weight, bias, *mixes) if p is not None]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, mixes, *ctx.geometry = inputs
    ctx.normed = weight is not None
    ctx.save_for_backward(x, weight, bias, *mixes)


def _differentiate(ctx: Any, gy: Tensor) -> tuple[Any, ...]:
    x, weight, bias, *mixes = ctx.saved_tensors
    gx, *gradients = _shift_mix_backward(gy, x, weight, bias, mixes, *ctx.geometry)
    norm = (gradients.pop(0), gradients.pop(0)) if ctx.normed else (None, None)
    return gx, *norm, gradients, None, None, None


_shift_mix.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula([torch.ops.linbench.shift_mix, torch.ops.linbench.shift_mix_backward])
def flops(*_: object, **__: object) -> int:
    """Return 0: torch counts no norm and no pointwise arithmetic, and a model's count must not depend on fusing."""
    return 0


@byte_formula("linbench::shift_mix")
def forward_bytes(x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], *_: object) -> int:
    """Count x and the parameters in, one output for each mix out."""
    return tensor_bytes(x, weight, bias, *mixes) + len(mixes) * tensor_bytes(x)


@byte_formula("linbench::shift_mix_backward")
def backward_bytes(
    gy: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], *_: object
) -> int:
    """Count the outputs' gradients, x and the parameters in; the gradients of x and of the parameters out."""
    return tensor_bytes(gy, x, weight, bias, *mixes) + tensor_bytes(x, weight, bias, *mixes)
