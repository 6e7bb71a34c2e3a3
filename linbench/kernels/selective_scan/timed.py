"""The selective scan at Vim's and VMamba's shapes, and true gradients that take a few channels only."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels import vendor
from linbench.kernels.bench_cases import Inputs, Sample, Timed, leaves
from linbench.kernels.selective_scan import cost
from linbench.kernels.selective_scan.cases import inputs, vim_s, vmamba_s
from linbench.kernels.selective_scan.op import selective_scan

__all__ = ["TIMED", "cost"]


def sample(given: Inputs) -> Sample:
    """Gradients of y in some channels, zero elsewhere, and what they make of every input.

    Channels meet in B and C alone, to which the others then add nothing: the recurrence of these channels, in
    float64, is the whole truth.
    """
    u, wide = given["u"], leaves(given, torch.float64)
    width = u.shape[1]
    picked = torch.tensor(sorted({0, width // 3, 2 * width // 3, width - 1}), device=u.device)
    y = recurrence(wide, picked)
    drawn = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(u.dtype)
    y.backward(drawn.double())
    gy = torch.zeros_like(u)
    gy[:, picked] = drawn.to(u.device)
    return [gy], {name: x.grad for name, x in wide.items() if isinstance(x, Tensor) and x.grad is not None}


def recurrence(given: Inputs, picked: Tensor) -> Tensor:
    """Return y of the channels ``picked``, on the CPU, differentiable in time linear in t.

    The equation of ``reference``, all of it but the state's own step taken out of the loop over the tokens.
    """
    u, delta, z = (None if given[name] is None else given[name][:, picked].cpu() for name in ("u", "delta", "z"))
    A, D, bias = (None if given[name] is None else given[name][picked].cpu() for name in ("A", "D", "delta_bias"))
    assert u is not None and delta is not None and A is not None
    delta = delta if bias is None else delta + bias[:, None]
    delta = functional.softplus(delta) if given["delta_softplus"] else delta
    B, C = (_of_channels(given[name], picked, given["u"].shape[1]).cpu() for name in "BC")  # b d n t
    decay, drive = torch.exp(delta[:, :, None] * A[..., None]), (delta * u)[:, :, None] * B
    states = []
    h = torch.zeros_like(drive[..., 0])
    for a, x in zip(decay.unbind(-1), drive.unbind(-1), strict=True):
        h = torch.addcmul(x, a, h)
        states.append(h)
    y = (C * torch.stack(states, dim=-1)).sum(2)
    y = y if D is None else y + D[:, None] * u
    return y if z is None else y * functional.silu(z)


def _of_channels(x: Tensor, picked: Tensor, width: int) -> Tensor:
    """B or C, ``b n t`` or ``b g n t``, as each picked channel sees it, ``b d n t``."""
    grouped = x if x.ndim == 4 else x[:, None]
    return grouped[:, picked // (width // grouped.shape[1])]


def _timed(make: Callable[[torch.dtype], Inputs], width: int, tokens: int, batch: int = 1) -> Timed:
    return Timed(selective_scan, make, batch, tokens, width, sample, vendor.has_selective_scan)


TIMED = {
    "selective_scan": {
        "toy": _timed(lambda dtype: inputs(2, 6, 3, 9, dtype=dtype), 6, 9, batch=2),
        "vim-s at 1024": _timed(lambda dtype: vim_s(4096, dtype), 768, 4096),
        "vim-s at 4096": _timed(lambda dtype: vim_s(65536, dtype), 768, 65536),
        "vmamba-s at 256": _timed(lambda dtype: vmamba_s(4096, dtype), 768, 4096),
        "vmamba-s at 1024": _timed(lambda dtype: vmamba_s(65536, dtype), 768, 65536),
    }
}
