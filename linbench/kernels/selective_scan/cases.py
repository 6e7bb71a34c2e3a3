"""Inputs of the selective scan, tested and timed alike, and true gradients from a few channels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.bench_cases import BenchCase, Inputs, TrueGradients, leaves
from linbench.kernels.selective_scan.op import MAMBA_SSM, selective_scan


def inputs(
    batch: int,
    channels: int,
    states: int,
    tokens: int,
    groups: int | None = None,
    *,
    gate: bool = True,
    step: float = -3.0,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Return arguments of ``selective_scan`` in the models' layout: channel-last memory viewed as ``b d t``.

    groups: ``None`` for B and C of ``b n t``.  step: Mean of delta_bias; softplus(-3) is 0.05.
    """
    generator = torch.Generator().manual_seed(channels * tokens + states)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    projection = (batch, tokens, states) if groups is None else (batch, tokens, groups, states)
    return {
        "u": normal(batch, tokens, channels).to(dtype).transpose(1, 2),
        "delta": (0.5 * normal(batch, tokens, channels)).to(dtype).transpose(1, 2),
        "A": -torch.arange(1.0, states + 1).repeat(channels, 1) * (0.1 * normal(channels, states)).exp(),
        "B": normal(*projection).to(dtype).movedim(1, -1),
        "C": normal(*projection).to(dtype).movedim(1, -1),
        "D": normal(channels),
        "z": normal(batch, tokens, channels).to(dtype).transpose(1, 2) if gate else None,
        "delta_bias": step + normal(channels),
        "delta_softplus": True,
    }


def vim_s(tokens: int = 4096, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Return the arguments of one direction of a Vim-S block."""
    return inputs(1, 768, 16, tokens, dtype=dtype)


def vmamba_s(tokens: int = 4096, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Return the arguments of the four directions of VMamba-S's first stage."""
    return inputs(1, 4 * 192, 1, tokens, groups=4, gate=False, dtype=dtype)


def small() -> dict[str, dict[str, Any]]:
    """Return unusual and extreme inputs by name, each of few tokens."""
    spike = inputs(1, 20, 5, 64)
    spike["u"][:, :, 20] = 1e4
    forgetful = inputs(1, 70, 4, 50)
    forgetful["A"] = 1e6 * forgetful["A"]
    growing = inputs(1, 66, 4, 12, gate=False)
    growing["A"] = -0.1 * growing["A"]
    mixed = inputs(1, 64, 8, 40)
    mixed["A"][::2] *= 1e3
    signed = inputs(1, 40, 4, 30, step=0.0)
    signed["delta"] = 0.1 * signed["delta"]
    signed["delta_bias"] = None
    signed["delta_softplus"] = False
    return {
        "toy": inputs(2, 6, 3, 9),
        "one token": inputs(2, 5, 4, 1),
        "ragged": inputs(2, 3 * 71, 7, 37, groups=3),
        "one state": inputs(1, 130, 1, 45, groups=2, gate=False),
        "many states": inputs(1, 5, 256, 11),
        "one channel a group": inputs(1, 4, 2, 13, groups=4),
        "big steps": inputs(1, 64, 16, 40, step=30.0),
        "tiny steps": inputs(1, 64, 16, 120, step=-12.0),
        "spike": spike,
        "forgets at once": forgetful,
        "growing state": growing,
        "some channels forget": mixed,
        "steps of both signs": signed,
    }


def sample_gradients(inputs: Inputs) -> TrueGradients:
    """Return gradients of y in some channels, zero elsewhere, and every input's true gradient for them.

    Channels meet in B and C alone, to which the others then add nothing: the recurrence of these channels, in
    float64, is the whole truth.
    """
    u, wide = inputs["u"], leaves(inputs, torch.float64)
    width = u.shape[1]
    channels = torch.tensor(sorted({0, width // 3, 2 * width // 3, width - 1}), device=u.device)
    y = _scan_channels(wide, channels)
    drawn = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(u.dtype)
    y.backward(drawn.double())
    gy = torch.zeros_like(u)
    gy[:, channels] = drawn.to(u.device)
    return [gy], {name: x.grad for name, x in wide.items() if isinstance(x, Tensor) and x.grad is not None}


def _scan_channels(inputs: Inputs, channels: Tensor) -> Tensor:
    """Return y of some channels, on the CPU, differentiable in time linear in t.

    The equation of ``reference``, with all but the state's own step taken out of the loop over the tokens.
    """
    u, delta, z = (None if inputs[name] is None else inputs[name][:, channels].cpu() for name in ("u", "delta", "z"))
    A, D, bias = (None if inputs[name] is None else inputs[name][channels].cpu() for name in ("A", "D", "delta_bias"))
    assert u is not None and delta is not None and A is not None
    delta = delta if bias is None else delta + bias[:, None]
    delta = functional.softplus(delta) if inputs["delta_softplus"] else delta
    B, C = (_per_channel(inputs[name], channels, inputs["u"].shape[1]).cpu() for name in "BC")  # b d n t
    decay, drive = torch.exp(delta[:, :, None] * A[..., None]), (delta * u)[:, :, None] * B
    states = []
    h = torch.zeros_like(drive[..., 0])
    for a, x in zip(decay.unbind(-1), drive.unbind(-1), strict=True):
        h = torch.addcmul(x, a, h)
        states.append(h)
    y = (C * torch.stack(states, dim=-1)).sum(2)
    y = y if D is None else y + D[:, None] * u
    return y if z is None else y * functional.silu(z)


def _per_channel(x: Tensor, channels: Tensor, width: int) -> Tensor:
    """Return B or C, ``b n t`` or ``b g n t``, for each of ``channels``: ``b d n t``."""
    grouped = x if x.ndim == 4 else x[:, None]
    return grouped[:, channels // (width // grouped.shape[1])]


def _bench_case(make_inputs: Callable[[torch.dtype], Inputs], width: int, tokens: int, batch: int = 1) -> BenchCase:
    return BenchCase(
        selective_scan, make_inputs, batch, tokens, width, sample_gradients, has_vendor=MAMBA_SSM.is_installed
    )


#: At Vim's and VMamba's shapes.
BENCH_CASES = {
    "selective_scan": {
        "toy": _bench_case(lambda dtype: inputs(2, 6, 3, 9, dtype=dtype), 6, 9, batch=2),
        "vim-s at 1024": _bench_case(lambda dtype: vim_s(4096, dtype), 768, 4096),
        "vim-s at 4096": _bench_case(lambda dtype: vim_s(65536, dtype), 768, 65536),
        "vmamba-s at 256": _bench_case(lambda dtype: vmamba_s(4096, dtype), 768, 4096),
        "vmamba-s at 1024": _bench_case(lambda dtype: vmamba_s(65536, dtype), 768, 65536),
    }
}
