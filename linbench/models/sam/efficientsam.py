"""EfficientSAM's prompt encoder and mask decoder (arXiv 2312.00863, after its released code).

The decoder is SAM's with GELU everywhere, other self-attention (``transformer.py``), and one GroupNorm over channels
and cells where SAM normalises the channels of each cell. A prompt is always six points: a box is two of them, and
it is padded with points at -1, -1 that, unlike SAM's padding, keep their position code. A background
point adds no embedding to its code: the source has none, and never trained with such points.
"""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.models.sam.decoder import MaskDecoder, upscaling
from linbench.models.sam.prompts import WIDTH, PositionCode, Prompts, PromptTokens, Size
from linbench.models.sam.transformer import efficientsam_transformer

POINTS = 6
CORNERS = (2, 3)  # labels of a box's top left and bottom right corner


class SixPointEncoder(nn.Module):
    """EfficientSAM's prompt encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.code = PositionCode()
        self.not_a_point = nn.Parameter(torch.randn(1, WIDTH))
        self.point = nn.Parameter(torch.randn(1, WIDTH))
        self.corners = nn.ParameterList(torch.randn(1, WIDTH) for _ in CORNERS)

    def forward(self, prompts: Prompts, image_size: Size, grid: Size) -> PromptTokens:
        """Encode prompts as ``PromptEncoder``; refuse a mask, and cut off points beyond the sixth with a warning."""
        if prompts.masks is not None:
            raise ValueError("EfficientSAM takes boxes and points; it has no encoder for mask prompts")
        points, labels = six_points(prompts, self.code.frequencies.device)
        none = torch.zeros_like(self.point)
        embeddings = torch.cat([self.not_a_point, none, self.point, *self.corners])  # label + 1, c
        sparse = self.code.pixels(points, image_size) + embeddings[labels + 1]
        return PromptTokens(sparse, none[:, :, None, None], self.code.cells(grid))


def six_points(prompts: Prompts, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return points ``m 6 2`` and labels ``m 6`` of the prompts: corners, points, then padding."""
    points, labels = [], []
    if prompts.boxes is not None:
        points.append(prompts.boxes.to(device).unflatten(1, (2, 2)))
        labels.append(torch.arange(CORNERS[0], CORNERS[1] + 1, device=device).expand(len(prompts), -1))
    if prompts.points is not None and prompts.labels is not None:
        points.append(prompts.points.to(device))
        labels.append(prompts.labels.to(device).long())
    point, label = torch.cat(points, dim=1), torch.cat(labels, dim=1)
    padding = POINTS - label.shape[1]
    if padding < 0:
        warnings.warn(f"EfficientSAM reads six points, a box being two; {-padding} more are cut off", stacklevel=2)
    # A negative padding cuts.
    return functional.pad(point, (0, 0, 0, padding), value=-1.0), functional.pad(label, (0, padding), value=-1)


def efficientsam_decoder() -> MaskDecoder:
    """Return SAM's mask decoder with EfficientSAM's parts."""
    norm = nn.GroupNorm(1, WIDTH // 4)
    return MaskDecoder(efficientsam_transformer(), upscaling(norm), activation=nn.GELU)
