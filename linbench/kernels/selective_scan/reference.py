"""The selective scan of Mamba as its recurrence (arXiv 2312.00752, eq. 2 and algorithm 2; S6).

    delta ← softplus(delta + delta_bias)                      where delta_softplus
    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,  h_{-1} = 0
    y_t = sum_n C_{t,n} h_{t,n} + D u_t,   y ← y · silu(z)

A: state matrix, ``d n``, negative.  B, C: input and output projections of the state, ``b n t``, grouped
``b g n t`` (channel i uses group i // (d / g)) or constant ``d n``.  D: skip, ``d``.  z: gate.
B is discretised as delta·B, not by the exact zero-order hold: so do the official kernels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from linbench.kernels.operators import relative_error, verifies


class ScanInputs(NamedTuple):
    """The inputs of the operator ``linbench::selective_scan``, in its order.

    B and C are grouped, ``b g n t``; ``scale``, ``d n``, is the product of those that are constant, or ``None``.
    The others are those of ``selective_scan``.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    scale: Tensor | None
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool


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
) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t``, and the last state, ``b d n``, by a loop over t; half inputs in float32."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    wide_u, delta, A = u.to(dtype), delta.to(dtype), A.to(dtype)
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = torch.nn.functional.softplus(delta)
    B, C = per_channel(B.to(dtype), u), per_channel(C.to(dtype), u)
    h = wide_u.new_zeros(u.shape[0], u.shape[1], A.shape[1])  # b d n
    ys = []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        h = torch.exp(step * A) * h + step * B[..., t] * wide_u[:, :, t, None]
        ys.append((h * C[..., t]).sum(-1))
    y = torch.stack(ys, dim=2) if ys else wide_u.new_zeros(u.shape)
    if D is not None:
        y = y + D.to(dtype)[:, None] * wide_u
    if z is not None:
        y = y * torch.nn.functional.silu(z.to(dtype))
    return y.to(u.dtype), h


def per_channel(B: Tensor, u: Tensor) -> Tensor:
    """Return B (or C) as ``b d n t``: one view for the plain, the grouped and the constant layout."""
    batch, channels, tokens = u.shape
    if B.ndim == 2:  # d n
        return B[None, :, :, None].expand(batch, -1, -1, tokens)
    grouped = B[:, None] if B.ndim == 3 else B  # b g n t
    return grouped.repeat_interleave(channels // grouped.shape[1], dim=1)


@verifies("linbench::selective_scan")
def verify(arguments: Sequence[Any], outputs: Sequence[Tensor], channels: Sequence[int] | None = None) -> float:
    """Return the largest relative error of y and of the last state on some channels; infinity for a NaN.

    arguments: The fields of ``ScanInputs``.  outputs: y and the last state.
    channels: To check, in the first and the last image; by default four, evenly spread.
    The truth is the recurrence in float64, on the CPU.
    """
    batch, width = arguments[0].shape[:2]
    if not arguments[0].numel():
        return 0.0
    inputs = ScanInputs._make(x.cpu() if isinstance(x, Tensor) else x for x in arguments)
    chosen = torch.tensor(sorted({0, width // 3, 2 * width // 3, width - 1} if channels is None else channels))
    worst = 0.0
    for image in sorted({0, batch - 1}):
        for output, truth in zip(outputs, _scan_channels(inputs, image, chosen), strict=True):
            worst = max(worst, relative_error(output.cpu()[image, chosen], truth))
    return worst


def _scan_channels(inputs: ScanInputs, image: int, channels: Tensor) -> tuple[Tensor, Tensor]:
    """Return y, ``channel t``, and the last state, ``channel n``, of some channels of an image in float64."""
    u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus = inputs
    group = channels // (u.shape[1] // B.shape[1])
    step = delta[image, channels].double()
    if delta_bias is not None:
        step = step + delta_bias[channels, None].double()
    step = torch.nn.functional.softplus(step) if delta_softplus else step
    x = u[image, channels].double()
    b, c = (p[image][group].double() for p in (B, C))  # channel n t
    c = c if scale is None else c * scale[channels, :, None].double()
    y, last = _recurrence(x, step, A[channels].double(), b, c)
    y = y if D is None else y + D[channels, None].double() * x
    y = y if z is None else y * torch.nn.functional.silu(z[image, channels].double())
    return y, last


def _recurrence(x: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Return sum_n C h, ``channel t``, and the last h, for B and C of each channel, ``channel n t``."""
    h = np.zeros(A.shape)
    ys = np.empty((x.shape[1], x.shape[0]))
    steps, rates = step.T[:, :, None].numpy(), A.numpy()
    drives = np.ascontiguousarray((step * x).T[:, :, None])
    bs, cs = (np.ascontiguousarray(p.permute(2, 0, 1)) for p in (B, C))
    for t in range(len(ys)):
        h *= np.exp(steps[t] * rates)
        h += drives[t] * bs[t]
        ys[t] = (h * cs[t]).sum(-1)
    return torch.from_numpy(ys.T.copy()), torch.from_numpy(h)
