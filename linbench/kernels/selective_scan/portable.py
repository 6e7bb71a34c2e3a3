"""The selective scan in plain operators, for deployment engines: all chunks of tokens advance together.

    h_t = a_t h_{t-1} + b_t,   a_t = exp(Δ_t A),   b_t = Δ_t u_t B_t,   y_t = C_t · h_t

u, Δ: ``b d t``.  A: ``d n``.  B, C: ``b g n t``.  T: tokens of a chunk.  K: chunks of all images.  e: d / g.

1. h ← a_i h + b_i over the positions i of a chunk, from zero and for all chunks at once: each chunk's end.
2. The decay over a chunk is exp(A ΣΔ), one exponential per chunk. The same recurrence over chunks gives their starts.
3. The recurrence of 1 again, from these starts, with y_i = C_i · h.

No factor is above those of the recurrence itself, so nothing overflows that does not there, and no state is stored. A
factored form, exp(A S_t) exp(-A S_s) with S = ΣΔ, is NaN at ordinary inputs; a closed form by one cumulative sum over
a suffix decay is wrong by 0.9 of max|y|, finite and silent, from 49 tokens on.

A step is one iteration of torch's ``scan``, which becomes one ONNX ``Scan``: a graph of twenty nodes whatever the
length, where steps written out one by one make ten thousand. The steps are those of T tokens, not of t.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch._higher_order_ops.scan import scan_op
from torch.nn import functional

from linbench.kernels.operators import Calls, lowering


@lowering("linbench::selective_scan")
def lower(engine: str, calls: Calls) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the form for an engine."""
    return chunked


def chunk_length(t: int) -> int:
    """Return T for t tokens: about √t steps within chunks, and as many between them."""
    return max(1, 2 ** math.ceil(math.log2(max(t, 1)) / 2))


def chunked(
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
) -> tuple[Tensor, Tensor]:
    """Return y, ``b d t``, and the last state, ``b d n``; the arguments are the operator's."""
    (b, d, t), n, g = u.shape, A.shape[1], B.shape[1]
    delta, u = delta.transpose(1, 2), u.transpose(1, 2)  # b t d
    delta = delta if delta_bias is None else delta + delta_bias
    delta = softplus(delta) if delta_softplus else delta
    T = chunk_length(t)

    def by_step(x: Tensor, e: int) -> Tensor:
        """Return x, ``b t (g e)``, as ``T K g 1 e``; a padded token has Δ = 0 and changes nothing."""
        tokens = functional.pad(x, (0, 0, 0, -t % T)).unflatten(1, (-1, T))  # b N T (g e)
        return tokens.permute(2, 0, 1, 3).reshape(T, -1, g, 1, e)

    steps, drives = by_step(delta, d // g), by_step(delta * u, d // g)
    into, out = (by_step(p.permute(0, 3, 1, 2).flatten(2), n).transpose(3, 4).contiguous() for p in (B, C))
    rates = A.unflatten(0, (g, -1)).transpose(1, 2).contiguous()  # g n e
    if scale is not None:
        out = out * scale.unflatten(0, (g, -1)).transpose(1, 2)
    zero = u.new_zeros(steps.shape[1], g, n, d // g)
    ends, _, _ = _scan(_advance, [zero, rates], [steps, drives, into])
    total = (steps.sum(0) * rates).exp()
    by_chunk = [x.unflatten(0, (b, -1)).transpose(0, 1).contiguous() for x in (total, ends)]  # N b g n e
    last, starts = _scan(_join, [u.new_zeros(b, g, n, d // g)], by_chunk)
    start = starts.transpose(0, 1).reshape(zero.shape).contiguous()
    _, _, y = _scan(_read, [start, rates], [steps, drives, into, out])  # T K g 1 e
    y = y.reshape(T, b, -1, d).permute(1, 2, 0, 3).flatten(1, 2)[:, :t]  # b t d
    y = y if D is None else y + D * u
    y = y if z is None else y * functional.silu(z.transpose(1, 2))
    return y.transpose(1, 2), last.transpose(2, 3).flatten(1, 2)


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + e^x) with all digits, also where it is tiny; ONNX Runtime's own takes as long as the scan.

    With y = e^-|x| and w = 1 + y as rounded, log(1 + y) is log w + (y - (w - 1)) / w: the second term is what the
    rounding lost.
    """
    y = (-x.abs()).exp()
    w = 1 + y
    return x.relu() + (w.log() + (y - (w - 1)) / w)


def _scan(step: Callable[..., Sequence[Tensor]], states: Sequence[Tensor], xs: Sequence[Tensor]) -> Sequence[Any]:
    """Apply ``step(*states, *x)`` along the first axis of xs; return the last states and the stacked results.

    OpenVINO reads a Scan only if it has a result beside its states, and nothing from the graph around it: A is passed
    on as a state that does not change.
    """
    return scan_op(step, list(states), list(xs), ())


def _advance(h: Tensor, rates: Tensor, delta: Tensor, drive: Tensor, into: Tensor) -> list[Tensor]:
    return [h * (delta * rates).exp() + drive * into, rates.clone(), delta[:1, :1, 0, 0].clone()]


def _join(h: Tensor, decay: Tensor, end: Tensor) -> list[Tensor]:
    return [h * decay + end, h.clone()]


def _read(h: Tensor, rates: Tensor, delta: Tensor, drive: Tensor, into: Tensor, out: Tensor) -> list[Tensor]:
    h = h * (delta * rates).exp() + drive * into
    read = h * out
    return [h, rates.clone(), read if read.shape[2] == 1 else read.sum(2, keepdim=True)]
