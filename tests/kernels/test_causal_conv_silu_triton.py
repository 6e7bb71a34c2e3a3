"""The Triton kernels of the causal convolution without a GPU: interpreted, they equal the equation; none spills."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.causal_conv_silu import reference
from linbench.kernels.causal_conv_silu.cases import CASES, CausalConvCase
from linbench.kernels.impl import Unsupported
from linbench.kernels.memory import empty_in_layout_of
from tests.kernels.against import error, noise
from tests.kernels.memory import guarded, spread
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

EMPTY = ["no image", "no token", "no channel"]
SMALL = [name for name in CASES if "1024" not in name and name not in EMPTY]
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_causal_conv_silu.json").read_text())
Inputs = tuple[Tensor, Tensor, Tensor]


def computed(inputs: Inputs, gy: Tensor, backward: bool) -> list[Tensor]:
    """y and the gradients. To be interpreted."""
    from linbench.kernels.causal_conv_silu import gpu

    with guarded():
        y = gpu.causal_conv_silu(*inputs, backward, empty_in_layout_of(inputs[0]))
        return [y, *gpu.causal_conv_silu_backward(gy, *inputs, backward, empty_in_layout_of(inputs[0]))]


def truth(inputs: Inputs, gy: Tensor, backward: bool) -> list[Tensor]:
    """What ``computed`` returns, by the equation in float64."""
    leaves = [p.double().requires_grad_() for p in inputs]
    y = reference.causal_conv_silu(*leaves, backward)
    return [y.detach(), *torch.autograd.grad(y, leaves, gy.double())]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_gradients_equal_the_equation(name, backward):
    inputs = CASES[name].inputs()
    gy = noise(inputs[0].shape)
    result = interpreted(computed, inputs, gy, backward)
    for i, (got, true) in enumerate(zip(result, truth(inputs, gy, backward), strict=True)):
        assert error(got, true) <= 1e-6, i
    assert result[0].stride() == result[1].stride() == empty_in_layout_of(inputs[0]).stride()


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(name):
    inputs = CASES[name].inputs()
    result = interpreted(computed, inputs, noise(inputs[0].shape), False)
    assert [x.shape for x in result] == [inputs[0].shape, *(x.shape for x in inputs)]
    assert not any(x.any() for x in result)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    inputs = CASES["ragged"].inputs(dtype)
    gy = noise(inputs[0].shape, dtype)
    steps = 1.01 if dtype == torch.bfloat16 else 0.51  # the interpreter cuts to bfloat16 where a GPU rounds
    for got, true in zip(interpreted(computed, inputs, gy, True), truth(inputs, gy, True), strict=True):
        assert got.dtype == dtype
        assert ((got - true).abs() <= steps * torch.finfo(dtype).eps * true.abs() + 3e-6 * true.abs().max()).all()


def test_strided_inputs_are_read_where_they_lie():
    x, weight, bias = CASES["ragged"].inputs()
    ones = torch.ones(()).expand_as(x)  # strides of 0, as autograd sends them
    plain = interpreted(computed, (x, weight, bias), ones.contiguous(), True)
    wide = torch.cat([x.mT, x.mT], dim=2).mT.chunk(2, dim=1)[1]  # half of a wider row
    strided = interpreted(computed, (wide, weight.mT.contiguous().mT, torch.stack([bias] * 2, -1)[:, 0]), ones, True)
    for got, expected in zip(strided, plain, strict=True):
        assert got.equal(expected)


def far_apart(inputs: Inputs, gy: Tensor, backward: bool, axis: int) -> list[Tensor]:
    """``computed`` of tokens, in and out, whose neighbours on one axis are far apart. To be interpreted."""
    from linbench.kernels.causal_conv_silu import gpu

    x, weight, bias = inputs
    x, gy, y, gx = (
        spread(tensor, axis) for tensor in (x, gy, torch.full_like(x, torch.nan), torch.full_like(x, torch.nan))
    )
    y = gpu.causal_conv_silu(x, weight, bias, backward, y)
    return [tensor.contiguous() for tensor in (y, *gpu.causal_conv_silu_backward(gy, x, weight, bias, backward, gx))]


@pytest.mark.skipif(sys.platform != "linux", reason="reserves terabytes of addresses, of which it uses few")
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_addresses_beyond_two_to_the_31_are_right(axis, backward):
    inputs = CausalConvCase(3, 3, 5).inputs()
    gy = noise(inputs[0].shape)
    for got, expected in zip(
        interpreted(far_apart, inputs, gy, backward, axis), truth(inputs, gy, backward), strict=True
    ):
        assert error(got, expected) <= 1e-6


def test_what_a_gpu_cannot_take_is_refused_with_a_sentence():
    inputs = CASES["toy"].inputs(torch.float64)
    with pytest.raises(Unsupported, match="for float64 use 'reference'"):
        interpreted(computed, inputs, inputs[0], False)
    with pytest.raises(ValueError, match=r"fewer than 2\^30 tokens on a GPU, got 1073741824"):
        interpreted(refused, torch.zeros(1).expand(1, 1, 2**30))


def refused(x: Tensor) -> None:
    """To be interpreted."""
    from linbench.kernels.causal_conv_silu import gpu

    gpu.layout(x)


def description(
    name: str, dtype: str, layout: str, backward: bool, target: str
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, as Vim launches it, whose channels are neighbours in memory."""
    from linbench.kernels.causal_conv_silu import gpu
    from tests.kernels.ahead import launch

    kernel = getattr(gpu, name)
    neighbours = "d" if layout == "CHANNEL_LAST" else "t"
    known = {"TAPS": 4, "BACKWARD": backward, **getattr(gpu, layout)} | {f"{x}_{neighbours}": 1 for x in "yxgo"}
    types = dict.fromkeys(("x", "y", "gx", "gy", "weight", "bias"), f"*{dtype}:16")
    types |= {f"{x}_{axis}": "i32:16" for x in "yxgo" for axis in "bdt"} | {"parts": "*fp32:16", "channels": "i32:16"}
    return launch(kernel, types, known, target, gpu.WARPS)


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:-1])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    from tests.kernels.ahead import assert_known, resources

    assert_known(resources(*description(*row[:-1])), row[-1], TABLE["tolerance"])
