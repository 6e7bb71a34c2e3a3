"""Prompts on images larger than a model's input: overlapping tiles at full resolution, their masks blended.

A prompt goes to the tiles that hold it. A box that fits into one tile is decoded in the one that it is most central
in; a larger box is clipped to each tile that it reaches into. Where tiles overlap their logits are averaged, with
weights that fall to the tile's border, so that no seam shows. A pixel that no tile of a prompt covers is background.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linbench.models.finite import check_finite
from linbench.models.sam import Prompts
from linbench.models.segmenter import PredictedMasks, Segmenter

OVERLAP = 0.25  # of a tile's side


@dataclass(frozen=True)
class Tile:
    """A part of an image: its first column and row, and its size, px."""

    x: int
    y: int
    height: int
    width: int


@dataclass(frozen=True)
class _Part:
    """What one tile says of a prompt: logits of low resolution ``k h w``, scores ``k``, and their weight."""

    tile: Tile
    logits: Tensor
    scores: Tensor
    weight: float


def tiles_of(size: tuple[int, int], side: int, overlap: float = OVERLAP) -> list[Tile]:
    """Return the tiles that cover an image of that height and width, px, row by row, evenly spread.

    side: Of a tile, px; an image that is smaller has smaller tiles.
    overlap: The least overlap of neighbours, as a fraction of ``side``. Raises ValueError outside 0 to 0.9.
    """
    if not 0 <= overlap <= 0.9:
        raise ValueError(f"overlap must be between 0 and 0.9, got {overlap}")
    starts = [_starts(length, side, overlap) for length in size]
    height, width = (min(side, length) for length in size)
    return [Tile(x, y, height, width) for y, x in product(*starts)]


def _starts(length: int, side: int, overlap: float) -> list[int]:
    """Return where the tiles along one axis begin."""
    if length <= side:
        return [0]
    step = max(1, int(side * (1 - overlap)))
    count = 1 + -(-(length - side) // step)
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def predict_in_tiles(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    prompts: Prompts,
    *,
    multimask: bool = False,
    prompt_chunk: int = 8,
    overlap: float = OVERLAP,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[PredictedMasks]:
    """Yield the masks of each prompt at the size of the image, in the prompts' order.

    image: ``h w 3``.  prompts: Boxes and points, in px of the image; a mask prompt raises ValueError.
    advance: Called with the tiles done so far and the number of those that hold prompts; others are not encoded.
    Raises NotFinite where logits or scores are not finite.
    """
    if prompts.masks is not None:
        raise ValueError("a mask prompt covers the whole input, so it cannot be cut into tiles; give boxes or points")
    height, width = image.shape[:2]
    tiles = tiles_of((height, width), segmenter.transform.side, overlap)
    routes = _routes(prompts, tiles)
    needed = [tile for tile in tiles if any(tile in route for route in routes)]
    parts: list[list[_Part]] = [[] for _ in routes]
    for done, tile in enumerate(needed):
        chosen = [i for i, route in enumerate(routes) if tile in route]
        local = _local(prompts, chosen, tile)
        pixels = np.ascontiguousarray(image[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width])
        with torch.inference_mode():
            embedding, size = segmenter.embed(pixels), (tile.height, tile.width)
            logits, scores = segmenter.decode(embedding, local, size, multimask=multimask, prompt_chunk=prompt_chunk)
        check_finite("this image", logits=logits, scores=scores)
        for i, prompt_logits, prompt_scores in zip(chosen, logits, scores, strict=True):
            parts[i].append(_Part(tile, prompt_logits, prompt_scores, routes[i][tile]))
        advance(done + 1, len(needed))
    for prompt_parts in parts:
        yield _blended(segmenter, prompt_parts, (height, width))


def _routes(prompts: Prompts, tiles: list[Tile]) -> list[dict[Tile, float]]:
    """Return for each prompt its tiles, each with the weight of its scores."""
    return [_route(*_box_and_points(prompts, i), tiles) for i in range(len(prompts))]


def _box_and_points(prompts: Prompts, i: int) -> tuple[Tensor | None, Tensor]:
    """Return the box of a prompt, and its foreground points, or all where it has no other; padding is left out."""
    box = None if prompts.boxes is None else prompts.boxes[i].double()
    points = torch.empty(0, 2, dtype=torch.float64)
    if prompts.points is not None and prompts.labels is not None:
        labels = prompts.labels[i]
        points = prompts.points[i].double()[labels == 1 if (labels == 1).any() else labels == 0]
    return box, points


def _route(box: Tensor | None, points: Tensor, tiles: list[Tile]) -> dict[Tile, float]:
    if box is None:
        return {_most_central(points[i].repeat(2), tiles): 1.0 for i in range(len(points))}
    whole = [tile for tile in tiles if _inside(box, tile) == _area(box)]
    if whole:
        return {_most_central(box, whole): 1.0}
    return {tile: weight for tile in tiles if (weight := _inside(box, tile)) > 0} or {_most_central(box, tiles): 1.0}


def _most_central(box: Tensor, tiles: list[Tile]) -> Tile:
    """Return the tile whose centre is nearest to that of the box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return min(tiles, key=lambda t: float((t.x + t.width / 2 - x) ** 2 + (t.y + t.height / 2 - y) ** 2))


def _area(box: Tensor) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _inside(box: Tensor, tile: Tile) -> float:
    """Return the area of the box inside the tile, px."""
    clipped = _clipped(box, tile)
    return _area(clipped) if bool((clipped[2:] > clipped[:2]).all()) else 0.0


def _clipped(boxes: Tensor, tile: Tile) -> Tensor:
    """Return boxes ``… 4`` cut to the tile, px of the image."""
    x = boxes[..., 0::2].clamp(tile.x, tile.x + tile.width)
    y = boxes[..., 1::2].clamp(tile.y, tile.y + tile.height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def _local(prompts: Prompts, chosen: list[int], tile: Tile) -> Prompts:
    """Return the chosen prompts in px of the tile; points outside it become padding."""
    start = torch.tensor([tile.x, tile.y])
    boxes = points = labels = None
    if prompts.boxes is not None:
        boxes = _clipped(prompts.boxes[chosen], tile) - start.repeat(2)
    if prompts.points is not None and prompts.labels is not None:
        points = prompts.points[chosen] - start
        is_inside = ((points >= 0) & (points <= torch.tensor([tile.width, tile.height]))).all(dim=-1)
        labels = torch.where(is_inside, prompts.labels[chosen], -1)
        points = torch.where(is_inside[..., None], points, 0.0)
    return Prompts(boxes=boxes, points=points, labels=labels)


def _blended(segmenter: Segmenter, parts: list[_Part], size: tuple[int, int]) -> PredictedMasks:
    """Return the masks of one prompt: the logits of its tiles, averaged where they overlap."""
    tiles = [part.tile for part in parts]
    top, left = min(tile.y for tile in tiles), min(tile.x for tile in tiles)
    bottom, right = max(tile.y + tile.height for tile in tiles), max(tile.x + tile.width for tile in tiles)
    total = torch.zeros(len(parts[0].scores), bottom - top, right - left)  # of the tiles' window, not of the image
    for part in parts:
        tile = part.tile
        y, x = tile.y - top, tile.x - left
        with torch.inference_mode():
            logits = segmenter.transform.logits(part.logits[None], (tile.height, tile.width))[0].float().cpu()
        ramp = _ramp(tile.height)[:, None] * _ramp(tile.width)
        total[:, y : y + tile.height, x : x + tile.width] += (
            logits * ramp
        )  # weights are positive: the sign is the mean's
    masks = np.zeros((len(total), *size), np.bool_)
    masks[:, top:bottom, left:right] = (total > 0).numpy()
    areas = torch.tensor([part.weight for part in parts])
    scores = torch.stack([part.scores.float().cpu() for part in parts])
    return PredictedMasks(masks, ((areas[:, None] * scores).sum(0) / areas.sum()).numpy())


def _ramp(length: int) -> Tensor:
    """Return weights along a tile that fall from 1 in the middle to nearly 0 at the border."""
    at = torch.arange(length) + 0.5
    return torch.minimum(at, length - at) / (length / 2)
