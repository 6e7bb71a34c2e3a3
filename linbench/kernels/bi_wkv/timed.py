"""bi-WKV at Vision-RWKV's shapes, and true gradients that need no t × t matrix."""

from dataclasses import replace

import torch
from torch import Tensor

from linbench.kernels.bench_cases import Inputs, Sample, Timed
from linbench.kernels.bi_wkv import cost, reference
from linbench.kernels.bi_wkv.cases import CASES, Case
from linbench.kernels.bi_wkv.gated import gated_bi_wkv
from linbench.kernels.bi_wkv.op import bi_wkv

__all__ = ["TIMED", "cost"]

CHANNELS = 3
ROWS = 24
ROWS_AT_ONCE = 8


def sample(inputs: Inputs) -> Sample:
    """Gradients of y at some tokens of some channels of the last image, zero elsewhere, and what they make.

    inputs: Of bi_wkv, or with r of gated_bi_wkv.
    The backward is linear in them, so that the truth needs the equation at these tokens only, in float64.
    """
    v = inputs["v"]
    b, t, c = v.shape
    rows = torch.linspace(0, t - 1, min(t, ROWS), device=v.device).round().long().unique()
    channels = torch.linspace(0, c - 1, min(c, CHANNELS), device=v.device).round().long().unique()
    drawn = torch.randn(len(rows), len(channels), generator=torch.Generator().manual_seed(1)).to(v)
    gy = torch.zeros_like(v)
    gy[b - 1, rows[:, None], channels] = drawn
    parts = {
        name: (x if x.ndim == 1 else x[b - 1 :]).detach()[..., channels].double().requires_grad_()
        for name, x in inputs.items()
    }
    for part, g in zip(rows.split(ROWS_AT_ONCE), drawn.double().split(ROWS_AT_ONCE), strict=True):
        y = reference.bi_wkv(parts["w"], parts["u"], parts["k"], parts["v"], rows=part)
        gate = parts["r"][:, part].sigmoid() if "r" in parts else 1
        (gate * y).backward(g[None])
    return [gy], {name: _placed(inputs[name], part.grad, channels) for name, part in parts.items()}


def _placed(x: Tensor, grad: Tensor | None, channels: Tensor) -> Tensor:
    """The gradient of all of x: that of the channels in the last image at its place, zeros elsewhere."""
    assert grad is not None
    full = torch.zeros_like(x, dtype=torch.float64)
    (full if x.ndim == 1 else full[-1:])[..., channels] = grad
    return full


def _timed(case: Case) -> Timed:
    return Timed(
        bi_wkv,
        lambda dtype: dict(zip("wukv", case.inputs(dtype=dtype), strict=True)),
        *(case.b, case.t, case.c),
        sample=sample,
    )


def _gated(case: Case) -> Timed:
    def inputs(dtype: torch.dtype) -> Inputs:
        r = torch.randn(case.b, case.t, case.c, generator=torch.Generator().manual_seed(2)).to(dtype)
        return dict(zip("wukvr", [*case.inputs(dtype=dtype), r], strict=True))

    return Timed(gated_bi_wkv, inputs, case.b, case.t, case.c, sample=sample)


SHAPES = {
    "toy": CASES["ragged"],
    "8 of vrwkv-s at 224": CASES["vrwkv-s at 224"],
    "vrwkv-s at 1024": CASES["vrwkv-s at 1024"],
    "vrwkv-s at 4096": replace(CASES["vrwkv-s at 1024"], t=65536),
}
TIMED = {
    "bi_wkv": {name: _timed(case) for name, case in SHAPES.items()},
    "gated_bi_wkv": {name: _gated(case) for name, case in SHAPES.items()},
}
