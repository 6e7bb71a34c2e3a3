"""The Triton kernels of residual addition and norm without a GPU: interpreted they equal it in torch; none spills."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.add_rms_norm import reference
from linbench.kernels.add_rms_norm.cases import CASES, AddRmsNormCase
from linbench.kernels.impl import Unsupported
from tests.kernels.against import error, noise
from tests.kernels.memory import guarded, spread
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

SMALL = [name for name in CASES if "1024" not in name]
EPS = 1e-5
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_add_rms_norm.json").read_text())
Inputs = tuple[Tensor, Tensor, Tensor]


def computed(inputs: Inputs, gn: Tensor, gz: Tensor, tile: int = 2048) -> list[Tensor]:
    """n, z and their inputs' gradients. To be interpreted."""
    from linbench.kernels.add_rms_norm import gpu

    before, gpu.TILE = gpu.TILE, tile
    try:
        with guarded():
            n, z = gpu.add_rms_norm(*inputs, EPS)
            return [n, z, *gpu.add_rms_norm_backward(gn, gz, z, inputs[2], EPS)]
    finally:
        gpu.TILE = before


def gradients_in(inputs: Inputs) -> tuple[Tensor, Tensor]:
    x, residual, weight = inputs
    return noise(x.shape, weight.dtype), noise(residual.shape, residual.dtype, seed=2)


def truth(inputs: Inputs, gn: Tensor, gz: Tensor) -> list[Tensor]:
    """What ``computed`` returns, by the equation in float64."""
    leaves = [p.double().requires_grad_() for p in inputs]
    ys = reference.add_rms_norm(*leaves, EPS)
    _, gresidual, gweight = torch.autograd.grad(ys, leaves, [gn.double(), gz.double()])
    return [*(y.detach() for y in ys), gresidual, gweight]


@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_gradients_equal_the_equation(name):
    inputs = CASES[name].inputs()
    grads = gradients_in(inputs)
    for tile in (64, 2048):
        result = interpreted(computed, inputs, *grads, tile)
        for i, (got, true) in enumerate(zip(result, truth(inputs, *grads), strict=True)):
            assert error(got, true) <= 1e-6, i


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    inputs = CASES["ragged"].inputs(dtype)
    grads = gradients_in(inputs)
    steps = 1.01 if dtype == torch.bfloat16 else 0.51  # the interpreter cuts to bfloat16 where a GPU rounds
    result = interpreted(computed, inputs, *grads)
    assert [x.dtype for x in result] == [dtype, torch.float32, torch.float32, dtype]
    for got, true in zip(result, truth(inputs, *grads), strict=True):
        assert ((got - true).abs() <= steps * torch.finfo(got.dtype).eps * true.abs() + 3e-6 * true.abs().max()).all()


def test_strided_inputs_are_read_where_they_lie():
    x, residual, weight = CASES["ragged"].inputs()
    gn, gz = gradients_in((x, residual, weight))
    ones = torch.ones(()).expand_as(gz)  # strides of 0, as autograd sends them
    plain = interpreted(computed, (x, residual, weight), gn, ones.contiguous())
    strided = (x.mT.contiguous().mT, torch.stack([residual] * 2, -1)[..., 1], torch.stack([weight] * 2, -1)[:, 0])
    for got, expected in zip(interpreted(computed, strided, gn.mT.contiguous().mT, ones), plain, strict=True):
        assert got.equal(expected) and got.is_contiguous()


def far_apart(inputs: Inputs, gn: Tensor, gz: Tensor, axis: int) -> list[Tensor]:
    """``computed`` of tokens whose neighbours on one axis are far apart. To be interpreted."""
    x, residual, weight = inputs
    return computed((spread(x, axis), spread(residual, axis), weight), spread(gn, axis), spread(gz, axis), 64)


@pytest.mark.skipif(sys.platform != "linux", reason="reserves terabytes of addresses, of which it uses few")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_addresses_beyond_two_to_the_31_are_right(axis):
    inputs = AddRmsNormCase(3, 3, 5).inputs()
    grads = gradients_in(inputs)
    plain = interpreted(computed, inputs, *grads, 64)
    for got, expected in zip(interpreted(far_apart, inputs, *grads, axis), plain, strict=True):
        assert got.equal(expected)


def test_what_a_gpu_cannot_take_is_refused_with_a_sentence():
    inputs = CASES["toy"].inputs(torch.float64)
    with pytest.raises(Unsupported, match="for float64 use impl='reference'"):
        interpreted(computed, inputs, *gradients_in(inputs))
    wide = torch.zeros(1, 1, 8193), torch.zeros(1, 1, 8193), torch.zeros(8193)
    with pytest.raises(Unsupported, match="at most 8192 channels, got 8193"):
        interpreted(computed, wide, *gradients_in(wide))


def description(
    name: str, channels: int, dtype: str, target: str
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, as Vim launches it."""
    from linbench.kernels.add_rms_norm import gpu
    from tests.kernels.ahead import launch

    kernel = getattr(gpu, name)
    warps = gpu.WARPS if name == "_forward" else 2 * gpu.WARPS
    shape, warps = gpu.layout(torch.empty(1, 0, channels), warps)
    known = dict.fromkeys(("x_c", "r_c", "n_c", "z_c"), 1) | {"STEPS": gpu.STEPS, **shape}
    types = dict.fromkeys(("x", "n", "gn", "weight"), f"*{dtype}:16") | {"eps": "fp32"}
    types |= dict.fromkeys(("residual", "z", "gz", "g", "parts"), "*fp32:16") | {"channels": "i32:16"}
    types |= {f"{x}_{axis}": "i32:16" for x in "xrnz" for axis in "bt"}
    return launch(kernel, types, known, target, warps)


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:-1])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    from tests.kernels.ahead import assert_known, resources

    assert_known(resources(*description(*row[:-1])), row[-1], TABLE["tolerance"])
