"""The selective scan as a torch operator: checks, choice of implementation, dispatch, shapes without data, FLOPs."""

from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.impl import Impl
from linbench.kernels.selective_scan import reference, vendor
from linbench.shapes import check


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: Literal[False] = False,
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor: ...


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    return_last_state: Literal[True],
    impl: Impl | str = Impl.FAST,
) -> tuple[Tensor, Tensor]: ...


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    impl: Impl | str = Impl.FAST,
) -> Tensor | tuple[Tensor, Tensor]:
    """Return y, ``b d t``, of u's dtype, and where asked for the last state, ``b d n`` (see ``reference``).

    u: Input, ``b d t``.  delta: Step sizes before bias and softplus, ``b d t``.
    A: State matrix, ``d n``, negative.
    B, C: Projections into and out of the state: ``b n t``, grouped ``b g n t`` or constant ``d n``.
    D: Skip, ``d``.  z: Gate, ``b d t``.  delta_bias: ``d``.
    impl: ``fast`` is linear in t, its state float32 (float64 for float64), and is fastest where u, delta and z
        are views of channel-last memory, ``b t d``; ``reference`` is the recurrence in plain torch; ``vendor`` is
        mamba_ssm's kernel.
    Raises ValueError on shapes that break the contract, Unsupported where ``vendor`` is not at hand, with the cause.
    Source: arXiv 2312.00752, algorithm 2; the order of arguments is mamba_ssm's.
    """
    _check(u, delta, A, B, C, D, z, delta_bias)
    impl = Impl(impl)
    if impl is Impl.VENDOR:
        y, last = vendor.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    elif impl is Impl.REFERENCE:
        y, last = reference.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    else:
        b, c, scale = _split_constants(u, A, B, C)
        y, last = _selective_scan(u, delta, A, b, c, scale, D, z, delta_bias, delta_softplus)
        last = last * B.to(last.dtype) if B.ndim == 2 else last
    return (y, last) if return_last_state else y


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    dims = check(u=(u, "b d t"))
    dims = check(dims, delta=(delta, "b d t"), A=(A, "d n"))
    axes = {2: "d n", 3: "b n t", 4: "b g n t"}
    for name, x in (("B", B), ("C", C)):
        if x.ndim not in axes:
            raise ValueError(
                f"{name} must be `b n t`, `b g n t` or `d n`, got {x.ndim} axes of sizes {tuple(x.shape)}"
            )
        dims = check(dims, **{name: (x, axes[x.ndim])}) | ({"g": 1} if x.ndim == 3 else {})
    if "g" in dims and (dims["g"] == 0 or dims["d"] % dims["g"]):
        raise ValueError(f"u must be `b d t` with d a multiple of B's g = {dims['g']} groups, got d = {dims['d']}")
    optional = (("D", D, "d"), ("z", z, "b d t"), ("delta_bias", delta_bias, "d"))
    check(dims, **{name: (x, letters) for name, x, letters in optional if x is not None})


def _split_constants(u: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return B and C as ``b g n t``, and the product of those that are constant, ``d n``.

    The recurrence is linear in B: a constant B may multiply the state when it is read instead of when it is
    written. It becomes 1 in the scan, and the read-out is scale · C · h.
    """
    groups = next((x.shape[1] for x in (B, C) if x.ndim == 4), 1)
    ones = torch.ones((1, 1, 1, 1), dtype=A.dtype, device=A.device)
    ones = ones.expand(u.shape[0], groups, A.shape[1], u.shape[2])
    scale: Tensor | None = None
    parts = []
    for x in (B, C):
        if x.ndim == 2:
            scale = x if scale is None else scale * x
        parts.append(ones if x.ndim == 2 else x[:, None] if x.ndim == 3 else x)
    return parts[0], parts[1], scale


@torch.library.custom_op("linbench::selective_scan", mutates_args=(), device_types="cpu")
def _selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    from linbench.kernels.selective_scan import cpu  # numba is imported where the CPU kernel first runs

    return cpu.selective_scan(u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus)


def empty_beside(u: Tensor) -> Tensor:
    """Return an empty tensor as u, ``b d t``: channel-last in memory where u is, else contiguous."""
    batch, channels, tokens = u.shape
    if u.stride(1) == 1:
        return u.new_empty(batch, tokens, channels).transpose(1, 2)
    return u.new_empty(batch, channels, tokens)


@_selective_scan.register_kernel("cuda")
def _(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    from linbench.kernels.selective_scan import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.selective_scan(u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus)


@_selective_scan.register_fake
def _(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(u.dtype, torch.float32)
    return empty_beside(u), u.new_empty(u.shape[0], u.shape[1], A.shape[1], dtype=dtype)


@torch.library.custom_op("linbench::selective_scan_backward", mutates_args=(), device_types="cpu")
def _selective_scan_backward(
    gy: Tensor,
    glast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> list[Tensor]:
    from linbench.kernels.selective_scan import backward

    inputs = (u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus)
    return backward.selective_scan_backward(gy, glast, *inputs)


@_selective_scan_backward.register_kernel("cuda")
def _(
    gy: Tensor,
    glast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> list[Tensor]:
    from linbench.kernels.selective_scan import gpu

    return gpu.selective_scan_backward(gy, glast, u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus)


@_selective_scan_backward.register_fake
def _(
    gy: Tensor,
    glast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> list[Tensor]:
    wide = torch.promote_types(u.dtype, torch.float32)

    def like(x: Tensor | None) -> Tensor:
        return u.new_empty(0, dtype=wide) if x is None else x.new_empty(x.shape)

    gate = like(None) if z is None else empty_beside(z)
    return [
        empty_beside(u),
        empty_beside(delta),
        *map(like, (A, B, C, scale, D)),
        gate,
        like(delta_bias),
    ]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.given = [x is not None for x in tensors]
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gy: Tensor, glast: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _selective_scan_backward(gy, glast, *ctx.saved_tensors, ctx.delta_softplus)
    return (*(g if given else None for g, given in zip(gradients, ctx.given, strict=True)), None)


_selective_scan.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.linbench.selective_scan_backward)
def backward_flops(
    gy: list[int], glast: list[int], u: list[int], delta: list[int], A: list[int], *_: object, **__: object
) -> int:
    """26 per token, channel and state: two scans forward at 9 less the read-out, and 12 for the way back."""
    b, d, t = u
    return 26 * b * t * d * A[1]


@register_flop_formula(torch.ops.linbench.selective_scan)
def flops(
    u: list[int],
    delta: list[int],
    A: list[int],
    B: list[int],
    C: list[int],
    scale: list[int] | None,
    D: list[int] | None,
    z: list[int] | None,
    *_: object,
    **__: object,
) -> int:
    """9 per token, channel and state, 1 more per token and channel for each of D and z (state-spaces/mamba #110)."""
    b, d, t = u
    return 9 * b * t * d * A[1] + b * d * t * ((D is not None) + (z is not None))
