"""The gradient of the selective scan on the CPU, in linear time and without storing every state.

The channels are taken as in ``cpu``. A first pass keeps the states before every sixteenth token; then the tiles are
taken from the last to the first: their states and decays are computed again and kept for the tile, and the
gradient of the state runs backward through them.

    dh_t = exp(step_{t+1} A) dh_{t+1} + C_t F g_t      g: gradient of C h + D u, before the gate
    ddrive_t = sum_n B_t dh_t                          dB_t = sum_channels dh_t drive_t
    dstep_t = u_t ddrive_t + sum_n A dh_t exp(step_t A) h_{t-1}, and the same without A, times step, is dA
    dC_t = sum_channels g_t F h_t

A thread adds up its own channels' share of dB and dC; the shares are added in a fixed order: no race.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.compiled import compiled
from linbench.kernels.huge_pages import on_huge_pages
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
    enter,
    fill,
    inline,
    is_channel_last,
    is_narrow,
    jit,
    job_of,
    rows_of,
    scan_states,
    state_dtype,
    vector_of,
    vectors_of,
)
from linbench.kernels.selective_scan.op import empty_beside
from linbench.kernels.simd import LANES, broadcast, exp2, exp2_within, load, sigmoid, single_of, store, total
from linbench.kernels.threads import parallel_for

TILE = 16  # tokens between kept states
DECAY, BEFORE, HISTORY = 0, LANES, 2 * LANES  # of a token and state of the tile
G, GSTEP, GDRIVE, OWN, OWN_DRIVE, BACK = 0, LANES, 2 * LANES, 3 * LANES, 4 * LANES, 5 * LANES  # of a token
CARRY, GA, GF, GRADIENT = 0, LANES, 2 * LANES, 3 * LANES  # of a state of a vector


@njit(**inline)
def _remember(power: Any, tile: Any, past: Any, s: Any, at: int, job: Any, row: int, rows: int) -> None:
    """Compute a vector's states through the tile, keeping each token's decay and the state before it; add to OUT."""
    states = job.rate.shape[1]
    for n in range(states):
        a, f = load(s, at + n * STATE + RATE), load(s, at + n * STATE + F)
        h = load(s, at + n * STATE + H)
        p = n * (TILE + 1) * HISTORY
        for t in range(rows):
            decay = power(load(tile, t * TOKEN + STEP) * a)
            store(past, p + t * HISTORY + DECAY, decay)
            store(past, p + t * HISTORY + BEFORE, h)
            h = decay * h + broadcast(job.B, row + t * states + n) * load(tile, t * TOKEN + DRIVE)
            out = load(tile, t * TOKEN + OUT) + broadcast(job.C, row + t * states + n) * (f * h)
            store(tile, t * TOKEN + OUT, out)
        store(past, p + rows * HISTORY + BEFORE, h)


@njit(**inline)
def _ungate(
    tile: Any, back: Any, job: Any, gy: Any, gz: Any, i: int, first: int, begin: int, rows: int, own: Any
) -> None:
    """Write each token's g, the gradient before the gate, and the gate's own gradient.

    own: 1 in the lanes that count in sums over channels, 0 in those that another vector counts.
    """
    zero = single_of(0.0)
    for t in range(rows):
        g = load(gy.flat, i * gy.batch + (begin + t) * gy.token + first)
        if job.gated:
            z = load(job.z.flat, i * job.z.batch + (begin + t) * job.z.token + first)
            share = sigmoid(z)
            slope = share * (single_of(1.0) + z * (single_of(1.0) - share))
            store(gz.flat, i * gz.batch + (begin + t) * gz.token + first, g * load(tile, t * TOKEN + OUT) * slope)
            g = g * z * share
        store(back, t * BACK + G, g)
        store(back, t * BACK + GSTEP, zero)
        store(back, t * BACK + GDRIVE, zero)
        store(back, t * BACK + OWN, g * own)
        store(back, t * BACK + OWN_DRIVE, load(tile, t * TOKEN + DRIVE) * own)


@njit(**inline)
def _retreat(
    tile: Any, back: Any, past: Any, sums: Any, s: Any, at: int, r: Any, place: int, job: Any, row: int, rows: int
) -> None:  # fmt: skip
    """Take the gradient of a vector's states back through the tile, and add what it gives to the inputs."""
    states = job.rate.shape[1]
    for n in range(states):
        rate, f = load(s, at + n * STATE + RATE), load(s, at + n * STATE + F)
        q = place + n * GRADIENT
        carry, ga, gf = load(r, q + CARRY), load(r, q + GA), load(r, q + GF)
        for back_t in range(rows):
            t = rows - 1 - back_t
            p = (n * (TILE + 1) + t) * HISTORY
            i = row + t * states + n
            c = broadcast(job.C, i)
            g, own = load(back, t * BACK + G), load(back, t * BACK + OWN)
            after = load(past, p + HISTORY + BEFORE)
            gh = carry + c * (f * g)
            carry = gh * load(past, p + DECAY)
            gp = carry * load(past, p + BEFORE)
            store(back, t * BACK + GSTEP, load(back, t * BACK + GSTEP) + gp * rate)
            store(back, t * BACK + GDRIVE, load(back, t * BACK + GDRIVE) + gh * broadcast(job.B, i))
            ga = ga + gp * load(tile, t * TOKEN + STEP)
            sum_at = (t * states + n) * 2 * LANES
            store(sums, sum_at, load(sums, sum_at) + gh * load(back, t * BACK + OWN_DRIVE))
            store(sums, sum_at + LANES, load(sums, sum_at + LANES) + own * (f * after))
            if job.scaled:
                gf = gf + g * after * c
        store(r, q + CARRY, carry)
        store(r, q + GA, ga)
        store(r, q + GF, gf)


@njit(**inline)
def _leave(
    tile: Any, back: Any, job: Any, gu: Any, gdelta: Any, i: int, first: int, begin: int, rows: int, r: Any,
    place: int,
) -> None:  # fmt: skip
    """Write the tokens' gradients of u and delta, and add to those of D and the bias."""
    bias, skip = load(job.bias, first), load(job.D, first)
    gd, gbias = load(r, place), load(r, place + LANES)
    for t in range(rows):
        u = load(job.u.flat, i * job.u.batch + (begin + t) * job.u.token + first)
        g, gdrive = load(back, t * BACK + G), load(back, t * BACK + GDRIVE)
        gstep = load(back, t * BACK + GSTEP) * single_of(scalar_fallback.LN2) + gdrive * u
        if job.softplus:
            delta = load(job.delta.flat, i * job.delta.batch + (begin + t) * job.delta.token + first)
            gstep = gstep * sigmoid(delta + bias)
        gd = gd + g * u
        gbias = gbias + gstep
        store(
            gu.flat, i * gu.batch + (begin + t) * gu.token + first, gdrive * load(tile, t * TOKEN + STEP) + skip * g
        )
        store(gdelta.flat, i * gdelta.batch + (begin + t) * gdelta.token + first, gstep)
    store(r, place, gd)
    store(r, place + LANES, gbias)


@njit(**inline)
def _own_lanes(lanes: Any, done: int) -> None:
    for c in range(LANES):
        lanes[c] = np.float32(0) if c < done else np.float32(1)


@compiled(**jit)
def _backward(
    job: Any, gy: Any, glast: Any, gz: Any, gu: Any, gdelta: Any, gA: Any, gB: Any, gC: Any, gF: Any, gD: Any,
    gbias: Any, start: int, stop: int,
) -> None:  # fmt: skip
    """Differentiate the parts ``start:stop``; a group's vectors are dealt to as many parts as gB has.

    gA, gF: ``b d n``.  gB, gC: ``b g parts t n``.  gD, gbias: ``b d``.
    """
    channels, states = job.rate.shape
    parts = gB.shape[2]
    count = (channels // job.groups + LANES - 1) // LANES
    most = (count + parts - 1) // parts
    tiles = (job.tokens + TILE - 1) // TILE
    size, gradient = states * STATE + LANES, states * GRADIENT + 2 * LANES
    s, r = np.empty(most * size, np.float32), np.empty(most * gradient, np.float32)
    kept = np.empty(tiles * most * states * LANES, np.float32)
    tile, back = np.empty(TILE * TOKEN + LANES, np.float32), np.empty(TILE * BACK, np.float32)
    past = np.empty(states * (TILE + 1) * HISTORY, np.float32)
    sums, lanes = np.empty(TILE * states * 2 * LANES, np.float32), np.empty(LANES, np.float32)
    for index in range(start, stop):
        i, group, part = index // (job.groups * parts), index // parts % job.groups, index % parts
        low, high = group * count + count * part // parts, group * count + count * (part + 1) // parts
        r[:] = 0
        for k in range(low, high):
            first = vector_of(k, channels, job.groups)[1]
            fill(s, (k - low) * size, job, first)
            for c in range(LANES):
                for n in range(states):
                    r[(k - low) * gradient + n * GRADIENT + CARRY + c] = glast[i, first + c, n]
        for j in range(tiles):
            rows = min(TILE, job.tokens - j * TILE)
            row = ((i * job.groups + group) * job.tokens + j * TILE) * states
            for k in range(low, high):
                at, first = (k - low) * size, vector_of(k, channels, job.groups)[1]
                for n in range(states):
                    store(kept, ((j * most + k - low) * states + n) * LANES, load(s, at + n * STATE + H))
                if enter(tile, job, i, first, j * TILE, rows, load(s, at + states * STATE)):
                    scan_states(exp2_within, tile, s, at, job, row, rows)
                else:
                    scan_states(exp2, tile, s, at, job, row, rows)
        for reverse in range(tiles):
            j = tiles - 1 - reverse
            rows, begin = min(TILE, job.tokens - j * TILE), j * TILE
            row = ((i * job.groups + group) * job.tokens + begin) * states
            sums[:] = 0
            for k in range(low, high):
                _, first, done = vector_of(k, channels, job.groups)
                at, place = (k - low) * size, (k - low) * gradient
                _own_lanes(lanes, done)
                for n in range(states):
                    store(s, at + n * STATE + H, load(kept, ((j * most + k - low) * states + n) * LANES))
                if enter(tile, job, i, first, begin, rows, load(s, at + states * STATE)):
                    _remember(exp2_within, tile, past, s, at, job, row, rows)
                else:
                    _remember(exp2, tile, past, s, at, job, row, rows)
                _ungate(tile, back, job, gy, gz, i, first, begin, rows, load(lanes, 0))
                _retreat(tile, back, past, sums, s, at, r, place, job, row, rows)
                _leave(tile, back, job, gu, gdelta, i, first, begin, rows, r, place + states * GRADIENT)
            for t in range(rows):
                for n in range(states):
                    gB[i, group, part, begin + t, n] = total(load(sums, (t * states + n) * 2 * LANES))
                    gC[i, group, part, begin + t, n] = total(load(sums, (t * states + n) * 2 * LANES + LANES))
        for k in range(low, high):
            first, place = vector_of(k, channels, job.groups)[1], (k - low) * gradient
            for c in range(LANES):
                gD[i, first + c] = r[place + states * GRADIENT + c]
                gbias[i, first + c] = r[place + states * GRADIENT + LANES + c]
                for n in range(states):
                    gA[i, first + c, n] = r[place + n * GRADIENT + GA + c]
                    gF[i, first + c, n] = r[place + n * GRADIENT + GF + c]


def selective_scan_backward(
    gy: Tensor,
    glast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    scale: Tensor | None,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> list[Tensor]:
    """Return the gradients of u, delta, A, B, C, scale, D, z and delta_bias; empty ones for those not given.

    Those of u, delta and z lie in memory as u, delta and z do, where channel-last; the others are contiguous.
    """
    inputs = (u, delta, A, B, C, scale, D, z, delta_bias)
    if is_narrow(u, B):
        wide: list[Any] = [*(None if x is None else x.double() for x in (gy, glast, *inputs)), delta_softplus]
        gradients = selective_scan_backward(*wide)
        return [g.to(state_dtype(u) if x is None else x.dtype) for x, g in zip(inputs, gradients, strict=True)]
    job = job_of(*inputs, delta_softplus)
    batch, channels, tokens = u.shape
    outputs = [on_huge_pages(empty_beside(x)) for x in ((u, delta) if z is None else (u, delta, z))]
    targets = [x if is_channel_last(x) else x.mT.contiguous().mT for x in outputs]
    gu, gdelta, gz = (rows_of(x) for x in (*targets, targets[0])[:3])
    kernel, parts = scalar_fallback.backward, 1
    if u.dtype != torch.float64:  # enough parts to occupy the threads, each of whole vectors
        enough = -(-torch.get_num_threads() // max(1, batch * job.groups))
        kernel, parts = _backward, min(enough, vectors_of(job) // job.groups)

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=state_dtype(u))

    gA, gF = zeros(batch, *A.shape), zeros(batch, *A.shape)
    gB, gC = zeros(batch, job.groups, parts, tokens, A.shape[1]), zeros(batch, job.groups, parts, tokens, A.shape[1])
    gD, gbias = zeros(batch, channels), zeros(batch, channels)
    sums = [x.numpy() for x in (gA, gB, gC, gF, gD, gbias)]
    rows, last = rows_of(gy), glast.contiguous().numpy()

    def work(start: int, stop: int) -> None:
        kernel(job, rows, last, gz, gu, gdelta, *sums, start, stop)

    if batch and channels:
        parallel_for(work, batch * job.groups * parts)
    for output, target in zip(outputs, targets, strict=True):
        if target is not output:
            output.copy_(target)
    return [
        outputs[0],
        outputs[1],
        gA.sum(0).to(A.dtype),
        gB.sum(2).mT.contiguous().to(B.dtype),
        gC.sum(2).mT.contiguous().to(C.dtype),
        _given(gF, scale),
        _given(gD, D),
        outputs[2] if z is not None else gA.new_empty(0),
        _given(gbias, delta_bias),
    ]


def _given(gradient: Tensor, argument: Tensor | None) -> Tensor:
    return gradient.new_empty(0) if argument is None else gradient.sum(0).to(argument.dtype)
