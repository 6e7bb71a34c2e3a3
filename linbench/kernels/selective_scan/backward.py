"""The gradient of the selective scan on the CPU, in linear time and without storing every state.

The channels are processed as in ``cpu``. A first pass stores the states before every sixteenth token; then the tiles
are processed from the last to the first: their states and decays are computed again and stored for the tile, and the
gradient of the state runs backward through them.

    dh_t = exp(step_{t+1} A) dh_{t+1} + C_t F g_t      g: gradient of C h + D u, before the gate
    ddrive_t = sum_n B_t dh_t                          dB_t = sum_channels dh_t drive_t
    dstep_t = u_t ddrive_t + sum_n A dh_t exp(step_t A) h_{t-1}, and the same without A, times step, is dA
    dC_t = sum_channels g_t F h_t

A thread adds up dB and dC over its own channels; these partial sums are added in a fixed order: no race.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.compiled import compiled
from linbench.kernels.memory import empty_in_layout_of, on_huge_pages
from linbench.kernels.selective_scan import scalar_fallback
from linbench.kernels.selective_scan.cpu import (
    DRIVE,
    OUT,
    RATE,
    STATE,
    STEP,
    TOKEN,
    F,
    H,
    arrays_of,
    enter,
    fill,
    inline,
    is_channel_last,
    is_narrow,
    jit,
    rows_of,
    scan_states,
    state_dtype,
    vector_of,
    vectors_of,
    widened,
)
from linbench.kernels.selective_scan.reference import ScanInputs
from linbench.kernels.simd import LANES, broadcast, exp2, exp2_within, load, sigmoid, single_of, store, total
from linbench.kernels.threads import parallel_for

TILE = 16  # tokens between stored states
DECAY, BEFORE, HISTORY = 0, LANES, 2 * LANES  # of a token and state of the tile
G, GSTEP, GDRIVE, COUNTED, COUNTED_DRIVE, BACK = 0, LANES, 2 * LANES, 3 * LANES, 4 * LANES, 5 * LANES  # of a token
CARRY, GA, GF, GRADIENT = 0, LANES, 2 * LANES, 3 * LANES  # of a state of a vector


@njit(**inline)
def _remember(power: Any, tile: Any, past: Any, s: Any, at: int, scan: Any, row: int, rows: int) -> None:
    """Compute a vector's states through the tile; store each token's decay and the state before it; add to OUT."""
    states = scan.rate.shape[1]
    for n in range(states):
        a, f = load(s, at + n * STATE + RATE), load(s, at + n * STATE + F)
        h = load(s, at + n * STATE + H)
        p = n * (TILE + 1) * HISTORY
        for t in range(rows):
            decay = power(load(tile, t * TOKEN + STEP) * a)
            store(past, p + t * HISTORY + DECAY, decay)
            store(past, p + t * HISTORY + BEFORE, h)
            h = decay * h + broadcast(scan.B, row + t * states + n) * load(tile, t * TOKEN + DRIVE)
            out = load(tile, t * TOKEN + OUT) + broadcast(scan.C, row + t * states + n) * (f * h)
            store(tile, t * TOKEN + OUT, out)
        store(past, p + rows * HISTORY + BEFORE, h)


@njit(**inline)
def _ungate(
    tile: Any, back: Any, scan: Any, gy: Any, gz: Any, i: int, first: int, begin: int, rows: int, counted: Any
) -> None:
    """Write each token's g, the gradient before the gate, and the gate's own gradient.

    counted: 1 in the lanes that this vector adds to sums over channels, 0 in those that another vector adds.
    """
    zero = single_of(0.0)
    for t in range(rows):
        g = load(gy.flat, i * gy.batch + (begin + t) * gy.token + first)
        if scan.gated:
            z = load(scan.z.flat, i * scan.z.batch + (begin + t) * scan.z.token + first)
            gate = sigmoid(z)
            slope = gate * (single_of(1.0) + z * (single_of(1.0) - gate))
            store(gz.flat, i * gz.batch + (begin + t) * gz.token + first, g * load(tile, t * TOKEN + OUT) * slope)
            g = g * z * gate
        store(back, t * BACK + G, g)
        store(back, t * BACK + GSTEP, zero)
        store(back, t * BACK + GDRIVE, zero)
        store(back, t * BACK + COUNTED, g * counted)
        store(back, t * BACK + COUNTED_DRIVE, load(tile, t * TOKEN + DRIVE) * counted)


@njit(**inline)
def _retreat(
    tile: Any, back: Any, past: Any, sums: Any, s: Any, at: int, r: Any, offset: int, scan: Any, row: int, rows: int
) -> None:  # fmt: skip
    """Propagate the gradient of a vector's states back through the tile, and add it to the inputs' gradients."""
    states = scan.rate.shape[1]
    for n in range(states):
        rate, f = load(s, at + n * STATE + RATE), load(s, at + n * STATE + F)
        q = offset + n * GRADIENT
        carry, ga, gf = load(r, q + CARRY), load(r, q + GA), load(r, q + GF)
        for back_t in range(rows):
            t = rows - 1 - back_t
            p = (n * (TILE + 1) + t) * HISTORY
            i = row + t * states + n
            c = broadcast(scan.C, i)
            g, counted = load(back, t * BACK + G), load(back, t * BACK + COUNTED)
            after = load(past, p + HISTORY + BEFORE)
            gh = carry + c * (f * g)
            carry = gh * load(past, p + DECAY)
            gp = carry * load(past, p + BEFORE)
            store(back, t * BACK + GSTEP, load(back, t * BACK + GSTEP) + gp * rate)
            store(back, t * BACK + GDRIVE, load(back, t * BACK + GDRIVE) + gh * broadcast(scan.B, i))
            ga = ga + gp * load(tile, t * TOKEN + STEP)
            sum_at = (t * states + n) * 2 * LANES
            store(sums, sum_at, load(sums, sum_at) + gh * load(back, t * BACK + COUNTED_DRIVE))
            store(sums, sum_at + LANES, load(sums, sum_at + LANES) + counted * (f * after))
            if scan.scaled:
                gf = gf + g * after * c
        store(r, q + CARRY, carry)
        store(r, q + GA, ga)
        store(r, q + GF, gf)


@njit(**inline)
def _leave(
    tile: Any, back: Any, scan: Any, gu: Any, gdelta: Any, i: int, first: int, begin: int, rows: int, r: Any,
    offset: int,
) -> None:  # fmt: skip
    """Write the tokens' gradients of u and delta, and add to those of D and the bias."""
    bias, skip = load(scan.bias, first), load(scan.D, first)
    gd, gbias = load(r, offset), load(r, offset + LANES)
    for t in range(rows):
        u = load(scan.u.flat, i * scan.u.batch + (begin + t) * scan.u.token + first)
        g, gdrive = load(back, t * BACK + G), load(back, t * BACK + GDRIVE)
        gstep = load(back, t * BACK + GSTEP) * single_of(scalar_fallback.LN2) + gdrive * u
        if scan.softplus:
            delta = load(scan.delta.flat, i * scan.delta.batch + (begin + t) * scan.delta.token + first)
            gstep = gstep * sigmoid(delta + bias)
        gd = gd + g * u
        gbias = gbias + gstep
        store(
            gu.flat, i * gu.batch + (begin + t) * gu.token + first, gdrive * load(tile, t * TOKEN + STEP) + skip * g
        )
        store(gdelta.flat, i * gdelta.batch + (begin + t) * gdelta.token + first, gstep)
    store(r, offset, gd)
    store(r, offset + LANES, gbias)


@njit(**inline)
def _counted_lanes(lanes: Any, done: int) -> None:
    """Write 0 to the lanes that another vector adds to sums over channels, 1 to the others."""
    for c in range(LANES):
        lanes[c] = np.float32(0) if c < done else np.float32(1)


@compiled(**jit)
def _backward(
    scan: Any, gy: Any, glast: Any, gz: Any, gu: Any, gdelta: Any, gA: Any, gB: Any, gC: Any, gF: Any, gD: Any,
    gbias: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Differentiate the parts ``start:stop``; a group's vectors are split into as many parts as gB has.

    gA, gF: ``b d n``.  gB, gC: ``b g parts t n``.  gD, gbias: ``b d``.
    """
    channels, states = scan.rate.shape
    parts = gB.shape[2]
    count = (channels // scan.groups + LANES - 1) // LANES
    most = (count + parts - 1) // parts
    tiles = (scan.tokens + TILE - 1) // TILE
    size, gradient = states * STATE + LANES, states * GRADIENT + 2 * LANES
    s, r = np.empty(most * size, np.float32), np.empty(most * gradient, np.float32)
    stored = np.empty(tiles * most * states * LANES, np.float32)
    tile, back = np.empty(TILE * TOKEN + LANES, np.float32), np.empty(TILE * BACK, np.float32)
    past = np.empty(states * (TILE + 1) * HISTORY, np.float32)
    sums, lanes = np.empty(TILE * states * 2 * LANES, np.float32), np.empty(LANES, np.float32)
    for index in range(start, stop):
        i, group, part = index // (scan.groups * parts), index // parts % scan.groups, index % parts
        low, high = group * count + count * part // parts, group * count + count * (part + 1) // parts
        r[:] = 0
        for k in range(low, high):
            first = vector_of(k, channels, scan.groups)[1]
            fill(s, (k - low) * size, scan, first)
            for c in range(LANES):
                for n in range(states):
                    r[(k - low) * gradient + n * GRADIENT + CARRY + c] = glast[i, first + c, n]
        for j in range(tiles):
            rows = min(TILE, scan.tokens - j * TILE)
            row = ((i * scan.groups + group) * scan.tokens + j * TILE) * states
            for k in range(low, high):
                at, first = (k - low) * size, vector_of(k, channels, scan.groups)[1]
                for n in range(states):
                    store(stored, ((j * most + k - low) * states + n) * LANES, load(s, at + n * STATE + H))
                if enter(tile, scan, i, first, j * TILE, rows, load(s, at + states * STATE)):
                    scan_states(exp2_within, tile, s, at, scan, row, rows)
                else:
                    scan_states(exp2, tile, s, at, scan, row, rows)
        for reverse in range(tiles):
            j = tiles - 1 - reverse
            rows, begin = min(TILE, scan.tokens - j * TILE), j * TILE
            row = ((i * scan.groups + group) * scan.tokens + begin) * states
            sums[:] = 0
            for k in range(low, high):
                _, first, done = vector_of(k, channels, scan.groups)
                at, offset = (k - low) * size, (k - low) * gradient
                _counted_lanes(lanes, done)
                for n in range(states):
                    store(s, at + n * STATE + H, load(stored, ((j * most + k - low) * states + n) * LANES))
                if enter(tile, scan, i, first, begin, rows, load(s, at + states * STATE)):
                    _remember(exp2_within, tile, past, s, at, scan, row, rows)
                else:
                    _remember(exp2, tile, past, s, at, scan, row, rows)
                _ungate(tile, back, scan, gy, gz, i, first, begin, rows, load(lanes, 0))
                _retreat(tile, back, past, sums, s, at, r, offset, scan, row, rows)
                _leave(tile, back, scan, gu, gdelta, i, first, begin, rows, r, offset + states * GRADIENT)
            for t in range(rows):
                for n in range(states):
                    gB[i, group, part, begin + t, n] = total(load(sums, (t * states + n) * 2 * LANES))
                    gC[i, group, part, begin + t, n] = total(load(sums, (t * states + n) * 2 * LANES + LANES))
        for k in range(low, high):
            first, offset = vector_of(k, channels, scan.groups)[1], (k - low) * gradient
            for c in range(LANES):
                gD[i, first + c] = r[offset + states * GRADIENT + c]
                gbias[i, first + c] = r[offset + states * GRADIENT + LANES + c]
                for n in range(states):
                    gA[i, first + c, n] = r[offset + n * GRADIENT + GA + c]
                    gF[i, first + c, n] = r[offset + n * GRADIENT + GF + c]


def selective_scan_backward(gy: Tensor, glast: Tensor, inputs: ScanInputs) -> list[Tensor]:
    """Return the gradients of all tensors of ``ScanInputs``; an empty one for ``None``.

    Those of u, delta and z lie in memory as u, delta and z do, where channel-last; the others are contiguous.
    """
    u, delta, A, B, C, scale, D, z, delta_bias, _delta_softplus = inputs
    if is_narrow(inputs):
        gradients = selective_scan_backward(gy.double(), glast.double(), widened(inputs))
        return [g.to(state_dtype(u) if x is None else x.dtype) for x, g in zip(inputs[:-1], gradients, strict=True)]
    scan = arrays_of(inputs)
    batch, channels, tokens = u.shape
    outputs = [on_huge_pages(empty_in_layout_of(x)) for x in ((u, delta) if z is None else (u, delta, z))]
    targets = [x if is_channel_last(x) else x.mT.contiguous().mT for x in outputs]
    gu, gdelta, gz = (rows_of(x) for x in (*targets, targets[0])[:3])
    kernel, parts = scalar_fallback.backward, 1
    if u.dtype != torch.float64:  # enough parts to occupy the threads, each of whole vectors
        enough = -(-torch.get_num_threads() // max(1, batch * scan.groups))
        kernel, parts = _backward, min(enough, vectors_of(scan) // scan.groups)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=state_dtype(u))

    gA, gF = zeros(batch, *A.shape), zeros(batch, *A.shape)
    gB, gC = (
        zeros(batch, scan.groups, parts, tokens, A.shape[1]),
        zeros(batch, scan.groups, parts, tokens, A.shape[1]),
    )
    gD, gbias = zeros(batch, channels), zeros(batch, channels)
    sums = [x.numpy() for x in (gA, gB, gC, gF, gD, gbias)]
    rows, last = rows_of(gy), glast.contiguous().numpy()

    def work(start: int, stop: int) -> None:
        kernel(scan, rows, last, gz, gu, gdelta, *sums, start, stop)

    if batch and channels:
        parallel_for(work, batch * scan.groups * parts)
    for output, target in zip(outputs, targets, strict=True):
        if target is not output:
            output.copy_(target)
    return [
        outputs[0],
        outputs[1],
        gA.sum(0).to(A.dtype),
        gB.sum(2).mT.contiguous().to(B.dtype),
        gC.sum(2).mT.contiguous().to(C.dtype),
        _over_images(gF, scale),
        _over_images(gD, D),
        outputs[2] if z is not None else gA.new_empty(0),
        _over_images(gbias, delta_bias),
    ]


def _over_images(gradient: Tensor, parameter: Tensor | None) -> Tensor:
    """Return the gradient summed over the images, in the parameter's dtype; empty for ``None``."""
    return gradient.new_empty(0) if parameter is None else gradient.sum(0).to(parameter.dtype)
