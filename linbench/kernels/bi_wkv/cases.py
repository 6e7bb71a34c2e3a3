"""Named inputs of bi-WKV, tested and timed alike: ordinary ones, and those that break other algorithms.

On the adversarial ones, named by their keys and decay, an upstream kernel, a running maximum, a cumulative sum, an
FFT or a Toeplitz product loses all digits, overflows, or divides by zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from linbench.kernels.bench_cases import BenchCase, Inputs, TrueGradients
from linbench.kernels.bi_wkv import reference
from linbench.kernels.bi_wkv.gated import gated_bi_wkv
from linbench.kernels.bi_wkv.op import bi_wkv
from linbench.kernels.operators import spread_indices

CHANNELS = 3  # of the sampled gradients
ROWS = 24
ROWS_AT_ONCE = 8

Draw = Callable[[torch.Generator, int, int, int], Tensor]


@dataclass(frozen=True)
class BiWkvCase:
    """An input: sizes ``b t c``, and how w times t (the model's parameter) and k are drawn."""

    b: int
    t: int
    c: int
    decay: Callable[[torch.Generator, int], Tensor]
    keys: Draw

    def inputs(self, t: int | None = None, c: int | None = None, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Return w, u (both divided by t, in float32 at least), k and v; t and c replace the case's own."""
        t, c = t or self.t, c or self.c
        generator = torch.Generator().manual_seed(0)
        wide = torch.promote_types(dtype, torch.float32)
        w = self.decay(generator, c).to(wide) / t
        u = torch.randn(c, generator=generator).to(wide) / t
        k = self.keys(generator, self.b, t, c).to(dtype)
        return [w, u, k, torch.randn(self.b, t, c, generator=generator).to(dtype)]


def _uniform(low: float, high: float) -> Callable[[torch.Generator, int], Tensor]:
    return lambda generator, c: low + (high - low) * torch.rand(c, generator=generator)


def _constant(decay: float) -> Callable[[torch.Generator, int], Tensor]:
    return lambda generator, c: torch.full((c,), decay)


def _mixed(generator: torch.Generator, c: int) -> Tensor:
    return torch.linspace(-1000, 1000, c)


def _normal(generator: torch.Generator, b: int, t: int, c: int) -> Tensor:
    return torch.randn(b, t, c, generator=generator)


def _within(bound: float) -> Draw:
    return lambda generator, b, t, c: (2 * torch.rand(b, t, c, generator=generator) - 1) * bound


def _spike(low: float, high: float) -> Draw:
    def draw(generator: torch.Generator, b: int, t: int, c: int) -> Tensor:
        return torch.full((b, t, c), low).index_fill_(1, torch.tensor([t // 3]), high)

    return draw


TRAINED = _uniform(-5, 3)  # Vision-RWKV's initial decays

ADVERSARIAL = {
    "keys normal, decay 0 to 4": BiWkvCase(1, 1024, 24, _uniform(0, 4), _normal),
    "keys to 30, decay 0 to 4": BiWkvCase(1, 1024, 24, _uniform(0, 4), _within(30)),
    "keys to 30, decay 100": BiWkvCase(1, 1024, 24, _constant(100), _within(30)),
    "keys to 30, decay 1000": BiWkvCase(1, 1024, 24, _constant(1000), _within(30)),
    "keys to 30, decay 5000": BiWkvCase(1, 1024, 24, _constant(5000), _within(30)),
    "one key of 30, decay 80": BiWkvCase(1, 1024, 24, _constant(80), _spike(0, 30)),
    "one key of 100 in -100": BiWkvCase(1, 1024, 24, _constant(0), _spike(-100, 100)),
    "keys normal, growth 100": BiWkvCase(1, 1024, 24, _constant(-100), _normal),
    "keys to 30, growth 1000": BiWkvCase(1, 1024, 24, _constant(-1000), _within(30)),
    "keys to 30, growth 5000": BiWkvCase(1, 1024, 24, _constant(-5000), _within(30)),
    "keys to 100, decay 500": BiWkvCase(1, 1024, 24, _constant(500), _within(100)),
    "keys to 100, decay -1000 to 1000": BiWkvCase(1, 1024, 24, _mixed, _within(100)),
    "equal keys, decay 4": BiWkvCase(1, 1024, 24, _constant(4), _spike(0, 0)),
}

CASES = {
    "toy": BiWkvCase(1, 5, 4, TRAINED, _normal),
    "one token": BiWkvCase(2, 1, 16, TRAINED, _normal),
    "ragged": BiWkvCase(2, 77, 39, TRAINED, _normal),
    "no image": BiWkvCase(0, 9, 16, TRAINED, _normal),
    "vrwkv-s at 224": BiWkvCase(8, 196, 384, TRAINED, _normal),
    "vrwkv-s at 1024": BiWkvCase(1, 4096, 384, TRAINED, _normal),
    **ADVERSARIAL,
}


def sample_gradients(inputs: Inputs) -> TrueGradients:
    """Return gradients of y at some tokens of some channels of the last image, zero elsewhere, and the true ones.

    inputs: Of bi_wkv, or with r of gated_bi_wkv.
    The backward is linear in the gradients of y, so the equation at these tokens is enough: no t × t matrix.
    """
    v = inputs["v"]
    b, t, c = v.shape
    rows, channels = spread_indices(t, ROWS, v.device), spread_indices(c, CHANNELS, v.device)
    drawn = torch.randn(len(rows), len(channels), generator=torch.Generator().manual_seed(1)).to(v)
    gy = torch.zeros_like(v)
    gy[b - 1, rows[:, None], channels] = drawn
    sampled = {
        name: (x if x.ndim == 1 else x[b - 1 :]).detach()[..., channels].double().requires_grad_()
        for name, x in inputs.items()
    }
    for part, g in zip(rows.split(ROWS_AT_ONCE), drawn.double().split(ROWS_AT_ONCE), strict=True):
        y = reference.bi_wkv(sampled["w"], sampled["u"], sampled["k"], sampled["v"], rows=part)
        gate = sampled["r"][:, part].sigmoid() if "r" in sampled else 1
        (gate * y).backward(g[None])
    return [gy], {name: _scatter(inputs[name], x.grad, channels) for name, x in sampled.items()}


def _scatter(x: Tensor, gradient: Tensor | None, channels: Tensor) -> Tensor:
    """Return the gradient of all of x from that of some channels of its last image; zeros elsewhere."""
    assert gradient is not None
    full = torch.zeros_like(x, dtype=torch.float64)
    (full if x.ndim == 1 else full[-1:])[..., channels] = gradient
    return full


def _bench_case(case: BiWkvCase) -> BenchCase:
    return BenchCase(
        bi_wkv,
        lambda dtype: dict(zip("wukv", case.inputs(dtype=dtype), strict=True)),
        *(case.b, case.t, case.c),
        sample_gradients=sample_gradients,
    )


def _gated_bench_case(case: BiWkvCase) -> BenchCase:
    def inputs(dtype: torch.dtype) -> Inputs:
        r = torch.randn(case.b, case.t, case.c, generator=torch.Generator().manual_seed(2)).to(dtype)
        return dict(zip("wukvr", [*case.inputs(dtype=dtype), r], strict=True))

    return BenchCase(gated_bi_wkv, inputs, case.b, case.t, case.c, sample_gradients=sample_gradients)


#: At Vision-RWKV's shapes.
_TIMED = {
    "toy": CASES["ragged"],
    "8 of vrwkv-s at 224": CASES["vrwkv-s at 224"],
    "vrwkv-s at 1024": CASES["vrwkv-s at 1024"],
    "vrwkv-s at 4096": replace(CASES["vrwkv-s at 1024"], t=65536),
}
BENCH_CASES = {
    "bi_wkv": {name: _bench_case(case) for name, case in _TIMED.items()},
    "gated_bi_wkv": {name: _gated_bench_case(case) for name, case in _TIMED.items()},
}
