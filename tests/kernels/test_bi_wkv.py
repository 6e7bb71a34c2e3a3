"""bi-WKV against the official goldens, its equation in float64, and the properties of a weighted mean."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from linbench.kernels.bi_wkv import bi_wkv, reference
from linbench.kernels.bi_wkv.cases import ADVERSARIAL, CASES
from linbench.kernels.bi_wkv.reference import verify
from linbench.kernels.impl import Unsupported
from tests.goldens import golden

META, ARRAYS = golden("bi_wkv")
BUDGET = 1e-5  # of max|y|, float32
GRADIENT_BUDGET = 1e-4


def gradients(inputs: list[Tensor], gy: Tensor, impl: str) -> tuple[Tensor, ...]:
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(bi_wkv(*leaves, impl=impl), leaves, gy)


def noise(shape: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("case", META["cases"], ids=lambda case: str(case["index"]))
def test_outputs_and_gradients_equal_the_official_goldens(case, impl, dtype):
    name = f"c{case['index']:02}"
    *inputs, gy = (torch.from_numpy(ARRAYS[f"in_{name}_{x}"]).to(dtype) for x in ("w", "u", "k", "v", "gy"))
    got = dict(zip(["gw", "gu", "gk", "gv"], gradients(inputs, gy, impl), strict=True))
    got["y"] = bi_wkv(*inputs, impl=impl)
    for letter, value in got.items():
        truth = ARRAYS[f"out_{name}_{letter}"]
        # Gradients are sums as large as 600, where one float32 step is 6e-5: they are compared beside their size.
        size = max(1.0, np.abs(truth).max()) if letter != "y" and dtype == torch.float32 else 1.0
        error = np.abs(value.double().numpy() - truth).max()
        assert error <= size * (1e-9 if dtype == torch.float64 else 2e-5), letter


@pytest.mark.parametrize("t", [1, 2, 49, 196, 1000, 1024, 4096, 16384, 65536])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_error_stays_in_the_budget_at_any_length(name, t):
    inputs = ADVERSARIAL[name].inputs(t=t, c=24 if t <= 4096 else 16)
    y = bi_wkv(*inputs)
    assert y.isfinite().all()
    every = max(1, t // 4096)  # fewer channels where the direct sum is long
    assert verify(tuple(x[..., ::every] for x in inputs), y[..., ::every]) <= BUDGET


@pytest.mark.parametrize("t", [1, 2, 49, 257, 500, 4096, pytest.param(65536, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_gradients_stay_in_the_budget(name, t):
    inputs = ADVERSARIAL[name].inputs(t=t, c=17)
    gy = noise(inputs[3].shape)
    # The direct sum is quadratic in t. Beyond, the float64 form is the truth: at 257 it equals the sum, see below.
    impl = "reference" if t <= 500 else "fast"
    truth = gradients([x.double() for x in inputs], gy.double(), impl)
    for letter, got, true in zip("wukv", gradients(inputs, gy, "fast"), truth, strict=True):
        # gw, gu, gk sum differences of terms as large as gv; where they cancel, what remains is the terms' rounding.
        terms = truth[3].abs().max().item() * (t if letter == "w" else 1)
        size = max(true.abs().max().item(), terms / 10)
        assert (got - true).abs().max().item() <= GRADIENT_BUDGET * size, letter


@pytest.mark.parametrize("deviation", [1, 10, 100, 300, 1000])
def test_gradients_carry_at_most_the_rounding_of_the_largest_lse(deviation):
    w, u, k, v = CASES["keys normal, decay 0 to 4"].inputs(t=1024, c=16)
    inputs, gy = [w, u, k * deviation, v], noise(v.shape)
    truth = gradients([x.double() for x in inputs], gy.double(), "fast")  # equals the direct sum, see below
    bound = 2 * 2**-16  # half a float32 step at 300, LARGEST_LSE, in each of e^key and e^-lse
    for letter, got, true in zip("wukv", gradients(inputs, gy, "fast"), truth, strict=True):
        terms = truth[3].abs().max().item() * (1024 if letter == "w" else 1)
        size = max(true.abs().max().item(), terms / 10)  # as above
        assert (got - true).abs().max().item() <= bound * size, letter


@pytest.mark.parametrize("name", ["toy", "ragged", "keys to 100, decay -1000 to 1000"])
def test_float64_is_exact_to_its_own_rounding(name):
    inputs = CASES[name].inputs(t=77, dtype=torch.float64)
    assert (bi_wkv(*inputs) - reference.bi_wkv(*inputs)).abs().max() <= 1e-12


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_float64_gradients_are_those_of_the_direct_sum(name):
    inputs = ADVERSARIAL[name].inputs(t=257, c=5, dtype=torch.float64)
    gy = noise(inputs[3].shape, torch.float64)
    pairs = zip(gradients(inputs, gy, "fast"), gradients(inputs, gy, "reference"), strict=True)
    scale = max(257, *(x.abs().max() for x in inputs))  # terms of gw: a token's distance times its gradient
    assert all((got - true).abs().max() <= 1e-12 * scale for got, true in pairs)


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("t", [1, 9])
def test_autograd_equals_finite_differences(impl, t):
    inputs = [x.requires_grad_() for x in CASES["toy"].inputs(t=t, c=3, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda *x: bi_wkv(*x, impl=impl), inputs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("c", [5, 16, 39, 64])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype, c):
    inputs = CASES["ragged"].inputs(c=c, dtype=dtype)
    y = bi_wkv(*inputs)
    truth = bi_wkv(*(x.float() for x in inputs))
    assert y.dtype == dtype
    steps = torch.finfo(dtype).eps * truth.abs().clamp_min(torch.finfo(dtype).smallest_normal)
    assert ((y.float() - truth).abs() <= 0.51 * steps).all()


def test_the_output_has_the_dtype_of_the_values():
    w, u, k, v = CASES["ragged"].inputs()
    assert bi_wkv(w, u, k, v.bfloat16()).dtype == torch.bfloat16
    assert bi_wkv(w, u, k.bfloat16(), v).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_gradients_come_in_the_dtype_of_their_inputs(dtype):
    inputs = CASES["ragged"].inputs(dtype=dtype)
    gy = noise(inputs[3].shape, dtype)
    truth = gradients([x.double() for x in inputs], gy.double(), "reference")
    for x, got, true in zip(inputs, gradients(inputs, gy, "fast"), truth, strict=True):
        assert got.dtype == x.dtype
        assert (got - true).abs().max() <= 8 * torch.finfo(dtype).eps * true.abs().max()


@pytest.mark.parametrize("u", [-200.0, -31.0, 31.0, 200.0])
def test_an_extreme_bonus_is_weighed_against_extreme_keys(u):
    w, _, k, v = ADVERSARIAL["keys to 100, decay 500"].inputs(t=64)
    args = (w, torch.full_like(w, u), k, v)
    assert verify(args, bi_wkv(*args)) <= BUDGET


@pytest.mark.parametrize("w", [-40.0, -3.0, -2.0, -0.7, 0.7, 2.0, 3.0, 40.0])
def test_an_extreme_decay_per_token_is_exact(w):
    _, u, k, v = ADVERSARIAL["keys to 30, decay 100"].inputs(t=101)
    args = (torch.full_like(u, w), u, k, v)
    assert verify(args, bi_wkv(*args)) <= BUDGET


@pytest.mark.parametrize("name", ["ragged", "vrwkv-s at 224"])
def test_each_output_is_a_convex_combination_of_the_values(name):
    w, u, k, v = CASES[name].inputs()
    y = bi_wkv(w, u, k, v)
    slack = 1e-5
    assert (y <= v.amax(1, keepdim=True) + slack).all() and (y >= v.amin(1, keepdim=True) - slack).all()
    assert (bi_wkv(w, u, k, torch.full_like(v, 3.0)) - 3).abs().max() <= slack


def test_a_constant_added_to_the_keys_changes_nothing():
    w, u, k, v = CASES["ragged"].inputs()
    shift = 64 * torch.arange(-2.0, 3)[torch.arange(k.shape[2]) % 5]  # whole: k + shift rounds by 1e-5 only
    assert (bi_wkv(w, u, k + shift, v) - bi_wkv(w, u, k, v)).abs().max() <= 1e-5


def test_reversing_the_tokens_reverses_the_output():
    w, u, k, v = CASES["ragged"].inputs(t=200)
    assert (bi_wkv(w, u, k.flip(1), v.flip(1)).flip(1) - bi_wkv(w, u, k, v)).abs().max() <= 1e-6


def test_without_decay_and_bonus_equal_keys_give_the_mean():
    _, _, k, v = CASES["ragged"].inputs()
    zero = torch.zeros(v.shape[2])
    y = bi_wkv(zero, zero, torch.ones_like(k), v)
    assert (y - v.mean(1, keepdim=True)).abs().max() <= 1e-6


def test_one_token_is_its_own_value():
    inputs = CASES["one token"].inputs()
    assert torch.allclose(bi_wkv(*inputs), inputs[3], rtol=1e-6, atol=0)


def test_a_key_of_minus_infinity_hides_its_token():
    w, u, k, v = CASES["ragged"].inputs(t=90)
    k[:, 40:] = -torch.inf
    y = bi_wkv(w, u, k, v)[:, :40]
    assert (y - bi_wkv(w, u, k[:, :40], v[:, :40])).abs().max() <= 1e-6


@pytest.mark.parametrize("shape", [(0, 9, 16), (2, 0, 16), (2, 9, 0)])
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(shape):
    inputs = [torch.randn(shape[2]), torch.randn(shape[2]), torch.randn(shape), torch.randn(shape)]
    assert bi_wkv(*inputs).shape == shape
    assert [g.abs().sum() for g in gradients(inputs, torch.randn(shape), "fast")] == [0, 0, 0, 0]


def test_any_layout_gives_the_same_contiguous_output():
    w, u, k, v = CASES["ragged"].inputs()
    y = bi_wkv(w, u, k, v)
    strided = bi_wkv(w, u, k.mT.contiguous().mT, torch.stack([v, v], -1)[..., 0])
    assert strided.equal(y) and strided.is_contiguous()


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["ragged", "vrwkv-s at 224"])
def test_the_number_of_threads_changes_no_bit(name, threads):
    inputs = CASES[name].inputs()
    y, before = bi_wkv(*inputs), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert bi_wkv(*inputs).equal(y)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["toy", "ragged", "no image"])
def test_torch_accepts_the_operators(name):
    inputs = CASES[name].inputs()
    ops = torch.ops.linbench
    torch.library.opcheck(ops.bi_wkv.default, inputs)
    torch.library.opcheck(ops.bi_wkv_with_lse.default, [x.requires_grad_() for x in inputs])
    saved = [*(x.detach() for x in inputs), *ops.bi_wkv_with_lse(*(x.detach() for x in inputs))]
    torch.library.opcheck(ops.bi_wkv_backward.default, [*saved, noise(inputs[3].shape)])


def test_forward_and_backward_compile_to_one_graph():
    inputs = [x.requires_grad_() for x in CASES["toy"].inputs()]
    compiled = torch.compile(bi_wkv, fullgraph=True, backend="aot_eager")
    gy = noise(inputs[3].shape)
    assert compiled(*inputs).equal(bi_wkv(*inputs))
    for got, true in zip(
        torch.autograd.grad(compiled(*inputs), inputs, gy), gradients(inputs, gy, "fast"), strict=True
    ):
        assert got.equal(true)


def test_forward_and_backward_state_their_arithmetic():
    inputs = [x.requires_grad_() for x in CASES["toy"].inputs()]
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        bi_wkv(*inputs).sum().backward()
    assert counter.get_total_flops() == (29 + 58) * 5 * 4


@pytest.mark.parametrize("wrong", [float("nan"), 1e-3])
def test_verification_refuses_a_wrong_output(wrong):
    args = tuple(CASES["ragged"].inputs())
    y = bi_wkv(*args)
    y[-1, -1, -1] += wrong
    assert verify(args, y) > 1e-4


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize(
    ("dtype", "t", "c"), [("float32", 32768, 384), ("bfloat16", 65536, 384), ("float32", 1 << 18, 9)]
)
def test_no_call_allocates_three_times_its_inputs(dtype, t, c):
    script = f"""
import torch
from linbench.kernels.bi_wkv import bi_wkv
def status(key):
    return int(next(x for x in open("/proc/self/status") if x.startswith(key)).split()[1]) * 1024
def run(t):
    k, v = torch.ones(1, t, {c}, dtype=torch.{dtype}), torch.ones(1, t, {c}, dtype=torch.{dtype})
    w = torch.zeros({c})
    open("/proc/self/clear_refs", "w").write("5")  # forgets the peak
    before = status("VmRSS")
    bi_wkv(w, w, k, v)
    return (status("VmHWM") - before) / (2 * k.nbytes)
run(33)
print(run({t}))
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert 0.3 < float(done.stdout) < 3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"k": (2, 3, 4), "v": (2, 5, 4)}, "v must be `b t c` with t = 3"),
        ({"k": (3, 4)}, "k must be `b t c`, got 2 axes"),
        ({"w": (5,)}, "w must be `c` with c = 4"),
    ],
)
def test_an_error_names_the_argument_and_its_contract(sizes, message):
    shapes = {"w": (4,), "u": (4,), "k": (2, 3, 4), "v": (2, 3, 4), **sizes}
    with pytest.raises(ValueError, match=message):
        bi_wkv(**{name: torch.zeros(shape) for name, shape in shapes.items()})


def test_there_is_no_vendor_form():
    with pytest.raises(Unsupported, match="use impl='fast'"):
        bi_wkv(*CASES["toy"].inputs(), impl="vendor")
