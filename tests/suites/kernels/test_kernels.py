"""The suite kernels: its cells, its gate, its work, and one measurement of each direction."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from linbench.kernels import bench_cases
from linbench.kernels.bench_cases import BenchCase, load_bench_cases
from linbench.kernels.bi_wkv.cases import CASES
from linbench.records import Record, Status, Store
from linbench.suites import Cell, suite
from linbench.suites.kernels import cells as cells_module
from linbench.suites.kernels import measure as measure_module
from linbench.suites.kernels.cells import cells
from linbench.suites.kernels.check import check, forward_error, gradient_error, work
from linbench.suites.kernels.key import KernelKey
from linbench.suites.kernels.measure import measure
from linbench.suites.kernels.options import KernelOptions

TOY = KernelOptions(device="cpu", cases=("toy",))
KERNELS = suite["kernels"].build()


def toy(op: str = "bi_wkv") -> BenchCase:
    return load_bench_cases()[op]["toy"]


def plan(**choices: Any) -> list[Cell]:
    return cells(replace(TOY, **choices))


def on_all_threads(key: KernelKey) -> KernelKey:
    return replace(key, machine=replace(key.machine, threads=torch.get_num_threads()))


def test_cells_are_every_op_case_dtype_and_direction() -> None:
    made = plan(ops=("bi_wkv", "q_shift"), dtypes=("float32", "bfloat16"))
    assert len(made) == len({str(cell.key) for cell in made}) == 2 * 2 * 2
    assert {cell.key.direction for cell in made} == {"forward", "backward"}


def test_toys_are_timed_only_where_they_are_asked_for() -> None:
    assert {cell.key.case.name for cell in plan(cases=())} & {"toy"} == set()
    assert {cell.key.case.name for cell in plan(ops=("bi_wkv",), cases=("*1024", "toy"))} == {
        "vrwkv-s at 1024",
        "toy",
    }


def test_the_key_holds_what_moves_the_number() -> None:
    (cell, _) = plan(ops=("bi_wkv",))
    moving = {"impl", "dtype", "direction", "threads", "matmul", "tf32", "allocator", "l2_flushed", "device"}
    assert moving | {"batch", "tokens", "width"} <= cell.key.to_json().keys()
    assert cell.key.to_json()["l2_flushed"] is False
    assert cell.variables["OMP_NUM_THREADS"] == str(cell.key.machine.threads)


def test_a_vendor_is_timed_where_its_package_is_installed_or_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {cell.key.impl for cell in plan(ops=("selective_scan",))} == {"fast"}
    assert {cell.key.impl for cell in plan(ops=("q_shift",), impl="vendor")} == {"vendor"}
    installed = {"selective_scan": {"toy": replace(toy("selective_scan"), has_vendor=lambda: True)}}
    monkeypatch.setattr(cells_module, "load_bench_cases", lambda: installed)
    assert {cell.key.impl for cell in plan(ops=("selective_scan",))} == {"fast", "vendor"}


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"ops": ("bi_wkw",)}, "--op bi_wkw: allowed are .*bi_wkv"),
        ({"ops": ("q_shift",), "cases": ("*7",)}, r"--case \*7: allowed are toy, vrwkv-s at 1024.* patterns as"),
        ({"threads": 4096}, "--threads 4096: this process may use 1 to"),
    ],
)
def test_a_choice_that_names_nothing_is_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**choices)


def test_the_code_hash_depends_on_the_ops_own_files_and_on_no_other_ops() -> None:
    assert {cell.code_hash for cell in plan(ops=("cross_scan", "cross_merge"))} == {
        cell.code_hash for cell in plan(ops=("cross_scan",))
    }
    assert plan(ops=("q_shift",))[0].code_hash != plan(ops=("bi_wkv",))[0].code_hash
    assert bench_cases.case_module("bi_wkv") == plan(ops=("bi_wkv",))[0].modules["op"]


def test_work_is_that_of_the_formulas_forward_and_backward() -> None:
    case = toy()  # b t c = 2 77 39
    tokens = 2 * 77 * 39
    forward, backward = (work(case, torch.bfloat16, direction) for direction in ("forward", "backward"))
    assert forward["flops"]["value"] == 29 * tokens
    assert backward["flops"]["value"] == 58 * tokens
    assert forward["bytes"]["value"] == 2 * 39 * 4 + 3 * tokens * 2
    assert backward["bytes"]["value"] == 4 * 39 * 4 + 6 * tokens * 2 + tokens * 4  # k v y gy gk gv, lse


@pytest.mark.parametrize("op", load_bench_cases())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_op_passes_its_check_in_both_directions(op: str, dtype: torch.dtype) -> None:
    errors, wrong = check(toy(op), toy(op).inputs(dtype), "fast", ["forward", "backward"])
    assert (errors.keys(), wrong) == ({"forward", "backward"}, [])


def test_the_reference_passes_the_check_as_an_implementation_of_its_own() -> None:
    errors, wrong = check(toy(), toy().inputs(torch.float32), "reference", ["forward", "backward"])
    assert wrong == []
    assert errors["backward"] < 1e-5


class _Off(torch.autograd.Function):
    """The identity, with a gradient that is 1.5 times its budget too large."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        return g * 1.00015


def test_a_gradient_that_is_off_by_more_than_its_budget_is_wrong() -> None:
    case = toy()
    function = case.function
    bad = replace(case, function=lambda v, **rest: function(v=_Off.apply(v), **rest))
    errors, wrong = check(bad, bad.inputs(torch.float32), "fast", ["backward"])
    assert 1.4e-4 < errors["backward"] < 1.6e-4
    assert wrong == [
        f"its backward is off by {errors['backward']:.1e} of the largest true value, allowed 1e-04",
    ]


def test_another_implementation_that_differs_from_fast_is_wrong() -> None:
    case = toy()
    function = case.function
    bad = replace(case, function=lambda impl, **rest: function(**rest) * (1.001 if impl == "vendor" else 1))
    error, budget = forward_error(bad, bad.inputs(torch.float32), "vendor")
    assert error > budget
    assert forward_error(bad, bad.inputs(torch.float32), "fast")[0] < budget


def test_a_gradient_that_is_no_number_is_wrong() -> None:
    case = toy()
    function = case.function
    bad = replace(case, function=lambda v, **rest: function(v=v, **rest) * float("nan"))
    assert gradient_error(bad, bad.inputs(torch.float32), "fast")[0] == float("inf")


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_round_yields_raw_samples_of_the_op_and_of_each_yardstick(direction: str, tmp_path: Path) -> None:
    (cell,) = plan(ops=("bi_wkv",), directions=(direction,), threads=1)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        outcome = measure(cell.key, 0.2, 0)
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
    assert outcome.status is Status.OK, outcome
    found = outcome.round
    assert len(found["samples_ms"]) >= 3 and all(ms > 0 for ms in found["samples_ms"])
    assert found["yardsticks"].keys() == {"copy", "linear", "sdpa", "stream", "matmul"}
    assert all(part["samples_ms"] for part in found["yardsticks"].values())
    assert found["yardsticks"]["copy"]["bytes"] == outcome.metrics["bytes"]["value"] // 8 * 8
    assert found["left_out"] == {}
    assert list(found["kernel_errors"]) == [direction]
    path = Store(tmp_path).put(Record(cell.key.to_json(), outcome.status, "", (found,), outcome.metrics))
    assert path.parent.name == "bi-wkv"
    assert path.name.startswith(f"toy-{direction}-fast-float32-")


def test_an_implementation_that_is_not_here_is_unsupported_with_its_cause() -> None:
    (cell, _) = plan(ops=("selective_scan",), impl="vendor", threads=1)
    outcome = measure(on_all_threads(cell.key), 0.1, 0)
    assert outcome.status is Status.UNSUPPORTED
    assert outcome.reason.startswith("mamba_ssm is not installed")


def test_a_wrong_op_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    case = toy()
    function = case.function
    wrong = replace(case, function=lambda v, **rest: function(v=_Off.apply(v), **rest))
    monkeypatch.setattr(measure_module, "load_bench_cases", lambda: {"bi_wkv": {"toy": wrong}})
    (cell,) = plan(ops=("bi_wkv",), directions=("backward",), threads=1)
    outcome = measure(on_all_threads(cell.key), 0.1, 0)
    assert outcome.status is Status.WRONG
    assert "samples_ms" not in outcome.round


def test_model_shapes_are_those_of_the_targets() -> None:
    shapes = {name: (c.batch, c.tokens, c.width) for name, c in load_bench_cases()["bi_wkv"].items()}
    assert shapes["vrwkv-s at 1024"] == (1, 4096, 384)
    assert shapes["vrwkv-s at 4096"] == (1, 65536, 384)
    assert shapes["toy"] == (CASES["ragged"].b, CASES["ragged"].t, CASES["ragged"].c)
