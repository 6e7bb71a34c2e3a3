"""Cross-scan and cross-merge as torch operators: checks, dispatch, autograd, FLOPs and bytes.

Memory: the output follows the input. Where the channels of x are neighbours in memory (stride 1), the output,
``b 4 c t``, lies in memory as ``b t 4 c``: ``flatten(1, 2)`` is then a view, ``b (4 c) t``, whose channels are
neighbours, which is what ``selective_scan`` reads without a copy. Its result, ``unflatten``\\ ed to
``b 4 c h w``, is read by ``cross_merge`` in place.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.cross_scan import reference
from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check


def cross_scan(x: Tensor, *, impl: Impl | str = Impl.FAST) -> Tensor:
    """Return the map x, ``b c h w``, as four sequences, ``b 4 c (h w)`` (see ``reference``).

    impl: ``fast`` copies each pixel to its four positions; ``reference`` is the definition.
    Raises ValueError on shapes that break the contract, Unsupported for ``vendor``.
    Source: arXiv 2401.10166, section 3.3.
    """
    check(x=(x, "b c h w"))
    return reference.cross_scan(x) if is_reference(impl, "cross_scan") else _cross_scan(x)


def cross_merge(ys: Tensor, *, impl: Impl | str = Impl.FAST) -> Tensor:
    """Undo the order of each of four sequences ys, ``b 4 c h w``, and sum them to ``b c (h w)``.

    impl: ``fast`` sums in float32 (float64 for float64); ``reference`` in the dtype of ys.
    Raises ValueError on shapes that break the contract, Unsupported for ``vendor``.
    Source: arXiv 2401.10166, section 3.3.
    """
    check(ys=(ys, "b 4 c h w"))
    return reference.cross_merge(ys) if is_reference(impl, "cross_merge") else _cross_merge(ys)


@torch.library.custom_op("linbench::cross_scan", mutates_args=(), device_types="cpu")
def _cross_scan(x: Tensor) -> Tensor:
    from linbench.kernels.cross_scan import cpu

    return cpu.cross_scan(x, empty_scan(x))


@torch.library.custom_op("linbench::cross_merge", mutates_args=(), device_types="cpu")
def _cross_merge(ys: Tensor) -> Tensor:
    from linbench.kernels.cross_scan import cpu

    return cpu.cross_merge(ys, empty_merge(ys))


@_cross_scan.register_fake
def empty_scan(x: Tensor) -> Tensor:
    """Return ``b 4 c t`` for x, ``b c h w``; in memory ``b t 4 c`` if the channels of x are neighbours."""
    b, c, h, w = x.shape
    if x.stride(1) == 1:
        return x.new_empty(b, h * w, 4, c).permute(0, 2, 3, 1)
    return x.new_empty(b, 4, c, h * w)


@_cross_merge.register_fake
def empty_merge(ys: Tensor) -> Tensor:
    """Return ``b c t`` for ys, ``b 4 c h w``; in memory ``b t c`` if the channels of ys are neighbours."""
    b, _, c, h, w = ys.shape
    if ys.stride(2) == 1:
        return ys.new_empty(b, h * w, c).transpose(1, 2)
    return ys.new_empty(b, c, h * w)


@_cross_scan.register_kernel("cuda")
def _(x: Tensor) -> Tensor:
    from linbench.kernels.cross_scan import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.cross_scan(x, empty_scan(x))


@_cross_merge.register_kernel("cuda")
def _(ys: Tensor) -> Tensor:
    from linbench.kernels.cross_scan import gpu

    return gpu.cross_merge(ys, empty_merge(ys))


def _save(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.grid = inputs[0].shape[-2:]


def _differentiate_scan(ctx: Any, g: Tensor) -> Tensor:
    return _cross_merge(g.unflatten(3, ctx.grid)).unflatten(2, ctx.grid)  # linear: the adjoint


def _differentiate_merge(ctx: Any, g: Tensor) -> Tensor:
    return _cross_scan(g.unflatten(2, ctx.grid)).unflatten(3, ctx.grid)


_cross_scan.register_autograd(_differentiate_scan, setup_context=_save)
_cross_merge.register_autograd(_differentiate_merge, setup_context=_save)


@register_flop_formula(torch.ops.linbench.cross_scan)
def scan_flops(*_: object, **__: object) -> int:
    """Return 0: it moves numbers."""
    return 0


@register_flop_formula(torch.ops.linbench.cross_merge)
def merge_flops(ys: list[int], *_: object, **__: object) -> int:
    """Return 3 additions per pixel and channel."""
    b, _directions, c, h, w = ys
    return 3 * b * c * h * w


@byte_formula("linbench::cross_scan")
def scan_bytes(x: Tensor) -> int:
    """Count the map in and four sequences out."""
    return 5 * tensor_bytes(x)


@byte_formula("linbench::cross_merge")
def merge_bytes(ys: Tensor) -> int:
    """Count four sequences in and one map out."""
    return tensor_bytes(ys) + tensor_bytes(ys) // 4
