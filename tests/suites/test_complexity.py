"""FLOPs by hand, and their coverage."""

import torch
from torch import nn

from linbench.suites.complexity import complexity


def test_a_multiply_add_is_two_flops() -> None:
    found = complexity(nn.Linear(8, 5, bias=False), torch.empty(3, 8))
    assert found["flops"] == {"value": 2 * 3 * 8 * 5, "unit": "FLOP", "coverage": 1.0, "missing": []}
    assert found["parameters"]["value"] == 40


def test_a_convolution_counts_its_window() -> None:
    found = complexity(nn.Conv2d(3, 4, 5, bias=False), torch.empty(1, 3, 9, 9, device="cpu"))
    assert found["flops"]["value"] == 2 * 4 * 5 * 5 * (3 * 5 * 5)


def test_meta_and_real_tensors_give_the_same_count() -> None:
    from linbench.backbones import build_backbone

    real = complexity(build_backbone("vit-t", image_size=64), torch.empty(1, 3, 64, 64))
    with torch.device("meta"):
        assert complexity(build_backbone("vit-t", image_size=64), torch.empty(1, 3, 64, 64)) == real


def test_both_attentions_cost_the_same() -> None:
    from linbench.backbones import build_backbone

    with torch.device("meta"):
        image = torch.empty(1, 3, 64, 64)
        naive, sdpa = (
            complexity(build_backbone("vit-t", image_size=64, attention=a), image) for a in ("naive", "sdpa")
        )
    assert naive == sdpa


def test_an_operator_without_a_formula_lowers_the_coverage_and_is_named() -> None:
    class Fourier(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.fft(x).real

    found = complexity(Fourier(), torch.randn(4, 8))
    assert found["flops"]["coverage"] < 1
    assert found["flops"]["missing"] == ["aten._fft_r2c"]
