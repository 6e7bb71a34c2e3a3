"""Named inputs of gated linear attention, tested and timed alike: at the models' shapes, and those that break others.

Of the adversarial ones, named by their decays, a chunk that divides by products of decays overflows on the strong
ones; a float32 state, or a chunk's decay rounded to float32, loses digits at every chunk on the slow ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase, Inputs, TrueGradients
from linbench.kernels.gated_linear_attention import reference
from linbench.kernels.gated_linear_attention.op import gated_linear_attention
from linbench.kernels.operators import spread_indices

VALUES = 4  # of the sampled gradients

Draw = Callable[[torch.Generator, Sequence[int]], Tensor]


def _uniform(low: float, high: float) -> Draw:
    return lambda generator, shape: low + (high - low) * torch.rand(*shape, generator=generator)


def _constant(decay: float) -> Draw:
    return lambda generator, shape: torch.full(tuple(shape), decay)


def _vrwkv6(low: float, high: float) -> Draw:
    """Draw -exp(w) for w between ``low`` and ``high``; beyond 4.7 the decay itself is 0 in float32."""
    return lambda generator, shape: -_uniform(low, high)(generator, shape).exp()


def _vig(generator: torch.Generator, shape: Sequence[int]) -> Tensor:
    return torch.nn.functional.logsigmoid(torch.randn(*shape, generator=generator)) / 16


def _forgetting(generator: torch.Generator, shape: Sequence[int]) -> Tensor:
    """Draw slow decays, and minus infinity for one in ten."""
    slow = _uniform(-0.1, 0)(generator, shape)
    return slow.masked_fill(torch.rand(*shape, generator=generator) < 0.1, -torch.inf)


@dataclass(frozen=True)
class GatedCase:
    """An input: sizes ``b t h k v``, how log decays are drawn, and which scans there are.

    same: Whether both scans have one decay, as in VRWKV6.  equal_tokens: All keys and values are 0.1.
    """

    b: int
    t: int
    h: int
    keys: int
    values: int
    decay: Draw
    forward: bool = True
    backward: bool = True
    same: bool = False
    bonus: bool = False
    per_head: bool = False
    equal_tokens: bool = False

    def inputs(self, dtype: torch.dtype = torch.float32, t: int | None = None) -> dict[str, Tensor | None]:
        """Return the arguments; decays and bonus are float32 at least. t replaces the case's own."""
        generator = torch.Generator().manual_seed(0)
        rows = (self.b, t or self.t, self.h)
        wide = torch.promote_types(dtype, torch.float32)
        q, k = torch.randn(2, *rows, self.keys, generator=generator)
        v = torch.randn(*rows, self.values, generator=generator)
        if self.equal_tokens:
            k, v = torch.full_like(k, 0.1), torch.full_like(v, 0.1)
        shape = rows if self.per_head else k.shape
        decay, decay_backward = (self.decay(generator, shape).to(wide) for _ in range(2))
        bonus = torch.randn(self.h, self.keys, generator=generator).to(wide)
        return {
            "q": (self.keys**-0.5 * q).to(dtype),
            "k": k.to(dtype),
            "v": v.to(dtype),
            "decay": decay if self.forward else None,
            "decay_backward": (decay if self.same else decay_backward) if self.backward else None,
            "bonus": bonus if self.bonus else None,
        }


_RAGGED = GatedCase(2, 77, 3, 20, 39, _uniform(-2, 0))
_HEAD = GatedCase(1, 1024, 1, 16, 16, _uniform(-1, 0))

CASES = {
    "toy": GatedCase(1, 5, 2, 3, 4, _uniform(-2, 0), bonus=True),
    "one token": replace(_RAGGED, t=1),
    "one token with a bonus": replace(_RAGGED, t=1, bonus=True),
    "ragged": _RAGGED,
    "ragged with a bonus": replace(_RAGGED, bonus=True),
    "forward": replace(_RAGGED, backward=False),
    "backward": replace(_RAGGED, forward=False),
    "forward with a bonus": replace(_RAGGED, backward=False, bonus=True),
    "backward with a bonus": replace(_RAGGED, forward=False, bonus=True),
    "decay per head": replace(_RAGGED, per_head=True),
    "no image": replace(_RAGGED, b=0),
}

ADVERSARIAL = {
    "no decay": replace(_HEAD, decay=_constant(0)),
    "no decay, equal tokens": replace(_HEAD, decay=_constant(0), equal_tokens=True),
    "decay of 1e-5": replace(_HEAD, decay=_constant(-1e-5)),
    "decay of 3.3e-4, equal tokens": replace(_HEAD, decay=_constant(-3.3e-4), equal_tokens=True),
    "decay of 1": replace(_HEAD, decay=_constant(-1)),
    "decay of 50": replace(_HEAD, decay=_constant(-50)),
    "decays from 0 to 50": replace(_HEAD, decay=_uniform(-50, 0)),
    "decays from 0 to 50 with a bonus": replace(_HEAD, decay=_uniform(-50, 0), bonus=True),
    "w from -8 to 8 with a bonus": replace(_HEAD, decay=_vrwkv6(-8, 8), bonus=True, same=True),
    "some forget at once": replace(_HEAD, decay=_forgetting),
}

#: At the models' shapes: VRWKV6's initial w is -6 to -1.
TIMED = {
    "toy": replace(_RAGGED, values=20, bonus=True),
    "vrwkv6-s at 1024": GatedCase(1, 4096, 6, 64, 64, _vrwkv6(-6, -1), same=True, bonus=True),
    "vrwkv6-s at 4096": GatedCase(1, 65536, 6, 64, 64, _vrwkv6(-6, -1), same=True, bonus=True),
    "vig-s at 1024": GatedCase(1, 4096, 6, 32, 64, _vig),
    "mamba-2, 6 heads, at 1024": GatedCase(1, 4096, 6, 64, 64, _uniform(-0.5, 0), backward=False, per_head=True),
}


def sample_gradients(inputs: Inputs) -> TrueGradients:
    """Return gradients of y in some value channels of the last image's last head, zero elsewhere, and the true ones.

    Other heads and images have no part in them: the recurrence of this head, in float64, is the whole truth.
    """
    v = inputs["v"]
    values = spread_indices(v.shape[3], VALUES, v.device)
    gy = torch.zeros_like(v)
    drawn = torch.randn(v.shape[1], len(values), generator=torch.Generator().manual_seed(1)).to(v)
    gy[-1, :, -1, values] = drawn
    wide = {name: None if x is None else _of_last_head(x).requires_grad_() for name, x in inputs.items()}
    q, k, some, decay, decay_backward, bonus = wide.values()
    assert q is not None and k is not None and some is not None
    y = reference.gated_linear_attention(q, k, some[..., values.cpu()], decay, decay_backward, bonus)
    y.backward(drawn.cpu().double()[None, :, None])
    return [gy], {name: _embed(inputs[name], x.grad) for name, x in wide.items() if x is not None}


def _of_last_head(x: Tensor) -> Tensor:
    """Return a token input of the last image and head, or the last head's bonus, in float64 on the CPU."""
    return (x[-1:, :, -1:] if x.ndim > 2 else x[-1:]).detach().cpu().double()


def _embed(x: Tensor, gradient: Tensor | None) -> Tensor:
    """Return the gradient of all of x from that of its last image and head; zeros elsewhere."""
    full = torch.zeros(x.shape, dtype=torch.float64)
    if gradient is not None:
        (full[-1:, :, -1:] if x.ndim > 2 else full[-1:])[:] = gradient
    return full


def _bench_case(case: GatedCase) -> BenchCase:
    return BenchCase(
        gated_linear_attention,
        lambda dtype: case.inputs(dtype),
        *(case.b, case.t, case.h * max(case.keys, case.values)),
        sample_gradients=sample_gradients,
    )


BENCH_CASES = {"gated_linear_attention": {name: _bench_case(case) for name, case in TIMED.items()}}
