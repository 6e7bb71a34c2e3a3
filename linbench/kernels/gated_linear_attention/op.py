"""Gated linear attention as a torch operator: checks, dispatch, autograd, FLOPs and bytes."""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.gated_linear_attention import reference
from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check

_INPUTS = "Tensor q, Tensor k, Tensor v, Tensor? decay, Tensor? decay_backward, Tensor? bonus"


def gated_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor | None = None,
    decay_backward: Tensor | None = None,
    bonus: Tensor | None = None,
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor:
    """Return y, ``b t h v``, of v's dtype: the sum of the scans whose decay is given (equation: ``reference``).

    VRWKV6 passes ``(r, k, v, -exp(w), -exp(w), bonus=u)``; ViG ``(scale * q, k, v, gates, gates_backward)``, scale
    d_k^-1/2 / 2; a Mamba-2 layer ``(C, B, x, step * A)`` with one decay for a head.

    q, k: Queries and keys, ``b t h k``; a scale of the queries stands outside.  v: Values, ``b t h v``.
    decay: Log decay of the forward scan, ≤ 0, −∞ included, per key channel ``b t h k`` or per head ``b t h``. The
        decay of token t acts on the state before t is added.
    decay_backward: The same of the backward scan; the tensor ``decay`` itself where both scans have one.
    bonus: ``h k``, weight of the current token, which then stands outside of both scans and counts once; the decays
        strictly between two tokens count. By default the token is in each scan, and its own decay counts as well.
    impl: ``fast`` is linear in t and accumulates in float32 (on the CPU in float64 for float64); ``reference`` is the
        recurrence in plain torch.
    Raises ValueError on shapes that break the contract or where no decay is given, Unsupported for ``vendor`` and for
    float64 on CUDA.
    Source: arXiv 2312.06635; with a bonus arXiv 2404.05892, and in both directions VRWKV6.
    """
    dims = check(q=(q, "b t h k"))
    check(dims, k=(k, "b t h k"), v=(v, "b t h v"))
    if decay is None and decay_backward is None:
        raise ValueError(
            "decay is missing; give decay for a forward scan, decay_backward for a backward one, or both"
        )
    for name, x in (("decay", decay), ("decay_backward", decay_backward)):
        if x is not None:
            check(dims, **{name: (x, "b t h k" if x.ndim == 4 else "b t h")})
    if bonus is not None:
        check(dims, bonus=(bonus, "h k"))
    if is_reference(impl, "gated_linear_attention"):
        return reference.gated_linear_attention(q, k, v, decay, decay_backward, bonus)
    return _gated_linear_attention(q, k, v, _per_key(decay, k), _per_key(decay_backward, k), bonus)


def _per_key(decay: Tensor | None, k: Tensor) -> Tensor | None:
    """Return a view of a decay per head as ``b t h k``."""
    return decay if decay is None or decay.ndim == 4 else decay[..., None].expand(k.shape)


@torch.library.custom_op(
    "linbench::gated_linear_attention", mutates_args=(), device_types="cpu", schema=f"({_INPUTS}) -> Tensor"
)
def _gated_linear_attention(*inputs: Any) -> Tensor:
    from linbench.kernels.gated_linear_attention import cpu  # numba is imported where the CPU kernel first runs

    return cpu.gated_linear_attention(*inputs)


@torch.library.custom_op(
    "linbench::gated_linear_attention_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor gy, {_INPUTS}) -> Tensor[]",
)
def _gated_linear_attention_backward(gy: Tensor, *inputs: Any) -> list[Tensor]:
    from linbench.kernels.gated_linear_attention import backward

    return backward.gated_linear_attention_backward(gy, *inputs)


@_gated_linear_attention.register_kernel("cuda")
def _(*inputs: Any) -> Tensor:
    from linbench.kernels.gated_linear_attention import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.gated_linear_attention(*inputs)


@_gated_linear_attention_backward.register_kernel("cuda")
def _(gy: Tensor, *inputs: Any) -> list[Tensor]:
    from linbench.kernels.gated_linear_attention import gpu_backward

    return gpu_backward.gated_linear_attention_backward(gy, *inputs)


@_gated_linear_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Tensor:
    return v.new_empty(v.shape)


@_gated_linear_attention_backward.register_fake
def _(gy: Tensor, *inputs: Any) -> list[Tensor]:
    return [gy.new_empty(0) if x is None else x.new_empty(x.shape) for x in inputs]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.is_given = [x is not None for x in inputs]
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _gated_linear_attention_backward(gy, *ctx.saved_tensors)
    return tuple(g if is_given else None for g, is_given in zip(gradients, ctx.is_given, strict=True))


_gated_linear_attention.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.linbench.gated_linear_attention)
def flops(
    q: list[int],
    k: list[int],
    v: list[int],
    decay: list[int] | None,
    decay_backward: list[int] | None,
    bonus: list[int] | None,
    *_: object,
    **__: object,
) -> int:
    """Return 5 per token, entry of the state and scan: decay, k vᵀ added, read-out; and 3 k + 2 v for a bonus."""
    b, t, h, keys = q
    scans = (decay is not None) + (decay_backward is not None)
    own = 3 * keys + 2 * v[3] if bonus is not None else 0
    return b * t * h * (5 * scans * keys * v[3] + own)


@register_flop_formula(torch.ops.linbench.gated_linear_attention_backward)
def backward_flops(gy: list[int], *inputs: Any, **_: object) -> int:
    """Return 14 per token, entry of the state and scan, and twice the forward's of a bonus.

    The state anew (3) and its gradient (3) are two scans; each of gq, gk, gv and the decay's gradient reads one (2).
    """
    q, _k, v, decay, decay_backward, bonus = inputs[:6]
    b, t, h, keys = q
    scans = (decay is not None) + (decay_backward is not None)
    own = 6 * keys + 4 * v[3] if bonus is not None else 0
    return b * t * h * (14 * scans * keys * v[3] + own)


@byte_formula("linbench::gated_linear_attention")
def forward_bytes(*inputs: Any) -> int:
    """Count all inputs in, y out; no state is stored. A decay per head counts once for all its keys."""
    return tensor_bytes(*inputs) + tensor_bytes(inputs[2])


@byte_formula("linbench::gated_linear_attention_backward")
def backward_bytes(gy: Tensor, *inputs: Any) -> int:
    """Count all inputs and y's gradient in, each input's gradient out; states are computed anew."""
    return tensor_bytes(gy) + 2 * tensor_bytes(*inputs)
