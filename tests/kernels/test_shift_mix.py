"""Norm, Q-Shift and mixes against the chain that they stand for, in float64, and the symmetries of the grid."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from linbench.kernels.impl import Unsupported
from linbench.kernels.q_shift import q_shift
from linbench.kernels.shift_mix import norm_shift_mix, op, shift_mix
from linbench.kernels.shift_mix.cases import CASES, ShiftMixCase
from linbench.kernels.shift_mix.reference import verify
from tests.kernels.against import error, noise, with_gradients

SMALL = [name for name in CASES if "1024" not in name]
# Of one channel the norm is its bias, and its gradients are sums that cancel to nothing but rounding.
DIFFERENTIABLE = [name for name in SMALL if name not in ("one channel", "no channel", "no image")]
EPS = 1e-6


def tensors_of(case: ShiftMixCase, normed: bool, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    x, weight, bias, mixes = case.inputs(dtype)
    return [x, weight, bias, *mixes] if normed else [x, *mixes]


def call(grid: tuple[int, int], normed: bool, impl: str, x: Tensor, *parameters: Tensor) -> Tensor:
    if normed:
        return norm_shift_mix(x, *parameters[:2], parameters[2:], grid, EPS, impl=impl)
    return shift_mix(x, parameters, grid, impl=impl)


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_float32_is_no_worse_than_the_reference_in_float32(name, normed):
    case, tensors = CASES[name], tensors_of(CASES[name], normed)
    truth = with_gradients(partial(call, case.grid, normed, "reference"), tensors, torch.float64)
    plain = with_gradients(partial(call, case.grid, normed, "reference"), tensors)
    fast = with_gradients(partial(call, case.grid, normed, "fast"), tensors)
    for i, (got, other, true) in enumerate(zip(fast, plain, truth, strict=True)):
        assert error(got, true) <= 2 * error(other, true) + 1e-6, i


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_float64_is_exact_to_its_own_rounding(name, normed):
    case, tensors = CASES[name], tensors_of(CASES[name], normed, torch.float64)
    truth = with_gradients(partial(call, case.grid, normed, "reference"), tensors)
    for got, true in zip(with_gradients(partial(call, case.grid, normed, "fast"), tensors), truth, strict=True):
        assert error(got, true) <= 1e-11


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("normed", [True, False])
def test_autograd_equals_finite_differences(normed, impl):
    tensors = [x.requires_grad_() for x in tensors_of(ShiftMixCase(2, 2, 3, 5), normed, torch.float64)]
    assert torch.autograd.gradcheck(partial(call, (2, 3), normed, impl), tensors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["toy", "ragged", "quarters of 17", "vrwkv-t at 224"])
def test_half_inputs_are_computed_in_float32_and_rounded_once(name, dtype):
    case, tensors = CASES[name], tensors_of(CASES[name], True, dtype)
    y = call(case.grid, True, "fast", *tensors)
    truth = call(case.grid, True, "reference", *(p.double() for p in tensors))
    assert y.dtype == dtype
    assert ((y - truth).abs() <= 0.51 * torch.finfo(dtype).eps * truth.abs() + 1e-6).all()
    result = with_gradients(partial(call, case.grid, True, "fast"), tensors)
    for got, true, x in zip(
        result[1:], with_gradients(partial(call, case.grid, True, "reference"), tensors, torch.float64)[1:], tensors,
        strict=True,
    ):  # fmt: skip
        assert got.dtype == x.dtype and error(got, true) <= torch.finfo(dtype).eps


def test_it_is_the_chain_that_it_stands_for():
    case = CASES["vrwkv-t at 224"]
    x, weight, bias, mixes = case.inputs()
    n = functional.layer_norm(x, (case.c,), weight, bias, EPS)
    s = q_shift(n, patch_resolution=case.grid)
    chain = torch.stack([n * mix + s * (1 - mix) for mix in mixes])
    assert error(norm_shift_mix(x, weight, bias, mixes, case.grid, EPS), chain) <= 1e-6


def test_a_mix_of_one_is_the_norm_and_a_mix_of_zero_is_its_shift():
    case = CASES["ragged"]
    x, weight, bias, _ = case.inputs()
    n = functional.layer_norm(x, (case.c,), weight, bias, EPS)
    ones = torch.ones(case.c)
    unshifted, shifted = norm_shift_mix(x, weight, bias, [ones, 0 * ones], case.grid, EPS)
    assert error(unshifted, n) <= 1e-6 and error(shifted, q_shift(n, patch_resolution=case.grid)) <= 1e-6
    unshifted, shifted = shift_mix(x, [ones, 0 * ones], case.grid)
    assert unshifted.equal(x) and shifted.equal(q_shift(x, patch_resolution=case.grid))


def test_turning_the_grid_turns_the_quarters():
    case = ShiftMixCase(2, 3, 5, 68)
    x, weight, bias, mixes = case.inputs()
    quarters = torch.arange(68).reshape(4, 17)

    def turned(order: list[int], grid: tuple[int, int], view) -> Tensor:
        position = quarters[order].flatten()  # the channels' places after the turn
        turn = view(x.unflatten(1, (3, 5))).flatten(1, 2)[..., position]
        y = norm_shift_mix(turn, weight[position], bias[position], [m[position] for m in mixes], grid)
        back = torch.empty_like(y)
        back[..., position] = y
        return torch.stack([view(mix.unflatten(1, grid)).flatten(1, 2) for mix in back])

    y = norm_shift_mix(x, weight, bias, mixes, (3, 5))
    for got in (
        turned([1, 0, 2, 3], (3, 5), lambda m: m.flip(2)),
        turned([0, 1, 3, 2], (3, 5), lambda m: m.flip(1)),
        turned([2, 3, 0, 1], (5, 3), lambda m: m.transpose(1, 2)),
    ):
        assert error(got, y) <= 1e-6


def test_not_a_number_reaches_its_token_and_a_quarter_of_four_neighbours():
    x, weight, bias, mixes = ShiftMixCase(1, 5, 5, 64).inputs()
    x[0, 12, 3] = torch.nan  # the middle
    seen = norm_shift_mix(x, weight, bias, mixes, (5, 5)).isnan()[:, 0].all(0)  # t c
    expected = torch.zeros_like(seen)
    expected[12] = True
    expected[13, :16] = expected[11, 16:32] = expected[17, 32:48] = expected[7, 48:] = True
    assert seen.equal(expected)


@pytest.mark.parametrize("name", ["no image", "no channel", "one channel"])
def test_an_empty_or_single_channel_is_taken(name):
    case = CASES[name]
    for normed in (True, False):
        tensors = tensors_of(case, normed)
        result = with_gradients(partial(call, case.grid, normed, "fast"), tensors)
        assert result[0].shape == (case.mixes, *tensors[0].shape)
        assert all(x.isfinite().all() for x in result)
        if name == "no image":
            assert not any(x.any() for x in result)


def test_any_layout_gives_the_same_contiguous_output():
    case = CASES["ragged"]
    x, weight, bias, mixes = case.inputs()
    y = norm_shift_mix(x, weight, bias, mixes, case.grid)
    wide = [torch.stack([p, p], -1)[..., 0] for p in (weight, bias, *mixes)]
    strided = norm_shift_mix(x.mT.contiguous().mT, *wide[:2], wide[2:], case.grid)
    assert strided.equal(y) and strided.is_contiguous()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["ragged", "vrwkv-t at 224"])
def test_the_number_of_threads_changes_no_bit(name, threads):
    case = CASES[name]
    run = partial(call, case.grid, True, "fast", *tensors_of(case, True))
    y, before = run(), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert run().equal(y)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("name", ["toy", "ragged", "no image"])
def test_torch_accepts_the_operators(name, normed):
    case = CASES[name]
    x, weight, bias, mixes = case.inputs()
    norm = (weight, bias) if normed else (None, None)
    torch.library.opcheck(op._shift_mix, (x.requires_grad_(), *norm, mixes, EPS, *case.grid))
    gy = noise((len(mixes), *x.shape))
    torch.library.opcheck(op._shift_mix_backward, (gy, x.detach(), *norm, mixes, EPS, *case.grid))


def test_forward_and_backward_compile_to_one_graph():
    case = CASES["toy"]
    tensors = tensors_of(case, True)
    compiled = torch.compile(partial(call, case.grid, True, "fast"), fullgraph=True, backend="aot_eager")
    plain = with_gradients(partial(call, case.grid, True, "fast"), tensors)
    for got, true in zip(with_gradients(compiled, tensors), plain, strict=True):
        assert got.equal(true)


def test_autocast_leaves_it_in_the_dtype_of_its_tokens():
    case = CASES["ragged"]
    x, weight, bias, mixes = case.inputs()
    with torch.autocast("cpu", torch.bfloat16):
        wide = norm_shift_mix(x, weight, bias, mixes, case.grid)
        half = norm_shift_mix(x.bfloat16(), weight, bias, mixes, case.grid)
    assert wide.equal(norm_shift_mix(x, weight, bias, mixes, case.grid)) and half.dtype == torch.bfloat16


def test_it_counts_no_arithmetic_as_torchs_counter_counts_none_for_the_chain():
    case = CASES["toy"]
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        call(case.grid, True, "fast", *(x.requires_grad_() for x in tensors_of(case, True))).sum().backward()
    assert counter.get_total_flops() == 0


@pytest.mark.parametrize("position", [(0, 0, 0), (1, -1, -1), (-1, 98, 50)])
@pytest.mark.parametrize("wrong", [float("nan"), 1e-3])
@pytest.mark.parametrize("normed", [True, False])
def test_verification_accepts_the_output_and_refuses_a_wrong_one(normed, wrong, position):
    case = CASES["vrwkv-t at 224"]
    x, weight, bias, mixes = case.inputs()
    norm, eps = ((weight, bias), EPS) if normed else ((None, None), 0.0)
    y = call(case.grid, normed, "fast", *tensors_of(case, normed))
    args = (x, *norm, mixes, eps, *case.grid)
    assert verify(args, y) <= 1e-6
    y[position[0], 0, position[1], position[2]] += wrong
    assert verify(args, y) > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (2, 4)}, r"grid must be \(h, w\) with h \* w = t = 6, got \(2, 4\)"),
        ({"mixes": []}, "mixes must be one to three tensors `c`, got 0"),
        ({"mixes": [torch.ones(4), torch.ones(5)]}, r"mixes\[1\] must be `c` with c = 4"),
        ({"weight": torch.ones(5)}, "weight must be `c` with c = 4"),
        ({"x": torch.ones(2, 3)}, "x must be `b t c`, got 2 axes"),
    ],
)
def test_an_error_names_the_argument_and_its_contract(change, message):
    x, weight, bias, mixes = CASES["toy"].inputs()
    arguments = {"x": x, "weight": weight, "bias": bias, "mixes": mixes, "grid": (2, 3)} | change
    with pytest.raises(ValueError, match=message):
        norm_shift_mix(**arguments)


def test_there_is_no_vendor_form():
    x, weight, bias, mixes = CASES["toy"].inputs()
    for run in (
        partial(norm_shift_mix, x, weight, bias, mixes, (2, 3)),
        partial(shift_mix, x, mixes, (2, 3)),
    ):
        with pytest.raises(Unsupported, match="use impl='fast'"):
            run(impl="vendor")
