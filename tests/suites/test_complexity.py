"""FLOPs by hand, and their coverage."""

import pytest
import torch
from torch import nn

from linbench.backbones import backbone, build_backbone
from linbench.suites.complexity import backward_flops, complexity


def test_a_multiply_add_is_two_flops() -> None:
    found = complexity(nn.Linear(8, 5, bias=False), torch.empty(3, 8))
    assert found["flops"] == {"value": 2 * 3 * 8 * 5, "unit": "FLOP", "coverage": 1.0, "missing": []}
    assert found["parameters"]["value"] == 40


def test_a_convolution_counts_its_window() -> None:
    found = complexity(nn.Conv2d(3, 4, 5, bias=False), torch.empty(1, 3, 9, 9, device="cpu"))
    assert found["flops"]["value"] == 2 * 4 * 5 * 5 * (3 * 5 * 5)


def test_meta_and_real_tensors_give_the_same_count() -> None:
    real = complexity(build_backbone("vit-t", image_size=64), torch.empty(1, 3, 64, 64))
    with torch.device("meta"):
        assert complexity(build_backbone("vit-t", image_size=64), torch.empty(1, 3, 64, 64)) == real


def test_every_attention_costs_the_same() -> None:
    with torch.device("meta"):
        image = torch.empty(1, 3, 64, 64)
        costs = [
            complexity(build_backbone("vit-t", image_size=64, attention=a), image)["flops"]["value"]
            for a in ("naive", "sdpa", "chunked")
        ]
    assert len(set(costs)) == 1


def test_an_operator_without_a_formula_lowers_the_coverage_and_is_named() -> None:
    class Fourier(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.fft(x).real

    found = complexity(Fourier(), torch.randn(4, 8))
    assert found["flops"]["coverage"] < 1
    assert found["flops"]["missing"] == ["aten._fft_r2c"]


def test_a_backward_of_a_linear_layer_is_two_products() -> None:
    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 5), nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.last(self.first(x)),)

    with torch.device("meta"):
        found = backward_flops(Maps(), torch.empty(3, 8))
    # the last layer: gradients of weight and input; the first: of its weight alone
    assert found == {"value": 2 * (2 * 3 * 5 * 5) + 2 * 3 * 8 * 5, "unit": "FLOP", "coverage": 1.0, "missing": []}


@pytest.mark.parametrize(
    ("layer", "flops"),
    [
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), 2 * (6 * 7 * 7) * (2 * 9)),
        (nn.Conv2d(4, 4, 3, groups=4, padding=1, bias=False), 2 * (4 * 9 * 9) * 9),
        (nn.ConvTranspose2d(4, 6, 3, bias=False), 2 * (4 * 9 * 9) * (6 * 9)),
    ],
)
def test_each_gradient_of_a_convolution_costs_its_forward_grouped_or_not(layer: nn.Module, flops: int) -> None:
    image = torch.empty(1, 4, 9, 9, device="meta")
    layer = layer.to("meta")
    assert complexity(layer, image)["flops"]["value"] == flops
    assert backward_flops(layer, image)["value"] == flops  # of its weight
    first = nn.Conv2d(4, 4, 1, bias=False, device="meta")
    both = backward_flops(nn.Sequential(first, layer), image)["value"]
    assert both == 2 * flops + 2 * (4 * 9 * 9) * 4


OWN = sorted(name for name in backbone if "/" not in name)


FIRST = {backbone[name].source: name for name in OWN if name.split("-")[-1] in ("b", "t", "ti")}
SMALL = set(FIRST.values())  # one of each family


@pytest.mark.parametrize("name", [n if n in SMALL else pytest.param(n, marks=pytest.mark.slow) for n in OWN])
def test_every_backbone_of_ours_is_counted_whole_forward_and_backward(name: str) -> None:
    for options in _forms(name):
        with torch.device("meta"):
            model = build_backbone(name, image_size=64, **options)
            image = torch.empty(1, 3, 64, 64)
            forward, backward = complexity(model, image)["flops"], backward_flops(model, image)
        assert (forward["missing"], backward["missing"]) == ([], []), options
        assert forward["coverage"] == backward["coverage"] == 1
        assert 1.5 * forward["value"] < backward["value"] < 4 * forward["value"]


def _forms(name: str) -> list[dict[str, object]]:
    """The default, and each form of a choice that changes the operators."""
    attention = ("naive", "sdpa", "chunked") if name.startswith("vit-") else ("naive", "sdpa")
    choices = {"attention": attention, "fused": (False, True)}
    given = {option: values for option, values in choices.items() if option in backbone[name].options}
    return [{}, *({option: value} for option, values in given.items() for value in values)]
