"""A sample of a selective scan against the recurrence in float64: cheap enough to gate a measurement."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def verify(args: Sequence[Any], outputs: Sequence[Tensor], channels: Sequence[int] | None = None) -> float:
    """Return the largest error of y and of the last state on some channels, as a share of the largest truth.

    args: The operator's inputs as the dispatcher passes them: u, delta, A, B, C, scale, D, z, delta_bias,
        delta_softplus.
    outputs: y and the last state.
    channels: Which to check, in the first and the last image; four spread ones unless given.
    """
    *tensors, delta_softplus = args
    batch, width = tensors[0].shape[:2]
    if not tensors[0].numel():
        return 0.0
    on_cpu: list[Any] = [x if x is None else x.cpu() for x in tensors]  # the recurrence runs there
    u, delta, A, B, C, scale, D, z, delta_bias = on_cpu
    outputs = [y.cpu() for y in outputs]
    picked = torch.tensor(sorted({0, width // 3, 2 * width // 3, width - 1} if channels is None else channels))
    group = picked // (width // B.shape[1])
    worst = 0.0
    for i in sorted({0, batch - 1}):
        step = delta[i, picked].double()
        if delta_bias is not None:
            step = step + delta_bias[picked, None].double()
        step = torch.nn.functional.softplus(step) if delta_softplus else step
        x = u[i, picked].double()
        b, c = (p[i][group].double() for p in (B, C))  # channel n t
        c = c if scale is None else c * scale[picked, :, None].double()
        y, last = _recurrence(x, step, A[picked].double(), b, c)
        y = y if D is None else y + D[picked, None].double() * x
        y = y if z is None else y * torch.nn.functional.silu(z[i, picked].double())
        for found, truth in ((outputs[0], y), (outputs[1], last)):
            error = (found[i, picked].double() - truth).abs().max() / truth.abs().max().clamp_min(1e-300)
            worst = max(worst, float(error.nan_to_num(nan=float("inf"))))
    return worst


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
