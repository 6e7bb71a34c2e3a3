"""Refuse a model's outputs that hold NaN or infinity: they are what is left of a training that diverged."""

import torch
from torch import Tensor


class NotFinite(ValueError):
    """An output of a model that holds NaN or infinity, so that it answers nothing."""


def check_finite(name: str, **outputs: Tensor) -> None:
    """Raise NotFinite where one of the outputs has a value that is NaN or infinite.

    name: What the outputs are of, for the message: an image's id or file.
    outputs: By what they are, in the plural, as ``logits`` and ``scores``; of any shape.
    """
    for output, x in outputs.items():
        finite = torch.isfinite(x)
        if not finite.all():
            bad = x.numel() - int(finite.sum())
            raise NotFinite(
                f"the {output} of {name} are not finite ({bad:,} of {x.numel():,} values are NaN or infinite): the "
                "weights are damaged or their training diverged"
            )
