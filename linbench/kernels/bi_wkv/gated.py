"""Gated bi-WKV, sigmoid(r) ⊙ wkv, as torch operators: the gate is applied where the output is still in registers.

The three operators mirror those of ``op``. Where an input requires its gradient, y before its gate is saved, since
it cannot be recovered from a gate near zero.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.bi_wkv import op, reference
from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check


def gated_bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, *, impl: Impl | str = Impl.FAST) -> Tensor:
    """Return sigmoid(r) y, ``b t c``, of v's dtype, with y of ``bi_wkv``.

    r: Receptance, ``b t c``. The other arguments, errors and implementations are those of ``bi_wkv``.
    Source: arXiv 2403.02308, eq. 2.
    """
    dims = check(k=(k, "b t c"))
    check(dims, v=(v, "b t c"), r=(r, "b t c"), w=(w, "c"), u=(u, "c"))
    if is_reference(impl, "gated_bi_wkv"):
        return reference.gated_bi_wkv(w, u, k, v, r)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (w, u, k, v, r)):
        return _gated_bi_wkv_with_lse(w, u, k, v, r)[0]
    return _gated_bi_wkv(w, u, k, v, r)


@torch.library.custom_op("linbench::gated_bi_wkv", mutates_args=(), device_types="cpu")
def _gated_bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> Tensor:
    from linbench.kernels.bi_wkv import cpu  # numba is imported where the CPU kernel first runs

    return cpu.gated_bi_wkv(w, u, k, v, r)[0]


@torch.library.custom_op("linbench::gated_bi_wkv_with_lse", mutates_args=(), device_types="cpu")
def _gated_bi_wkv_with_lse(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from linbench.kernels.bi_wkv import cpu

    return cpu.gated_bi_wkv(w, u, k, v, r, with_lse=True)


@torch.library.custom_op("linbench::gated_bi_wkv_backward", mutates_args=(), device_types="cpu")
def _gated_bi_wkv_backward(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, lse: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    from linbench.kernels.bi_wkv import backward

    gate = r.contiguous().sigmoid()
    gr = torch.ops.aten.sigmoid_backward(g * y, gate).to(r.dtype)
    return *backward.bi_wkv_backward(w, u, k, v, y, lse, gate * g), gr


@_gated_bi_wkv.register_kernel("cuda")
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> Tensor:
    from linbench.kernels.bi_wkv import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.gated_bi_wkv(w, u, k, v, r)[0]


@_gated_bi_wkv_with_lse.register_kernel("cuda")
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from linbench.kernels.bi_wkv import gpu

    return gpu.gated_bi_wkv(w, u, k, v, r, with_lse=True)


@_gated_bi_wkv_backward.register_kernel("cuda")
def _(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, lse: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    from linbench.kernels.bi_wkv import gpu_backward

    return gpu_backward.gated_bi_wkv_backward(w, u, k, v, r, y, lse, g)


@_gated_bi_wkv.register_fake
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> Tensor:
    return op.empty_like(v)


@_gated_bi_wkv_with_lse.register_fake
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    wide = torch.promote_types(v.dtype, torch.float32)
    return op.empty_like(v), op.empty_like(v), torch.empty(v.shape, dtype=wide, device=v.device)


@_gated_bi_wkv_backward.register_fake
def _(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, lse: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return op.empty_like(w), op.empty_like(u), op.empty_like(k), op.empty_like(v), op.empty_like(r)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx: Any, g: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _gated_bi_wkv_backward(*ctx.saved_tensors, g)


_gated_bi_wkv_with_lse.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula([torch.ops.linbench.gated_bi_wkv, torch.ops.linbench.gated_bi_wkv_with_lse])
def flops(w: list[int], u: list[int], k: list[int], *_: object, **__: object) -> int:
    """Return bi_wkv's: torch counts no gate, and a model's count must not depend on fusing it."""
    b, t, c = k
    return 29 * b * t * c


@register_flop_formula(torch.ops.linbench.gated_bi_wkv_backward)
def backward_flops(w: list[int], u: list[int], k: list[int], *_: object, **__: object) -> int:
    """Return bi_wkv's, of its backward."""
    b, t, c = k
    return 58 * b * t * c


@byte_formula("linbench::gated_bi_wkv")
def forward_bytes(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> int:
    """Count as for bi_wkv, and r in."""
    return op.forward_bytes(w, u, k, v) + tensor_bytes(r)


@byte_formula("linbench::gated_bi_wkv_with_lse")
def forward_with_lse_bytes(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> int:
    """Count as for bi_wkv with lse, r in, and the gated y out as well."""
    return op.forward_with_lse_bytes(w, u, k, v) + tensor_bytes(r, v)


@byte_formula("linbench::gated_bi_wkv_backward")
def backward_bytes(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, lse: Tensor, g: Tensor) -> int:
    """Count as for bi_wkv's backward, r in, and its gradient out as well."""
    return op.backward_bytes(w, u, k, v, y, lse, g) + tensor_bytes(r, r)
