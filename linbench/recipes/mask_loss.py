"""The loss of masks on points (arXiv 2406.19369, eq. 9, on points as in Mask2Former, 2112.01527, section 3.3).

Points are drawn per mask: of ``oversample`` times as many candidates the most uncertain, whose logits are nearest to
0, fill a fraction of the points, and the rest are drawn anew. They come from a generator with the image's own seed,
on the CPU, so every backbone sees the same candidates, whatever the batch and the device. A point is x y as fractions
of the width and the height.
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
    uncertain: Fraction of the points that are the most uncertain candidates.
    """

    points: int
    oversample: float
    uncertain: float


def sample_at(maps: Tensor, points: Tensor) -> Tensor:
    """Return the bilinear values ``m p`` of maps ``m h w`` at points ``m p 2``.

    A map's pixels are squares with their values at the centres; beyond the outer centres it fades to 0.
    """
    values = functional.grid_sample(maps[:, None], 2 * points[:, :, None] - 1, align_corners=False)
    return values[:, 0, :, 0]


@torch.no_grad()
def draw_points(logits: Tensor, sampling: PointSampling, seed: int) -> Tensor:
    """Return points ``m p 2`` for logits ``m h w``."""
    generator = torch.Generator().manual_seed(seed)
    masks = len(logits)
    uncertain = int(sampling.uncertain * sampling.points)
    candidates = torch.rand(masks, int(sampling.oversample * sampling.points), 2, generator=generator)
    others = torch.rand(masks, sampling.points - uncertain, 2, generator=generator)
    candidates, others = candidates.to(logits.device), others.to(logits.device)
    nearest = sample_at(logits.float(), candidates).abs().topk(uncertain, dim=1, largest=False).indices
    return torch.cat([candidates.gather(1, nearest[..., None].expand(-1, -1, 2)), others], dim=1)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the sigmoid cross-entropy of ``m p``, averaged over the points and summed over the masks."""
    return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1).sum()


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Return one minus the Dice coefficient of soft masks ``m p``, smoothed by 1, summed over the masks."""
    p = logits.sigmoid()
    return (1 - (2 * (p * truth).sum(1) + 1) / (p.sum(1) + truth.sum(1) + 1)).sum()


def point_losses(logits: Tensor, masks: Tensor, sampling: PointSampling, seed: int) -> tuple[Tensor, Tensor]:
    """Return cross-entropy and Dice loss of one image's masks, each summed over them.

    logits: ``m h w``.
    masks: The truth, ``m H W``, which covers the same part of the image at any resolution.
    """
    logits = logits.float()
    points = draw_points(logits, sampling, seed)
    with torch.no_grad():
        truth = sample_at(masks.float(), points)
    predicted = sample_at(logits, points)
    return cross_entropy(predicted, truth), dice(predicted, truth)
