"""Q-Shift against the official implementation, its definition, and its symmetries."""

import pytest
import torch

from linbench.kernels.impl import Unsupported
from linbench.kernels.q_shift import q_shift
from linbench.kernels.q_shift.cases import CASES, QShiftCase
from linbench.kernels.q_shift.reference import verify
from tests.goldens import golden

META, ARRAYS = golden("q_shift")


def arguments(case: QShiftCase) -> tuple[int, float, tuple[int, int]]:
    return case.shift_pixel, case.gamma, (case.h, case.w)


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize("golden_case", META["cases"], ids=lambda case: str(case["index"]))
def test_it_equals_the_official_implementation(golden_case, impl):
    name, grid = f"c{golden_case['index']:02}", (golden_case["H"], golden_case["W"])
    x = torch.from_numpy(ARRAYS[f"in_{name}"])
    y = q_shift(x, golden_case["shift_pixel"], golden_case["gamma"], grid, impl=impl)
    assert y.equal(torch.from_numpy(ARRAYS[f"out_{name}"]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CASES)
def test_the_fast_form_equals_the_definition_bit_by_bit(name, dtype):
    x = CASES[name].x(dtype)
    fast = q_shift(x, *arguments(CASES[name]))
    assert fast.equal(q_shift(x, *arguments(CASES[name]), impl="reference"))
    assert fast.is_contiguous() and fast.dtype == dtype


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_the_adjoint(name):
    x = CASES[name].x(torch.float64).requires_grad_()
    gy = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    (fast,) = torch.autograd.grad(q_shift(x, *arguments(CASES[name])), x, gy)
    (truth,) = torch.autograd.grad(q_shift(x, *arguments(CASES[name]), impl="reference"), x, gy)
    assert fast.equal(truth)


def test_the_first_quarter_takes_the_pixel_to_the_left():
    x = torch.arange(1.0, 25).reshape(1, 6, 4)  # a grid of 2 rows and 3 columns
    y = q_shift(x, 1, 0.25, (2, 3))
    assert y[0, :, 0].tolist() == [0, x[0, 0, 0], x[0, 1, 0], 0, x[0, 3, 0], x[0, 4, 0]]


def test_a_shift_beyond_the_grid_leaves_zeros():
    assert not q_shift(CASES["beyond the grid"].x(), *arguments(CASES["beyond the grid"])).any()


def test_a_transposed_input_gives_the_same():
    x = CASES["ragged channels"].x()
    strided = x.mT.contiguous().mT
    assert q_shift(strided, 1, 0.25, (3, 7)).equal(q_shift(x, 1, 0.25, (3, 7)))


@pytest.mark.parametrize("name", ["toy", "copied channels", "no image"])
def test_torch_accepts_the_operator(name):
    case = CASES[name]
    for x in (case.x(), case.x().requires_grad_()):
        inputs = (x, case.shift_pixel, case.gamma, case.h, case.w)
        torch.library.opcheck(torch.ops.linbench.q_shift.default, inputs)
    torch.library.opcheck(torch.ops.linbench.q_shift_backward.default, inputs)


def test_it_compiles_to_one_graph():
    case = CASES["ragged channels"]
    compiled = torch.compile(lambda x: q_shift(x, *arguments(case)), fullgraph=True, backend="aot_eager")
    assert compiled(case.x()).equal(q_shift(case.x(), *arguments(case)))


@pytest.mark.parametrize("name", CASES)
def test_verification_accepts_the_output_and_refuses_another(name):
    case = CASES[name]
    x = case.x()
    args, y = (x, case.shift_pixel, case.gamma, case.h, case.w), q_shift(x, *arguments(case))
    assert verify(args, y) == 0
    if y.numel():
        assert verify(args, y + 1) == float("inf")


def test_it_needs_no_arithmetic():
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        q_shift(CASES["toy"].x(), *arguments(CASES["toy"]))
    assert counter.get_total_flops() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((1, 0.25, (2, 4)), r"h \* w = t = 6, got \(2, 4\)"),
        ((1, 0.25, None), r"h \* w = t = 6, got None"),
        ((1, 0.3, (2, 3)), "gamma must be in .0, 1/4.*got 0.3"),
        ((-1, 0.25, (2, 3)), "shift_pixel must be a distance >= 0, got -1"),
    ],
)
def test_an_error_names_the_argument_and_what_it_should_be(given, message):
    with pytest.raises(ValueError, match=message):
        q_shift(CASES["toy"].x(), *given)


def test_there_is_no_vendor_form():
    with pytest.raises(Unsupported, match="use impl='fast'"):
        q_shift(CASES["toy"].x(), 1, 0.25, (2, 3), impl="vendor")
