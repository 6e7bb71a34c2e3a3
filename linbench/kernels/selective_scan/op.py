"""The selective scan as a torch operator: checks, dispatch, autograd, FLOPs and bytes."""

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.impl import Impl, VendorPackage
from linbench.kernels.memory import empty_in_layout_of
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.kernels.selective_scan import reference
from linbench.kernels.selective_scan.reference import ScanInputs
from linbench.shapes import check

#: The fields of ``ScanInputs``.
_INPUTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? scale, Tensor? D, Tensor? z, Tensor? delta_bias, "
    "bool delta_softplus"
)
_SCHEMA = f"({_INPUTS}) -> (Tensor, Tensor)"
_BACKWARD_SCHEMA = f"(Tensor gy, Tensor glast, {_INPUTS}) -> Tensor[]"


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
    """Return y, ``b d t``, of u's dtype, and with ``return_last_state`` also the last state, ``b d n``.

    The equation and the letters are those of ``reference``.

    u: Input, ``b d t``.  delta: Step sizes before bias and softplus, ``b d t``.
    A: State matrix, ``d n``, negative.
    B, C: Projections into and out of the state: ``b n t``, grouped ``b g n t`` or constant ``d n``.
    D: Skip, ``d``.  z: Gate, ``b d t``.  delta_bias: ``d``.
    impl: ``fast`` is linear in t, its state float32 (float64 for float64), and is fastest where u, delta and z
        are views of channel-last memory, ``b t d``; ``reference`` is the recurrence in plain torch; ``vendor`` is
        mamba_ssm's kernel.
    Raises ValueError on shapes that break the contract, Unsupported, with the cause, where ``vendor`` cannot be used.
    Source: arXiv 2312.00752, algorithm 2; the order of arguments is mamba_ssm's.
    """
    _check(u, delta, A, B, C, D=D, z=z, delta_bias=delta_bias)
    impl = Impl(impl)
    if impl is Impl.VENDOR:
        y, last = _scan_by_vendor(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    elif impl is Impl.REFERENCE:
        y, last = reference.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    else:
        b, c, scale = _split_constants(u, A, B, C)
        y, last = _selective_scan(u, delta, A, b, c, scale, D, z, delta_bias, delta_softplus)
        last = last * B.to(last.dtype) if B.ndim == 2 else last
    return (y, last) if return_last_state else y


def _check(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, **optional: Tensor | None) -> None:
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
    letters = {"D": "d", "z": "b d t", "delta_bias": "d"}
    check(dims, **{name: (x, letters[name]) for name, x in optional.items() if x is not None})


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


@torch.library.custom_op("linbench::selective_scan", mutates_args=(), device_types="cpu", schema=_SCHEMA)
def _selective_scan(*inputs: Any) -> tuple[Tensor, Tensor]:
    from linbench.kernels.selective_scan import cpu  # numba is imported where the CPU kernel first runs

    return cpu.selective_scan(ScanInputs(*inputs))


@_selective_scan.register_kernel("cuda")
def _(*inputs: Any) -> tuple[Tensor, Tensor]:
    from linbench.kernels.selective_scan import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.selective_scan(ScanInputs(*inputs))


@_selective_scan.register_fake
def _(u: Tensor, delta: Tensor, A: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(u.dtype, torch.float32)
    return empty_in_layout_of(u), u.new_empty(u.shape[0], u.shape[1], A.shape[1], dtype=dtype)


@torch.library.custom_op(
    "linbench::selective_scan_backward", mutates_args=(), device_types="cpu", schema=_BACKWARD_SCHEMA
)
def _selective_scan_backward(gy: Tensor, glast: Tensor, *inputs: Any) -> list[Tensor]:
    from linbench.kernels.selective_scan import backward

    return backward.selective_scan_backward(gy, glast, ScanInputs(*inputs))


@_selective_scan_backward.register_kernel("cuda")
def _(gy: Tensor, glast: Tensor, *inputs: Any) -> list[Tensor]:
    from linbench.kernels.selective_scan import gpu

    return gpu.selective_scan_backward(gy, glast, ScanInputs(*inputs))


@_selective_scan_backward.register_fake
def _(gy: Tensor, glast: Tensor, *inputs: Any) -> list[Tensor]:
    u, delta, A, B, C, scale, D, z, delta_bias, _delta_softplus = inputs
    wide = torch.promote_types(u.dtype, torch.float32)

    def like(x: Tensor | None) -> Tensor:
        return u.new_empty(0, dtype=wide) if x is None else x.new_empty(x.shape)

    gz = like(None) if z is None else empty_in_layout_of(z)
    return [empty_in_layout_of(u), empty_in_layout_of(delta), *map(like, (A, B, C, scale, D)), gz, like(delta_bias)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.delta_softplus = inputs
    ctx.is_given = [x is not None for x in tensors]
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gy: Tensor, glast: Tensor) -> tuple[Tensor | None, ...]:
    gradients = _selective_scan_backward(gy, glast, *ctx.saved_tensors, ctx.delta_softplus)
    return (*(g if is_given else None for g, is_given in zip(gradients, ctx.is_given, strict=True)), None)


_selective_scan.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.linbench.selective_scan)
def flops(u: list[int], delta: list[int], A: list[int], *others: Any, **_: object) -> int:
    """Return 9 per token, channel and state, and 1 per token and channel for each of D and z.

    Source: the count of state-spaces/mamba, issue 110.
    """
    _B, _C, _scale, D, z, *_rest = others
    b, d, t = u
    return 9 * b * t * d * A[1] + b * d * t * ((D is not None) + (z is not None))


@register_flop_formula(torch.ops.linbench.selective_scan_backward)
def backward_flops(
    gy: list[int], glast: list[int], u: list[int], delta: list[int], A: list[int], *_: object, **__: object
) -> int:
    """Return 26 per token, channel and state: two scans at 9 less the read-out, and 12 for the way back."""
    b, d, t = u
    return 26 * b * t * d * A[1]


@byte_formula("linbench::selective_scan")
def forward_bytes(*inputs: Any) -> int:
    """Count all inputs in, y and the last state (float32 at least) out; no other state is stored."""
    *tensors, _delta_softplus = inputs
    u, A = tensors[0], tensors[2]
    last = u.shape[0] * A.numel() * torch.promote_types(u.dtype, torch.float32).itemsize
    return tensor_bytes(*tensors) + tensor_bytes(u) + last


@byte_formula("linbench::selective_scan_backward")
def backward_bytes(gy: Tensor, glast: Tensor, *inputs: Any) -> int:
    """Count all inputs and two gradients in, each input's gradient out; states are computed anew, never read."""
    *tensors, _delta_softplus = inputs
    return tensor_bytes(gy, glast) + 2 * tensor_bytes(*tensors)


def _scan_by_vendor(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t``, and the last state, ``b d n``; mamba_ssm requires the parameters as float32.

    arguments: Those of ``reference.selective_scan``, in its order.
    """
    u, delta, A, B, C, D, z, delta_bias, delta_softplus = arguments
    function = MAMBA_SSM.load(u.device)
    D, delta_bias = (x if x is None else x.float() for x in (D, delta_bias))
    B, C = (x.float() if x.ndim == 2 else x for x in (B, C))
    y, last = function(u, delta, A.float(), B, C, D, z, delta_bias, delta_softplus, return_last_state=True)
    return y, last


def _try_mamba_ssm(function: Callable[..., Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return y and the last state of a tiny grouped, gated scan by ``function``, and the true ones."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    inputs: dict[str, Any] = {name: normal(1, 8, 20) for name in ("u", "delta", "z")}
    inputs |= {name: normal(1, 2, 4, 20) for name in ("B", "C")}
    inputs |= {"A": -normal(8, 4).exp(), "D": normal(8), "delta_bias": normal(8) - 3, "delta_softplus": True}
    inputs = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in inputs.items()}
    y, last = function(**inputs, return_last_state=True)
    true_y, true_last = reference.selective_scan(**inputs)
    return torch.cat([y.flatten(), last.flatten()]), torch.cat([true_y.flatten(), true_last.flatten()])


MAMBA_SSM = VendorPackage("mamba_ssm", "mamba_ssm.ops.selective_scan_interface.selective_scan_fn", _try_mamba_ssm)
