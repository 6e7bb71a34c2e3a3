"""The truth that an engine is held against: eager float32, unfused, with drawn weights, on two images (rule 25)."""

import copy
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from linbench.engines.check import EngineError, Judgement, Truth, error_of, judge
from linbench.engines.contract import Arrays
from linbench.engines.drawn import draw_weights
from linbench.suites.latency.forward import build, cast, in_float32
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.part import Maps
from linbench.suites.runner.device import Dtype

WEIGHTS_SEED = 0  # of the model in an artifact, the same in all rounds
IMAGE_SEEDS = (1, 2)


class Reference:
    """A model in eager float32 with drawn weights, two images, and its outputs for them.

    model: On the device; other forms of it take its ``state_dict``.
    inputs: For each image, in float32.  outputs: For each image.
    """

    def __init__(self, key: LatencyKey, device: torch.device) -> None:
        torch.manual_seed(WEIGHTS_SEED)
        self.model, self.given = build(in_float32(key), device)
        draw_weights(self.model, WEIGHTS_SEED)
        self.inputs = tuple(_like(self.given, seed) for seed in IMAGE_SEEDS)
        self.outputs = outputs_of(self.model, self.inputs)

    def noise(self, key: LatencyKey) -> EngineError | None:
        """Return how far eager in the key's dtype is from float32; None for float32."""
        if key.dtype is Dtype.FLOAT32:
            return None
        half = cast(key, copy.deepcopy(self.model), ())[0]
        return error_of(outputs_of(half, in_dtype(key, self.inputs)), self.outputs)


def in_dtype(key: LatencyKey, inputs: Sequence[Maps]) -> tuple[Maps, ...]:
    """Return inputs in the key's dtype."""
    return tuple(tuple(x.to(key.dtype.torch) for x in maps) for maps in inputs)


def outputs_of(model: Callable[..., Maps], inputs: Sequence[Maps]) -> tuple[Arrays, ...]:
    """Return copies of the outputs for each image, in float32."""
    with torch.inference_mode():
        return tuple(to_arrays(model(*maps)) for maps in inputs)


def to_arrays(maps: Maps) -> Arrays:
    """Return copies of maps as arrays in float32."""
    return tuple(x.detach().float().cpu().numpy().copy() for x in maps)


def judge_compiled(
    key: LatencyKey, model: nn.Module, wrapped: Callable[..., Maps], device: torch.device
) -> tuple[Judgement, float]:
    """Return the judgement of ``wrapped``, which compiles ``model``, and the seconds of its first call.

    The model takes the drawn weights before: compiled, they are part of the code.
    """
    reference = Reference(key, device)
    model.load_state_dict(reference.model.state_dict())
    inputs = in_dtype(key, reference.inputs)
    start = time.perf_counter()
    outputs_of(wrapped, inputs[:1])
    seconds = time.perf_counter() - start
    truth = Truth(reference.outputs, reference.noise(key))
    return judge(outputs_of(wrapped, inputs), truth), seconds


def _like(inputs: Maps, seed: int) -> Maps:
    """Return random numbers in the shapes and layouts of ``inputs``."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(_random(x, generator) for x in inputs)


def _random(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(x).copy_(torch.randn(x.shape, generator=generator))
