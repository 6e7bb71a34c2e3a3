"""Gated linear attention in Triton: interpreted it equals the recurrence, compiled its kernels spill nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from linbench.kernels.gated_linear_attention import reference
from linbench.kernels.gated_linear_attention.cases import ADVERSARIAL, CASES, GatedCase
from linbench.kernels.impl import Unsupported
from tests.kernels.against import error, noise
from tests.kernels.memory import guarded
from tests.kernels.triton_interpreted import interpreted

pytestmark = pytest.mark.triton
triton = pytest.importorskip("triton", reason="Triton has no build for this platform")

BUDGET = 1e-5  # of max|y|, float32
GRADIENT_BUDGET = 1e-4
FORWARD = ["ends", "starts", "outputs"]
KERNELS = [*FORWARD, "_queries", "_gradients"]
TABLE = json.loads((Path(__file__).parents[1] / "golden/triton_gated_linear_attention.json").read_text())


def computed(inputs: list[Tensor | None], gy: Tensor) -> list[Tensor]:
    """Return y and the gradients, by chunks of 4 tokens and blocks of 2 values. To be interpreted.

    New memory holds NaN, and more NaN behind its end, which must stay.
    """
    from linbench.kernels.gated_linear_attention import gpu, gpu_backward

    before = gpu.CHUNK, gpu.VALUES
    gpu.CHUNK, gpu.VALUES = 4, 2
    try:
        with guarded():
            y = gpu.gated_linear_attention(*inputs)
            return [y, *gpu_backward.gated_linear_attention_backward(gy, *inputs)]
    finally:
        gpu.CHUNK, gpu.VALUES = before


def small(case: GatedCase, t: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor | None]:
    """Return a case's inputs at sizes that the interpreter walks in seconds, decays per head as ``b t h k``."""
    inputs = replace(case, b=1, h=1 if case.keys == 16 else 2, keys=3, values=3).inputs(dtype, t=t)
    shape = inputs["k"].shape
    return {x: y[..., None].expand(shape) if y is not None and y.ndim == 3 else y for x, y in inputs.items()}


def assert_equals_the_recurrence(inputs: dict[str, Tensor | None]) -> None:
    gy = noise(inputs["v"].shape)
    y, *gradients = interpreted(computed, list(inputs.values()), gy)
    wide = {name: None if x is None else x.double().requires_grad_() for name, x in inputs.items()}
    true_y = reference.gated_linear_attention(**wide)
    given = {name: x for name, x in wide.items() if x is not None}
    truths = torch.autograd.grad(true_y, list(given.values()), gy.double(), materialize_grads=True)
    got = dict(zip(wide, gradients, strict=True))
    assert error(y, true_y) <= BUDGET
    for name, truth in zip(given, truths, strict=True):
        # With a bonus a decay's gradient is a difference beside its neighbours' pairs, which no decay weakens.
        beside = (
            truths[1].abs().max() if inputs["bonus"] is not None and name.startswith("decay") else torch.tensor(0.0)
        )
        size = max(truth.abs().max().item(), beside.item() / 10)
        assert (got[name].double() - truth).abs().max().item() <= GRADIENT_BUDGET * size, name


@pytest.mark.parametrize("t", [1, 4, 11])
@pytest.mark.parametrize("name", ["ragged", "ragged with a bonus"])
def test_outputs_and_gradients_equal_the_recurrence_at_ragged_sizes(name, t):
    assert_equals_the_recurrence(small(CASES[name], t))


@pytest.mark.parametrize(
    "name", ["forward", "backward", "forward with a bonus", "backward with a bonus", "decay per head"]
)
def test_each_form_equals_the_recurrence(name):
    assert_equals_the_recurrence(small(CASES[name], 6))


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_extreme_decays_stay_in_the_budget(name):
    assert_equals_the_recurrence(small(ADVERSARIAL[name], 11))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    inputs = small(CASES["ragged with a bonus"], 6, dtype)
    y, *gradients = interpreted(computed, list(inputs.values()), noise(inputs["v"].shape, dtype))
    true = reference.gated_linear_attention(**{name: None if x is None else x.double() for name, x in inputs.items()})
    assert y.dtype == dtype
    assert ((y - true).abs() <= 1.01 * torch.finfo(dtype).eps * true.abs() + 1e-6).all()
    assert [g.dtype for g in gradients] == [x.dtype for x in inputs.values()]


@pytest.mark.parametrize("shape", [(0, 9, 2, 4, 5), (2, 0, 2, 4, 5), (2, 9, 2, 4, 0)])
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(shape):
    b, t, h, k, v = shape
    inputs = [
        torch.randn(b, t, h, k),
        torch.randn(b, t, h, k),
        torch.randn(b, t, h, v),
        torch.zeros(b, t, h, k),
        None,
        None,
    ]
    y, *gradients = interpreted(computed, inputs, torch.randn(b, t, h, v))
    assert y.shape == (b, t, h, v)
    assert all(g.abs().sum() == 0 for g in gradients)


def test_float64_is_refused():
    inputs = small(CASES["forward"], 3, torch.float64)
    with pytest.raises(Unsupported, match="impl='reference'"):
        interpreted(computed, list(inputs.values()), inputs["v"])


def description(
    name: str, dtype: str, bonus: bool, target: str
) -> tuple[Any, dict[str, str], dict[str, Any], str, int]:
    """What ``resources`` takes, as VRWKV6-S (with a bonus) or ViG-S launches it."""
    from linbench.kernels.gated_linear_attention import gpu, gpu_backward
    from tests.kernels.ahead import launch

    kernel = getattr(gpu if name in FORWARD else gpu_backward, name)
    known = {"T": gpu.CHUNK, "K": 64 if bonus else 32, "BV": gpu.VALUES, "REVERSE": True, "BACK": True, "ADDS": True}
    known |= {"DECAYS_LAST": not bonus, "READS_ITSELF": not bonus}
    if name != "starts":
        known["gk"] = 1
    types = dict.fromkeys(("q", "k", "v", "gy"), f"*{dtype}:16") | {"sums": "*fp64:16"}
    types |= dict.fromkeys(
        ("g", "own", "y", "out", "states", "gstates", "gq", "gkey", "gv", "gg", "gown"), "*fp32:16"
    )
    types |= dict.fromkeys(("t", "keys", "values", "gb", "gt", "gh"), "i32:16")
    known = {x: value for x, value in known.items() if x in kernel.arg_names}
    return launch(kernel, types, known, target, gpu.OPTIONS["num_warps"])


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: " ".join(map(str, row[:-1])))
def test_no_kernel_spills_and_each_takes_the_registers_of_the_table(row):
    from tests.kernels.ahead import assert_known, resources

    assert_known(resources(*description(*row[:-1])), row[-1], TABLE["tolerance"])


@pytest.mark.parametrize("name", KERNELS)
def test_no_product_of_whole_numbers_is_made_in_32_bits(name):
    from tests.kernels.ahead import compiled

    text = compiled(*description(name, "fp32", True, "cuda:90")).asm["ttir"]
    products = [line for line in text.splitlines() if "arith.muli" in line]
    assert products
    assert [line for line in products if "i64" not in line] == []
