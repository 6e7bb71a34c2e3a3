"""Inputs of the selective scan, tested and timed alike."""

from typing import Any

import torch
from torch import Tensor


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
    """Arguments of ``selective_scan`` in the models' layout: channel-last memory seen as ``b d t``.

    groups: None for B and C of ``b n t``.  step: Middle of delta_bias; softplus(-3) is 0.05.
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
    """One direction of a Vim-S block."""
    return inputs(1, 768, 16, tokens, dtype=dtype)


def vmamba_s(tokens: int = 4096, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """The four directions of VMamba-S's first stage."""
    return inputs(1, 4 * 192, 1, tokens, groups=4, gate=False, dtype=dtype)


def small() -> dict[str, dict[str, Any]]:
    """Odd and extreme inputs, each of few tokens."""
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
