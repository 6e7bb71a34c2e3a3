"""Q-Shift on any device: five copies between slices, each element of the output written once.

Slices are copied along whole runs of channels, at the speed of memory; no map of zeros is made first.
"""

from torch import Tensor

Moves = list[tuple[slice, int, int]]


def moves(c: int, shift_pixel: int, gamma: float) -> Moves:
    """Return the channel ranges and their motion in (rows, columns): right, left, down, up, and none."""
    p = shift_pixel
    cuts = [int(c * gamma * j) for j in range(5)]
    ranges = [slice(a, b) for a, b in zip(cuts, [*cuts[1:], c], strict=True)]
    return [(r, *d) for r, d in zip(ranges, [(0, p), (0, -p), (p, 0), (-p, 0), (0, 0)], strict=True)]


def shift(x: Tensor, grid: tuple[int, int], moves: Moves) -> Tensor:
    """Return x, ``b (h w) c``, with each range of channels moved, and zeros where a pixel has no neighbour."""
    h, w = grid
    y = x.new_empty(x.shape)
    source, target = x.unflatten(1, grid), y.unflatten(1, grid)  # b h w c
    for channels, down, right in moves:
        into, out = target[..., channels], source[..., channels]
        fill_rows, rows_to, rows_from = _spans(h, down)
        fill_columns, columns_to, columns_from = _spans(w, right)
        into[:, rows_to, columns_to] = out[:, rows_from, columns_from]
        into[:, fill_rows] = 0
        into[:, rows_to, fill_columns] = 0
    return y


def _spans(size: int, by: int) -> tuple[slice, slice, slice]:
    """Return, for a motion by ``by`` along an axis: the part that becomes zero, the target and its source."""
    if by >= 0:
        n = min(by, size)
        return slice(0, n), slice(n, size), slice(0, size - n)
    n = min(-by, size)
    return slice(size - n, size), slice(0, size - n), slice(n, size)
