"""Q-Shift as a torch operator: checks, dispatch, autograd, FLOPs and bytes."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.kernels.q_shift import reference, slices
from linbench.shapes import check


def q_shift(
    x: Tensor,
    shift_pixel: int = 1,
    gamma: float = 0.25,
    patch_resolution: tuple[int, int] | None = None,
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor:
    """Return x with each range of channels taken from one neighbouring pixel (see ``reference``), contiguous.

    x: Tokens of the grid, ``b (h w) c``.
    shift_pixel: Distance of the neighbour, px, >= 0; beyond the grid everything is zero.
    gamma: Fraction of the channels in each of the four ranges, in [0, 1/4].
    patch_resolution: The grid ``(h, w)``.
    impl: ``fast`` writes one output by slices; ``reference`` is the definition.
    Raises ValueError on arguments that break the contract, Unsupported for ``vendor``.
    Source: arXiv 2403.02308, section 3.2.
    """
    dims = check(x=(x, "b t c"))
    if patch_resolution is None:
        raise ValueError(f"patch_resolution must be the grid (h, w) with h * w = t = {dims['t']}, got None")
    h, w = patch_resolution
    if min(h, w) < 0 or h * w != dims["t"]:
        raise ValueError(f"patch_resolution must be (h, w) with h * w = t = {dims['t']}, got ({h}, {w})")
    if not 0 <= gamma <= 0.25:
        raise ValueError(f"gamma must be in [0, 1/4], the fraction of channels for each direction, got {gamma}")
    if shift_pixel < 0:
        raise ValueError(f"shift_pixel must be a distance >= 0, got {shift_pixel}")
    if is_reference(impl, "q_shift"):
        return reference.q_shift(x, shift_pixel, gamma, (h, w))
    return _q_shift(x, shift_pixel, gamma, h, w)


@torch.library.custom_op("linbench::q_shift", mutates_args=(), device_types=("cpu", "cuda"))
def _q_shift(x: Tensor, shift_pixel: int, gamma: float, h: int, w: int) -> Tensor:
    return slices.shift(x, (h, w), slices.moves(x.shape[2], shift_pixel, gamma))


@torch.library.custom_op("linbench::q_shift_backward", mutates_args=(), device_types=("cpu", "cuda"))
def _q_shift_backward(gy: Tensor, shift_pixel: int, gamma: float, h: int, w: int) -> Tensor:
    moves = slices.moves(gy.shape[2], shift_pixel, gamma)
    return slices.shift(gy, (h, w), [(channels, -down, -right) for channels, down, right in moves])


@_q_shift.register_fake
@_q_shift_backward.register_fake
def _(x: Tensor, shift_pixel: int, gamma: float, h: int, w: int) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.geometry = inputs[1:]


def _differentiate(ctx: Any, gy: Tensor) -> tuple[Tensor, None, None, None, None]:
    return _q_shift_backward(gy, *ctx.geometry), None, None, None, None


def _differentiate_again(ctx: Any, gx: Tensor) -> tuple[Tensor, None, None, None, None]:
    return _q_shift(gx, *ctx.geometry), None, None, None, None  # linear: the adjoint of the adjoint


_q_shift.register_autograd(_differentiate, setup_context=_save)
_q_shift_backward.register_autograd(_differentiate_again, setup_context=_save)


@register_flop_formula([torch.ops.linbench.q_shift, torch.ops.linbench.q_shift_backward])
def flops(*_: object, **__: object) -> int:
    """Return 0: it moves numbers."""
    return 0


@byte_formula("linbench::q_shift", "linbench::q_shift_backward")
def moved_bytes(x: Tensor, *_: object) -> int:
    """Count x in and as much out."""
    return 2 * tensor_bytes(x)
