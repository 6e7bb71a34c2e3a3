"""The scan's Triton kernels without a GPU: interpreted, they equal the recurrence; compiled, they spill nothing."""

import json
import mmap
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.selective_scan import cases, op, reference
from linbench.kernels.selective_scan.reference import ScanInputs
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

BUDGET = 1e-5  # of max|y|, float32
GRADIENT_BUDGET = 1e-4
NAMES = ("y", "last", "u", "delta", "A", "B", "C", "scale", "D", "z", "delta_bias")
NORESERVE = 0x4000  # Linux's MAP_NORESERVE, which Python's mmap lacks before 3.13
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_selective_scan.json").read_text())


def computed(inputs: list[Any], gy: Tensor, glast: Tensor, lanes: int = 64) -> list[Tensor]:
    """y, the last state and all gradients; new memory holds NaN. To be interpreted.

    lanes: Channels of a block, forward. Many mean few programs: the interpreter is slow.
    """
    from linbench.kernels.selective_scan import gpu

    before = torch.empty, torch.Tensor.new_empty, gpu.lanes
    empty, new_empty, _ = before
    torch.empty = lambda *args, **kwargs: empty(*args, **kwargs).fill_(torch.nan)
    torch.Tensor.new_empty = lambda *args, **kwargs: new_empty(*args, **kwargs).fill_(torch.nan)
    gpu.lanes = lambda: lanes
    try:
        scan_inputs = ScanInputs(*inputs)
        return [*gpu.selective_scan(scan_inputs), *gpu.selective_scan_backward(gy, glast, scan_inputs)]
    finally:
        torch.empty, torch.Tensor.new_empty, gpu.lanes = before


def operator_inputs(a: dict[str, Any]) -> list[Any]:
    """The arguments as ``op`` passes them to the kernels."""
    B, C, scale = op._split_constants(a["u"], a["A"], a["B"], a["C"])
    return [a["u"], a["delta"], a["A"], B, C, scale, a["D"], a["z"], a["delta_bias"], a["delta_softplus"]]


def noise(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


def gradients_in(inputs: list[Any]) -> tuple[Tensor, Tensor]:
    u, A = inputs[0], inputs[2]
    glast = noise(torch.Size([*u.shape[:2], A.shape[1]]), torch.promote_types(u.dtype, torch.float32))
    return noise(u.shape, u.dtype), glast


def truth(inputs: list[Any], gy: Tensor, glast: Tensor) -> list[Tensor | None]:
    """What ``computed`` returns, by the recurrence in float64; None for an argument that is not given."""
    *tensors, softplus = inputs
    leaves = [x if x is None else x.detach().double().requires_grad_() for x in tensors]
    u, delta, A, B, C, scale, D, z, bias = leaves
    if scale is not None:
        C = reference.per_channel(C, u) * scale[:, :, None]
    y, last = reference.selective_scan(u, delta, A, B, C, D, z, bias, softplus)
    given = [x for x in leaves if x is not None]
    result = iter(torch.autograd.grad([y, last], given, [gy.double(), glast.double()]))
    return [y.detach(), last.detach(), *(None if x is None else next(result) for x in leaves)]


def assert_equals_the_recurrence(inputs: list[Any], lanes: int = 64) -> list[Tensor]:
    grads = gradients_in(inputs)
    result = interpreted(computed, inputs, *grads, lanes)
    for name, got, true in zip(NAMES, result, truth(inputs, *grads), strict=True):
        if true is None:
            assert not got.numel(), name
            continue
        budget = BUDGET if name in ("y", "last") else GRADIENT_BUDGET
        assert (got - true).abs().max() <= budget * true.abs().max(), name
    return result


@pytest.mark.parametrize(("t", "d", "n", "groups", "gate", "lanes"), [
    (1, 1, 1, None, True, 32), (2, 5, 16, 5, True, 32), (2, 20, 3, None, True, 8),
    (33, 20, 3, None, True, 64), (70, 20, 1, 2, False, 64), (70, 5, 16, None, True, 32),
])  # fmt: skip
def test_outputs_and_gradients_equal_the_recurrence_at_ragged_sizes(t, d, n, groups, gate, lanes):
    assert_equals_the_recurrence(operator_inputs(cases.inputs(1, d, n, t, groups, gate=gate)), lanes)


@pytest.mark.parametrize("name", [
    "many states", "big steps", "tiny steps", "spike", "forgets at once", "growing state", "some channels forget",
    "steps of both signs",
])  # fmt: skip
def test_extreme_values_stay_in_the_budget(name):
    a = {k: v for k, v in cases.small()[name].items() if torch.is_tensor(v)}
    n = 256 if name == "many states" else 3
    few = {k: a[k][:, :6, :36] for k in ("u", "delta", "z") if k in a}
    few |= {k: a[k][:6] for k in ("D", "delta_bias") if k in a} | {"A": a["A"][:6, :n]}
    few |= {k: a[k][:, :n, :36] for k in ("B", "C")}
    arguments = cases.small()[name] | few
    for got in assert_equals_the_recurrence(operator_inputs(arguments)):
        assert got.isfinite().all()


def test_steps_of_any_size_overflow_nowhere():
    arguments = cases.inputs(1, 4, 2, 40, step=0.0)
    arguments["delta"] = torch.linspace(-200, 2000, 40).repeat(1, 4, 1)
    arguments["u"][:, :, 30:] = 0
    for got in interpreted(computed, operator_inputs(arguments), *gradients_in(operator_inputs(arguments))):
        assert got.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_softplus_of_a_step_is_exact_to_two_roundings(dtype):
    delta = torch.cat([torch.linspace(-80, 40, 200), torch.linspace(-2, 2, 200)]).to(dtype)
    ones = torch.ones(1, 400, 1, dtype=dtype)
    # One token, one state and nothing to remember: y is the step itself.
    inputs = [
        ones,
        delta.reshape(1, 400, 1),
        -ones[0],
        *[ones[:, :1, None, 0].reshape(1, 1, 1, 1)] * 2,
        *[None] * 4,
        True,
    ]
    y = interpreted(computed, inputs, ones, ones)[0]
    true = torch.log1p(delta.double().exp()) if dtype == torch.float32 else torch.nn.functional.softplus(delta)
    assert ((y[0, :, 0] - true).abs() <= 2 * torch.finfo(dtype).eps * true).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    inputs = operator_inputs(cases.inputs(1, 5, 3, 35, dtype=dtype))
    grads = gradients_in(inputs)
    result, expected = interpreted(computed, inputs, *grads), truth(inputs, *grads)
    assert result[0].dtype == dtype and result[1].dtype == torch.float32
    steps = 1.01 if dtype == torch.bfloat16 else 0.51  # the interpreter cuts to bfloat16 where a GPU rounds
    for got, true, x in zip(result, expected, [inputs[0], None, *inputs], strict=False):
        if true is not None:
            assert x is None or got.dtype == x.dtype
            rounding = steps * torch.finfo(got.dtype).eps * true.abs() + 3e-6 * true.abs().max()
            assert ((got - true).abs() <= rounding).all()


def test_float64_is_computed_in_float64():
    arguments = {k: v.double() if torch.is_tensor(v) else v for k, v in cases.inputs(1, 5, 3, 35).items()}
    inputs = operator_inputs(arguments)
    grads = gradients_in(inputs)
    for got, true in zip(interpreted(computed, inputs, *grads), truth(inputs, *grads), strict=True):
        assert true is None or (got - true).abs().max() <= 1e-12 * true.abs().max()


@pytest.mark.parametrize(("constant", "groups"), [("B", 2), ("C", None)])
def test_one_constant_projection_goes_with_one_that_varies(constant, groups):
    arguments = cases.inputs(2, 4, 3, 9, groups=groups)
    arguments[constant] = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    assert_equals_the_recurrence(operator_inputs(arguments))


def test_every_memory_layout_gives_the_same_numbers_and_the_layout_that_is_promised():
    inputs = operator_inputs(cases.inputs(2, 5, 3, 9))
    gy, glast = gradients_in(inputs)
    expected = interpreted(computed, inputs, gy, glast)
    plain = [x.contiguous() if torch.is_tensor(x) else x for x in inputs]
    wide = [torch.stack([x, x], -1)[..., 1] if torch.is_tensor(x) else x for x in inputs]
    for others, g in ((plain, gy.mT.contiguous().mT), (wide, gy)):
        result = interpreted(computed, others, g, glast)
        for got, true in zip(result, expected, strict=True):
            assert got.equal(true)
        fakes = [x.to("meta") if torch.is_tensor(x) else x for x in (g, glast, *others)]
        promised = [*op._selective_scan(*fakes[2:]), *op._selective_scan_backward(*fakes)]
        assert [x.stride() for x in result] == [x.stride() for x in promised]
        assert [x.dtype for x in result] == [x.dtype for x in promised]


def test_a_gradient_that_is_one_number_is_read_where_it_lies():
    inputs = operator_inputs(cases.inputs(1, 5, 3, 9))
    gy, glast = gradients_in(inputs)
    ones = torch.ones(()).expand_as(gy)  # strides of 0, as autograd sends them
    expected = interpreted(computed, inputs, ones.contiguous(), glast)
    for got, true in zip(interpreted(computed, inputs, ones, glast), expected, strict=True):
        assert got.equal(true)


@pytest.mark.parametrize("sizes", [(0, 4, 3, 9), (2, 4, 3, 0), (2, 0, 3, 9)])
def test_no_image_no_token_and_no_channel_give_empty_outputs(sizes):
    inputs = operator_inputs(cases.inputs(*sizes))
    y, last, gu, _, gA, *_ = interpreted(computed, inputs, *gradients_in(inputs))
    assert y.shape == gu.shape == inputs[0].shape and not last.any() and not gA.any()


def test_not_a_number_reaches_the_output_of_its_channel_only():
    arguments = cases.inputs(1, 6, 3, 20)
    arguments["u"][0, 5, 10] = float("nan")
    inputs = operator_inputs(arguments)
    y = interpreted(computed, inputs, *gradients_in(inputs))[0][0]
    assert y[5, 10:].isnan().all() and y[5, :10].isfinite().all() and y[:5].isfinite().all()


def far_apart(inputs: list[Any], gy: Tensor, glast: Tensor, axis: int) -> list[Tensor]:
    """``computed``, neighbours on one axis of all that has tokens 2^31 + 64 numbers apart. To be interpreted."""
    step = 2**31 + 64

    def spread(x: Tensor, along: int) -> Tensor:
        memory = mmap.mmap(-1, x.itemsize * step * x.shape[along], flags=mmap.MAP_PRIVATE | NORESERVE)
        strides = list(x.stride())
        strides[along] = step
        return torch.frombuffer(memory, dtype=x.dtype).as_strided(x.shape, strides).copy_(x)

    placed = [spread(x, axis) if torch.is_tensor(x) and x.ndim == 3 else x for x in inputs]
    if axis == 2:
        placed[3:5] = [spread(x, 3) for x in inputs[3:5]]
    return computed(placed, spread(gy, axis), glast)


@pytest.mark.skipif(sys.platform != "linux", reason="reserves terabytes of addresses, of which it uses few")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_addresses_beyond_two_to_the_31_are_right(axis):
    inputs = operator_inputs(cases.inputs(2, 2, 2, 3))
    grads = gradients_in(inputs)
    plain = interpreted(computed, inputs, *grads)
    for got, expected in zip(interpreted(far_apart, inputs, *grads, axis), plain, strict=True):
        assert got.equal(expected)


def test_chunks_are_long_enough_and_their_number_is_bounded():
    from linbench.kernels.selective_scan import gpu

    for tokens, rows in ((1, 1), (33, 24), (4096, 24), (65536, 24), (1 << 20, 1), (196, 128 * 24)):
        chunk = gpu.chunk_of(tokens, rows)
        assert chunk % gpu.KEEP == 0
        assert rows * -(-tokens // chunk) <= max(gpu.PROGRAMS, rows)


def description(
    name: str, states: int, dtype: str, target: str
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, as Vim launches it, or with 1 state VMamba, which has no gate."""
    from linbench.kernels.selective_scan import gpu

    kernel = getattr(gpu, name)
    lanes = 64 if target.startswith("hip") else 32
    shape = gpu.gradient_shape(states, lanes) if name == "_gradients" else gpu.forward_shape(states, lanes)
    if name == "_starts":
        shape = gpu.Shape(shape.block, gpu.CHUNKS_READ, 1)
    known = {"SOFTPLUS": True, "STATES": states, "POWER": triton.next_power_of_2(states), "KEEP": gpu.KEEP}
    known |= {"BLOCK": shape.block, "TILE": shape.tile, "REVERSE": False, "scale": None, "gscale": None}
    known |= {x: 1 for x in kernel.arg_names if x.endswith(("_c", "_n"))}
    known |= {} if states > 1 else {"z": None, "gz": None}
    constants = {x: known[x] for x in kernel.arg_names if x in known}
    types = dict.fromkeys(("u", "delta", "z", "y", "gy", "gu", "gdelta", "gz", "B", "C"), f"*{dtype}:16")
    integers = ("channels", "groups", "tokens", "blocks", "chunks", "chunk")
    for x in kernel.arg_names:
        types.setdefault(x, "i32" if x in integers or "_" in x else "*fp32:16")
    return kernel, {x: types[x] for x in kernel.arg_names if x not in constants}, constants, target, shape.warps


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:-1])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    from tests.kernels.ahead import assert_known, resources

    assert_known(resources(*description(*row[:-1])), row[-1], TABLE["tolerance"])
