"""The Triton kernels of norm, Q-Shift and mixes without a GPU: interpreted, they equal the equation; none spills."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.impl import Unsupported
from linbench.kernels.shift_mix import reference
from linbench.kernels.shift_mix.cases import CASES, ShiftMixCase
from tests.kernels.against import error, noise
from tests.kernels.memory import guarded, spread
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

SMALL = [name for name in CASES if "1024" not in name and "224" not in name and name != "one channel"]
EPS = 1e-6
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_shift_mix.json").read_text())
Inputs = tuple[Tensor, Tensor | None, Tensor | None, list[Tensor]]


def computed(inputs: Inputs, gy: Tensor, grid: tuple[int, int], tile: int = 2048) -> list[Tensor]:
    """y and the gradients. To be interpreted.

    tile: Numbers of a tile: a small one makes many programs of few tokens.
    """
    from linbench.kernels.shift_mix import gpu

    before, gpu.TILE = gpu.TILE, tile
    try:
        with guarded():
            return [gpu.shift_mix(*inputs, EPS, *grid), *gpu.shift_mix_backward(gy, *inputs, EPS, *grid)]
    finally:
        gpu.TILE = before


def inputs_of(case: ShiftMixCase, normed: bool, dtype: torch.dtype = torch.float32) -> Inputs:
    x, weight, bias, mixes = case.inputs(dtype)
    return (x, weight, bias, mixes) if normed else (x, None, None, mixes)


def gradient_in(case: ShiftMixCase, dtype: torch.dtype = torch.float32) -> Tensor:
    return noise((case.mixes, case.b, case.h * case.w, case.c), dtype)


def truth(inputs: Inputs, gy: Tensor, grid: tuple[int, int]) -> list[Tensor]:
    """What ``computed`` returns, by the equation in float64."""
    x, weight, bias, mixes = inputs
    leaves = [p.double().requires_grad_() for p in (x, weight, bias, *mixes) if p is not None]
    if weight is None:
        y = reference.shift_mix(leaves[0], leaves[1:], grid)
    else:
        y = reference.norm_shift_mix(*leaves[:3], leaves[3:], grid, EPS)
    return [y.detach(), *torch.autograd.grad(y, leaves, gy.double())]


def budget(name: str) -> float:
    """Where tokens are far from zero beside their deviation, float32 has lost that much of them already."""
    return {"far from zero": 1e-4, "almost equal": 3e-3}.get(name, 1e-6)


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_outputs_and_gradients_equal_the_equation(name, normed):
    case = CASES[name]
    inputs, gy = inputs_of(case, normed), gradient_in(case)
    for tile in (64, 2048):
        result = interpreted(computed, inputs, gy, case.grid, tile)
        for i, (got, true) in enumerate(zip(result, truth(inputs, gy, case.grid), strict=True)):
            assert error(got, true) <= budget(name), i


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    case = CASES["ragged"]
    inputs, gy = inputs_of(case, True, dtype), gradient_in(case, dtype)
    steps = 1.01 if dtype == torch.bfloat16 else 0.51  # the interpreter cuts to bfloat16 where a GPU rounds
    for got, true in zip(interpreted(computed, inputs, gy, case.grid), truth(inputs, gy, case.grid), strict=True):
        assert ((got - true).abs() <= steps * torch.finfo(got.dtype).eps * true.abs() + 3e-6 * true.abs().max()).all()


def test_strided_inputs_are_read_where_they_lie():
    case = CASES["ragged"]
    (x, weight, bias, mixes), gy = inputs_of(case, True), gradient_in(case)[:, :, :1].expand(-1, -1, 21, -1)
    plain = interpreted(computed, (x, weight, bias, mixes), gy.contiguous(), case.grid)
    wide = [torch.stack([p, p], -1)[:, 1] for p in (weight, bias, *mixes)]
    strided = interpreted(computed, (x.mT.contiguous().mT, *wide[:2], wide[2:]), gy, case.grid)
    for got, expected in zip(strided, plain, strict=True):
        assert got.equal(expected) and got.is_contiguous()


def test_not_a_number_stays_with_its_token_and_its_neighbours():
    inputs = inputs_of(ShiftMixCase(1, 5, 5, 16), True)
    inputs[0][0, 12, 3] = torch.nan
    y = interpreted(computed, inputs, noise((3, 1, 25, 16)), (5, 5))[0]
    assert y.isnan()[0, 0].any(1).nonzero().flatten().tolist() == [7, 11, 12, 13, 17]


def far_apart(inputs: Inputs, gy: Tensor, grid: tuple[int, int], axis: int) -> list[Tensor]:
    """``computed`` of x and gy whose neighbours on one axis of ``b t c`` are far apart. To be interpreted."""
    x, *parameters = inputs
    return computed((spread(x, axis), *parameters), spread(gy, axis + 1), grid, 64)


@pytest.mark.skipif(sys.platform != "linux", reason="reserves terabytes of addresses, of which it uses few")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_addresses_beyond_two_to_the_31_are_right(axis):
    case = ShiftMixCase(3, 2, 3, 5)
    inputs, gy = inputs_of(case, True), gradient_in(case)
    plain = interpreted(computed, inputs, gy, case.grid, 64)
    for got, expected in zip(interpreted(far_apart, inputs, gy, case.grid, axis), plain, strict=True):
        assert got.equal(expected)


def test_what_a_gpu_cannot_take_is_refused_with_a_sentence():
    case = CASES["toy"]
    with pytest.raises(Unsupported, match="for float64 use impl='reference'"):
        interpreted(computed, inputs_of(case, True, torch.float64), gradient_in(case), case.grid)
    wide = ShiftMixCase(1, 1, 1, 8193)
    with pytest.raises(Unsupported, match="at most 8192 channels, got 8193"):
        interpreted(computed, inputs_of(wide, True), gradient_in(wide), wide.grid)
    huge = torch.zeros(1).expand(1, 2**30, 1)
    with pytest.raises(ValueError, match=r"fewer than 2\^30 pixels on a GPU, got 32768 x 32768"):
        interpreted(refused, huge, (2**15, 2**15))


def refused(x: Tensor, grid: tuple[int, int]) -> None:
    """To be interpreted."""
    from linbench.kernels.shift_mix import gpu

    gpu.layout(x, *grid, gpu.WARPS)


def description(
    name: str, channels: int, dtype: str, normed: bool, target: str
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, as RWKV-SAM launches its spatial mix."""
    from linbench.kernels.shift_mix import gpu
    from tests.kernels.ahead import launch

    kernel = getattr(gpu, name)
    warps = gpu.WARPS if name == "_forward" else 2 * gpu.WARPS
    shape, warps = gpu.layout(torch.empty(1, 0, channels), 0, 0, warps)
    known = {"STEPS": gpu.STEPS, "x_c": 1, "g_c": 1, **shape} | ({} if normed else {"weight": None, "bias": None})
    types = dict.fromkeys(("x", "y", "gx", "gy"), f"*{dtype}:16") | {"eps": "fp32"}
    types |= dict.fromkeys(("weight", "bias", "mix_0", "mix_1", "mix_2", "parts"), "*fp32:16")
    types |= dict.fromkeys(("part", "channels", "x_b", "x_t", "g_m", "g_b", "g_t"), "i32:16")
    return launch(kernel, types, known, target, warps)


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:-1])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    from tests.kernels.ahead import assert_known, resources

    assert_known(resources(*description(*row[:-1])), row[-1], TABLE["tolerance"])
