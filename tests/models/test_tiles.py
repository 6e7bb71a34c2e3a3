"""Tiles: prompts go where they belong, and masks have no seam."""

import numpy as np
import pytest
import torch
from torch import nn

from linbench.models.sam import Embedding, Prompts, Sam
from linbench.models.sam.transforms import LongestSide
from linbench.models.segmenter import Segmenter
from linbench.models.tiles import predict_in_tiles, tiles_of


class BoxInterior(Sam):
    """A segmenter whose mask is the inside of its box, or a disc around its foreground points."""

    def __init__(self) -> None:
        super().__init__(nn.Identity(), nn.Identity(), nn.Identity())
        self.scale = nn.Parameter(torch.ones(1))
        self.encoded = 0

    def encode(self, image):
        self.encoded += 1
        return Embedding((image,), tuple(image.shape[2:]))

    def decode(self, embedding, prompts, *, multimask=False, prompt_chunk=8):
        height, width = embedding.image_size
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        if prompts.boxes is not None:
            x0, y0, x1, y1 = prompts.boxes[:, :, None, None].unbind(1)
            inside = torch.minimum(torch.minimum(x - x0, x1 - x), torch.minimum(y - y0, y1 - y))
        else:
            distance = (x - prompts.points[..., :1, None]) ** 2 + (y - prompts.points[..., 1:, None]) ** 2
            distance = torch.where(prompts.labels[..., None, None] == 1, distance, torch.inf)
            inside = 8 - distance.amin(1).sqrt()
        return inside.clamp(-5, 5)[:, None], torch.ones(len(prompts), 1)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(BoxInterior(), LongestSide(64), {})


IMAGE = np.zeros((150, 230, 3), np.uint8)


@pytest.mark.parametrize(
    "box",
    [(5, 7, 40, 30), (100, 60, 140, 100), (10, 20, 220, 140), (0, 0, 230, 150), (60, 2, 70, 148)],
    ids=["in one tile", "across a seam", "over many tiles", "the whole image", "a strip"],
)
def test_a_box_gives_the_same_mask_with_and_without_tiles(segmenter: Segmenter, box) -> None:
    prompts = Prompts(boxes=torch.tensor([box], dtype=torch.float32))
    (predicted,) = predict_in_tiles(segmenter, IMAGE, prompts)
    whole = Segmenter(BoxInterior(), LongestSide(240), {})
    (expected,) = whole.predict(IMAGE, prompts)
    truth = np.zeros((150, 230), bool)
    truth[box[1] : box[3], box[0] : box[2]] = True
    assert np.array_equal(predicted.masks[0], truth)
    assert (predicted.masks != expected.masks).mean() < 0.02  # the whole image is resampled, tiles are not


def test_only_tiles_with_prompts_are_encoded_and_each_once(segmenter: Segmenter) -> None:
    boxes = torch.tensor([[2.0, 2, 20, 20], [4, 4, 30, 30], [200, 120, 225, 145]])
    list(predict_in_tiles(segmenter, IMAGE, Prompts(boxes=boxes)))
    assert segmenter.sam.encoded == 2


def test_points_go_to_their_tiles_and_background_points_alone_mark_nothing_elsewhere(segmenter: Segmenter) -> None:
    points = torch.tensor([[[20.0, 20], [200, 130]]])
    (predicted,) = predict_in_tiles(segmenter, IMAGE, Prompts(points=points, labels=torch.tensor([[1, 1]])))
    rows, columns = np.nonzero(predicted.masks[0])
    near = [(columns - x) ** 2 + (rows - y) ** 2 <= 81 for x, y in ((20, 20), (200, 130))]
    assert all(mask.sum() > 150 for mask in near)
    assert np.logical_or(*near).all()


def test_the_masks_come_in_the_order_of_the_prompts(segmenter: Segmenter) -> None:
    boxes = torch.tensor([[200.0, 120, 225, 145], [2, 2, 20, 20]])
    first, second = predict_in_tiles(segmenter, IMAGE, Prompts(boxes=boxes))
    assert first.masks[0, 130, 210] and not first.masks[0, 10, 10]
    assert second.masks[0, 10, 10] and not second.masks[0, 130, 210]


@pytest.mark.parametrize("size", [(64, 64), (65, 64), (150, 230), (20, 1000)])
def test_tiles_cover_every_pixel_with_at_least_the_overlap(size) -> None:
    covered = np.zeros(size, int)
    tiles = tiles_of(size, 64, 0.25)
    for tile in tiles:
        assert tile.x >= 0 and tile.x + tile.width <= size[1]
        covered[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    assert covered.min() >= 1
    steps = np.diff(sorted({tile.x for tile in tiles}))
    assert (steps <= 48).all()


def test_a_mask_prompt_is_refused_and_an_overlap_is_bounded(segmenter: Segmenter) -> None:
    with pytest.raises(ValueError, match="mask prompt"):
        list(predict_in_tiles(segmenter, IMAGE, Prompts(masks=torch.zeros(1, 1, 16, 16))))
    with pytest.raises(ValueError, match=r"overlap must be between 0 and 0.9, got 1"):
        tiles_of((100, 100), 64, 1)
