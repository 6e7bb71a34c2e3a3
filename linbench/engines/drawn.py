"""Weights under which every branch of a model matters.

Freshly initialised weights hide faults: with the whole state of Mamba's scan left out, Vim's output moves by 1e-3.
Here every matrix is N(0, 1 / fan-in), and to every vector 0.1 N(0, 1) is added. Decay rates (``A_log``) and position
tables stay as they are.
"""

import torch
from torch import nn

KEPT = ("A_log", "A_logs", "pos_embed", "position")
STEP = 0.1  # standard deviation of what is added to a vector


def draw_weights(model: nn.Module, seed: int) -> None:
    """Draw the parameters of a model anew, in place, from a seed; its buffers stay."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(kept in name for kept in KEPT):
                continue
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            if parameter.ndim < 2 or name.endswith("bias"):
                parameter.add_(STEP * noise)
            else:
                parameter.copy_(noise * fan_in(parameter) ** -0.5)


def fan_in(weight: torch.Tensor) -> int:
    """Return how many inputs each output of a weight sums: all but its first axis.

    Of a stack of matrices, as VMamba's for its four directions, the last axis alone.
    """
    is_stack = weight.ndim == 3 and weight.shape[1] > 1
    return max(1, weight.shape[-1] if is_stack else weight[0].numel())
