"""bi-WKV's Triton kernels without a GPU: interpreted, they equal the equation; compiled, they spill nothing."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.bi_wkv import reference
from linbench.kernels.bi_wkv.cases import ADVERSARIAL, CASES
from linbench.kernels.impl import Unsupported
from tests.kernels.memory import guarded, spread
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

BUDGET = 1e-5  # of max|y|, float32
GRADIENT_BUDGET = 1e-4
SMALL = (16, 4, 2)  # tokens and channels of a chunk, chunks of a step: the interpreter pays for each padded number
FORWARD = ["key_sums", "_scan", "_outputs"]
KERNELS = [*FORWARD, "_gradient_sums", "_gradients", "_gate_gradients"]
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_bi_wkv.json").read_text())


def computed(inputs: list[Tensor], gy: Tensor | None, sizes: tuple[int, int, int] | None = SMALL) -> list[Tensor]:
    """y and lse, and gw, gu, gk and gv where gy is given. To be interpreted.

    New memory holds NaN, and more NaN behind its end, which must stay.
    """
    from linbench.kernels.bi_wkv import gpu, gpu_backward

    before = gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED
    gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED = sizes or before
    try:
        with guarded():
            outputs = gpu.bi_wkv(*inputs, with_lse=True)
            return [*outputs, *(() if gy is None else gpu_backward.bi_wkv_backward(*inputs, *outputs, gy))]
    finally:
        gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED = before


def gated(inputs: list[Tensor], g: Tensor) -> list[Tensor]:
    """sigmoid(r) y with and without what its gradient needs, y, lse, and all gradients. To be interpreted."""
    from linbench.kernels.bi_wkv import gpu, gpu_backward

    before = gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED
    gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED = SMALL
    try:
        with guarded():
            alone, outputs = gpu.gated_bi_wkv(*inputs)[0], gpu.gated_bi_wkv(*inputs, with_lse=True)
            return [alone, *outputs, *gpu_backward.gated_bi_wkv_backward(*inputs, *outputs[1:], g)]
    finally:
        gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED = before


def noise(shape: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def truth(inputs: list[Tensor], gy: Tensor) -> tuple[Tensor, ...]:
    """y, gw, gu, gk and gv by the equation in float64."""
    leaves = [x.double().requires_grad_() for x in inputs]
    y = reference.bi_wkv(*leaves)
    return y.detach(), *torch.autograd.grad(y, leaves, gy.double())


def assert_equals_the_equation(inputs: list[Tensor], gy: Tensor, sizes: tuple[int, int, int] | None = SMALL) -> None:
    y, lse, *gradients = interpreted(computed, inputs, gy, sizes)
    true_y, *true_gradients = truth(inputs, gy)
    assert y.isfinite().all() and lse.isfinite().all()
    assert (y - true_y).abs().max() <= BUDGET * true_y.abs().max()
    for letter, got, true in zip("wukv", gradients, true_gradients, strict=True):
        # gw, gu, gk sum differences of terms as large as gv; where they cancel, what remains is the terms' rounding.
        terms = true_gradients[3].abs().max().item() * (inputs[3].shape[1] if letter == "w" else 1)
        size = max(true.abs().max().item(), terms / 10)
        assert (got - true).abs().max().item() <= GRADIENT_BUDGET * size, letter


@pytest.mark.parametrize(("t", "c"), [(1, 1), (1, 33), (2, 16), (33, 16), (70, 3), (197, 1)])
def test_outputs_and_gradients_equal_the_equation_at_ragged_sizes(t, c):
    inputs = CASES["ragged"].inputs(t=t, c=c)
    inputs[2:] = [x[:1] for x in inputs[2:]]
    assert_equals_the_equation(inputs, noise(inputs[3].shape))


def test_the_sizes_that_ship_equal_the_equation():
    inputs = CASES["ragged"].inputs(t=33, c=3)
    inputs[2:] = [x[:1] for x in inputs[2:]]
    assert_equals_the_equation(inputs, noise(inputs[3].shape), sizes=None)


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_extreme_values_stay_in_the_budget(name):
    inputs = ADVERSARIAL[name].inputs(t=70, c=4)
    assert_equals_the_equation(inputs, noise(inputs[3].shape))


@pytest.mark.parametrize("w", [-40.0, -3.0, 0.7, 3.0, 40.0])
def test_an_extreme_decay_per_token_is_exact(w):
    _, u, k, v = ADVERSARIAL["keys to 30, decay 100"].inputs(t=37, c=2)
    assert_equals_the_equation([torch.full_like(u, w), u, k, v], noise(v.shape), sizes=(8, 2, 2))


@pytest.mark.parametrize("u", [-200.0, 200.0])
def test_an_extreme_bonus_is_weighed_against_extreme_keys(u):
    w, _, k, v = ADVERSARIAL["keys to 100, decay 500"].inputs(t=20, c=2)
    assert_equals_the_equation([w, torch.full_like(w, u), k, v], noise(v.shape), sizes=(8, 2, 2))


@pytest.mark.parametrize("sizes", [(4, 4, 8), (2, 4, 16)])
def test_decays_over_many_chunks_are_exact(sizes):
    t, meeting = 160, 40
    _, u, k, v = ADVERSARIAL["equal keys, decay 4"].inputs(t=t, c=4)
    w = torch.tensor([-97.13, -66.37, -55.79, -75.21])
    # The first token and the last weigh as much at token 40, after exponents of 3800 and 11500: an error shows.
    k[0, 0] = w * (meeting - 1) - w * (t - 2 - meeting)
    y = interpreted(computed, [w, u, k, v], None, sizes)[0]
    true = reference.bi_wkv(*(x.double() for x in (w, u, k, v)))
    assert (y - true).abs().max() <= 2e-6 * true.abs().max()


@pytest.mark.parametrize("name", ["ragged", "keys to 30, decay 100"])
def test_a_gate_is_applied_to_the_output_and_to_the_gradient(name):
    inputs = CASES[name].inputs(t=37, c=5)
    r, g = 3 * noise(inputs[3].shape) + 1, noise(inputs[3].shape)
    wide = torch.stack([r, r], -1)[..., 1]  # of any strides
    alone, out, y, lse, *gradients = interpreted(gated, [*inputs, wide], g.mT.contiguous().mT)
    leaves = [x.double().requires_grad_() for x in (*inputs, r)]
    true_y = reference.gated_bi_wkv(*leaves)
    assert alone.equal(out)
    assert (out - true_y).abs().max() <= BUDGET * true_y.abs().max()
    for got, expected in zip(interpreted(computed, inputs, None), (y, lse), strict=True):
        assert got.equal(expected)
    for letter, got, true in zip("wukvr", gradients, torch.autograd.grad(true_y, leaves, g.double()), strict=True):
        assert (got - true).abs().max() <= GRADIENT_BUDGET * true.abs().max(), letter


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gate_is_applied_before_the_one_rounding(dtype):
    inputs = [*CASES["ragged"].inputs(t=18, c=4, dtype=dtype), noise(torch.Size([2, 18, 4]), dtype)]
    out = interpreted(gated, inputs, noise(inputs[3].shape, dtype))[1]
    true = reference.gated_bi_wkv(*(x.double() for x in inputs))
    steps = 1.01 if dtype == torch.bfloat16 else 0.51  # the interpreter cuts to bfloat16 where a GPU rounds
    assert out.dtype == dtype
    assert ((out - true).abs() <= steps * torch.finfo(dtype).eps * true.abs() + 1e-6).all()


@pytest.mark.parametrize("shape", [(0, 9, 16), (2, 0, 16), (2, 9, 0)])
def test_an_empty_gated_input_gives_an_empty_output(shape):
    inputs = [torch.randn(shape[2]), torch.randn(shape[2]), *(torch.randn(shape) for _ in range(3))]
    assert [x.shape for x in interpreted(gated, inputs, torch.randn(shape))[:2]] == [shape, shape]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    inputs = CASES["ragged"].inputs(t=18, c=4, dtype=dtype)
    gy = noise(inputs[3].shape, dtype)
    y, lse, *gradients = interpreted(computed, inputs, gy)
    true_y, *true_gradients = truth(inputs, gy)
    assert y.dtype == dtype and lse.dtype == torch.float32
    steps = 1.01 if dtype == torch.bfloat16 else 0.51  # the interpreter cuts to bfloat16 where a GPU rounds
    assert ((y - true_y).abs() <= steps * torch.finfo(dtype).eps * true_y.abs() + 1e-6).all()
    for x, got, true in zip(inputs, gradients, true_gradients, strict=True):
        assert got.dtype == x.dtype
        assert (got - true).abs().max() <= 4 * torch.finfo(dtype).eps * true.abs().max()


def test_keys_values_and_gradient_are_read_where_they_lie():
    w, u, k, v = CASES["ragged"].inputs(t=18, c=3)
    v, gy = v[:, :1].expand_as(v), noise(torch.Size([3])).expand_as(v)  # strides of 0, as autograd sends them
    plain = interpreted(computed, [w, u, k, v.contiguous()], gy.contiguous())
    wide = torch.stack([w, w], -1)[:, 0], torch.stack([u, u], -1)[:, 1]
    strided = interpreted(computed, [*wide, k.mT.contiguous().mT, v], gy)
    for got, expected in zip(strided, plain, strict=True):
        assert got.equal(expected) and got.is_contiguous()


def test_a_key_of_minus_infinity_hides_its_token_and_a_nan_shows():
    w, u, k, v = CASES["ragged"].inputs(t=18, c=1)
    short = interpreted(computed, [w, u, k[:, :14], v[:, :14]], None)[0]
    k[:, 14:] = -torch.inf
    assert (interpreted(computed, [w, u, k, v], None)[0][:, :14] - short).abs().max() <= 1e-6
    k[:, 17] = torch.nan
    assert interpreted(computed, [w, u, k, v], None)[0].isnan().all()


@pytest.mark.parametrize("shape", [(0, 9, 16), (2, 0, 16), (2, 9, 0)])
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(shape):
    inputs = [torch.randn(shape[2]), torch.randn(shape[2]), torch.randn(shape), torch.randn(shape)]
    y, _, *gradients = interpreted(computed, inputs, torch.randn(shape))
    assert y.shape == shape
    assert [g.abs().sum() for g in gradients] == [0, 0, 0, 0]


def test_float64_is_refused():
    with pytest.raises(Unsupported, match="impl='reference'"):
        interpreted(computed, CASES["toy"].inputs(dtype=torch.float64), None)


def far_apart(inputs: list[Tensor], gy: Tensor, axis: int) -> list[Tensor]:
    """``computed`` of k, v and gy whose neighbours on one axis lie 2^31 + 64 numbers apart. To be interpreted."""
    w, u, k, v = inputs
    return computed([w, u, spread(k, axis), spread(v, axis)], spread(gy, axis), (4, 2, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="reserves gigabytes of addresses, of which it uses few")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_addresses_beyond_two_to_the_31_are_right(axis):
    k, v, gy = torch.randn(3, 3, 5, 3, generator=torch.Generator().manual_seed(0))
    w, u = torch.tensor([0.1, -0.2, 0.3]), torch.zeros(3)
    plain = interpreted(computed, [w, u, k, v], gy, (4, 2, 2))
    for got, expected in zip(interpreted(far_apart, [w, u, k, v], gy, axis), plain, strict=True):
        assert got.equal(expected)


def description(
    name: str, dtype: str, gate: bool, target: str
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, as a model launches it: dense channels, sizes that 16 divides.

    gate: Whether the outputs are gated, for inference, instead of plain, with lse.
    """
    from linbench.kernels.bi_wkv import gpu, gpu_backward
    from tests.kernels.ahead import launch

    kernel = getattr(gpu if name in FORWARD else gpu_backward, name)
    known = {"T": gpu.CHUNK, "BC": gpu.CHANNELS, "N": gpu.SCANNED, "kc": 1, "vc": 1, "rc": 1, "gc": 1}
    if name == "_outputs":
        known |= dict.fromkeys(("y", "lse") if gate else ("r", "gated", "rb", "rt", "rc"))
    types = dict.fromkeys(("k", "v", "r", "y", "g", "gy", "gk", "gv", "gr", "gated"), f"*{dtype}:16")
    types |= dict.fromkeys(("w", "u", "lse", "sums", "states", "parts"), "*fp32:16")
    types |= dict.fromkeys(("part", "t", "c", "kb", "kt", "vb", "vt", "rb", "rt", "gb", "gt"), "i32:16")
    return launch(kernel, types, known, target, gpu.WARPS)


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:-1])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    from tests.kernels.ahead import assert_known, resources

    assert_known(resources(*description(*row[:-1])), row[-1], TABLE["tolerance"])


@pytest.mark.parametrize("name", KERNELS)
def test_sizes_of_one_which_launches_make_constants_compile(name):
    from tests.kernels.ahead import compiled

    kernel, types, constants, *_ = description(name, "bf16", False, "cuda:90")
    ones = {x: 1 for x, kind in types.items() if kind.startswith("i32")}
    pointers = {x: kind for x, kind in types.items() if x not in ones}
    assert "cubin" in compiled(kernel, pointers, constants | ones, "cuda:90").asm


@pytest.mark.parametrize("name", KERNELS)
def test_no_product_of_whole_numbers_is_made_in_32_bits(name):
    from tests.kernels.ahead import compiled

    text = compiled(*description(name, "fp32", False, "cuda:90")).asm["ttir"]
    products = [line for line in text.splitlines() if "arith.muli" in line]
    assert products
    assert [line for line in products if "i64" not in line] == []
