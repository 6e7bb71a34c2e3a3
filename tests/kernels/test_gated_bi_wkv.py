"""Gated bi-WKV against its equation in float64, and the limits of its gate."""

from functools import partial

import pytest
import torch
from torch import Tensor

from linbench.kernels.bi_wkv import bi_wkv, gated_bi_wkv
from linbench.kernels.bi_wkv.cases import ADVERSARIAL, CASES
from linbench.kernels.bi_wkv.reference import verify
from linbench.kernels.impl import Unsupported
from tests.kernels.against import error, noise, with_gradients


def inputs_of(
    name: str, dtype: torch.dtype = torch.float32, t: int | None = None, c: int | None = None
) -> list[Tensor]:
    inputs = CASES[name].inputs(t=t, c=c, dtype=dtype)
    return [*inputs, 3 * noise(inputs[3].shape, dtype, seed=5)]


@pytest.mark.parametrize("name", ["toy", "one token", "ragged", "keys to 30, decay 100", "keys normal, growth 100"])
def test_outputs_and_gradients_equal_the_equation(name):
    tensors = inputs_of(name, t=None if name == "one token" else 77)
    truth = with_gradients(partial(gated_bi_wkv, impl="reference"), tensors, torch.float64)
    for letter, got, true in zip("ywukvr", with_gradients(gated_bi_wkv, tensors), truth, strict=True):
        # gw, gu, gk sum differences of terms as large as gv; where they cancel, what remains is the terms' rounding.
        terms = truth[4].abs().max() * (tensors[3].shape[1] if letter == "w" else 1)
        size = max(true.abs().max(), terms / 10)
        assert (got - true).abs().max() <= (1e-5 if letter in "yr" else 1e-4) * size, letter


@pytest.mark.parametrize("impl", ["reference", "fast"])
def test_autograd_equals_finite_differences(impl):
    tensors = [x.requires_grad_() for x in inputs_of("toy", torch.float64, t=6, c=3)]
    assert torch.autograd.gradcheck(partial(gated_bi_wkv, impl=impl), tensors)


@pytest.mark.parametrize("name", ["ragged", *ADVERSARIAL])
def test_asking_for_gradients_changes_no_bit(name):
    tensors = inputs_of(name, t=90)
    y = gated_bi_wkv(*(x.requires_grad_() for x in tensors))
    with torch.no_grad():
        assert gated_bi_wkv(*tensors).equal(y)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_lose_no_more_than_three_roundings(dtype):
    tensors = inputs_of("ragged", dtype)
    y, *gradients = with_gradients(gated_bi_wkv, tensors)
    truth, *truths = with_gradients(partial(gated_bi_wkv, impl="reference"), tensors, torch.float64)
    assert y.dtype == dtype
    assert ((y - truth).abs() <= 1.6 * torch.finfo(dtype).eps * truth.abs() + 1e-6).all()
    for got, true, x in zip(gradients, truths, tensors, strict=True):
        assert got.dtype == x.dtype and error(got, true) <= 8 * torch.finfo(dtype).eps


def test_an_open_gate_passes_the_mean_and_a_shut_one_nothing():
    w, u, k, v, r = inputs_of("ragged")
    y = bi_wkv(w, u, k, v)
    assert gated_bi_wkv(w, u, k, v, torch.full_like(r, 40)).equal(y)
    assert not gated_bi_wkv(w, u, k, v, torch.full_like(r, -torch.inf)).any()
    assert gated_bi_wkv(w, u, k, v, torch.zeros_like(r)).equal(y / 2)


def test_a_shut_gate_passes_no_gradient_and_no_nan():
    *tensors, r = inputs_of("ragged")
    result = with_gradients(gated_bi_wkv, [*tensors, torch.full_like(r, -1e4)])
    assert not any(x.any() for x in result)


@pytest.mark.parametrize("shape", [(0, 9, 16), (2, 0, 16), (2, 9, 0)])
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(shape):
    tensors = [noise(shape[2:]), noise(shape[2:]), *(noise(shape) for _ in range(3))]
    result = with_gradients(gated_bi_wkv, tensors)
    assert result[0].shape == shape and not any(x.any() for x in result)


def test_any_layout_gives_the_same_contiguous_output():
    w, u, k, v, r = inputs_of("ragged")
    y = gated_bi_wkv(w, u, k, v, r)
    strided = gated_bi_wkv(w, u, k.mT.contiguous().mT, v, r.mT.contiguous().mT)
    assert strided.equal(y) and strided.is_contiguous()


@pytest.mark.parametrize("name", ["toy", "no image"])
def test_torch_accepts_the_operators(name):
    tensors = inputs_of(name)
    ops = torch.ops.linbench
    torch.library.opcheck(ops.gated_bi_wkv.default, tensors)
    torch.library.opcheck(ops.gated_bi_wkv_with_lse.default, [x.clone().requires_grad_() for x in tensors])
    _, y, lse = ops.gated_bi_wkv_with_lse(*tensors)
    torch.library.opcheck(ops.gated_bi_wkv_backward.default, [*tensors, y, lse, noise(y.shape)])


def test_forward_and_backward_compile_to_one_graph():
    tensors = inputs_of("toy")
    compiled = torch.compile(gated_bi_wkv, fullgraph=True, backend="aot_eager")
    for got, true in zip(with_gradients(compiled, tensors), with_gradients(gated_bi_wkv, tensors), strict=True):
        assert got.equal(true)


def test_it_states_the_arithmetic_of_bi_wkv():
    tensors = [x.requires_grad_() for x in inputs_of("toy")]
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        gated_bi_wkv(*tensors).sum().backward()
    assert counter.get_total_flops() == (29 + 58) * 5 * 4


@pytest.mark.parametrize("wrong", [float("nan"), 1e-3])
def test_verification_accepts_the_output_and_refuses_a_wrong_one(wrong):
    tensors = inputs_of("ragged")
    y = gated_bi_wkv(*tensors)
    assert verify(tuple(tensors), y) <= 1e-5 < verify(tuple(tensors[:4]), y)
    y[-1, -1, -1] += wrong
    assert verify(tuple(tensors), y) > 1e-4


def test_an_error_names_the_argument_and_its_contract():
    w, u, k, v, r = inputs_of("toy")
    with pytest.raises(ValueError, match="r must be `b t c` with t = 5"):
        gated_bi_wkv(w, u, k, v, r[:, :4])
    with pytest.raises(Unsupported, match="use impl='fast'"):
        gated_bi_wkv(w, u, k, v, r, impl="vendor")
