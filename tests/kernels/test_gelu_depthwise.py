"""The depthwise convolution between two GELUs against the equation in float64, its borders, strides and symmetry."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from linbench.kernels.gelu_depthwise import gelu_depthwise, op
from linbench.kernels.gelu_depthwise.cases import CASES, GeluDepthwiseCase
from linbench.kernels.gelu_depthwise.reference import verify
from linbench.kernels.impl import Unsupported
from tests.kernels.against import error, noise, with_gradients

SMALL = [name for name in CASES if "1024" not in name and name != "no image"]


@pytest.mark.parametrize("name", SMALL)
def test_float32_is_no_worse_than_the_reference_in_float32(name):
    case = CASES[name]
    reference = partial(gelu_depthwise, stride=case.stride, impl="reference")
    truth, plain = with_gradients(reference, case.inputs(), torch.float64), with_gradients(reference, case.inputs())
    fast = with_gradients(partial(gelu_depthwise, stride=case.stride), case.inputs())
    for i, (got, other, true) in enumerate(zip(fast, plain, truth, strict=True)):
        assert error(got, true) <= 2 * error(other, true) + 1e-6, i


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("stride", [1, 2])
def test_autograd_equals_finite_differences(stride, impl):
    tensors = [x.requires_grad_() for x in GeluDepthwiseCase(2, 3, 4, 5, stride).inputs(torch.float64)]
    assert torch.autograd.gradcheck(partial(gelu_depthwise, stride=stride, impl=impl), tensors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["toy", "ragged, stride 2", "several programs"])
def test_half_inputs_are_computed_in_float32_and_rounded_once(name, dtype):
    case = CASES[name]
    run = partial(gelu_depthwise, stride=case.stride)
    y, *gradients = with_gradients(run, case.inputs(dtype))
    truth, *truths = with_gradients(partial(run, impl="reference"), case.inputs(dtype), torch.float64)
    assert y.dtype == dtype
    assert ((y - truth).abs() <= 0.51 * torch.finfo(dtype).eps * truth.abs() + 1e-6).all()
    for got, true, x in zip(gradients, truths, case.inputs(dtype), strict=True):
        assert got.dtype == x.dtype and error(got, true) <= torch.finfo(dtype).eps


def test_the_gelu_is_that_of_the_normal_distribution_at_every_size_of_number():
    x = torch.cat([torch.linspace(-12, 12, 4801), torch.tensor([-3e38, -1e4, 1e4, 3e38]), torch.zeros(11)])
    x = x.reshape(1, 16, 1, -1)
    only = torch.zeros(16, 1, 3, 3)
    only[:, :, 1, 1] = 1  # the convolution passes the pixel itself
    y, wide = gelu_depthwise(x, only, torch.zeros(16)), x.double()
    truth = functional.gelu(functional.gelu(wide))
    assert ((y - truth).abs() <= 2.5e-7 * (1 + truth.abs())).all()


def test_the_largest_numbers_of_one_sign_pass_or_vanish():
    for value, expected in ((1e30, 1e30), (-1e30, 0.0)):
        x, only = torch.full((1, 16, 3, 3), value), torch.zeros(16, 1, 3, 3)
        only[:, :, 1, 1] = 1
        y = gelu_depthwise(x, only, torch.zeros(16))
        assert (y - expected).abs().max() <= 1e-7 * max(expected, 1)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("c", [5, 37])
def test_a_pixel_sees_those_around_it_and_no_other(c, stride):
    x, weight, bias = GeluDepthwiseCase(1, c, 8, 8, stride).inputs()
    y = gelu_depthwise(x, weight, bias, stride=stride)
    x[:, :, 3, 4] += 1
    changed = (gelu_depthwise(x, weight, bias, stride=stride) != y).all(1)[0].nonzero().tolist()
    around = {1: [(i, j) for i in (2, 3, 4) for j in (3, 4, 5)], 2: [(1, 2), (2, 2)]}
    assert changed == [list(position) for position in around[stride]]


@pytest.mark.parametrize("axis", [2, 3])
def test_turning_map_and_weights_over_turns_the_output_over(axis):
    x, weight, bias = CASES["several programs"].inputs()
    turned = gelu_depthwise(x.flip(axis), weight.flip(axis), bias)
    assert error(turned.flip(axis), gelu_depthwise(x, weight, bias)) <= 1e-6


def test_without_weights_the_output_is_the_biass_gelu():
    x, weight, bias = CASES["ragged"].inputs()
    y = gelu_depthwise(x, torch.zeros_like(weight), bias)
    assert error(y, functional.gelu(bias)[:, None, None].expand_as(y)) <= 1e-6


def test_not_a_number_reaches_the_pixels_that_see_it():
    x, weight, bias = CASES["ragged"].inputs()
    x[0, 20, 0, 0] = torch.nan
    seen = gelu_depthwise(x, weight, bias).isnan().nonzero().tolist()
    assert seen == [[0, 20, i, j] for i in (0, 1) for j in (0, 1)]


def test_an_empty_batch_gives_an_empty_output_and_gradients_of_zero():
    tensors = CASES["no image"].inputs()
    result = with_gradients(gelu_depthwise, tensors)
    assert [x.shape for x in result] == [tensors[0].shape, *(x.shape for x in tensors)]
    assert not any(x.any() for x in result)


def test_every_memory_layout_gives_the_same_numbers_channel_last():
    x, weight, bias = CASES["ragged"].inputs()
    y = gelu_depthwise(x, weight, bias)
    others = (x.contiguous(), torch.cat([x, x], 1).chunk(2, 1)[1], torch.cat([x, x], 3)[..., : x.shape[3]])
    strided = [torch.stack([p, p], -1)[..., 0] for p in (weight, bias)]
    for other in (*others, torch.stack([x, x], -1)[..., 1]):
        result = gelu_depthwise(other, *strided)
        assert result.equal(y) and result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", ["several programs", "even, stride 2", "ragged, stride 2"])
def test_the_number_of_threads_changes_no_bit(name, threads):
    tensors, stride = CASES[name].inputs(), CASES[name].stride
    y, before = gelu_depthwise(*tensors, stride=stride), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert gelu_depthwise(*tensors, stride=stride).equal(y)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["toy", "plain memory", "no image"])
def test_torch_accepts_the_operators(name):
    (x, weight, bias), stride = CASES[name].inputs(), CASES[name].stride
    torch.library.opcheck(op._gelu_depthwise, (x.requires_grad_(), weight, bias, stride))
    gy = noise(op.output_shape(x.shape, stride))
    torch.library.opcheck(op._gelu_depthwise_backward, (gy, x.detach(), weight, bias, stride))


def test_forward_and_backward_compile_to_one_graph_and_export():
    tensors = CASES["toy"].inputs()
    compiled = torch.compile(gelu_depthwise, fullgraph=True, backend="aot_eager")
    for got, true in zip(with_gradients(compiled, tensors), with_gradients(gelu_depthwise, tensors), strict=True):
        assert error(got, true) <= 1e-6
    program = torch.export.export(Middle(*tensors[1:]), (tensors[0],))
    assert program.module()(tensors[0]).equal(gelu_depthwise(*tensors))


class Middle(torch.nn.Module):
    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return gelu_depthwise(x, self.weight, self.bias)


def test_forward_and_backward_state_their_arithmetic():
    x, weight, bias = (x.requires_grad_() for x in CASES["toy, stride 2"].inputs())
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        gelu_depthwise(x, weight, bias, stride=2).sum().backward()
    assert counter.get_total_flops() == 4 * 2 * 9 * 4 * 2 * 2


def test_on_other_devices_torchs_operators_give_the_same_shapes():
    x, weight, bias = (p.to("meta") for p in CASES["ragged, stride 2"].inputs())
    assert gelu_depthwise(x, weight, bias, stride=2).shape == (2, 37, 4, 5)


@pytest.mark.parametrize("wrong", [float("nan"), 1e-3])
def test_verification_accepts_the_output_and_refuses_a_wrong_one(wrong):
    args = (*CASES["ragged, stride 2"].inputs(), 2)
    y = gelu_depthwise(*args[:3], stride=2)
    assert verify(args, y) <= 1e-6
    y[-1, -1, -1, -1] += wrong
    assert verify(args, y) > 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.ones(5, 1, 3, 3)}, "weight must be `c 1 3 3` with c = 4"),
        ({"weight": torch.ones(4, 1, 5, 5)}, "weight must be `c 1 3 3` with 3 = 3"),
        ({"bias": torch.ones(5)}, "bias must be `c` with c = 4"),
        ({"stride": 3}, "stride must be 1 or 2, got 3"),
    ],
)
def test_an_error_names_the_argument_and_its_contract(change, message):
    arguments = dict(zip(("x", "weight", "bias"), CASES["toy"].inputs(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        gelu_depthwise(**arguments)


def test_there_is_no_vendor_form():
    with pytest.raises(Unsupported, match="use impl='fast'"):
        gelu_depthwise(*CASES["toy"].inputs(), impl="vendor")
