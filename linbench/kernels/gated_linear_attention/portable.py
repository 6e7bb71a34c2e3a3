"""Gated linear attention in plain operators, for deployment engines: products within chunks, states between them.

    S_t = diag(e^g_t) S_{t-1} + k_t v_tᵀ,   y_t = S_tᵀ q_t, or with a bonus u  S_{t-1}ᵀ q_t + (Σ_k q_t u k_t) v_t

q, k: ``b t h k``.  v: ``b t h v``.  g: log decay, ``b t h k``, at most 0.  T: tokens of a chunk, N: chunks.

The decay between two tokens of a chunk is e to the sum of the g between them, added up by a product with zeros and
ones: no difference of running sums, which loses digits, and no exponent above 0. States pass from chunk to chunk in
one ONNX ``Scan`` of N steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan_op
from torch.nn import functional

from linbench.kernels.operators import portable

CHUNK = 16
LEAST = -200.0  # of g: e^-200 is 0 in float32, and -∞ times 0 would be NaN


@portable("linbench::gated_linear_attention")
def gated_linear_attention(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, decay_backward: Tensor | None, bonus: Tensor | None
) -> Tensor:
    """Return y, ``b t h v``: the sum of the scans whose decay is given, and of the bonus."""
    y = torch.zeros_like(v)
    if not v.numel():
        return y
    if decay is not None:
        y = y + _scan(q, k, v, decay, bonus is None)
    if decay_backward is not None:
        y = y + _scan(q.flip(1), k.flip(1), v.flip(1), decay_backward.flip(1), bonus is None).flip(1)
    if bonus is not None:
        y = y + (q * bonus * k).sum(3, keepdim=True) * v
    return y


def _scan(q: Tensor, k: Tensor, v: Tensor, g: Tensor, reads_itself: bool) -> Tensor:
    """Return y of one scan, of S_t if ``reads_itself``, else of S_{t-1}."""
    t = v.shape[1]

    def chunks(x: Tensor) -> Tensor:
        """Return x, ``b t h c``, as ``b N h T c``; a padded token has k = 0 and g = 0 and changes nothing."""
        padded = functional.pad(x, (0, 0, 0, 0, 0, -t % CHUNK))
        return padded.unflatten(1, (-1, CHUNK)).transpose(2, 3)

    q, k, v, g = (chunks(x) for x in (q, k, v, g.clamp(min=LEAST)))
    i, j = torch.arange(CHUNK, device=v.device)[:, None], torch.arange(CHUNK, device=v.device)
    read = (j <= i) if reads_itself else (j < i)  # g_j that stand between the chunk's start and the reading token i
    to_read = (read.to(v.dtype) @ g).exp()  # b N h T k
    to_end = ((j > i).to(v.dtype) @ g).exp()
    between = read[:, None] & (j[None, :] > i[None])  # reader, source, j
    weights = (between.flatten(0, 1).to(v.dtype) @ g).exp().unflatten(3, (CHUNK, CHUNK))  # b N h t i k
    scores = (q[..., :, None, :] * k[..., None, :, :] * weights).sum(5)  # b N h t i
    local = (scores * read.to(v.dtype)) @ v
    added = (k * to_end).transpose(3, 4) @ v  # b N h k v
    total = g.sum(3).exp()[..., None]  # b N h k 1
    starts = _starts(total.transpose(0, 1).contiguous(), added.transpose(0, 1).contiguous()).transpose(0, 1)
    y = local + (q * to_read) @ starts
    return y.transpose(2, 3).flatten(1, 2)[:, :t]


def _starts(total: Tensor, added: Tensor) -> Tensor:
    """Return the state before each chunk, ``N b h k v``."""
    state = torch.zeros(added.shape[1:], dtype=added.dtype, device=added.device)
    return scan_op(_step, [state], [total, added], ())[1]


def _step(state: Tensor, total: Tensor, added: Tensor) -> Sequence[Tensor]:
    return [state * total + added, state.clone()]
