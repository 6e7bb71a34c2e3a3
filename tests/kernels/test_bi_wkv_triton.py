"""bi-WKV's Triton kernels without a GPU: interpreted, they equal the equation; compiled, they spill nothing."""

import json
import mmap
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.bi_wkv import reference
from linbench.kernels.bi_wkv.cases import ADVERSARIAL, CASES
from linbench.kernels.impl import Unsupported
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

BUDGET = 1e-5  # of max|y|, float32
GRADIENT_BUDGET = 1e-4
SMALL = (16, 4, 2)  # tokens and channels of a chunk, chunks of a step: the interpreter pays for each padded number
NO_RESERVE = 0x4000  # of Linux; Python names it from 3.13 on
KERNELS = ["_key_sums", "_gradient_sums", "_scan", "_outputs", "_gradients"]
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_bi_wkv.json").read_text())


def computed(inputs: list[Tensor], gy: Tensor | None, sizes: tuple[int, int, int] | None = SMALL) -> list[Tensor]:
    """y and lse, and gw, gu, gk and gv where gy is given. To be interpreted.

    New memory holds NaN, and more NaN behind its end, which must stay.
    """
    from linbench.kernels.bi_wkv import gpu

    before, empty, behind = (gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED), torch.empty, []

    def guarded(*args: Any, **kwargs: Any) -> Tensor:
        x = empty(*args, **kwargs)
        memory = x.new_full((x.numel() + 64,), torch.nan)
        behind.append(memory[x.numel() :])
        return memory[: x.numel()].view(x.shape)

    gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED = sizes or before
    torch.empty = guarded
    try:
        outputs = gpu.bi_wkv(*inputs, with_lse=True)
        results = [*outputs, *(() if gy is None else gpu.bi_wkv_backward(*inputs, *outputs, gy))]
    finally:
        (gpu.CHUNK, gpu.CHANNELS, gpu.SCANNED), torch.empty = before, empty
    assert all(x.isnan().all() for x in behind), "a kernel wrote behind the end of its output"
    return results


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


def test_decays_over_many_chunks_are_exact():
    w, u, k, v = ADVERSARIAL["equal keys, decay 4"].inputs(t=160, c=4)
    w = torch.tensor([-7.13, -6.37, -5.79, -5.21])  # the first and the last token meet in the middle, 500 decays on
    y = interpreted(computed, [w, u, k, v], None, (4, 4, 8))[0]
    true = reference.bi_wkv(*(x.double() for x in (w, u, k, v)))
    assert (y - true).abs().max() <= 2e-6 * true.abs().max()


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
    step = 2**31 + 64
    views = []
    for x in (k, v, gy):
        memory = mmap.mmap(-1, x.itemsize * step * x.shape[axis], flags=mmap.MAP_PRIVATE | NO_RESERVE)
        strides = list(x.stride())
        strides[axis] = step
        views.append(torch.frombuffer(memory, dtype=x.dtype).as_strided(x.shape, strides).copy_(x))
    return computed([w, u, *views[:2]], views[2], (4, 2, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="reserves gigabytes of addresses, of which it uses few")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_addresses_beyond_two_to_the_31_are_right(axis):
    _, _, k, v = CASES["ragged"].inputs(t=5, c=3)
    w, u, gy = torch.tensor([0.1, -0.2, 0.3]), torch.zeros(3), noise(v.shape)
    plain = interpreted(computed, [w, u, k, v], gy, (4, 2, 2))
    for got, expected in zip(interpreted(far_apart, [w, u, k, v], gy, axis), plain, strict=True):
        assert got.equal(expected)


def description(name: str, dtype: str) -> tuple[Any, dict[str, str], dict[str, Any]]:
    """Kernel, argument types and constants as a model launches them: dense channels, sizes that 16 divides."""
    from linbench.kernels.bi_wkv import gpu

    kernel = getattr(gpu, name)
    known = {"T": gpu.CHUNK, "BC": gpu.CHANNELS, "N": gpu.SCANNED, "WITH_LSE": True, "kc": 1, "vc": 1, "gc": 1}
    constants = {x: known[x] for x in kernel.arg_names if x in known}
    types = dict.fromkeys(("k", "v", "y", "gy", "gk", "gv"), f"*{dtype}:16")
    types |= dict.fromkeys(("w", "u", "lse", "sums", "states", "parts"), "*fp32:16")
    types |= dict.fromkeys(("part", "t", "c", "kb", "kt", "vb", "vt", "gb", "gt"), "i32:16")
    return kernel, {x: types.get(x, "i32") for x in kernel.arg_names if x not in constants}, constants


def registers(name: str, dtype: str, target: str) -> tuple[int, int]:
    """Registers and spilled bytes of a kernel, in a process where kernels are compiled and not interpreted."""
    from linbench.kernels.bi_wkv import gpu
    from tests.kernels.ahead import resources

    found = resources(*description(name, dtype), target, gpu.WARPS)
    return found.registers, found.spills


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:3])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    *what, known = row
    expected = known.get(triton.__version__[:3], known["3.9"])  # by the version of Triton
    found, spills = registers(*what)
    assert spills == 0
    assert abs(found - expected) <= TABLE["tolerance"] * expected


@pytest.mark.parametrize("name", KERNELS)
def test_sizes_of_one_which_launches_make_constants_compile(name):
    from tests.kernels.ahead import compiled

    kernel, types, constants = description(name, "bf16")
    ones = {x: 1 for x, kind in types.items() if kind.startswith("i32")}
    pointers = {x: kind for x, kind in types.items() if x not in ones}
    assert "cubin" in compiled(kernel, pointers, constants | ones, "cuda:90").asm


@pytest.mark.parametrize("name", KERNELS)
def test_no_product_of_whole_numbers_is_made_in_32_bits(name):
    from tests.kernels.ahead import compiled

    text = compiled(*description(name, "fp32"), "cuda:90").asm["ttir"]
    products = [line for line in text.splitlines() if "arith.muli" in line]
    assert products
    assert [line for line in products if "i64" not in line] == []
