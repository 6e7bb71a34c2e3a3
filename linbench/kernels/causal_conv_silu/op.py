"""Causal convolution and SiLU as a torch operator: checks, choice of implementation, dispatch, autograd, FLOPs.

Memory: the output follows the input. Where the channels of x, ``b d t``, are neighbours in memory, as in Vim, those
of the output are as well, which is what ``selective_scan`` reads without a copy.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels import vendor
from linbench.kernels.causal_conv_silu import reference
from linbench.kernels.impl import Impl
from linbench.shapes import check


def causal_conv_silu(
    x: Tensor, weight: Tensor, bias: Tensor, *, backward: bool = False, impl: Impl | str = Impl.FAST
) -> Tensor:
    """Return the SiLU of each channel's convolution with the tokens before it, ``b d t``, of x's dtype.

    x: Tokens, ``b d t``, fastest where they are a view of channel-last memory, ``b t d``.
    weight: ``d k``; the last of k weighs the token itself.  bias: ``d``.
    backward: Whether the tokens are read from the last to the first; y is in the order of reading.
    impl: ``fast`` computes in float32 (on the CPU in float64 for float64); ``reference`` is the equation;
        ``vendor`` is causal_conv1d's kernel.
    Raises ValueError on shapes that break the contract, Unsupported for float64 on CUDA and where ``vendor`` is not
    at hand, with the cause.
    Source: arXiv 2312.00752, section 3.4.
    """
    dims = check(x=(x, "b d t"))
    dims = check(dims, weight=(weight, "d k"), bias=(bias, "d"))
    if dims["k"] < 1:
        raise ValueError(f"weight must be `d k` with k >= 1, got sizes {tuple(weight.shape)}")
    if Impl(impl) is Impl.VENDOR:
        read = x.flip(2) if backward else x
        return vendor.causal_conv1d_fn(x.device)(read, weight, bias, activation="silu")
    if Impl(impl) is Impl.REFERENCE:
        return reference.causal_conv_silu(x, weight, bias, backward)
    return _causal_conv_silu(x, weight, bias, backward)


@torch.library.custom_op("linbench::causal_conv_silu", mutates_args=(), device_types="cpu")
def _causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    from linbench.kernels.causal_conv_silu import cpu  # numba is imported where the CPU kernel first runs

    return cpu.causal_conv_silu(x, weight, bias, backward, empty_beside(x))


@torch.library.custom_op("linbench::causal_conv_silu_backward", mutates_args=(), device_types="cpu")
def _causal_conv_silu_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from linbench.kernels.causal_conv_silu import cpu

    return cpu.causal_conv_silu_backward(gy, x, weight, bias, backward, empty_beside(x))


@_causal_conv_silu.register_kernel("cuda")
def _(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    from linbench.kernels.causal_conv_silu import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.causal_conv_silu(x, weight, bias, backward, empty_beside(x))


@_causal_conv_silu_backward.register_kernel("cuda")
def _(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    from linbench.kernels.causal_conv_silu import gpu

    return gpu.causal_conv_silu_backward(gy, x, weight, bias, backward, empty_beside(x))


def empty_beside(x: Tensor) -> Tensor:
    """Return an empty tensor as x, ``b d t``: channel-last in memory where x is, else contiguous."""
    b, d, t = x.shape
    return x.new_empty(b, t, d).transpose(1, 2) if x.stride(1) == 1 else x.new_empty(b, d, t)


@_causal_conv_silu.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    return empty_beside(x)


@_causal_conv_silu_backward.register_fake
def _(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    return empty_beside(x), weight.new_empty(weight.shape), bias.new_empty(bias.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.backward = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *_causal_conv_silu_backward(gy, *ctx.saved_tensors, ctx.backward), None


_causal_conv_silu.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.linbench.causal_conv_silu)
def flops(x: list[int], weight: list[int], *_: object, **__: object) -> int:
    """2 per token, channel and weight, as torch counts a convolution; it counts no bias and no SiLU."""
    b, d, t = x
    return 2 * b * d * t * weight[1]


@register_flop_formula(torch.ops.linbench.causal_conv_silu_backward)
def backward_flops(gy: list[int], x: list[int], weight: list[int], *_: object, **__: object) -> int:
    """Three times the forward's: a convolution again, and one each for the gradients of x and of the weights."""
    return 3 * flops(x, weight)
