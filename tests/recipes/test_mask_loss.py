"""The losses of masks on points, against slow and obvious versions."""

import math

import pytest
import torch

from linbench.recipes.mask_loss import PointSampling, cross_entropy, dice, draw_points, point_losses, sample_at

SAMPLING = PointSampling(points=64, oversample=3.0, uncertain=0.75)


def bilinear(grid, x, y):
    """The value at a place in pixels whose centres are at .5, with 0 outside, in plain Python."""
    x, y = x - 0.5, y - 0.5
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(grid) and 0 <= column < len(grid[0]):
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * grid[row][column]
    return total


def test_a_place_has_the_bilinear_value_of_its_pixels():
    torch.manual_seed(0)
    maps, places = torch.randn(2, 5, 7, dtype=torch.float64), torch.rand(2, 40, 2, dtype=torch.float64)
    sampled = sample_at(maps, places)
    for grid, its, values in zip(maps.tolist(), places.tolist(), sampled.tolist(), strict=True):
        for (x, y), value in zip(its, values, strict=True):
            assert value == pytest.approx(bilinear(grid, 7 * x, 5 * y), abs=1e-12)


def test_cross_entropy_and_dice_are_those_of_their_formulas():
    torch.manual_seed(0)
    logits, truth = torch.randn(3, 20, dtype=torch.float64), torch.rand(3, 20, dtype=torch.float64)
    entropy, overlap = 0.0, 0.0
    for row, wanted in zip(logits.tolist(), truth.tolist(), strict=True):
        p = [1 / (1 + math.exp(-x)) for x in row]
        terms = [t * math.log(q) + (1 - t) * math.log(1 - q) for q, t in zip(p, wanted, strict=True)]
        entropy -= sum(terms) / len(terms)
        both = sum(q * t for q, t in zip(p, wanted, strict=True))
        overlap += 1 - (2 * both + 1) / (sum(p) + sum(wanted) + 1)
    assert float(cross_entropy(logits, truth)) == pytest.approx(entropy, abs=1e-12)
    assert float(dice(logits, truth)) == pytest.approx(overlap, abs=1e-12)


def test_three_quarters_of_the_points_are_the_most_uncertain_candidates():
    """A ramp of logits is uncertain along one line: candidates within a distance of it are kept, by rank."""
    ramp = torch.linspace(-4, 4, 64).expand(1, 64, 64)
    places = draw_points(ramp, SAMPLING, seed=3)
    assert places.shape == (1, 64, 2)
    generator = torch.Generator().manual_seed(3)
    candidates = torch.rand(1, 192, 2, generator=generator)[0]
    nearest = (sample_at(ramp, candidates[None])[0].abs()).sort().indices[:48]
    wanted = {tuple(place) for place in candidates[nearest].tolist()}
    assert {tuple(place) for place in places[0, :48].tolist()} == wanted
    assert (places[0, :48, 0] - 0.5).abs().max() < 0.2  # 48 of 192 along the x axis are within a quarter of it
    assert (places[0, 48:, 0] - 0.5).abs().max() > 0.2


def test_points_depend_on_the_images_seed_and_on_nothing_else():
    torch.manual_seed(0)
    logits = torch.randn(2, 16, 16)
    state = torch.get_rng_state()
    one = draw_points(logits, SAMPLING, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(draw_points(logits, SAMPLING, seed=5), one)
    assert not torch.equal(draw_points(logits, SAMPLING, seed=6), one)


def test_right_masks_cost_little_and_wrong_ones_much():
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 10:40, 20:50] = True
    logits = torch.where(mask[:, ::4, ::4], 12.0, -12.0)
    right, wrong = point_losses(logits, mask, SAMPLING, 0), point_losses(-logits, mask, SAMPLING, 0)
    assert right[0] < 1 < 4 < wrong[0]
    assert right[1] < 0.3 < 0.6 < wrong[1]


def test_the_gradient_reaches_the_logits_and_not_the_choice_of_points():
    torch.manual_seed(0)
    logits = torch.randn(2, 8, 8, requires_grad=True)
    losses = point_losses(logits, torch.rand(2, 32, 32) > 0.5, SAMPLING, 0)
    (sum(losses)).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
    assert not draw_points(logits, SAMPLING, 0).requires_grad
