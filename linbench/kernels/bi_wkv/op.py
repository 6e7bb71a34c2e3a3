"""bi-WKV as torch operators: checks, dispatch, autograd, FLOPs and bytes.

``linbench::bi_wkv`` returns y alone, for inference. Where an input requires its gradient, ``bi_wkv_with_lse`` runs
instead: lse, the log of each token's sum of weights, is all that ``bi_wkv_backward`` needs beside y.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.bi_wkv import reference
from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, *, impl: Impl | str = Impl.FAST) -> Tensor:
    """Return y, ``b t c``, of v's dtype: each token's weighted mean of v over all tokens (see ``reference``).

    w: Decay per token of distance, ``c``, any sign.  u: Bonus of the current token, ``c``.
    k: Keys, ``b t c``.  v: Values, ``b t c``.
    impl: ``fast`` is linear in t and accumulates in float32 (on the CPU in float64 for float64);
        ``reference`` is the equation, quadratic in t.
    Raises ValueError on shapes that break the contract, Unsupported for ``vendor`` and for float64 on CUDA.
    Source: arXiv 2403.02308, eq. 3.
    """
    dims = check(k=(k, "b t c"))
    check(dims, v=(v, "b t c"), w=(w, "c"), u=(u, "c"))
    if is_reference(impl, "bi_wkv"):
        return reference.bi_wkv(w, u, k, v)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (w, u, k, v)):
        return _bi_wkv_with_lse(w, u, k, v)[0]
    return _bi_wkv(w, u, k, v)


@torch.library.custom_op("linbench::bi_wkv", mutates_args=(), device_types="cpu")
def _bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from linbench.kernels.bi_wkv import cpu  # numba is imported where the CPU kernel first runs

    return cpu.bi_wkv(w, u, k, v)[0]


@torch.library.custom_op("linbench::bi_wkv_with_lse", mutates_args=(), device_types="cpu")
def _bi_wkv_with_lse(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    from linbench.kernels.bi_wkv import cpu

    return cpu.bi_wkv(w, u, k, v, with_lse=True)


@torch.library.custom_op("linbench::bi_wkv_backward", mutates_args=(), device_types="cpu")
def _bi_wkv_backward(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from linbench.kernels.bi_wkv import backward

    return backward.bi_wkv_backward(w, u, k, v, y, lse, gy)


@_bi_wkv.register_kernel("cuda")
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from linbench.kernels.bi_wkv import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.bi_wkv(w, u, k, v)[0]


@_bi_wkv_with_lse.register_kernel("cuda")
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    from linbench.kernels.bi_wkv import gpu

    return gpu.bi_wkv(w, u, k, v, with_lse=True)


@_bi_wkv_backward.register_kernel("cuda")
def _(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from linbench.kernels.bi_wkv import gpu_backward

    return gpu_backward.bi_wkv_backward(w, u, k, v, y, lse, gy)


@_bi_wkv.register_fake
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return empty_like(v)


@_bi_wkv_with_lse.register_fake
def _(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(v.dtype, torch.float32)
    return empty_like(v), torch.empty(v.shape, dtype=wide, device=v.device)


@_bi_wkv_backward.register_fake
def _(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return empty_like(w), empty_like(u), empty_like(k), empty_like(v)


def empty_like(x: Tensor) -> Tensor:
    """Return an empty contiguous tensor of x's shape and dtype."""
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: Any, gy: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _bi_wkv_backward(*ctx.saved_tensors, gy)


_bi_wkv_with_lse.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula([torch.ops.linbench.bi_wkv, torch.ops.linbench.bi_wkv_with_lse])
def flops(w: list[int], u: list[int], k: list[int], v: list[int], *_: object, **__: object) -> int:
    """Return 29 per token and channel, the count of Vision-RWKV's get_flops.py."""
    b, t, c = k
    return 29 * b * t * c


@register_flop_formula(torch.ops.linbench.bi_wkv_backward)
def backward_flops(w: list[int], u: list[int], k: list[int], *_: object, **__: object) -> int:
    """Return twice the forward's 29, as for a matrix product: two more scans, over the gradient."""
    b, t, c = k
    return 58 * b * t * c


@byte_formula("linbench::bi_wkv")
def forward_bytes(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> int:
    """Count w, u, k and v in, y out."""
    return tensor_bytes(w, u, k, v) + tensor_bytes(v)


@byte_formula("linbench::bi_wkv_with_lse")
def forward_with_lse_bytes(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> int:
    """Count as for the forward, and lse out, float32 at least."""
    return forward_bytes(w, u, k, v) + v.numel() * torch.promote_types(v.dtype, torch.float32).itemsize


@byte_formula("linbench::bi_wkv_backward")
def backward_bytes(w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor) -> int:
    """Count all inputs, y, lse and y's gradient in; the gradients of w, u, k and v out."""
    return tensor_bytes(w, u, k, v, y, lse, gy) + tensor_bytes(w, u, k, v)
