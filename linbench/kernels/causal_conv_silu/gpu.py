"""Causal convolution and SiLU on a GPU: one kernel forward, one backward (Triton; letters: ``reference``).

A program takes a few tokens, in the order of reading, and channels; the k taps are reads of neighbouring rows, which
the cache serves. Backward it computes again the gradients of the k outputs that depend on a token, instead of storing
them. Sums over tokens are stored per program and added afterwards: no atomics.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.impl import Unsupported

# Chosen by what the compiler takes, and not yet measured on a GPU (tests/golden/triton_causal_conv_silu.json).
WARPS = 4
CHANNEL_LAST = {"TOKENS": 16, "CHANNELS": 64}
PLAIN = {"TOKENS": 128, "CHANNELS": 4}

unspecialised = triton.jit(do_not_specialize=["tokens", "token_blocks", "channel_blocks"])


@triton.jit
def _program(token_blocks, channel_blocks, TOKENS: tl.constexpr, CHANNELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the program's image, tokens and channels."""
    index = tl.program_id(0)
    channel = index % channel_blocks * CHANNELS + tl.arange(0, CHANNELS)
    token = index // channel_blocks % token_blocks * TOKENS + tl.arange(0, TOKENS)
    return (index // channel_blocks // token_blocks).to(tl.int64), token, channel


@triton.jit
def _where(token, tokens, channel, x_d, x_t, BACKWARD: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the offsets of tokens that are counted in the order of reading."""
    if BACKWARD:
        token = tokens - 1 - token
    return token.to(tl.int64)[:, None] * x_t + channel.to(tl.int64)[None, :] * x_d


@triton.jit
def _there(token, tokens, channel, channels):  # type: ignore[no-untyped-def]
    return ((token >= 0) & (token < tokens))[:, None] & (channel < channels)[None, :]


@triton.jit
def _read(x, token, tokens, channel, channels, x_d, x_t, BACKWARD: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return tokens in float32, ``t d``, 0 outside of the image."""
    where = x + _where(token, tokens, channel, x_d, x_t, BACKWARD)
    return tl.load(where, mask=_there(token, tokens, channel, channels), other=0.0).to(tl.float32)


@triton.jit
def _tap(weight, j: tl.constexpr, channel, channels, TAPS: tl.constexpr):  # type: ignore[no-untyped-def]
    return tl.load(weight + channel * TAPS + j, mask=channel < channels, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _convolved(  # type: ignore[no-untyped-def]
    x, weight, bias, token, tokens, channel, channels, x_d, x_t, TAPS: tl.constexpr, BACKWARD: tl.constexpr
):
    offset = tl.load(bias + channel, mask=channel < channels, other=0.0).to(tl.float32)[None, :]
    a = offset + tl.zeros([token.shape[0], channel.shape[0]], tl.float32)
    for j in tl.static_range(TAPS):
        seen = _read(x, token - (TAPS - 1 - j), tokens, channel, channels, x_d, x_t, BACKWARD)
        a += _tap(weight, j, channel, channels, TAPS) * seen
    return a


@unspecialised
def _forward(  # type: ignore[no-untyped-def]
    y, y_b, y_d, y_t, x, x_b, x_d, x_t, weight, bias, channels, tokens, token_blocks, channel_blocks,
    TAPS: tl.constexpr, BACKWARD: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write y, ``b d t``, from x, ``b d t``."""
    image, token, channel = _program(token_blocks, channel_blocks, TOKENS, CHANNELS)
    a = _convolved(x + image * x_b, weight, bias, token, tokens, channel, channels, x_d, x_t, TAPS, BACKWARD)
    where = y + image * y_b + _where(token, tokens, channel, y_d, y_t, False)
    tl.store(where, a / (1 + tl.exp(-a)), mask=_there(token, tokens, channel, channels))


@unspecialised
def _backward(  # type: ignore[no-untyped-def]
    gx, parts, o_b, o_d, o_t, gy, g_b, g_d, g_t, x, x_b, x_d, x_t, weight, bias,
    channels, tokens, token_blocks, channel_blocks,
    TAPS: tl.constexpr, BACKWARD: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Write gx, ``b d t``, and ``parts``, ``programs (k + 1) d``: a program's part of gweight and gbias."""
    image, token, channel = _program(token_blocks, channel_blocks, TOKENS, CHANNELS)
    x += image * x_b
    gy += image * g_b
    at = parts + (tl.program_id(0) // channel_blocks).to(tl.int64) * (TAPS + 1) * channels + channel
    known = channel < channels
    g = tl.zeros([TOKENS, CHANNELS], tl.float32)
    for later in tl.static_range(TAPS):
        a = _convolved(x, weight, bias, token + later, tokens, channel, channels, x_d, x_t, TAPS, BACKWARD)
        gate = 1 / (1 + tl.exp(-a))
        outer = _read(gy, token + later, tokens, channel, channels, g_d, g_t, False)
        ga = outer * gate * (1 + a * (1 - gate))
        g += _tap(weight, TAPS - 1 - later, channel, channels, TAPS) * ga
        if later == 0:
            for j in tl.static_range(TAPS):
                seen = _read(x, token - (TAPS - 1 - j), tokens, channel, channels, x_d, x_t, BACKWARD)
                tl.store(at + j * channels, tl.sum(ga * seen, 0), mask=known)
            tl.store(at + TAPS * channels, tl.sum(ga, 0), mask=known)
    where = gx + image * o_b + _where(token, tokens, channel, o_d, o_t, BACKWARD)
    tl.store(where, g, mask=_there(token, tokens, channel, channels))


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, backward: bool, y: Tensor) -> Tensor:
    """Fill y, ``b d t``, of any strides as x, and return it; arguments as of ``op``.

    Raises Unsupported for float64, ValueError for 2^30 tokens.
    """
    block, blocks = layout(x)
    if y.numel():
        with torch.cuda.device_of(x):
            _forward[(x.shape[0] * blocks[0] * blocks[1],)](
                y, *y.stride(), x, *x.stride(), weight.contiguous(), bias.contiguous(), *x.shape[1:], *blocks,
                TAPS=weight.shape[1], BACKWARD=backward, **block, num_warps=WARPS, enable_fp_fusion=True,
            )  # fmt: skip
    return y


def causal_conv_silu_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, backward: bool, gx: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Fill gx, ``b d t``; return it and the gradients of weight and bias. gy may have any strides."""
    block, blocks = layout(x)
    channels, taps = weight.shape
    parts = torch.empty((x.shape[0] * blocks[0], taps + 1, channels), dtype=torch.float32, device=x.device)
    if gx.numel():
        with torch.cuda.device_of(x):
            _backward[(x.shape[0] * blocks[0] * blocks[1],)](
                gx, parts, *gx.stride(), gy, *gy.stride(), x, *x.stride(), weight.contiguous(), bias.contiguous(),
                *x.shape[1:], *blocks, TAPS=taps, BACKWARD=backward, **block, num_warps=WARPS, enable_fp_fusion=True,
            )  # fmt: skip
    sums = parts.sum(0, dtype=torch.float64)
    return gx, sums[:-1].T.to(weight.dtype).contiguous(), sums[-1].to(bias.dtype)


def layout(x: Tensor) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return the block of a program, and how many there are along the tokens and along the channels."""
    if x.dtype == torch.float64:
        raise Unsupported("causal_conv_silu on a GPU computes in float32; for float64 use 'reference', or the CPU")
    if x.shape[2] >= 2**30:
        raise ValueError(f"there must be fewer than 2^30 tokens on a GPU, got {x.shape[2]}; split them up")
    block = CHANNEL_LAST if x.stride(1) == 1 else PLAIN
    return block, (triton.cdiv(x.shape[2], block["TOKENS"]), triton.cdiv(x.shape[1], block["CHANNELS"]))
