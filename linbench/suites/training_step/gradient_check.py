"""Whether a gradient is right: a small step along it must change the loss by what it says, without any reference.

The check of kernels (``runner/correctness.py``) sees forwards alone. Here each parameter moves along its gradient g,
scaled to length 1, so that the loss changes with the slope Σ |g|, by its definition; the slope is measured too, as
the central difference of two more forwards. Every parameter counts, at the batch, length and dtype that are timed.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from linbench.suites.runner.device import Dtype
from linbench.suites.training_step.key import TrainingStepKey
from linbench.suites.training_step.step import ForwardBackward

#: The step, as the fraction of the loss that it should change, and the largest error of the slope that is allowed, as
#: a fraction. The loss must change by more than its rounding, and by less than its curvature bends. Of the tiny
#: backbones at 64 px the largest errors are 1e-4 in strict float32, and 0.01 under bfloat16.
STRICT = (1e-3, 0.005)
ROUNDED = (0.02, 0.05)


def check_gradients(key: TrainingStepKey, run: ForwardBackward, image: Tensor, seed: int) -> tuple[float, str]:
    """Return the error of the slope, and in one sentence what is wrong; empty where nothing is."""
    is_strict = key.dtype is Dtype.FLOAT32 and key.settings.matmul == "highest" and not key.settings.tf32
    change, allowed = STRICT if is_strict else ROUNDED
    error = slope_error(run, image, change, seed)
    if error <= allowed:
        return error, ""
    if not math.isfinite(error):
        return error, "the loss or a gradient is not finite, or all gradients are zero"
    return error, f"the loss's slope along its gradient is off by {error:.1e} of it, allowed {allowed:g}"


def slope_error(run: ForwardBackward, image: Tensor, change: float, seed: int) -> float:
    """Return the error of the slope as a fraction; infinite where there is none. Clears the gradients.

    change: The fraction of the loss that the step should change.  seed: Of randomness in the model.
    The weights are put back up to rounding.
    """
    torch.manual_seed(seed)
    loss = run(image).item()
    parameters = [p for p in run.parameters() if p.grad is not None]
    slope = sum(_normalize(p) for p in parameters)
    if not (math.isfinite(loss) and math.isfinite(slope) and slope > 0):
        return math.inf
    step = change * loss / slope
    losses = []
    for move in (step, -2 * step):
        _move(parameters, move)
        torch.manual_seed(seed)
        with torch.no_grad():
            losses.append(run.loss(image).item())
    _move(parameters, step)
    run.zero_grad()
    error = abs((losses[0] - losses[1]) / (2 * change * loss) - 1)
    return error if math.isfinite(error) else math.inf


def _normalize(parameter: nn.Parameter) -> float:
    """Scale a parameter's gradient to length 1, and return its length; one of length 0 stays as it is."""
    assert parameter.grad is not None
    length = float(parameter.grad.norm())
    parameter.grad.div_(length or 1.0)
    return length


@torch.no_grad()
def _move(parameters: Sequence[nn.Parameter], step: float) -> None:
    for parameter in parameters:
        assert parameter.grad is not None
        parameter.add_(parameter.grad, alpha=step)
