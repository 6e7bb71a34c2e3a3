"""The gradient of bi-WKV in Triton, in the three phases of ``gpu`` (letters: ``reference``).

Beside P and S it needs G and H, the sums of (gy, gy y) with the key -lse over the tokens after and before.
One limit: lse is float32, and its rounding, 6e-8 |lse|, passes to the gradients. |lse| is as large as the largest
key, or as |w| t where weights grow. (On the CPU such channels are computed in float64.)
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from linbench.kernels.bi_wkv import gpu
from linbench.kernels.bi_wkv.gpu import (
    OPTIONS,
    add,
    decay,
    key_sums,
    load,
    load_split,
    refuse_float64,
    scanned,
    sigmoid,
    split,
    store_sums,
    sums_after,
    sums_before,
)


@triton.jit
def _gradient_sums(  # type: ignore[no-untyped-def]
    w, y, lse, gy, sums, part, count, t, c, gb, gt, gc, T: tl.constexpr, BC: tl.constexpr
):
    """Run the first phase for (gy, gy y) with the key -lse."""
    image, chunk = (tl.program_id(0) // count).to(tl.int64), (tl.program_id(0) % count).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * BC + tl.arange(0, BC)[None, :]
    part = tl.cast(part, tl.int64)
    row = tl.arange(0, T)[:, None]
    token = chunk * T + row
    we, wf = decay(w, channel, c)
    e, f = load_split(lse, image * t * c, c, 1, token, channel, t, c, -1.0)
    g = load(gy, image * gb, gt, gc, token, channel, t, c)
    mean = load(y, image * t * c, c, 1, token, channel, t, c)
    at = (image * count + chunk) * c + channel
    store_sums(sums, at, part, channel < c, e, f, g, g * mean, we, wf, row, T)


@triton.jit
def _gate_gradients(r, y, g, gr, gy, count, t, c, rb, rt, rc, gb, gt, gc, T: tl.constexpr, BC: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write gr and gy of sigmoid(r) y, whose gradient is g."""
    image, chunk = (tl.program_id(0) // count).to(tl.int64), (tl.program_id(0) % count).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * BC + tl.arange(0, BC)[None, :]
    token = chunk * T + tl.arange(0, T)[:, None]
    gate = sigmoid(load(r, image * rb, rt, rc, token, channel, t, c))
    passed = gate * load(g, image * gb, gt, gc, token, channel, t, c)
    mean = load(y, image * t * c, c, 1, token, channel, t, c)
    there = (token < t) & (channel < c)
    at = (image * t + token) * c + channel
    tl.store(gy + at, passed, mask=there)
    tl.store(gr + at, passed * (mean * (1 - gate)), mask=there)


@triton.jit
def _gradients(  # type: ignore[no-untyped-def]
    w, u, k, v, y, lse, gy, gk, gv, parts, states, part, count, t, c,
    kb, kt, kc, vb, vt, vc, gb, gt, gc, T: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Run the third phase: write gk, gv and, in ``parts``, each chunk's part of gw and gu."""
    image, chunk = (tl.program_id(0) // count).to(tl.int64), (tl.program_id(0) % count).to(tl.int64)
    channel = tl.program_id(1).to(tl.int64) * BC + tl.arange(0, BC)[None, :]
    part = tl.cast(part, tl.int64)
    row = tl.arange(0, T)[:, None]
    token = chunk * T + row
    we, wf = decay(w, channel, c)
    k_at, v_at, g_at, y_at = image * kb, image * vb, image * gb, image * t * c
    at, there = (image * count + chunk) * c + channel, channel < c
    ones = tl.full((T, BC), 1.0, tl.float32)
    gradients = states + part // 2

    e, f = load_split(k, k_at, kt, kc, token - 1, channel, t, c, 1.0)
    x = load(v, v_at, vt, vc, token - 1, channel, t, c)
    pe, pn, pd = sums_before(states, at, part, there, e, f, x, ones, we, wf, row)
    e, f = load_split(lse, y_at, c, 1, token + 1, channel, t, c, -1.0)
    g = load(gy, g_at, gt, gc, token + 1, channel, t, c)
    mean = load(y, y_at, c, 1, token + 1, channel, t, c)
    ge, ga, gm = sums_after(gradients, at, part, there, e, f, g, g * mean, we, wf, row, T)
    part_w = tl.exp2(pe + ge - we - wf) * (pn * ga - pd * gm)

    e, f = load_split(k, k_at, kt, kc, token + 1, channel, t, c, 1.0)
    x = load(v, v_at, vt, vc, token + 1, channel, t, c)
    se, sn, sd = sums_after(states, at, part, there, e, f, x, ones, we, wf, row, T)
    e, f = load_split(lse, y_at, c, 1, token - 1, channel, t, c, -1.0)
    g = load(gy, g_at, gt, gc, token - 1, channel, t, c)
    mean = load(y, y_at, c, 1, token - 1, channel, t, c)
    he, ha, hm = sums_before(gradients, at, part, there, e, f, g, g * mean, we, wf, row)
    part_w += tl.exp2(se + he - we - wf) * (sn * ha - sd * hm)

    ge, ga, gm = add(ge, ga, gm, he, ha, hm)
    ke, kf = load_split(k, k_at, kt, kc, token, channel, t, c, 1.0)
    le, lf = load_split(lse, y_at, c, 1, token, channel, t, c, -1.0)
    ue, uf = split(tl.load(u + channel, mask=there, other=0.0).to(tl.float32))
    x = load(v, v_at, vt, vc, token, channel, t, c)
    g = load(gy, g_at, gt, gc, token, channel, t, c)
    mean = load(y, y_at, c, 1, token, channel, t, c)
    current = tl.exp2((ke + ue + le) + (kf + uf + lf)) * g
    weight = tl.exp2((ke + ge) + kf)

    tl.store(parts + at, -tl.sum(tl.where(token < t, part_w, 0.0), 0)[None, :], mask=there)
    part_u = tl.where(token < t, current * (x - mean), 0.0)
    tl.store(parts + part // 2 + at, tl.sum(part_u, 0)[None, :], mask=there)
    there = (token < t) & (channel < c)
    at = (image * t + token) * c + channel
    tl.store(gv + at, weight * ga + current, mask=there)
    tl.store(gk + at, weight * (x * ga - gm) + current * (x - mean), mask=there)


def bi_wkv_backward(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor, gy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return gw, gu, ``c``, and gk, gv, ``b t c``, each of its input's dtype, from y and lse of ``bi_wkv``.

    gy: The gradient of y, ``b t c``, of any strides, as k and v.
    """
    refuse_float64(k, v)
    b, t, c = v.shape
    gk, gv = (torch.empty((b, t, c), dtype=x.dtype, device=v.device) for x in (k, v))
    if not v.numel():
        return torch.zeros_like(w), torch.zeros_like(u), gk, gv
    w, u, y, lse = (x.contiguous() for x in (w, u, y, lse))
    count = triton.cdiv(t, gpu.CHUNK)
    sums = torch.empty((2, 3, 2, b, count, c), dtype=torch.float32, device=v.device)  # of keys, of gradients
    parts = torch.empty((2, b, count, c), dtype=torch.float32, device=v.device)
    part, grid = sums.stride(1), (b * count, triton.cdiv(c, gpu.CHANNELS))
    sizes = (count, t, c)
    with torch.cuda.device_of(v):
        key_sums[grid](
            w, k, v, sums, part, *sizes, *k.stride(), *v.stride(), T=gpu.CHUNK, BC=gpu.CHANNELS, **OPTIONS
        )  # fmt: skip
        _gradient_sums[grid](
            w, y, lse, gy, sums[:, :, 1], part, *sizes, *gy.stride(), T=gpu.CHUNK, BC=gpu.CHANNELS, **OPTIONS
        )  # fmt: skip
        states = scanned(w, sums, 2 * b, count)
        _gradients[grid](
            w, u, k, v, y, lse, gy, gk, gv, parts, states, part, *sizes, *k.stride(), *v.stride(), *gy.stride(),
            T=gpu.CHUNK, BC=gpu.CHANNELS, **OPTIONS,
        )  # fmt: skip
    gw, gu = parts.sum((1, 2), dtype=torch.float64)
    return gw.to(w.dtype), gu.to(u.dtype), gk, gv


def gated_bi_wkv_backward(
    w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor, y: Tensor, lse: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return gw, gu, gk, gv and gr of sigmoid(r) y, whose gradient is g: one pointwise kernel before the others."""
    refuse_float64(k, v)
    b, t, c = v.shape
    gr, gy = (torch.empty((b, t, c), dtype=x.dtype, device=v.device) for x in (r, g))
    if v.numel():
        count = triton.cdiv(t, gpu.CHUNK)
        with torch.cuda.device_of(v):
            _gate_gradients[(b * count, triton.cdiv(c, gpu.CHANNELS))](
                r, y.contiguous(), g, gr, gy, count, t, c, *r.stride(), *g.stride(), T=gpu.CHUNK, BC=gpu.CHANNELS,
                **OPTIONS,
            )  # fmt: skip
    return *bi_wkv_backward(w, u, k, v, y, lse, gy), gr
