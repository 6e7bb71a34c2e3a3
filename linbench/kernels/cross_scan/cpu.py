"""Cross-scan and cross-merge on the CPU: strided views of the four orders, copied and added row by row.

numpy's views may run backwards, which torch's may not, so that no reversed copy is needed.
"""

from typing import Any

import torch
from torch import Tensor

from linbench.kernels.threads import parallel_for

_BITS = {torch.bfloat16: torch.int16, torch.float16: torch.int16}


def cross_scan(x: Tensor, out: Tensor) -> Tensor:
    """Write the map x, ``b c h w``, to out, ``b 4 c (h w)``, of any strides, and return it."""
    source = _array(x)
    orders = _in_map_order(_array(out), x.shape[2], x.shape[3])

    def rows(start: int, stop: int) -> None:
        for i in range(start, stop):
            for order in orders:
                order[:, :, i] = source[:, :, i]

    if x.numel():
        parallel_for(rows, x.shape[2])
    return out


def cross_merge(ys: Tensor, out: Tensor) -> Tensor:
    """Write the sum of ys, ``b 4 c h w``, in map order to out, ``b c (h w)``, and return it."""
    b, _, c, h, w = ys.shape
    a0, a1, a2, a3 = _in_map_order(_array(ys).reshape(b, 4, c, h * w), h, w)
    target = _array(out).reshape(b, c, h, w)
    half = ys.dtype in _BITS

    def wide(row: Any) -> Any:
        return torch.from_numpy(row.copy()).view(ys.dtype).float().numpy() if half else row

    def rows(start: int, stop: int) -> None:
        for i in range(start, stop):
            row = wide(a0[:, :, i]) + wide(a2[:, :, i])
            row += wide(a1[:, :, i]) + wide(a3[:, :, i])
            target[:, :, i] = _array(torch.from_numpy(row).to(ys.dtype)) if half else row

    if ys.numel():
        parallel_for(rows, h)
    return out


def _array(x: Tensor) -> Any:
    """Return x as a numpy array, half precision as its bits."""
    return x.detach().view(_BITS.get(x.dtype, x.dtype)).numpy()


def _in_map_order(sequences: Any, h: int, w: int) -> list[Any]:
    """Return the four sequences, ``b 4 c (h w)``, as views ``b c h w`` in the order of the map's pixels."""
    b, _, c, _ = sequences.shape
    views = []
    for direction in range(4):
        sequence = sequences[:, direction, :, :: -1 if direction > 1 else 1]
        columns = direction % 2 == 1
        views.append(sequence.reshape(b, c, w, h).swapaxes(2, 3) if columns else sequence.reshape(b, c, h, w))
    return views
