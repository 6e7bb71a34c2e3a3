"""Named inputs of bi-WKV, tested and timed alike: ordinary ones, and those that break other algorithms.

Those with a range of k and a decay are the rows of a table on which an upstream kernel, a running maximum, a
cumulative sum, an FFT or a Toeplitz product lose all digits, overflow, or divide by zero.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Draw = Callable[[torch.Generator, int, int, int], Tensor]


@dataclass(frozen=True)
class Case:
    """One input: sizes ``b t c``; w times t (the model's own parameter) and k drawn for them."""

    b: int
    t: int
    c: int
    decay: Callable[[torch.Generator, int], Tensor]
    keys: Draw

    def inputs(self, t: int | None = None, c: int | None = None, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """The operator's w, u (both divided by t, in float32 at least), k and v; other sizes where given."""
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
    "keys normal, decay 0 to 4": Case(1, 1024, 24, _uniform(0, 4), _normal),
    "keys to 30, decay 0 to 4": Case(1, 1024, 24, _uniform(0, 4), _within(30)),
    "keys to 30, decay 100": Case(1, 1024, 24, _constant(100), _within(30)),
    "keys to 30, decay 1000": Case(1, 1024, 24, _constant(1000), _within(30)),
    "keys to 30, decay 5000": Case(1, 1024, 24, _constant(5000), _within(30)),
    "one key of 30, decay 80": Case(1, 1024, 24, _constant(80), _spike(0, 30)),
    "one key of 100 in -100": Case(1, 1024, 24, _constant(0), _spike(-100, 100)),
    "keys normal, growth 100": Case(1, 1024, 24, _constant(-100), _normal),
    "keys to 30, growth 1000": Case(1, 1024, 24, _constant(-1000), _within(30)),
    "keys to 30, growth 5000": Case(1, 1024, 24, _constant(-5000), _within(30)),
    "keys to 100, decay 500": Case(1, 1024, 24, _constant(500), _within(100)),
    "keys to 100, decay -1000 to 1000": Case(1, 1024, 24, _mixed, _within(100)),
    "equal keys, decay 4": Case(1, 1024, 24, _constant(4), _spike(0, 0)),
}

CASES = {
    "toy": Case(1, 5, 4, TRAINED, _normal),
    "one token": Case(2, 1, 16, TRAINED, _normal),
    "ragged": Case(2, 77, 39, TRAINED, _normal),
    "no image": Case(0, 9, 16, TRAINED, _normal),
    "vrwkv-s at 224": Case(8, 196, 384, TRAINED, _normal),
    "vrwkv-s at 1024": Case(1, 4096, 384, TRAINED, _normal),
    **ADVERSARIAL,
}
