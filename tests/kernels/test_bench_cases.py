"""The cases that are timed, and the sampled truths that their gradients are held against."""

import pytest
import torch

from linbench.kernels.bench_cases import case_module, leaves, load_bench_cases
from linbench.kernels.bi_wkv import cases as bi_wkv
from linbench.kernels.selective_scan import cases as selective_scan
from linbench.kernels.selective_scan.cases import inputs
from linbench.kernels.selective_scan.op import selective_scan as selective_scan_op

BENCH_CASES = load_bench_cases()


def reference_gradients(function, given, gys):
    """The gradients of the whole reference, in float64."""
    wide = leaves(given, torch.float64)
    wanted = {name: x for name, x in wide.items() if isinstance(x, torch.Tensor)}
    result = torch.autograd.grad(function(**wide, impl="reference"), wanted.values(), [g.double() for g in gys])
    return dict(zip(wanted, result, strict=True))


@pytest.mark.parametrize("op", ["bi_wkv", "gated_bi_wkv"])
def test_the_sampled_gradients_of_bi_wkv_are_those_of_the_whole_equation(op: str) -> None:
    given = BENCH_CASES[op]["toy"].inputs(torch.float32)
    gys, truths = bi_wkv.sample_gradients(given)
    whole = reference_gradients(BENCH_CASES[op]["toy"].function, given, gys)
    assert truths.keys() == whole.keys()
    for name, truth in whole.items():
        torch.testing.assert_close(truths[name], truth, rtol=1e-10, atol=1e-12)
    assert gys[0].count_nonzero() == bi_wkv.ROWS * bi_wkv.CHANNELS


@pytest.mark.parametrize("groups", [None, 3])
def test_the_sampled_gradients_of_the_selective_scan_are_those_of_the_whole_recurrence(groups: int | None) -> None:
    given = inputs(2, 12, 3, 17, groups)
    gys, truths = selective_scan.sample_gradients(given)
    whole = reference_gradients(selective_scan_op, given, gys)
    assert truths.keys() == whole.keys()
    for name, truth in whole.items():
        torch.testing.assert_close(truths[name], truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("op", BENCH_CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_toy_has_the_tokens_and_the_width_that_its_yardsticks_take(op: str, dtype: torch.dtype) -> None:
    case = BENCH_CASES[op]["toy"]
    given = case.inputs(dtype)
    streams = [x for x in given.values() if isinstance(x, torch.Tensor) and x.ndim >= 3]
    assert streams[0].dtype == dtype
    sizes = set(streams[0].shape) | {streams[0].flatten(2).shape[2]}
    if op != "cross_merge":
        assert {case.batch, case.width} <= sizes
        assert case.tokens in sizes


def test_the_module_of_an_op_is_the_one_that_times_it() -> None:
    assert case_module("cross_merge") == "linbench.kernels.cross_scan.cases"
