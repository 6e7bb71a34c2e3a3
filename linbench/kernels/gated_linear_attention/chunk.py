"""A chunk of sixteen tokens of one head: its rows, decays and products (letters: ``reference``).

Rows of a chunk are dense in scratch memory and padded to a multiple of sixteen with zeros, which change nothing: a
token of zeros with the decay 1. Every decay is a product of e^g at most 1: nothing overflows, nothing is divided.
"""

from typing import Any

from numba import njit
from numba.extending import overload

from linbench.kernels.simd import (
    DOUBLE,
    LANES,
    broadcast,
    double,
    floor,
    load,
    maximum,
    power_of_two,
    select_above,
    single,
    splat,
    store,
    total,
)

TOKENS = LANES  # of a chunk
ROWS = 8  # of a product that share a pass
jit = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
inline = {"forceinline": True, "error_model": "numpy"}


def padded(size: int) -> int:
    """Return ``size`` rounded up to whole vectors."""
    return -(-size // LANES) * LANES


def widened(x: Any) -> Any:
    """Return lanes as float64."""
    raise NotImplementedError


@overload(widened, inline="always", strict=False)
def _widened(x: Any) -> Any:
    return (lambda x: x) if x == DOUBLE else (lambda x: double(x))


def narrowed(x: Any, like: Any) -> Any:
    """Return float64 lanes in the type of the lanes ``like``."""
    raise NotImplementedError


@overload(narrowed, inline="always", strict=False)
def _narrowed(x: Any, like: Any) -> Any:
    return (lambda x, like: x) if like == DOUBLE else (lambda x, like: single(x))


@njit(**jit)
def load_rows(scratch: Any, width: int, source: Any, first: int, step: int, size: int, rows: int) -> None:
    """Copy ``rows`` rows of ``size`` numbers, ``step`` apart, and put zeros into the others."""
    vectors = size // LANES * LANES
    for i in range(rows):
        for j in range(0, vectors, LANES):
            store(scratch, i * width + j, load(source, first + i * step + j))
        for j in range(vectors, size):
            scratch[i * width + j] = source[first + i * step + j]
    for i in range(rows * width, TOKENS * width):
        scratch[i] = 0


@njit(**jit)
def add_rows(scratch: Any, width: int, out: Any, first: int, step: int, size: int, rows: int) -> None:
    """Add the first ``rows`` rows to those of ``out``."""
    vectors = size // LANES * LANES
    for i in range(rows):
        for j in range(0, vectors, LANES):
            at = first + i * step + j
            store(out, at, load(out, at) + load(scratch, i * width + j))
        for j in range(vectors, size):
            out[first + i * step + j] += scratch[i * width + j]


@njit(**inline)
def _exp(x: Any) -> Any:
    """Return e to the x in float64 within 1e-15, for x < 88; 0 for x < -87."""
    n = floor(x * splat(1.4426950408889634) + splat(0.5))
    r = x - n * splat(0.6931471803691238)
    r = r - n * splat(1.9082149292705877e-10)
    p = splat(1.6059043836821613e-10)  # 1 / 13!, and so on: the series on [-ln2/2, ln2/2]
    p = p * r + splat(2.08767569878681e-09)
    p = p * r + splat(2.505210838544172e-08)
    p = p * r + splat(2.755731922398589e-07)
    p = p * r + splat(2.7557319223985893e-06)
    p = p * r + splat(2.48015873015873e-05)
    p = p * r + splat(0.0001984126984126984)
    p = p * r + splat(0.001388888888888889)
    p = p * r + splat(0.008333333333333333)
    p = p * r + splat(0.041666666666666664)
    p = p * r + splat(0.16666666666666666)
    p = p * r + splat(0.5)
    p = p * r + splat(1.0)
    p = p * r + splat(1.0)
    p = p * double(power_of_two(maximum(n, splat(-126.0))))
    return select_above(x, splat(-87.0), p, splat(0.0))


@njit(**jit)
def decays(g: Any, gate: Any, whole: Any, width: int) -> None:
    """Write gate = e^g of each token, and the whole chunk's e^Σg in float64.

    The whole is not the product of the gates: their rounding would repeat from chunk to chunk.
    """
    for j in range(0, width, LANES):
        x = splat(0.0)
        for i in range(TOKENS):
            row = load(g, i * width + j)
            x = x + widened(row)
            store(gate, i * width + j, narrowed(_exp(widened(row)), row))
        store(whole, j, _exp(x))


@njit(**jit)
def running(gate: Any, one: Any, before: Any, after: Any, width: int, reads_itself: bool) -> None:
    """Write the decay from the chunk's start to each token, or to the one before, and from it to the chunk's end."""
    for j in range(0, width, LANES):
        x = load(one, 0)
        for i in range(TOKENS):
            decayed = x * load(gate, i * width + j)
            store(before, i * width + j, decayed if reads_itself else x)
            x = decayed
        x = load(one, 0)
        for i in range(TOKENS):
            at = (TOKENS - 1 - i) * width + j
            store(after, at, x)
            x = x * load(gate, at)


@njit(**jit)
def multiply(x: Any, other: Any) -> None:
    """Multiply the numbers of x by those of ``other``."""
    for j in range(0, x.size, LANES):
        store(x, j, load(x, j) * load(other, j))


@njit(**jit)
def advance(state: Any, whole: Any, local: Any, entering: Any, rows: int, size: int, decays_rows: bool) -> None:
    """Decay a state, ``rows size``, over a chunk, add the chunk's own part, and write it rounded to ``entering``.

    decays_rows: Whether the keys are the rows of the state, else its columns.
    """
    for i in range(rows):
        for j in range(0, size, LANES):
            at = i * size + j
            own = load(local, at)
            decay = broadcast(whole, i) if decays_rows else load(whole, j)
            x = decay * load(state, at) + widened(own)
            store(state, at, x)
            store(entering, at, narrowed(x, own))


@njit(**jit)
def scores(
    q: Any, k: Any, gate: Any, own: Any, reach: Any, zero: Any, out: Any, width: int, reads_itself: bool
) -> None:
    """Write the weight of each token s for each token t >= s of the chunk, ``t s``; zeros elsewhere stay.

    own: Weight of the current token, ``k``.  reach: Scratch, ``k``: the key of s, decayed up to t.
    """
    for s in range(TOKENS):
        x = load(zero, 0)
        for j in range(0, width, LANES):
            key = load(k, s * width + j)
            store(reach, j, key)
            x = x + key * load(own, j) * load(q, s * width + j)
        out[s * TOKENS + s] = total(x)
        for t in range(s + 1, TOKENS):
            x = load(zero, 0)
            for j in range(0, width, LANES):
                key = load(reach, j)
                decayed = key * load(gate, t * width + j)
                x = x + (decayed if reads_itself else key) * load(q, t * width + j)
                store(reach, j, decayed)
            out[t * TOKENS + s] = total(x)


@njit(**inline)
def _product_of_rows(
    a: Any, at: int, row: int, column: int, b: Any, b_at: int, depth: int, out: Any, to: int, size: int
) -> None:
    """Add eight rows of a times a vector's width of b to ``out``."""
    x0, x1, x2, x3 = load(out, to), load(out, to + size), load(out, to + 2 * size), load(out, to + 3 * size)
    to4 = to + 4 * size
    x4, x5, x6, x7 = load(out, to4), load(out, to4 + size), load(out, to4 + 2 * size), load(out, to4 + 3 * size)
    for d in range(depth):
        y = load(b, b_at + d * size)
        i = at + d * column
        x0 = x0 + broadcast(a, i) * y
        x1 = x1 + broadcast(a, i + row) * y
        x2 = x2 + broadcast(a, i + 2 * row) * y
        x3 = x3 + broadcast(a, i + 3 * row) * y
        x4 = x4 + broadcast(a, i + 4 * row) * y
        x5 = x5 + broadcast(a, i + 5 * row) * y
        x6 = x6 + broadcast(a, i + 6 * row) * y
        x7 = x7 + broadcast(a, i + 7 * row) * y
    store(out, to, x0)
    store(out, to + size, x1)
    store(out, to + 2 * size, x2)
    store(out, to + 3 * size, x3)
    store(out, to4, x4)
    store(out, to4 + size, x5)
    store(out, to4 + 2 * size, x6)
    store(out, to4 + 3 * size, x7)


@njit(**jit)
def add_product(a: Any, row: int, column: int, b: Any, out: Any, rows: int, depth: int, size: int) -> None:
    """Add a b to ``out``, ``rows size``; b is ``depth size``, and a lies with the strides ``row`` and ``column``."""
    for i in range(0, rows, ROWS):
        for j in range(0, size, LANES):
            _product_of_rows(a, i * row, row, column, b, j, depth, out, i * size + j, size)


@njit(**jit)
def transpose(x: Any, out: Any, rows: int, size: int) -> None:
    """Write the transpose of x, ``rows size``."""
    for i in range(rows):
        for j in range(size):
            out[j * rows + i] = x[i * size + j]
