"""The gradient of the selective scan on the CPU, in linear time and without storing the states.

A block of channels (see ``cpu``) is scanned forward once, keeping the state before every 32nd token; then the
chunks are taken from the last to the first: their states are computed again, and the gradient of the state runs
backward through them.

    dh_t = exp(step_{t+1} A) dh_{t+1} + C_t F g_t      g: gradient of C h + D u, before the gate
    ddrive_t = sum_n B_t dh_t                          dB_t = sum_channels dh_t drive_t
    dstep_t = u_t ddrive_t + sum_n A dh_t exp(step_t A) h_{t-1}, and the same without A, times step, is dA
    dC_t = sum_channels g_t F h_t

Sums over channels are kept per block and added up in a fixed order: no race, the same numbers on every run.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from linbench.kernels.compiled import compiled
from linbench.kernels.scalars import exp2_product, load, narrow, pointer, shift, sigmoid, widest_vectors
from linbench.kernels.selective_scan.cpu import (
    BIAS,
    DRIVE,
    OUT,
    RATE,
    SKIP,
    STATE,
    STATES,
    STEP,
    F,
    H,
    W,
    advance,
    all_moderate,
    block_of,
    enter,
    fast,
    is_channel_last,
    job_of,
    over_blocks,
    prepare,
    rows_of,
)
from linbench.kernels.selective_scan.op import empty_beside

CHUNK = 32  # tokens between kept states
# Below the scratch row of ``cpu`` lie sums, and each state's record goes on: constant distances, so that the
# vectoriser need not ask whether they overlap.
BELOW = 8 * W
G, GDRIVE, GSTEP, GH, PART, GD, GBIAS, LN2_AT = -8 * W, -7 * W, -6 * W, -5 * W, -4 * W, -3 * W, -2 * W, -W
CARRY, GA, GF, RECORD = STATE, STATE + W, STATE + 2 * W, STATE + 3 * W
LN2 = 0.6931471805599453


@compiled(fastmath={"reassoc", "contract", "nsz"})
def total(row):  # type: ignore[no-untyped-def]
    """The sum over the block's channels; those beyond its width hold 0."""
    result = row[0] * 0
    for c in range(W):
        result += row[c]
    return result


@njit(inline="always")
def ungate(s, C, after, gy, z, gz, gated, states, width):  # type: ignore[no-untyped-def]
    """Compute g, the gradient before the gate, and the gate's own."""
    for c in range(width):
        s[G + c] = load(gy[c])
    if gated:
        for n in range(states):
            q, h, weight = shift(s, STATES + n * RECORD), shift(after, n * W), C[n]
            for c in range(W):
                s[OUT + c] += weight * q[F + c] * h[c]
        for c in range(width):
            x = load(z[c])
            share = sigmoid(x)
            gz[c] = narrow(s[G + c] * s[OUT + c] * share * (1 + x * (1 - share)), gz[0])
            s[G + c] *= x * share


@njit(inline="always")
def retreat(s, B, C, gB, gC, before, after, states):  # type: ignore[no-untyped-def]
    """Take the gradient of the state one token back, and add what it gives to its inputs."""
    for c in range(W):
        s[GDRIVE + c] = 0
        s[GSTEP + c] = 0
    for n in range(states):
        q = shift(s, STATES + n * RECORD)
        old, new = shift(before, n * W), shift(after, n * W)
        b0, c0 = B[n], C[n]
        for c in range(W):
            gh = q[CARRY + c] + c0 * q[F + c] * s[G + c]
            a = exp2_product(s[STEP + c], q[RATE + c])
            gp = gh * a * old[c]
            s[GSTEP + c] += gp * q[RATE + c]
            s[GDRIVE + c] += gh * b0
            q[GA + c] += gp * s[STEP + c]
            q[CARRY + c] = gh * a
            s[GH + c] = gh * s[DRIVE + c]
        for c in range(W):
            part = s[G + c] * new[c]
            q[GF + c] += part * c0
            s[PART + c] = part * q[F + c]
        gB[n] = total(shift(s, GH))
        gC[n] = total(shift(s, PART))


@njit(inline="always")
def leave(s, delta, u, gdelta, gu, soft, width):  # type: ignore[no-untyped-def]
    """Write the token's gradients of u and delta, and add to those of D and the bias."""
    for c in range(width):
        x = load(u[c])
        gu[c] = narrow(s[GDRIVE + c] * s[STEP + c] + s[SKIP + c] * s[G + c], gu[0])
        s[GD + c] += s[G + c] * x
        s[GSTEP + c] = s[GSTEP + c] * s[LN2_AT] + s[GDRIVE + c] * x
    if soft:
        for c in range(width):
            s[GSTEP + c] *= sigmoid(load(delta[c]) + s[BIAS + c])
    for c in range(width):
        s[GBIAS + c] += s[GSTEP + c]
        gdelta[c] = narrow(s[GSTEP + c], gdelta[0])


@njit(inline="always")
def copy_states(s, kept, states, restore):  # type: ignore[no-untyped-def]
    """Copy every state from the scratch row to ``kept``, or back."""
    for n in range(states):
        q, k = shift(s, STATES + n * RECORD + H), shift(kept, n * W)
        if restore:
            for c in range(W):
                q[c] = k[c]
        else:
            for c in range(W):
                k[c] = q[c]


@compiled(**fast)
def differentiate(scratch, starts, history, job, gy, gz, gu, gdelta, gB, gC, i, k, block):  # type: ignore[no-untyped-def]
    """Differentiate one block: all tokens forward, then backward chunk by chunk."""
    widest_vectors()
    group, first, width = block
    states, tokens = job.rate.shape[1], job.B.shape[2]
    s, kept, hist = shift(pointer(scratch), BELOW), pointer(starts), pointer(history)
    u = shift(pointer(job.u.flat), i * job.u.batch + first)
    delta = shift(pointer(job.delta.flat), i * job.delta.batch + first)
    z = shift(pointer(job.z.flat), i * job.z.batch + first)
    y_gradient = shift(pointer(gy.flat), i * gy.batch + first)
    z_gradient = shift(pointer(gz.flat), i * gz.batch + first)
    u_gradient = shift(pointer(gu.flat), i * gu.batch + first)
    delta_gradient = shift(pointer(gdelta.flat), i * gdelta.batch + first)
    row = (i * job.B.shape[1] + group) * tokens * states
    B, C = shift(pointer(job.B), row), shift(pointer(job.C), row)
    row = (i * gB.shape[1] + k) * tokens * states
    B_gradient, C_gradient = shift(pointer(gB), row), shift(pointer(gC), row)
    u_token, delta_token, z_token, gy_token = job.u.token, job.delta.token, job.z.token, gy.token
    gz_token, gu_token, gdelta_token = gz.token, gu.token, gdelta.token
    soft, gated, scaled = job.softplus, job.gated, job.scaled
    chunks = (tokens + CHUNK - 1) // CHUNK
    for j in range(chunks):
        copy_states(s, shift(kept, j * states * W), states, False)
        if j == chunks - 1:
            break
        for t in range(j * CHUNK, (j + 1) * CHUNK):
            enter(s, shift(delta, t * delta_token), shift(u, t * u_token), soft, width)
            advance(s, shift(B, t * states), shift(C, t * states), states, not scaled and all_moderate(s), RECORD)
    for back in range(chunks):
        j = chunks - 1 - back
        start, stop = j * CHUNK, min(tokens, (j + 1) * CHUNK)
        copy_states(s, shift(kept, j * states * W), states, True)
        copy_states(s, hist, states, False)
        for t in range(start, stop):
            enter(s, shift(delta, t * delta_token), shift(u, t * u_token), soft, width)
            advance(s, shift(B, t * states), shift(C, t * states), states, not scaled and all_moderate(s), RECORD)
            copy_states(s, shift(hist, (t - start + 1) * states * W), states, False)
        for reverse in range(stop - start):
            t = stop - 1 - reverse
            before = shift(hist, (t - start) * states * W)
            after = shift(hist, (t - start + 1) * states * W)
            d_row, u_row = shift(delta, t * delta_token), shift(u, t * u_token)
            b_row, c_row = shift(B, t * states), shift(C, t * states)
            enter(s, d_row, u_row, soft, width)
            gz_row = shift(z_gradient, t * gz_token)
            gy_row = shift(y_gradient, t * gy_token)
            ungate(s, c_row, after, gy_row, shift(z, t * z_token), gz_row, gated, states, width)
            gb_row, gc_row = shift(B_gradient, t * states), shift(C_gradient, t * states)
            retreat(s, b_row, c_row, gb_row, gc_row, before, after, states)
            leave(
                s,
                d_row,
                u_row,
                shift(delta_gradient, t * gdelta_token),
                shift(u_gradient, t * gu_token),
                soft,
                width,
            )


@compiled(**fast)
def _backward(job, gy, glast, gz, gu, gdelta, gA, gB, gC, gF, gD, gbias, groups, start, stop):  # type: ignore[no-untyped-def]
    """Differentiate blocks ``start`` to ``stop``, counted over the batch."""
    channels, states = job.rate.shape
    tokens = job.B.shape[2]
    blocks = groups * ((channels // groups + W - 1) // W)
    scratch = np.empty(BELOW + STATES + states * RECORD, job.rate.dtype)
    starts = np.empty(((tokens + CHUNK - 1) // CHUNK + 1) * states * W, job.rate.dtype)
    history = np.empty((CHUNK + 1) * states * W, job.rate.dtype)
    for index in range(start, stop):
        i, k = index // blocks, index % blocks
        block = block_of(k, channels, groups)
        _, first, width = block
        scratch[:BELOW] = 0
        row = scratch[BELOW:]
        prepare(row, job, block, RECORD)
        scratch[BELOW + LN2_AT] = LN2
        for c in range(width):
            for n in range(states):
                row[STATES + n * RECORD + CARRY + c] = glast[i, first + c, n]
        differentiate(scratch, starts, history, job, gy, gz, gu, gdelta, gB, gC, i, k, block)
        for c in range(width):
            gD[i, first + c] = scratch[BELOW + GD + c]
            gbias[i, first + c] = scratch[BELOW + GBIAS + c]
            for n in range(states):
                gA[i, first + c, n] = row[STATES + n * RECORD + GA + c]
                gF[i, first + c, n] = row[STATES + n * RECORD + GF + c]


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
    job, groups = job_of(u, delta, A, B, C, scale, D, z, delta_bias, delta_softplus)
    batch, channels, tokens = u.shape
    blocks = groups * -(-(channels // groups) // W)
    outputs = [empty_beside(x) for x in ((u, delta) if z is None else (u, delta, z))]
    targets = [x if is_channel_last(x) else x.mT.contiguous().mT for x in outputs]
    gu, gdelta, gz = (rows_of(x) for x in (*targets, targets[0])[:3])

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=glast.dtype)

    gA, gF = zeros(batch, *A.shape), zeros(batch, *A.shape)
    gB, gC = zeros(batch, blocks, tokens, A.shape[1]), zeros(batch, blocks, tokens, A.shape[1])
    gD, gbias = zeros(batch, channels), zeros(batch, channels)
    wide = [x.numpy() for x in (gA, gB, gC, gF, gD, gbias)]
    rows, last = rows_of(gy), glast.contiguous().numpy()

    def work(start: int, stop: int) -> None:
        _backward(job, rows, last, gz, gu, gdelta, *wide, groups, start, stop)

    over_blocks(work, u, groups)
    for output, target in zip(outputs, targets, strict=True):
        if target is not output:
            output.copy_(target)
    return [
        outputs[0],
        outputs[1],
        gA.sum(0).to(A.dtype),
        _over_groups(gB, groups).to(B.dtype),
        _over_groups(gC, groups).to(C.dtype),
        _given(gF, scale),
        _given(gD, D),
        outputs[2] if z is not None else u.new_empty(0),
        _given(gbias, delta_bias),
    ]


def _given(gradient: Tensor, argument: Tensor | None) -> Tensor:
    return gradient.new_empty(0) if argument is None else gradient.sum(0).to(argument.dtype)


def _over_groups(parts: Tensor, groups: int) -> Tensor:
    """Return ``b g n t``, the sums over each group's blocks of parts, ``b blocks t n``."""
    batch, blocks, tokens, states = parts.shape
    return parts.view(batch, groups, blocks // groups, tokens, states).sum(2).mT.contiguous()
