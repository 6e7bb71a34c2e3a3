"""Causal convolution and SiLU against torch's convolution in float64, causality, and the two directions."""

from functools import partial

import pytest
import torch

from linbench.kernels.causal_conv_silu import causal_conv_silu, op
from linbench.kernels.causal_conv_silu.cases import CASES, CausalConvCase
from linbench.kernels.causal_conv_silu.reference import verify
from linbench.kernels.impl import Unsupported
from tests.kernels.against import error, noise, with_gradients

EMPTY = ["no image", "no token", "no channel"]
SMALL = [name for name in CASES if "1024" not in name and name not in EMPTY]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_float32_is_no_worse_than_the_reference_in_float32(name, backward):
    tensors = CASES[name].inputs()
    reference = partial(causal_conv_silu, backward=backward, impl="reference")
    truth, plain = with_gradients(reference, tensors, torch.float64), with_gradients(reference, tensors)
    fast = with_gradients(partial(causal_conv_silu, backward=backward), tensors)
    for i, (got, other, true) in enumerate(zip(fast, plain, truth, strict=True)):
        assert error(got, true) <= 2 * error(other, true) + 1e-6, i


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("backward", [False, True])
def test_autograd_equals_finite_differences(backward, impl):
    tensors = [x.requires_grad_() for x in CausalConvCase(2, 3, 6).inputs(torch.float64)]
    assert torch.autograd.gradcheck(partial(causal_conv_silu, backward=backward, impl=impl), tensors)


def test_float64_is_exact_to_its_own_rounding():
    tensors = CASES["ragged"].inputs(torch.float64)
    assert error(causal_conv_silu(*tensors), causal_conv_silu(*tensors, impl="reference")) <= 1e-14


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["toy", "ragged", "several programs"])
def test_half_inputs_are_computed_in_float32_and_rounded_once(name, dtype):
    tensors = CASES[name].inputs(dtype)
    y, *gradients = with_gradients(causal_conv_silu, tensors)
    truth, *truths = with_gradients(partial(causal_conv_silu, impl="reference"), tensors, torch.float64)
    assert y.dtype == dtype
    assert ((y - truth).abs() <= 0.51 * torch.finfo(dtype).eps * truth.abs() + 1e-6).all()
    for got, true, x in zip(gradients, truths, tensors, strict=True):
        assert got.dtype == x.dtype and error(got, true) <= torch.finfo(dtype).eps


@pytest.mark.parametrize("name", SMALL)
def test_reading_backward_is_reading_the_reversed_tokens(name):
    x, weight, bias = CASES[name].inputs()
    assert causal_conv_silu(x, weight, bias, backward=True).equal(causal_conv_silu(x.flip(2), weight, bias))


@pytest.mark.parametrize("d", [5, 37])
def test_a_token_sees_itself_and_those_before_it_as_far_as_there_are_weights(d):
    x, weight, bias = CausalConvCase(1, d, 12).inputs()
    y = causal_conv_silu(x, weight, bias)
    x[:, :, 5] += 1
    changed = (causal_conv_silu(x, weight, bias) != y).all(1)[0]
    assert changed.nonzero().flatten().tolist() == [5, 6, 7, 8]


def test_without_weights_the_output_is_the_biass_silu():
    x, weight, bias = CASES["ragged"].inputs()
    y = causal_conv_silu(x, torch.zeros_like(weight), bias)
    assert error(y, torch.nn.functional.silu(bias)[:, None].expand_as(y)) <= 1e-6


def test_extreme_sums_are_passed_or_silenced():
    x = torch.tensor([-1e30, -200.0, -90.0, 90.0, 200.0, 1e30]).reshape(1, 1, 6)
    for d in (1, 16):  # one number at a time, and a vector
        y = causal_conv_silu(x.expand(1, d, 6), torch.ones(d, 1), torch.zeros(d))[0]
        assert y[:, 3:].equal(x[0, :, 3:].expand(d, 3)) and (y[:, 1:3].abs() < 1e-30).all()
        assert (y[:, 0].abs() < 1e-7).all()


def test_not_a_number_reaches_the_tokens_that_see_it():
    x, weight, bias = CASES["ragged"].inputs()
    x[0, 20, 7] = torch.nan
    seen = causal_conv_silu(x, weight, bias).isnan()
    assert seen.nonzero().tolist() == [[0, 20, t] for t in (7, 8, 9, 10)]


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(name):
    tensors = CASES[name].inputs()
    result = with_gradients(causal_conv_silu, tensors)
    assert [x.shape for x in result] == [tensors[0].shape, *(x.shape for x in tensors)]
    assert not any(x.any() for x in result)


@pytest.mark.parametrize("backward", [False, True])
def test_every_memory_layout_gives_the_same_numbers_in_the_layout_of_its_input(backward):
    x, weight, bias = CASES["ragged"].inputs()
    run = partial(causal_conv_silu, backward=backward)
    y = run(x, weight, bias)
    wide = torch.cat([x.mT, x.mT], dim=2).mT.chunk(2, dim=1)[1]  # half of a wider row
    strided = [torch.stack([p, p], -1)[..., 0] for p in (weight, bias)]
    long = torch.cat([x.mT, x.mT], dim=1).mT[:, :, : x.shape[2]]  # the start of a longer image
    for other in (x.contiguous(), wide, long, torch.stack([x, x], -1)[..., 1]):
        result = run(other, *strided)
        assert result.equal(y)
        assert (result.stride(1) == 1) == (other.stride(1) == 1)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads):
    tensors = CASES["several programs"].inputs()
    y, before = causal_conv_silu(*tensors), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert causal_conv_silu(*tensors).equal(y)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["toy", "tokens are neighbours", "no image"])
def test_torch_accepts_the_operators(name):
    x, weight, bias = CASES[name].inputs()
    torch.library.opcheck(op._causal_conv_silu, (x.requires_grad_(), weight, bias, True))
    torch.library.opcheck(op._causal_conv_silu_backward, (noise(x.shape), x.detach(), weight, bias, True))


def test_forward_and_backward_compile_to_one_graph():
    tensors = CASES["toy"].inputs()
    compiled = torch.compile(causal_conv_silu, fullgraph=True, backend="aot_eager")
    for got, true in zip(with_gradients(compiled, tensors), with_gradients(causal_conv_silu, tensors), strict=True):
        assert error(got, true) <= 1e-6  # sums in an order that follows the gradient's layout


def test_forward_and_backward_state_their_arithmetic():
    x, weight, bias = (x.requires_grad_() for x in CASES["toy"].inputs())
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        causal_conv_silu(x, weight, bias).sum().backward()
    assert counter.get_total_flops() == 4 * 2 * 4 * 5 * 4


@pytest.mark.parametrize("wrong", [float("nan"), 1e-3])
def test_verification_accepts_the_output_and_refuses_a_wrong_one(wrong):
    args = (*CASES["ragged"].inputs(), True)
    y = causal_conv_silu(*args[:3], backward=True)
    assert verify(args, y) <= 1e-6
    y[-1, -1, -1] += wrong
    assert verify(args, y) > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.ones(5, 4)}, "weight must be `d k` with d = 4"),
        ({"weight": torch.ones(4, 0)}, "weight must be `d k` with k >= 1"),
        ({"bias": torch.ones(5)}, "bias must be `d` with d = 4"),
    ],
)
def test_an_error_names_the_argument_and_its_contract(change, message):
    arguments = dict(zip(("x", "weight", "bias"), CASES["toy"].inputs(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        causal_conv_silu(**arguments)


def test_there_is_no_vendor_form():
    with pytest.raises(Unsupported, match="use impl='fast'"):
        causal_conv_silu(*CASES["toy"].inputs(), impl="vendor")
