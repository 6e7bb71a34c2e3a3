"""Norm, Q-Shift and mixes as a torch operator: checks, choice of implementation, dispatch, autograd, FLOPs.

One operator serves both functions: without weight and bias there is no norm. The mixes stand behind each other in
the output, ``m b t c``, so that projections of equal size could be one batched product.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.impl import Impl, Unsupported
from linbench.kernels.shift_mix import reference
from linbench.shapes import check


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

    x: Tokens of the grid, ``b (h w) c``.  weight, bias: The layer norm's, ``c``.
    mixes: One to three μ, ``c``: a token's own share.  grid: ``(h, w)``.  eps: Added to the variance.
    impl: ``fast`` reads x once and computes in float32 (on the CPU in float64 for float64), its gradient too;
        ``reference`` is the equation.
    Raises ValueError on arguments that break the contract, Unsupported for ``vendor``, and on CUDA for float64 and
    for more channels than a program holds.
    Source: arXiv 2403.02308, eq. 2.
    """
    dims = _check(x, mixes, grid)
    check(dims, weight=(weight, "c"), bias=(bias, "c"))
    if _is_reference(impl, "norm_shift_mix"):
        return reference.norm_shift_mix(x, weight, bias, mixes, grid, eps)
    return _shift_mix(x, weight, bias, list(mixes), eps, *grid)


def shift_mix(x: Tensor, mixes: Sequence[Tensor], grid: tuple[int, int], *, impl: Impl | str = Impl.FAST) -> Tensor:
    """Return the mixes of the tokens with their Q-Shift, ``m b (h w) c``; all else as in ``norm_shift_mix``."""
    _check(x, mixes, grid)
    if _is_reference(impl, "shift_mix"):
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


def _is_reference(impl: Impl | str, name: str) -> bool:
    if Impl(impl) is Impl.VENDOR:
        raise Unsupported(f"{name} has no vendor implementation; use impl='fast' or impl='reference'")
    return Impl(impl) is Impl.REFERENCE


@torch.library.custom_op("linbench::shift_mix", mutates_args=(), device_types="cpu")
def _shift_mix(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], eps: float, h: int, w: int
) -> Tensor:
    from linbench.kernels.shift_mix import cpu  # numba is imported where the CPU kernel first runs

    return cpu.shift_mix(x, weight, bias, mixes, eps, h, w)


@torch.library.custom_op("linbench::shift_mix_backward", mutates_args=(), device_types="cpu")
def _shift_mix_backward(
    gy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mixes: Sequence[Tensor],
    eps: float,
    h: int,
    w: int,
) -> list[Tensor]:
    from linbench.kernels.shift_mix import cpu

    return cpu.shift_mix_backward(gy, x, weight, bias, mixes, eps, h, w)


@_shift_mix.register_kernel("cuda")
def _(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], eps: float, h: int, w: int
) -> Tensor:
    from linbench.kernels.shift_mix import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.shift_mix(x, weight, bias, mixes, eps, h, w)


@_shift_mix_backward.register_kernel("cuda")
def _(
    gy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mixes: Sequence[Tensor],
    eps: float,
    h: int,
    w: int,
) -> list[Tensor]:
    from linbench.kernels.shift_mix import gpu

    return gpu.shift_mix_backward(gy, x, weight, bias, mixes, eps, h, w)


@_shift_mix.register_fake
def _(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor], eps: float, h: int, w: int
) -> Tensor:
    return x.new_empty(len(mixes), *x.shape)


@_shift_mix_backward.register_fake
def _(
    gy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mixes: Sequence[Tensor],
    eps: float,
    h: int,
    w: int,
) -> list[Tensor]:
    return [x.new_empty(x.shape), *(p.new_empty(p.shape) for p in given(weight, bias, mixes))]


def given(weight: Tensor | None, bias: Tensor | None, mixes: Sequence[Tensor]) -> list[Tensor]:
    """The parameters in the order of their gradients: weight and bias where there is a norm, and the mixes."""
    return [*(p for p in (weight, bias) if p is not None), *mixes]


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
    """0: torch's counter counts no norm and no pointwise arithmetic, and a model's count depends on no form of it."""
    return 0
