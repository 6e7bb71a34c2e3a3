"""Bytes that each op has to move, by hand; and every registered op of ours has its formulas."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import flop_registry

from linbench.kernels import operators
from linbench.kernels.bench_cases import case_modules, load_bench_cases
from linbench.kernels.operators import byte_formula, bytes_moved, tensor_bytes
from linbench.suites.kernel_check import Calls

OURS = sorted(name for name in torch._C._dispatch_get_all_op_names() if name.startswith("linbench::"))


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def test_bi_wkv_reads_k_and_v_and_writes_y() -> None:
    w, k = meta(8), meta(2, 10, 8, dtype=torch.bfloat16)
    tokens = 2 * 10 * 8
    assert bytes_moved("linbench::bi_wkv")(w, w, k, k) == 2 * 8 * 4 + 3 * tokens * 2
    assert bytes_moved("linbench::bi_wkv_with_lse")(w, w, k, k) == 2 * 8 * 4 + 3 * tokens * 2 + tokens * 4
    lse = meta(2, 10, 8)
    # in: w, u; k, v, y, gy; lse. out: gw, gu; gk, gv.
    backward = (2 * 8 * 4 + 4 * tokens * 2 + tokens * 4) + (2 * 8 * 4 + 2 * tokens * 2)
    assert bytes_moved("linbench::bi_wkv_backward")(w, w, k, k, k, lse, k) == backward


def test_the_gate_of_bi_wkv_is_read_once_and_its_gradient_written_once() -> None:
    w, k, lse = meta(8), meta(2, 10, 8), meta(2, 10, 8)
    tokens = 2 * 10 * 8 * 4
    assert bytes_moved("linbench::gated_bi_wkv")(w, w, k, k, k) == 2 * 8 * 4 + 4 * tokens
    assert bytes_moved("linbench::gated_bi_wkv_with_lse")(w, w, k, k, k) == 2 * 8 * 4 + 6 * tokens  # y, gated y, lse
    # in: k, v, r, y, lse, g. out: gk, gv, gr.
    assert bytes_moved("linbench::gated_bi_wkv_backward")(w, w, k, k, k, k, lse, k) == 4 * 8 * 4 + 9 * tokens


def test_norm_shift_and_mixes_read_the_tokens_once_and_write_each_mix() -> None:
    x, p = meta(2, 12, 8), meta(8)
    assert bytes_moved("linbench::shift_mix")(x, p, p, [p, p], 1e-5, 3, 4) == (1 + 2) * 2 * 12 * 8 * 4 + 4 * 8 * 4
    assert bytes_moved("linbench::shift_mix")(x, None, None, [p], 0.0, 3, 4) == 2 * 2 * 12 * 8 * 4 + 8 * 4


def test_add_rms_norm_and_the_convolution_read_and_write_each_token_once() -> None:
    x, weight, stream = meta(2, 12, 8, dtype=torch.bfloat16), meta(8, dtype=torch.bfloat16), meta(2, 12, 8)
    elements = 2 * 12 * 8
    assert bytes_moved("linbench::add_rms_norm")(x, stream, weight, 1e-5) == elements * (2 + 4 + 2 + 4) + 8 * 2
    filters = meta(12, 4), meta(12)
    assert bytes_moved("linbench::causal_conv_silu")(x, *filters, False) == elements * (2 + 2) + 5 * 12 * 4


def test_q_shift_reads_and_writes_each_token_once() -> None:
    for name in ("linbench::q_shift", "linbench::q_shift_backward"):
        assert bytes_moved(name)(meta(2, 12, 8), 1, 0.25, 3, 4) == 2 * (2 * 12 * 8 * 4)


def test_cross_scan_writes_four_times_what_it_reads_and_cross_merge_the_reverse() -> None:
    map_bytes = 2 * 5 * 7 * 3 * 4
    assert bytes_moved("linbench::cross_scan")(meta(2, 5, 7, 3)) == map_bytes + 4 * map_bytes
    assert bytes_moved("linbench::cross_merge")(meta(2, 4, 5, 7, 3)) == 4 * map_bytes + map_bytes


def test_the_selective_scan_never_moves_a_state_but_the_last() -> None:
    b, d, n, t, half = 2, 6, 3, 10, torch.float16
    u, A, B, D = meta(b, d, t, dtype=half), meta(d, n), meta(b, 1, n, t, dtype=half), meta(d)
    ins = 3 * b * d * t * 2 + d * n * 4 + 2 * b * n * t * 2 + 2 * d * 4  # u, delta, z; A; B, C; D, delta_bias
    forward = bytes_moved("linbench::selective_scan")(u, u, A, B, B, None, D, u, D, True)
    assert forward == ins + b * d * t * 2 + b * d * n * 4
    last = meta(b, d, n)
    backward = bytes_moved("linbench::selective_scan_backward")(u, last, u, u, A, B, B, None, D, u, D, True)
    assert backward == (b * d * t * 2 + b * d * n * 4) + 2 * ins


def test_an_expanded_axis_is_read_once() -> None:
    assert tensor_bytes(meta(1, 1, 3).expand(5, 7, 3), None, meta(2, 0)) == 3 * 4


@pytest.mark.parametrize("name", OURS)
def test_every_op_of_ours_has_a_byte_and_a_flop_formula(name: str) -> None:
    assert callable(bytes_moved(name))
    assert getattr(torch.ops.linbench, name.split("::")[1]) in flop_registry


def test_every_op_package_has_its_timed_cases() -> None:
    packages = {path.parent.name for path in Path(operators.__file__).parent.glob("*/op.py")}
    assert {name.split(".")[2] for name in case_modules()} == packages


def test_every_op_that_can_be_verified_is_load_bench_cases() -> None:
    called: set[str] = set()
    for cases in load_bench_cases().values():
        assert "toy" in cases and len(cases) > 1
        with Calls() as seen:
            cases["toy"].function(**cases["toy"].inputs(torch.float32), impl="fast")
        called |= {name for name, _args, _out in seen.calls}
    assert called == set(operators._VERIFIERS)


def test_an_op_without_a_byte_formula_is_an_error_that_names_it() -> None:
    with pytest.raises(LookupError, match=r"linbench::no_such has no byte formula; add one to op.py"):
        bytes_moved("linbench::no_such")


def test_a_formula_is_found_under_every_name_that_it_was_registered_for() -> None:
    formula = byte_formula("test::one", "test::two")(lambda x: tensor_bytes(x))
    assert bytes_moved("test::one") is bytes_moved("test::two") is formula
