"""Causal convolution and SiLU as a torch operator: checks, dispatch, autograd, FLOPs and bytes.

Memory: the output follows the input. Where the channels of x, ``b d t``, are neighbours in memory, as in Vim, those
of the output are as well, which is what ``selective_scan`` reads without a copy.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.causal_conv_silu import reference
from linbench.kernels.impl import Impl, VendorPackage
from linbench.kernels.memory import empty_in_layout_of
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check


def causal_conv_silu(
    x: Tensor, weight: Tensor, bias: Tensor, *, backward: bool = False, impl: Impl | str = Impl.FAST
) -> Tensor:
    """Return the SiLU of each channel's convolution with the tokens before it, ``b d t``, of x's dtype.

    x: Tokens, ``b d t``, fastest where they are a view of channel-last memory, ``b t d``.
    weight: ``d k``; the last of k is the weight of the token itself.  bias: ``d``.
    backward: Whether the tokens are read from the last to the first; y is in the order of reading.
    impl: ``fast`` computes in float32 (on the CPU in float64 for float64); ``reference`` is the equation;
        ``vendor`` is causal_conv1d's kernel.
    Raises ValueError on shapes that break the contract, Unsupported for float64 on CUDA and, with the cause, where
    ``vendor`` cannot be used.
    Source: arXiv 2312.00752, section 3.4.
    """
    dims = check(x=(x, "b d t"))
    dims = check(dims, weight=(weight, "d k"), bias=(bias, "d"))
    if dims["k"] < 1:
        raise ValueError(f"weight must be `d k` with k >= 1, got sizes {tuple(weight.shape)}")
    if Impl(impl) is Impl.VENDOR:
        read = x.flip(2) if backward else x
        return CAUSAL_CONV1D.load(x.device)(read, weight, bias, activation="silu")
    if Impl(impl) is Impl.REFERENCE:
        return reference.causal_conv_silu(x, weight, bias, backward)
    return _causal_conv_silu(x, weight, bias, backward)


@torch.library.custom_op("linbench::causal_conv_silu", mutates_args=(), device_types="cpu")
def _causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    from linbench.kernels.causal_conv_silu import cpu  # numba is imported where the CPU kernel first runs

    return cpu.causal_conv_silu(x, weight, bias, backward, empty_in_layout_of(x))


@torch.library.custom_op("linbench::causal_conv_silu_backward", mutates_args=(), device_types="cpu")
def _causal_conv_silu_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from linbench.kernels.causal_conv_silu import cpu

    return cpu.causal_conv_silu_backward(gy, x, weight, bias, backward, empty_in_layout_of(x))


@_causal_conv_silu.register_kernel("cuda")
def _(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    from linbench.kernels.causal_conv_silu import gpu  # Triton is imported where the CUDA kernel first runs

    return gpu.causal_conv_silu(x, weight, bias, backward, empty_in_layout_of(x))


@_causal_conv_silu_backward.register_kernel("cuda")
def _(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    from linbench.kernels.causal_conv_silu import gpu

    return gpu.causal_conv_silu_backward(gy, x, weight, bias, backward, empty_in_layout_of(x))


@_causal_conv_silu.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> Tensor:
    return empty_in_layout_of(x)


@_causal_conv_silu_backward.register_fake
def _(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool) -> tuple[Tensor, Tensor, Tensor]:
    return empty_in_layout_of(x), weight.new_empty(weight.shape), bias.new_empty(bias.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.backward = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *_causal_conv_silu_backward(gy, *ctx.saved_tensors, ctx.backward), None


_causal_conv_silu.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.linbench.causal_conv_silu)
def flops(x: list[int], weight: list[int], *_: object, **__: object) -> int:
    """Return 2 per token, channel and weight, as torch counts a convolution; it counts no bias and no SiLU."""
    b, d, t = x
    return 2 * b * d * t * weight[1]


@register_flop_formula(torch.ops.linbench.causal_conv_silu_backward)
def backward_flops(gy: list[int], x: list[int], weight: list[int], *_: object, **__: object) -> int:
    """Return three times the forward's: the convolution again, and one each for the gradients of x and weight."""
    return 3 * flops(x, weight)


@byte_formula("linbench::causal_conv_silu")
def forward_bytes(x: Tensor, weight: Tensor, bias: Tensor, *_: object) -> int:
    """Count x and the parameters in, and as much as x out."""
    return tensor_bytes(x, weight, bias) + tensor_bytes(x)


@byte_formula("linbench::causal_conv_silu_backward")
def backward_bytes(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: object) -> int:
    """Count the output's gradient, x and the parameters in; the gradients of x and of the parameters out."""
    return tensor_bytes(gy, x, weight, bias) + tensor_bytes(x, weight, bias)


def _try_causal_conv1d(function: Callable[..., Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a convolution of 4 taps with bias and SiLU by ``function``, and the true one."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=generator).to(device) for shape in ((1, 8, 20), (8, 4), (8,)))
    y = function(x, weight, bias, activation="silu")
    return y, functional.silu(functional.conv1d(functional.pad(x, (3, 0)), weight[:, None], bias, groups=8))


CAUSAL_CONV1D = VendorPackage("causal_conv1d", "causal_conv1d.causal_conv1d_fn", _try_causal_conv1d)
