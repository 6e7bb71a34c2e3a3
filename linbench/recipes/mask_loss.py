"""The loss of masks on points (arXiv 2406.19369, eq. 9, on points as in Mask2Former, 2112.01527, section 3.3).

Points are drawn per mask: ``oversample`` times as many as are kept, of which the most uncertain, whose logit is
nearest to 0, are kept up to a share, and the rest anew. They come from a generator with the image's own seed, on the
CPU: every backbone is asked about the same candidates, whatever the batch and the device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class PointSampling:
    """How the points of a mask are drawn.

    points: Points per mask.
    oversample: Candidates per point.
    uncertain: Share of the points that are the most uncertain candidates.
    """

    points: int
    oversample: float
    uncertain: float


def at(maps: Tensor, places: Tensor) -> Tensor:
    """Values of maps ``m h w`` at places ``m p 2``, x y as shares of the width and height, bilinear; ``m p``.

    The map's pixels are squares with their values at the centres; beyond the outer centres it fades to 0.
    """
    found = functional.grid_sample(maps[:, None], 2 * places[:, :, None] - 1, align_corners=False)
    return found[:, 0, :, 0]


@torch.no_grad()
def draw_points(logits: Tensor, sampling: PointSampling, seed: int) -> Tensor:
    """Places ``m p 2``, x y as shares of the width and height, for logits ``m h w``."""
    generator = torch.Generator().manual_seed(seed)
    masks = len(logits)
    uncertain = int(sampling.uncertain * sampling.points)
    candidates = torch.rand(masks, int(sampling.oversample * sampling.points), 2, generator=generator)
    others = torch.rand(masks, sampling.points - uncertain, 2, generator=generator)
    candidates, others = candidates.to(logits.device), others.to(logits.device)
    nearest = at(logits.float(), candidates).abs().topk(uncertain, dim=1, largest=False).indices
    return torch.cat([candidates.gather(1, nearest[..., None].expand(-1, -1, 2)), others], dim=1)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Sigmoid cross-entropy, averaged over the points and summed over the masks of ``m p``."""
    return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1).sum()


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the Dice coefficient of soft masks, 1 added above and below, summed over the masks of ``m p``."""
    p = logits.sigmoid()
    return (1 - (2 * (p * truth).sum(1) + 1) / (p.sum(1) + truth.sum(1) + 1)).sum()


def point_losses(logits: Tensor, masks: Tensor, sampling: PointSampling, seed: int) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Dice of one image's masks, each summed over them.

    logits: ``m h w``.
    masks: The truth, ``m H W``, which covers the same place at any resolution.
    """
    logits = logits.float()
    places = draw_points(logits, sampling, seed)
    with torch.no_grad():
        truth = at(masks.float(), places)
    found = at(logits, places)
    return cross_entropy(found, truth), dice(found, truth)
