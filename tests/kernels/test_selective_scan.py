"""The selective scan against the official implementation, float64 truth, its symmetries, and its memory budget."""

import os
import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from linbench.kernels.impl import Unsupported
from linbench.kernels.selective_scan import cases, op, selective_scan
from linbench.kernels.selective_scan.reference import verify
from tests.goldens import golden

META, ARRAYS = golden("selective_scan")
GOLDEN = {case["name"]: case for case in META["cases"]}
SMALL = cases.small()
TENSORS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def converted(arguments, dtype):
    """The arguments in one dtype, as leaves that record gradients."""
    return {k: v.detach().to(dtype).requires_grad_() if torch.is_tensor(v) else v for k, v in arguments.items()}


def error(result, truth):
    """Return the largest error as a fraction of the largest truth; a truth of zeros counts as 1e-30."""
    return float((result.double() - truth.double()).abs().max() / truth.double().abs().max().clamp_min(1e-30))


def scan_and_gradients(arguments, impl, grad_y=None, grad_last=None):
    y, last = selective_scan(**arguments, return_last_state=True, impl=impl)
    generator = torch.Generator().manual_seed(7)
    random_y, random_last = (torch.randn(x.shape, generator=generator).bfloat16().to(x) for x in (y, last))
    grad_y = random_y if grad_y is None else grad_y
    grad_last = random_last if grad_last is None else grad_last
    names = [k for k in TENSORS if arguments.get(k) is not None]
    gradients = torch.autograd.grad([y, last], [arguments[k] for k in names], [grad_y, grad_last])
    return {"y": y.detach(), "last_state": last.detach()} | {
        f"grad_{k}": g for k, g in zip(names, gradients, strict=True)
    }


@pytest.mark.parametrize("impl", ["reference", "fast"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-5)])
@pytest.mark.parametrize("name", GOLDEN)
def test_it_and_its_gradients_equal_the_official_implementation(name, dtype, tolerance, impl):
    arguments = {k: torch.from_numpy(ARRAYS[f"in_{name}__{k}"]) for k in TENSORS if f"in_{name}__{k}" in ARRAYS}
    arguments = converted(arguments, dtype) | {"delta_softplus": GOLDEN[name]["delta_softplus"]}
    grad_y = torch.from_numpy(ARRAYS[f"in_{name}__grad_out"]).to(dtype)
    states = arguments["A"].shape
    grad_last = torch.zeros(grad_y.shape[0], *states, dtype=dtype)
    for key, result in scan_and_gradients(arguments, impl, grad_y, grad_last).items():
        truth = torch.from_numpy(ARRAYS[f"out_{name}__{key}"]).double()
        stored = 2.0**-24 * truth.abs()  # the file holds the float64 result rounded to float32
        rounding = tolerance * truth.abs().max().clamp_min(1) if dtype == torch.float32 else tolerance
        assert ((result.double() - truth).abs() <= stored + rounding).all(), key


@pytest.mark.parametrize("name", SMALL)
def test_float32_is_no_worse_than_the_reference_in_float32(name):
    truth = scan_and_gradients(converted(SMALL[name], torch.float64), "reference")
    fast = scan_and_gradients(converted(SMALL[name], torch.float32), "fast")
    plain = scan_and_gradients(converted(SMALL[name], torch.float32), "reference")
    for key, expected in truth.items():
        assert error(fast[key], expected) <= 2 * error(plain[key], expected) + 2e-6, key


@pytest.mark.parametrize("name", SMALL)
def test_float64_equals_the_recurrence(name):
    truth = scan_and_gradients(converted(SMALL[name], torch.float64), "reference")
    for key, result in scan_and_gradients(converted(SMALL[name], torch.float64), "fast").items():
        assert error(result, truth[key]) <= 1e-11, key


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_only_its_input_and_output(dtype):
    arguments = cases.inputs(2, 100, 6, 37, groups=2, dtype=dtype)
    y, last = selective_scan(**arguments, return_last_state=True)
    wide = {k: v.double() if torch.is_tensor(v) else v for k, v in arguments.items()}
    truth, truth_last = selective_scan(**wide, return_last_state=True, impl="reference")
    assert y.dtype == dtype and last.dtype == torch.float32
    assert error(last, truth_last) <= 1e-6
    assert ((y.double() - truth).abs() <= torch.finfo(dtype).eps / 2 * truth.abs() + 1e-6 * truth.abs().max()).all()


def test_half_precision_gradients_are_those_of_float32_rounded():
    half = cases.inputs(1, 70, 4, 45, dtype=torch.bfloat16)
    narrow = {k: v.detach().requires_grad_() if torch.is_tensor(v) else v for k, v in half.items()}
    result = scan_and_gradients(narrow, "fast")
    for key, expected in scan_and_gradients(converted(half, torch.float32), "reference").items():
        assert error(result[key], expected) <= 2.0**-8, key


@pytest.mark.parametrize("tokens", [4096, 65536])
def test_long_sequences_stay_exact(tokens):
    arguments = cases.inputs(1, 8, 4, tokens, step=-5.0)
    inputs = operator_inputs(arguments)
    assert verify(inputs, op._selective_scan(*inputs), channels=[0, 3, 7]) <= 2e-6


def operator_inputs(a):
    B, C = (a[k][:, None] if a[k].ndim == 3 else a[k] for k in ("B", "C"))
    return a["u"], a["delta"], a["A"], B, C, None, a["D"], a["z"], a["delta_bias"], a["delta_softplus"]


@pytest.mark.parametrize("name", ["u", "delta", "z", "B", "C", "all"])
def test_every_memory_layout_gives_the_same_numbers(name):
    arguments = cases.inputs(2, 70, 5, 33)
    expected = selective_scan(**arguments)
    other = {
        k: v.contiguous() if torch.is_tensor(v) and v.ndim == 3 and name in (k, "all") else v
        for k, v in arguments.items()
    }
    y = selective_scan(**other)
    assert y.equal(expected)
    assert y.stride() == other["u"].stride()


def test_parts_of_wider_rows_are_read_where_they_lie():
    arguments = cases.inputs(2, 70, 5, 33)
    wide = torch.cat([arguments["u"].mT, arguments["z"].mT], dim=2)
    u, z = wide.mT.chunk(2, dim=1)
    assert selective_scan(**arguments | {"u": u, "z": z}).equal(selective_scan(**arguments))


def test_a_prefix_of_the_tokens_gives_a_prefix_of_the_output():
    arguments = cases.inputs(1, 70, 5, 40)
    start = {k: v[..., :17] if k in ("u", "delta", "B", "C", "z") else v for k, v in arguments.items()}
    assert selective_scan(**start).equal(selective_scan(**arguments)[..., :17])


def test_images_and_groups_do_not_mix():
    arguments = cases.inputs(3, 2 * 48, 3, 21, groups=2)
    y = selective_scan(**arguments)
    part = {k: v[1:2, 48:] if k in ("u", "delta", "z") else v for k, v in arguments.items()}
    part |= {k: arguments[k][48:] for k in ("A", "D", "delta_bias")}
    part |= {k: arguments[k][1:2, 1:] for k in ("B", "C")}
    torch.testing.assert_close(selective_scan(**part), y[1:2, 48:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("constant", "groups"), [("B", None), ("C", None), ("B", 2), ("C", 2)])
def test_one_constant_projection_goes_with_one_that_varies(constant, groups):
    arguments = cases.inputs(2, 10, 3, 20, groups=groups)
    arguments[constant] = torch.randn(10, 3, generator=torch.Generator().manual_seed(3))
    truth = scan_and_gradients(converted(arguments, torch.float64), "reference")
    for key, result in scan_and_gradients(converted(arguments, torch.float64), "fast").items():
        assert error(result, truth[key]) <= 1e-11, key


@pytest.mark.parametrize("sizes", [(0, 6, 3, 9), (2, 6, 3, 0), (2, 0, 3, 9)])
def test_no_image_no_token_and_no_channel_give_empty_outputs(sizes):
    batch, channels, states, tokens = sizes
    y, last = selective_scan(**cases.inputs(*sizes), return_last_state=True)
    assert y.shape == (batch, channels, tokens)
    assert last.shape == (batch, channels, states) and not last.any()


def test_not_a_number_reaches_the_output_of_its_channel_only():
    arguments = cases.inputs(1, 70, 16, 20)
    arguments["u"][0, 5, 10] = float("nan")
    y = selective_scan(**arguments)[0]
    assert y[5, 10:].isnan().all() and y[5, :10].isfinite().all()
    assert y[torch.arange(70) != 5].isfinite().all()


@pytest.mark.parametrize("name", ["toy", "ragged"])
def test_the_operators_keep_the_dispatchers_rules(name):
    inputs = operator_inputs(SMALL[name])
    grads = tuple(x.detach().requires_grad_() if torch.is_tensor(x) else x for x in inputs)
    torch.library.opcheck(op._selective_scan, grads)
    y, last = op._selective_scan(*inputs)
    torch.library.opcheck(
        op._selective_scan_backward, (y, last, *inputs), test_utils=("test_schema", "test_faketensor")
    )


def test_one_graph_holds_the_scan_and_its_gradient():
    arguments = converted(cases.inputs(1, 6, 3, 9), torch.float32)
    compiled = torch.compile(selective_scan, fullgraph=True, backend="aot_eager")
    (result,) = torch.autograd.grad(compiled(**arguments).sum(), arguments["u"])
    (expected,) = torch.autograd.grad(selective_scan(**arguments).sum(), arguments["u"])
    assert result.equal(expected)


PEAK = """
import resource, sys, torch
from linbench.kernels.selective_scan import cases, selective_scan
torch.set_num_threads(2)
dtype = getattr(torch, sys.argv[1])
selective_scan(**cases.inputs(1, 768, 16, 64, dtype=dtype))
arguments = cases.inputs(1, 768, 16, 16384, dtype=dtype)
if sys.argv[2] == "contiguous":
    arguments = {k: v.contiguous() if torch.is_tensor(v) else v for k, v in arguments.items()}
held = sum(x.nbytes for x in arguments.values() if torch.is_tensor(x))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
filler = torch.ones(max(0, peak() - int(open("/proc/self/statm").read().split()[1]) * 4096) // 4)
before = peak()
y = selective_scan(**arguments)
print((peak() - before) / held)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("dtype", "layout", "budget"), [
    ("float32", "channel-last", 0.6),
    ("bfloat16", "channel-last", 0.6),
    ("bfloat16", "contiguous", 2.0),
])  # fmt: skip
def test_it_allocates_little_more_than_its_output(dtype, layout, budget):
    command = [sys.executable, "-c", PEAK, dtype, layout]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) <= budget


def test_the_count_of_operations_is_that_of_the_authors():
    arguments = cases.inputs(2, 12, 4, 10)
    with FlopCounterMode(display=False) as counter:
        selective_scan(**arguments)
    assert counter.get_total_flops() == 9 * 2 * 10 * 12 * 4 + 2 * 2 * 10 * 12


@pytest.mark.parametrize("name", ["toy", "ragged", "one state"])
def test_verify_sees_one_wrong_number(name):
    inputs = operator_inputs(SMALL[name])
    y, last = op._selective_scan(*inputs)
    assert verify(inputs, (y, last)) <= 1e-6
    wrong = y.clone()
    wrong[-1, -1, y.shape[2] // 2] += 0.01 * y.abs().max()
    assert verify(inputs, (wrong, last)) > 1e-3
    assert verify(inputs, (y * float("nan"), last)) == float("inf")


def test_errors_teach():
    arguments = cases.inputs(1, 6, 3, 9)
    with pytest.raises(ValueError, match=r"delta must be `b d t` with t = 9"):
        selective_scan(**arguments | {"delta": arguments["delta"][..., :8]})
    with pytest.raises(ValueError, match=r"d a multiple of B's g = 4 groups, got d = 6"):
        selective_scan(**arguments | {"B": torch.zeros(1, 4, 3, 9), "C": torch.zeros(1, 4, 3, 9)})
    with pytest.raises(ValueError, match=r"C must be .* g = 2"):
        selective_scan(**arguments | {"B": torch.zeros(1, 2, 3, 9), "C": torch.zeros(1, 3, 3, 9)})
    with pytest.raises(ValueError, match=r"B must be `b n t`, `b g n t` or `d n`, got 1 axes"):
        selective_scan(**arguments | {"B": torch.zeros(3)})
    with pytest.raises(Unsupported, match="use impl='fast' or impl='reference'"):
        selective_scan(**arguments, impl="vendor")
