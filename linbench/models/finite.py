"""Refuse a model's outputs with NaN or infinity, as those of a training that diverged."""

import torch
from torch import Tensor


class NotFinite(ValueError):
    """An output of a model has NaN or infinity in it, so it means nothing."""


def check_finite(name: str, **outputs: Tensor) -> None:
    """Raise NotFinite if one of the outputs has a value that is NaN or infinite.

    name: Of the input, for the message: an image's id or file.
    outputs: Of any shape, by their names in the plural, as ``logits`` and ``scores``.
    """
    for output, x in outputs.items():
        is_finite = torch.isfinite(x)
        if not is_finite.all():
            count = x.numel() - int(is_finite.sum())
            raise NotFinite(
                f"the {output} of {name} are not finite ({count:,} of {x.numel():,} values are NaN or infinite): the "
                "weights are damaged or their training diverged"
            )
