"""FLOPs by hand, and their coverage."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from linbench.backbones import backbone, build_backbone
from linbench.suites.latency.complexity import backward_flops, complexity


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


#: Activations of torch.nn.functional that have an in-place form; what they must be given beside a tensor.
IN_PLACE = {
    name: {"threshold": 0.1, "value": 0.2} if name == "threshold" else {}
    for name, function in inspect.getmembers(functional, inspect.isfunction)
    if "inplace" in inspect.signature(function).parameters and not name.startswith("_")
}


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.function(self.layer(x)),)


@pytest.mark.filterwarnings("ignore:dropout2d:UserWarning")
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", IN_PLACE)
def test_an_activation_counts_alike_in_place_or_not_forward_and_backward(name: str, inplace: bool) -> None:
    given = IN_PLACE[name] | {"inplace": inplace}
    if "training" in inspect.signature(getattr(functional, name)).parameters:
        given["training"] = True
    shape = (2, 2, 2, 2, 8) if name == "dropout3d" else (2, 3, 8) if name == "dropout1d" else (2, 3, 4, 8)
    model, x = Applied(lambda x: getattr(functional, name)(x, **given)), torch.randn(shape)
    product = 2 * math.prod(shape) * 8
    assert complexity(model, x)["flops"] == {"value": product, "unit": "FLOP", "coverage": 1.0, "missing": []}
    assert backward_flops(model, x) == {"value": product, "unit": "FLOP", "coverage": 1.0, "missing": []}


def test_the_activations_with_an_in_place_form_are_all_seen() -> None:
    assert {"hardswish", "hardsigmoid", "silu", "mish", "relu6", "rrelu", "elu", "dropout"} <= set(IN_PLACE)


@pytest.mark.parametrize("name", ["gelu", "elu", "hardtanh", "hardswish", "silu", "threshold", "softplus", "mish"])
def test_a_form_that_writes_into_a_given_tensor_counts_as_the_others(name: str) -> None:
    def write(x: Tensor) -> Tensor:
        extra = (0.1, 0.2) if name == "threshold" else ()
        return getattr(torch.ops.aten, name).out(x, *extra, out=torch.empty_like(x))

    assert complexity(Applied(write), torch.randn(3, 8))["flops"]["missing"] == []


def test_a_product_costs_the_same_in_place_and_into_a_given_tensor() -> None:
    a, b = torch.randn(4, 4), torch.randn(4, 4)
    forms: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda x: torch.addmm(x, a, b),
        lambda x: torch.addmm(x, a, b, out=torch.empty_like(x)),
        lambda x: x.addmm_(a, b),
    )

    class Product(nn.Module):
        def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.form = form

        def forward(self, x: Tensor) -> Tensor:
            return self.form(x.clone())

    for form in forms:
        found = complexity(Product(form), torch.randn(4, 4))["flops"]
        assert found == {"value": 2 * 4**3, "unit": "FLOP", "coverage": 1.0, "missing": []}


def test_every_operator_of_mobilenet_v3_is_covered() -> None:
    with torch.device("meta"):
        model, image = build_backbone("timm/mobilenetv3_small_100", image_size=64), torch.empty(1, 3, 64, 64)
        assert complexity(model, image)["flops"]["coverage"] == 1
        assert backward_flops(model, image)["coverage"] == 1


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
