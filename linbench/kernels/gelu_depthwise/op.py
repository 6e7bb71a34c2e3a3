"""The depthwise convolution between two GELUs as a torch operator: checks, dispatch, autograd, FLOPs and bytes.

Memory: the output is channel-last, ``b h w c``, as RWKV-SAM's maps are; an input that is not is copied.

The kernel is for CPUs, where three passes over a map of hundreds of megabytes cost more than their arithmetic. On a
GPU a program would compute the GELU of each pixel anew for almost each of the nine outputs around it; by count of
instructions that gains nothing over torch's three operators, so those run there.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import register_flop_formula

from linbench.kernels.gelu_depthwise import reference
from linbench.kernels.gelu_depthwise.reference import output_shape
from linbench.kernels.impl import Impl, is_reference
from linbench.kernels.operators import byte_formula, tensor_bytes
from linbench.shapes import check

TAPS = 9


def gelu_depthwise(
    x: Tensor, weight: Tensor, bias: Tensor, *, stride: int = 1, impl: Impl | str = Impl.FAST
) -> Tensor:
    """Return the GELU of each channel's 3 × 3 convolution of x's GELU, ``b c ceil(h/s) ceil(w/s)``, of x's dtype.

    x: Map, ``b c h w``, fastest where it is channel-last in memory; outside of it there are zeros.
    weight: ``c 1 3 3``, as in a depthwise ``Conv2d``.  bias: ``c``.
    stride: 1 or 2.
    impl: ``fast`` is one kernel on the CPU, in float32 (float64 for float64), and torch's operators, in x's dtype, on
        other devices; ``reference`` is the equation.
    Raises ValueError on arguments that break the contract, Unsupported for ``vendor``.
    Source: arXiv 2406.19369, section 3.1.
    """
    dims = check(x=(x, "b c h w"))
    check(dims, weight=(weight, "c 1 3 3"), bias=(bias, "c"))
    if stride not in (1, 2):
        raise ValueError(f"stride must be 1 or 2, got {stride}")
    if is_reference(impl, "gelu_depthwise"):
        return reference.gelu_depthwise(x, weight, bias, stride)
    return _gelu_depthwise(x, weight, bias, stride)


@torch.library.custom_op("linbench::gelu_depthwise", mutates_args=())
def _gelu_depthwise(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    a = functional.gelu(x)
    u = functional.conv2d(a, weight, bias, stride, padding=1, groups=len(weight))
    return empty_output(x, stride).copy_(functional.gelu(u))


@_gelu_depthwise.register_kernel("cpu")
def _(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    from linbench.kernels.gelu_depthwise import cpu  # numba is imported where the CPU kernel first runs

    return cpu.gelu_depthwise(x, weight, bias, stride, empty_output(x, stride))


@torch.library.custom_op("linbench::gelu_depthwise_backward", mutates_args=())
def _gelu_depthwise_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Run torch's operators one after another, on any device; the map between them is computed anew, not stored."""
    wide = torch.promote_types(x.dtype, torch.float32)
    if not gy.numel():
        return torch.zeros_like(x), torch.zeros_like(weight), torch.zeros_like(bias)
    wide_x, kernel = x.to(wide), weight.to(wide)
    a = functional.gelu(wide_x)
    convolution = ([stride, stride], [1, 1], [1, 1], False, [0, 0], len(weight))
    u = torch.ops.aten.convolution(a, kernel, bias.to(wide), *convolution)
    gu = torch.ops.aten.gelu_backward(gy.to(wide), u)
    mask = [True, True, True]
    ga, gweight, gbias = torch.ops.aten.convolution_backward(gu, a, kernel, [len(weight)], *convolution, mask)
    gx = torch.ops.aten.gelu_backward(ga, wide_x)
    return torch.empty_like(x).copy_(gx), gweight.to(weight.dtype).contiguous(), gbias.to(bias.dtype)


def empty_output(x: Tensor, stride: int) -> Tensor:
    """Return an empty output for x, channel-last in memory."""
    b, c, h, w = output_shape(x.shape, stride)
    return x.new_empty(b, h, w, c).permute(0, 3, 1, 2)


@_gelu_depthwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    return empty_output(x, stride)


@_gelu_depthwise_backward.register_fake
def _(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), weight.new_empty(weight.shape), bias.new_empty(bias.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.stride = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, gy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
    return *_gelu_depthwise_backward(gy, *ctx.saved_tensors, ctx.stride), None


_gelu_depthwise.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.linbench.gelu_depthwise)
def flops(x: list[int], weight: list[int], bias: list[int], stride: int, **_: object) -> int:
    """Return 2 per output pixel, channel and weight, as torch counts a convolution; it counts no bias and no GELU."""
    return 2 * TAPS * output_shape(torch.Size(x), stride).numel()


@register_flop_formula(torch.ops.linbench.gelu_depthwise_backward)
def backward_flops(gy: list[int], x: list[int], weight: list[int], bias: list[int], stride: int, **_: object) -> int:
    """Return three times the forward's: the convolution again, and one each for the gradients of x and weight."""
    return 3 * flops(x, weight, bias, stride)


@byte_formula("linbench::gelu_depthwise")
def forward_bytes(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> int:
    """Count x and the parameters in, y out."""
    return tensor_bytes(x, weight, bias) + output_shape(x.shape, stride).numel() * x.element_size()


@byte_formula("linbench::gelu_depthwise_backward")
def backward_bytes(gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: object) -> int:
    """Count the output's gradient, x and the parameters in; the gradients of x and of the parameters out."""
    return tensor_bytes(gy, x, weight, bias) + tensor_bytes(x, weight, bias)
