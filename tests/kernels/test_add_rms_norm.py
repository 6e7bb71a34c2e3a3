"""Residual addition and RMS norm against their equation in float64, and the norm's invariances."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from linbench.kernels.add_rms_norm import add_rms_norm, op
from linbench.kernels.add_rms_norm.cases import CASES
from linbench.kernels.add_rms_norm.reference import verify
from linbench.kernels.impl import Unsupported
from tests.kernels.against import error, noise, with_gradients

SMALL = [name for name in CASES if "1024" not in name]
EPS = 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_float32_is_no_worse_than_the_reference_in_float32(name):
    tensors = CASES[name].inputs()
    truth = with_gradients(partial(add_rms_norm, eps=EPS, impl="reference"), tensors, torch.float64)
    plain = with_gradients(partial(add_rms_norm, eps=EPS, impl="reference"), tensors)
    fast = with_gradients(partial(add_rms_norm, eps=EPS), tensors)
    for i, (got, other, true) in enumerate(zip(fast, plain, truth, strict=True)):
        assert error(got, true) <= 2 * error(other, true) + 1e-6, i


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("name", ["toy", "ragged", "one channel"])
def test_float64_is_exact_and_autograd_equals_finite_differences(name, impl):
    tensors = [x.requires_grad_() for x in CASES[name].inputs(torch.float64)]
    assert error(add_rms_norm(*tensors, impl=impl)[0], add_rms_norm(*tensors, impl="reference")[0]) <= 1e-14
    few = [x.detach()[:1, :2].requires_grad_() if x.ndim == 3 else x for x in tensors]
    assert torch.autograd.gradcheck(partial(add_rms_norm, impl=impl), few)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["ragged", "one channel", "several programs"])
def test_a_half_model_keeps_its_stream_in_float32_and_rounds_the_norm_once(name, dtype):
    tensors = CASES[name].inputs(dtype)
    n, z, gx, gresidual, gweight = with_gradients(add_rms_norm, tensors)
    true_n, true_z, *truths = with_gradients(partial(add_rms_norm, impl="reference"), tensors, torch.float64)
    assert n.dtype == gx.dtype == gweight.dtype == dtype and z.dtype == gresidual.dtype == torch.float32
    assert error(z, true_z) <= 1e-7
    assert ((n - true_n).abs() <= 0.51 * torch.finfo(dtype).eps * true_n.abs() + 1e-6).all()
    for got, true in zip((gx, gresidual, gweight), truths, strict=True):
        assert error(got, true) <= (1e-6 if got.dtype == torch.float32 else torch.finfo(dtype).eps)


def test_each_dtype_follows_its_own_argument():
    x, residual, weight = CASES["ragged"].inputs()
    n, z = add_rms_norm(x.bfloat16(), residual, weight)
    assert n.dtype == z.dtype == torch.float32
    n, z = add_rms_norm(x, residual.double(), weight.half())
    assert n.dtype == torch.float16 and z.dtype == torch.float64
    assert error(z, x.double() + residual.double()) == 0


def test_it_is_torchs_sum_and_norm():
    x, residual, weight = CASES["several programs"].inputs()
    n, z = add_rms_norm(x, residual, weight, EPS)
    assert z.equal(x + residual)
    assert error(n, functional.rms_norm(z, weight.shape, weight, EPS)) <= 1e-6


def test_scaling_the_stream_leaves_its_norm():
    x, residual, weight = CASES["ragged"].inputs()
    n, z = add_rms_norm(x, residual, weight, 0.0)
    scaled, wide = add_rms_norm(1024 * x, 1024 * residual, weight, 0.0)
    assert scaled.equal(n) and wide.equal(1024 * z)


@pytest.mark.parametrize("name", ["no image", "no channel"])
def test_an_empty_input_gives_empty_outputs_and_gradients_of_zero(name):
    tensors = CASES[name].inputs()
    result = with_gradients(add_rms_norm, tensors)
    assert [x.shape for x in result] == [tensors[0].shape] * 4 + [tensors[2].shape]
    assert not any(x.any() for x in result)


def test_any_layout_gives_the_same_contiguous_outputs():
    x, residual, weight = CASES["ragged"].inputs()
    n, z = add_rms_norm(x, residual, weight)
    strided = add_rms_norm(x.mT.contiguous().mT, residual.mT.contiguous().mT, torch.stack([weight] * 2, -1)[:, 0])
    for got, true in zip(strided, (n, z), strict=True):
        assert got.equal(true) and got.is_contiguous()


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads):
    tensors = CASES["several programs"].inputs()
    n, before = add_rms_norm(*tensors)[0], torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert add_rms_norm(*tensors)[0].equal(n)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["toy", "no image"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torch_accepts_the_operators(name, dtype):
    x, residual, weight = CASES[name].inputs(dtype)
    torch.library.opcheck(op._add_rms_norm, (x.requires_grad_(), residual, weight.requires_grad_(), EPS))
    gn, gz = noise(x.shape, dtype), noise(x.shape)
    torch.library.opcheck(op._add_rms_norm_backward, (gn, gz, residual, weight.detach(), EPS))


def test_forward_and_backward_compile_to_one_graph():
    tensors = CASES["toy"].inputs()
    compiled = torch.compile(add_rms_norm, fullgraph=True, backend="aot_eager")
    for got, true in zip(with_gradients(compiled, tensors), with_gradients(add_rms_norm, tensors), strict=True):
        assert got.equal(true)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("wrong", [float("nan"), 1e-3])
def test_verification_accepts_the_outputs_and_refuses_wrong_ones(wrong, which):
    x, residual, weight = CASES["ragged"].inputs()
    outputs = add_rms_norm(x, residual, weight, EPS)
    assert verify((x, residual, weight, EPS), outputs) <= 1e-6
    outputs[which][-1, -1, -1] += wrong
    assert verify((x, residual, weight, EPS), outputs) > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"residual": torch.ones(1, 3, 4).bfloat16()}, "residual must be float32 or float64.*got torch.bfloat16"),
        ({"x": torch.ones(1, 2, 4)}, "x must be `b t c` with t = 3"),
        ({"weight": torch.ones(5)}, "weight must be `c` with c = 4"),
    ],
)
def test_an_error_names_the_argument_and_its_contract(change, message):
    arguments = dict(zip(("x", "residual", "weight"), CASES["toy"].inputs(), strict=True)) | change
    with pytest.raises(ValueError, match=message):
        add_rms_norm(**arguments)


def test_there_is_no_vendor_form():
    with pytest.raises(Unsupported, match="use impl='fast'"):
        add_rms_norm(*CASES["toy"].inputs(), impl="vendor")
