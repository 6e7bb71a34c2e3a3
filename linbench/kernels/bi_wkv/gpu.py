"""bi-WKV in Triton, parallel over chunks of tokens (equation and letters: ``reference``; backward: ``gpu_backward``).

Three phases: the sums of each chunk; a scan over the chunks, which leaves P and S, the sums over the tokens before
and after each chunk; the outputs of each chunk, with their gate where there is one. Three things keep the error near
1e-6 for any w, k and t:

- every sum is x 2^e with a whole e: keys, decays and bonuses are split into a whole power of two and a rest below
  one, so that rescaling is exact and no rounding repeats from token to token or from chunk to chunk;
- the rest of a decay is multiplied by the distance inside a chunk only; from chunk to chunk it is split in float64;
- exclusive sums come from loads shifted by one row, not from a subtraction, and P and S enter a chunk as the
  tokens before its first and after its last.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.impl import Unsupported

# Chosen by what the compiler takes, and not yet measured on a GPU: gradients spill nothing in tiles of this size.
# Registers per thread on sm_90, Triton 3.9, float32 (tests/golden/triton_bi_wkv.json holds all): key_sums 48,
# _gradient_sums 56, _scan 143, _outputs 72, _gradients 145. With 32 channels or 64 tokens _gradients needs 255 and
# spills.
CHUNK = 32  # tokens
CHANNELS = 16
SCANNED = 64  # chunks of one step of the scan over chunks
WARPS = 4

_NOTHING = tl.constexpr(-1e30)  # the exponent of an empty sum
_LOG2E = tl.constexpr(1.4426950408889634)
_LN2 = tl.constexpr(0.6931471805599453)
_LN2_HIGH = tl.constexpr(0.693359375)  # few bits: a whole number times it is exact
_LN2_LOW = tl.constexpr(-2.12194440054690583e-4)
_LARGE = tl.constexpr(1e6)  # keys beyond have no digits left below one


@triton.jit
def split(x):  # type: ignore[no-untyped-def]
    """Return e and f with e^x = 2^(e + f), e an integer, |f| <= 1/2."""
    e = tl.floor(x * _LOG2E + 0.5)
    f = ((x - e * _LN2_HIGH) - e * _LN2_LOW) * _LOG2E
    return tl.maximum(e, _NOTHING), tl.where(tl.abs(x) >= _LARGE, 0.0, f)  # NaN stays in f


@triton.jit
def sigmoid(x):  # type: ignore[no-untyped-def]
    """Return 1 / (1 + e^-x)."""
    return 1 / (1 + tl.exp(-x))


@triton.jit
def _split_wide(x):  # type: ignore[no-untyped-def]
    """Split like ``split``, in float64, for decays over many tokens."""
    x = x * _LOG2E
    e = tl.floor(x + 0.5)
    return e.to(tl.float32), (x - e).to(tl.float32)


@triton.jit
def add(e, x, y, other_e, other_x, other_y):  # type: ignore[no-untyped-def]
    """Return (x, y) 2^e + (other_x, other_y) 2^other_e."""
    smaller = tl.exp2(-tl.abs(e - other_e))
    a = tl.where(e < other_e, smaller, 1.0)
    b = tl.where(e < other_e, 1.0, smaller)
    return tl.maximum(e, other_e), x * a + other_x * b, y * a + other_y * b


@triton.jit
def load(x, at, stride_t, stride_c, token, channel, t, c):  # type: ignore[no-untyped-def]
    """Return an image's tokens and channels as float32, 0 outside; every term of the address is int64."""
    there = (token >= 0) & (token < t) & (channel < c)
    return tl.load(x + at + token * stride_t + channel * stride_c, mask=there, other=0.0).to(tl.float32)


@triton.jit
def load_split(x, at, stride_t, stride_c, token, channel, t, c, SIGN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the tokens' keys, times SIGN, split by ``split``; empty sums where there is no token."""
    e, f = split(SIGN * load(x, at, stride_t, stride_c, token, channel, t, c))
    return tl.where((token >= 0) & (token < t), e, _NOTHING), f


@triton.jit
def decay(w, channel, c):  # type: ignore[no-untyped-def]
    """Return w, split by ``_split_wide``."""
    return _split_wide(tl.load(w + channel, mask=channel < c, other=0.0).to(tl.float64))


@triton.jit
def _store_sum(sums, at, part, there, e, f, x, y):  # type: ignore[no-untyped-def]
    """Write the sum over the rows of (x, y) 2^(e + f) as its exponent and two numbers."""
    top = tl.max(e, 0)[None, :]
    weight = tl.exp2((e - top) + f)
    tl.store(sums + at, top, mask=there)
    tl.store(sums + at + part, tl.sum(weight * x, 0)[None, :], mask=there)
    tl.store(sums + at + 2 * part, tl.sum(weight * y, 0)[None, :], mask=there)


@triton.jit
def store_sums(sums, at, part, there, e, f, x, y, we, wf, row, T: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write a chunk's sums, decayed to the token after it and to the token before it."""
    after = T - 1 - row
    _store_sum(sums, at, part, there, e - after * we, f - after * wf, x, y)
    _store_sum(sums, at + 3 * part, part, there, e - row * we, f - row * wf, x, y)


@triton.jit
def key_sums(  # type: ignore[no-untyped-def]
    w, k, v, sums, part, count, t, c, kb, kt, kc, vb, vt, vc, T: tl.constexpr, BC: tl.constexpr
):
    """Run the first phase for (v, 1) with the key k."""
    image, chunk = (tl.program_id(0) // count).to(tl.int64), (tl.program_id(0) % count).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * BC + tl.arange(0, BC)[None, :]
    part = tl.cast(part, tl.int64)
    row = tl.arange(0, T)[:, None]
    token = chunk * T + row
    we, wf = decay(w, channel, c)
    e, f = load_split(k, image * kb, kt, kc, token, channel, t, c, 1.0)
    x = load(v, image * vb, vt, vc, token, channel, t, c)
    at = (image * count + chunk) * c + channel
    store_sums(sums, at, part, channel < c, e, f, x, 1.0, we, wf, row, T)


@triton.jit
def _scan(w, sums, states, part, groups, count, c, T: tl.constexpr, N: tl.constexpr, BC: tl.constexpr):  # type: ignore[no-untyped-def]
    """Run the second phase: the sums over all tokens before, or after, each chunk, N chunks per step.

    The chunks are numbered in the direction of the scan. Each decays from the position of the first, in float64, so
    that the scan itself only adds.
    """
    direction, group = (tl.program_id(0) // groups).to(tl.int64), (tl.program_id(0) % groups).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * BC + tl.arange(0, BC)[None, :]
    part = tl.cast(part, tl.int64)
    shift = tl.load(w + channel, mask=channel < c, other=0.0).to(tl.float64) * T
    row = tl.arange(0, N)[:, None]
    at = direction * 3 * part + group * count * c + channel
    carried_e = tl.full((1, BC), _NOTHING, tl.float32)
    carried_x = tl.zeros((1, BC), tl.float32)
    carried_y = tl.zeros((1, BC), tl.float32)
    for first in range(0, count, N):
        chunk = (first + row).to(tl.int64)
        here = at + tl.where(direction == 0, chunk, count - 1 - chunk) * c
        previous = at + tl.where(direction == 0, chunk - 1, count - chunk) * c
        there = (chunk > 0) & (chunk <= count) & (channel < c)
        e = tl.load(sums + previous, mask=there, other=_NOTHING)
        x = tl.load(sums + previous + part, mask=there, other=0.0)
        y = tl.load(sums + previous + 2 * part, mask=there, other=0.0)
        se, sf = _split_wide(shift * (chunk - 1).to(tl.float64))
        rest = tl.exp2(sf)
        e, x, y = tl.associative_scan((e + se, x * rest, y * rest), 0, add)
        e, x, y = add(e, x, y, carried_e, carried_x, carried_y)
        there = (chunk < count) & (channel < c)
        rest = tl.exp2(-sf)
        tl.store(states + here, e - se, mask=there)
        tl.store(states + here + part, x * rest, mask=there)
        tl.store(states + here + 2 * part, y * rest, mask=there)
        last = row == N - 1
        carried_e = tl.sum(tl.where(last, e, 0.0), 0)[None, :]
        carried_x = tl.sum(tl.where(last, x, 0.0), 0)[None, :]
        carried_y = tl.sum(tl.where(last, y, 0.0), 0)[None, :]


@triton.jit
def _enter(states, at, part, there, edge, e, f, x, y, de, df):  # type: ignore[no-untyped-def]
    """Put a state into the edge row of a chunk, and decay every row by its distance."""
    rest = tl.exp2(tl.where(edge, 0.0, f) + df)
    e = tl.where(edge, tl.load(states + at, mask=there, other=_NOTHING), e)
    x = tl.where(edge, tl.load(states + at + part, mask=there, other=0.0), x)
    y = tl.where(edge, tl.load(states + at + 2 * part, mask=there, other=0.0), y)
    return e + de, x * rest, y * rest


@triton.jit
def sums_before(states, at, part, there, e, f, x, y, we, wf, row):  # type: ignore[no-untyped-def]
    """Return the sums over the tokens before each; row r of e, f, x, y is token r - 1."""
    distance = row - 1
    e, x, y = _enter(states, at, part, there, row == 0, e, f, x, y, distance * we, distance * wf)
    e, x, y = tl.associative_scan((e, x, y), 0, add)
    rest = tl.exp2(-distance * wf)
    return e - distance * we, x * rest, y * rest


@triton.jit
def sums_after(states, at, part, there, e, f, x, y, we, wf, row, T: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the sums over the tokens after each; row r of e, f, x, y is token r + 1."""
    distance = -row - 1
    e, x, y = _enter(states, at + 3 * part, part, there, row == T - 1, e, f, x, y, distance * we, distance * wf)
    e, x, y = tl.associative_scan((e, x, y), 0, add, reverse=True)
    rest = tl.exp2(-distance * wf)
    return e - distance * we, x * rest, y * rest


@triton.jit
def _outputs(  # type: ignore[no-untyped-def]
    w, u, k, v, r, y, gated, lse, states, part, count, t, c, kb, kt, kc, vb, vt, vc, rb, rt, rc,
    T: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Run the third phase: write those of y, sigmoid(r) y and lse that are not None."""
    image, chunk = (tl.program_id(0) // count).to(tl.int64), (tl.program_id(0) % count).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * BC + tl.arange(0, BC)[None, :]
    part = tl.cast(part, tl.int64)
    row = tl.arange(0, T)[:, None]
    token = chunk * T + row
    we, wf = decay(w, channel, c)
    at, there = (image * count + chunk) * c + channel, channel < c
    k_at, v_at = image * kb, image * vb
    ones = tl.full((T, BC), 1.0, tl.float32)

    e, f = load_split(k, k_at, kt, kc, token - 1, channel, t, c, 1.0)
    x = load(v, v_at, vt, vc, token - 1, channel, t, c)
    pe, pn, pd = sums_before(states, at, part, there, e, f, x, ones, we, wf, row)

    e, f = load_split(k, k_at, kt, kc, token + 1, channel, t, c, 1.0)
    x = load(v, v_at, vt, vc, token + 1, channel, t, c)
    se, sn, sd = sums_after(states, at, part, there, e, f, x, ones, we, wf, row, T)

    ue, uf = split(tl.load(u + channel, mask=there, other=0.0).to(tl.float32))
    e, f = load_split(k, k_at, kt, kc, token, channel, t, c, 1.0)
    x = load(v, v_at, vt, vc, token, channel, t, c)
    current = tl.exp2(f + uf)
    e, n, d = add(*add(pe, pn, pd, se, sn, sd), e + ue, current * x, current)

    there = (token < t) & (channel < c)
    at = (image * t + token) * c + channel
    if y is not None:
        tl.store(y + at, n / d, mask=there)
    if gated is not None:
        gate = sigmoid(load(r, image * rb, rt, rc, token, channel, t, c))
        tl.store(gated + at, gate * (n / d), mask=there)
    if lse is not None:
        tl.store(lse + at, e * _LN2_HIGH + (e * _LN2_LOW + tl.log2(d) * _LN2), mask=there)


def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor, with_lse: bool = False) -> tuple[Tensor, Tensor]:
    """Return y, ``b t c`` of v's dtype, and lse, ``b t c`` in float32, or empty; both contiguous.

    w: Decay, ``c``, with |w| t below 10 million.  u: Bonus, ``c``.  k: Keys, ``b t c``.  v: Values, ``b t c``.
    k and v are read in place, with any strides.
    Raises Unsupported for float64.
    """
    y, lse = _new(v), _new(v, torch.float32) if with_lse else None
    _run(w, u, k, v, None, y, None, lse)
    return y, _nothing(v) if lse is None else lse


def gated_bi_wkv(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, with_lse: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sigmoid(r) y, and y and lse as ``bi_wkv`` does, or both empty; r, ``b t c``, is read in place."""
    gated = _new(v)
    y, lse = (_new(v), _new(v, torch.float32)) if with_lse else (None, None)
    _run(w, u, k, v, r, y, gated, lse)
    return gated, v.new_empty(0) if y is None else y, _nothing(v) if lse is None else lse


def _run(
    w: Tensor,
    u: Tensor,
    k: Tensor,
    v: Tensor,
    r: Tensor | None,
    y: Tensor | None,
    gated: Tensor | None,
    lse: Tensor | None,
) -> None:
    """Fill those of y, gated and lse that are not ``None``."""
    refuse_float64(k, v)
    b, t, c = v.shape
    if not v.numel():
        return
    w, u = w.contiguous(), u.contiguous()
    count = triton.cdiv(t, CHUNK)
    sums = torch.empty((2, 3, b, count, c), dtype=torch.float32, device=v.device)
    sizes = (sums.stride(1), count, t, c, *k.stride(), *v.stride())
    grid = (b * count, triton.cdiv(c, CHANNELS))
    with torch.cuda.device_of(v):
        key_sums[grid](w, k, v, sums, *sizes, T=CHUNK, BC=CHANNELS, **OPTIONS)
        states = scanned(w, sums, b, count)
        gate = (0, 0, 0) if r is None else r.stride()
        _outputs[grid](w, u, k, v, r, y, gated, lse, states, *sizes, *gate, T=CHUNK, BC=CHANNELS, **OPTIONS)


def _new(v: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(v.shape, dtype=dtype or v.dtype, device=v.device)


def _nothing(v: Tensor) -> Tensor:
    return torch.empty((0,), dtype=torch.float32, device=v.device)


OPTIONS: dict[str, Any] = {"num_warps": WARPS, "enable_fp_fusion": True}


def scanned(w: Tensor, sums: Tensor, groups: int, count: int) -> Tensor:
    """Run the second phase for the sums of ``groups`` images, or of twice as many where gradients are among them."""
    states = torch.empty_like(sums)
    c = sums.shape[-1]
    grid = (2 * groups, triton.cdiv(c, CHANNELS))
    _scan[grid](w, sums, states, sums.stride(1), groups, count, c, T=CHUNK, N=SCANNED, BC=CHANNELS, **OPTIONS)
    return states


def refuse_float64(*tensors: Tensor) -> None:
    """Raise Unsupported, with the alternatives, where a tensor is float64."""
    if any(x.dtype == torch.float64 for x in tensors):
        raise Unsupported("bi_wkv on a GPU computes in float32; for float64 use impl='reference', or the CPU")
