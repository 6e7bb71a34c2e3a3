"""bi-WKV in plain operators, for deployment engines: Toeplitz products of chunks, and of the chunks' sums.

    y_t = S_t[e^k v] / S_t[e^k],   S_t[x] = e^u x_t + sum over i ≠ t of e^(-w (|t - i| - 1)) x_i

w, u: decay and bonus, ``c``.  k, v: keys and values, ``b t c``; ``b c t`` inside.  T: tokens of a chunk, N: chunks.

Two forms. Which one is right depends on the weights, so both are chosen where these are known, at the export.

* ``one_scale``: x = e^(k - max k), one maximum per channel. The weight of the largest key is at least e^(-max|w| t)
  at any token and no weight is above e^(max|w| t), so that up to max|w| t = SPREAD nothing that counts leaves
  float32, whatever the keys. All matrices depend on weights alone: engines compute them once, when they load.
* ``two_scales``: a maximum per chunk, and sums between chunks in the log domain. Right as long as e^(|w| T) is a
  harmless factor: T is at most REACH / max|w|.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.operators import Calls, NotPortable, lowering

Sums = Callable[[Tensor], Tensor]

SPREAD = 30.0  # of max|w| t in the form of one scale: e^±30 is 1e±13
REACH = 8.0  # of max|w| T in the form of two scales; at 30 an error of 3e-5 was seen
MOST_BONUS = 40.0  # of |u|: e^40 squared is near float32's end
CHUNK = 16  # tokens of a chunk, and chunks that are summed by one product; more of them are chunked again
ABSENT = -1e30  # the key of a token that pads the last chunk


@lowering("linbench::bi_wkv")
def lower_bi_wkv(engine: str, calls: Calls) -> Callable[..., Tensor]:
    """Return bi-WKV's form for these calls. Raises NotPortable where max|w| or max|u| is too large or unknown."""
    return _form("bi_wkv", calls)


@lowering("linbench::gated_bi_wkv")
def lower_gated(engine: str, calls: Calls) -> Callable[..., Tensor]:
    """Return the gated form, which is bi-WKV's and a product."""
    form = _form("gated_bi_wkv", calls)
    return lambda w, u, k, v, r: r.sigmoid() * form(w, u, k, v)


@lowering("linbench::bi_wkv_with_lse")
def lower_with_lse(engine: str, calls: Calls) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the form of a program that was exported with gradients enabled: no one reads lse, so it is zero."""
    form = _form("bi_wkv_with_lse", calls)
    return lambda w, u, k, v: (form(w, u, k, v), torch.zeros_like(v))


@lowering("linbench::gated_bi_wkv_with_lse")
def lower_gated_with_lse(engine: str, calls: Calls) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """Return the gated form of such a program, with y before its gate."""
    form = _form("gated_bi_wkv_with_lse", calls)

    def gated(w: Tensor, u: Tensor, k: Tensor, v: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = form(w, u, k, v)
        return r.sigmoid() * y, y, torch.zeros_like(v)

    return gated


def _form(operator: str, calls: Calls) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the function of w, u, k, v that is right for the weights of all calls."""
    largest = max((largest_of(operator, "w", call[0], math.inf) for call in calls), default=0.0)
    for call in calls:
        largest_of(operator, "u", call[1], MOST_BONUS)
        if largest * call[2].shape[1] > SPREAD and 2 * largest > REACH:
            raise NotPortable(
                f"{operator}: max|w| is {largest:.3g} per token; its plain form is right up to {REACH / 2:g}, as the "
                "decays of two tokens must stay in float32"
            )

    def bi_wkv(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not v.numel():
            return torch.zeros_like(v)
        if largest * k.shape[1] <= SPREAD:
            return one_scale(w, u, k, v)
        return two_scales(w, u, k, v, chunk_length(k.shape[1], largest))

    return bi_wkv


def largest_of(operator: str, name: str, value: Any, most: float) -> float:
    """Return max|value| of an argument. Raises NotPortable if it is not constant, or above ``most``."""
    if value.device.type == "meta":
        raise NotPortable(f"{operator}: {name} depends on the input; its plain form needs max|{name}| at the export")
    largest = float(value.abs().max()) if value.numel() else 0.0
    if not largest <= most:
        raise NotPortable(f"{operator}: max|{name}| is {largest:.3g}; its plain form is right up to {most:g}")
    return largest


def chunk_length(t: int, largest: float) -> int:
    """Return T for t tokens: √t, or as many as ``REACH`` allows; at least 2."""
    return max(2, min(2 ** round(math.log2(max(t, 1)) / 2), int(REACH / largest) if largest else t))


def one_scale(w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return y, ``b t c``, right for max|w| t up to SPREAD."""
    k, v = k.transpose(1, 2), v.transpose(1, 2)  # b c t
    x = (k - k.amax(2, keepdim=True)).exp()
    sums = _sums(w, u, k.shape[2])
    return (sums(x * v) / sums(x)).transpose(1, 2)


def _sums(w: Tensor, u: Tensor, t: int) -> Sums:
    """Return S, a function of x, ``b c t``: products within chunks, and of the sums of the chunks before and behind.

    Its matrices are made once, for the numerator and the denominator.
    """
    if t <= CHUNK:
        whole = _within(w, u, t)
        return lambda x: (x[:, :, None] @ whole)[:, :, 0]
    within, earlier = _within(w, u, CHUNK), _earlier(w * CHUNK, -(-t // CHUNK))
    i = torch.arange(CHUNK, device=w.device)
    ends = torch.stack([_decays(w, CHUNK - 1 - i), _decays(w, i)], dim=2)  # c T 2
    starts = ends.flip(1).transpose(1, 2)  # c 2 T

    def sums(x: Tensor) -> Tensor:
        chunks = _chunks(x, CHUNK)  # b c N T
        before, behind = (chunks @ ends).unbind(3)  # b c N
        states = torch.stack([earlier(before), earlier(behind.flip(2)).flip(2)], dim=3)
        return (chunks @ within + states @ starts).flatten(2)[..., :t]

    return sums


def _earlier(w: Tensor, size: int) -> Sums:
    """Return a function of f, ``b c N``: the sum over j < n of e^(-w (n - 1 - j)) f_j."""
    if size <= CHUNK:
        whole = _lower(w, size)
        return lambda f: (f[:, :, None] @ whole)[:, :, 0]
    within, between = _lower(w, CHUNK), _earlier(w * CHUNK, -(-size // CHUNK))
    i = torch.arange(CHUNK, device=w.device)
    to_end, from_start = _decays(w, CHUNK - 1 - i)[:, None], _decays(w, i)[:, None]

    def earlier(f: Tensor) -> Tensor:
        chunks = _chunks(f, CHUNK)
        states = between((chunks * to_end).sum(3))[..., None] * from_start
        return (chunks @ within + states).flatten(2)[..., :size]

    return earlier


def _decays(w: Tensor, steps: Tensor) -> Tensor:
    """Return e^(-w steps), ``c`` and the axes of steps."""
    return (-w.reshape(-1, *[1] * steps.ndim) * steps).exp()


def _distance(size: int, device: torch.device) -> Tensor:
    """Return t - i, ``i t``."""
    position = torch.arange(size, device=device)
    return position[None] - position[:, None]


def _within(w: Tensor, u: Tensor, size: int) -> Tensor:
    """Return the weights within a chunk, ``c i t``."""
    distance = _distance(size, w.device)
    return torch.where(distance == 0, u.exp()[:, None, None], _decays(w, distance.abs() - 1))


def _lower(w: Tensor, size: int) -> Tensor:
    """Return e^(-w (n - 1 - j)) for j < n, else 0, ``c j n``."""
    distance = _distance(size, w.device)
    return torch.where(distance > 0, _decays(w, (distance - 1).clamp(min=0)), 0.0)


def _chunks(x: Tensor, length: int, pad: float = 0.0) -> Tensor:
    """Return x, ``b c t``, as ``b c N T``, padded behind."""
    return functional.pad(x, (0, -x.shape[2] % length), value=pad).unflatten(2, (-1, length))


def two_scales(w: Tensor, u: Tensor, k: Tensor, v: Tensor, T: int) -> Tensor:
    """Return y, ``b t c``, right for max|w| T up to REACH.

    Each sum has its own scale s, the logarithm of what it is divided by; R is the largest of the three.
    """
    t = k.shape[1]
    growth = (-w).clamp(min=0)  # c
    edge = (growth * (T - 1))[:, None]
    keys = _chunks(k.transpose(1, 2), T, ABSENT)  # b c N T
    most = keys.amax(3)  # b c N
    weights = (keys - most[..., None]).exp()
    x = torch.stack([weights * _chunks(v.transpose(1, 2), T), weights], dim=4)  # b c N T 2
    i = torch.arange(T, device=k.device)
    inner = (growth * (T - 2) if T > 2 else 0 * growth)[:, None, None]
    distance = _distance(T, k.device)
    exponent = torch.where(distance == 0, u[:, None, None], -w[:, None, None] * (distance.abs() - 1))
    local = (exponent - inner).exp().transpose(1, 2)[:, None] @ x  # c 1 t i @ b c N i 2
    to_end, to_start = (torch.stack([T - 1 - i, i]) * -w[:, None, None] - edge[..., None]).exp().unbind(1)  # c T
    s0 = most + inner[..., 0]
    before, s1 = _log_sums(w * T, most, (to_end[:, None, :, None] * x).sum(3))
    behind, s2 = _log_sums(w * T, most.flip(2), (to_start[:, None, :, None] * x).sum(3).flip(2))
    s1, s2 = s1 + 2 * edge, s2.flip(2) + 2 * edge
    top = torch.maximum(s0, torch.maximum(s1, s2))
    f0, f1, f2 = ((s - top).exp()[..., None] for s in (s0, s1, s2))  # b c N 1
    ahead = (f1 * to_start[:, None])[..., None] * before[..., None, :]
    back = (f2 * to_end[:, None])[..., None] * behind.flip(2)[..., None, :]
    top_sum, sum_of_weights = (f0[..., None] * local + ahead + back).unbind(4)  # b c N T
    return (top_sum / sum_of_weights).flatten(2)[..., :t].transpose(1, 2)


def _log_sums(w: Tensor, scale: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over j < n of e^(scale_j - w (n - 1 - j)) f_j, ``b c N 2``, and their scales, ``b c N``."""
    distance = _distance(scale.shape[2], scale.device).T  # n j
    exponent = scale[:, :, None] - w[:, None, None] * (distance - 1)
    exponent = torch.where(distance > 0, exponent, ABSENT)
    top = exponent.amax(3)
    return (exponent - top[..., None]).exp().masked_fill(distance <= 0, 0.0) @ f, top
