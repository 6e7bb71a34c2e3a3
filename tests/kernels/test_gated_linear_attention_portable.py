"""The plain form of gated linear attention against its recurrence in float64, on the operator's named cases."""

from importlib import import_module

import pytest

from linbench.kernels.operators import verifier

PACKAGE = "linbench.kernels.gated_linear_attention"
cases = pytest.importorskip(f"{PACKAGE}.cases")
portable = import_module(f"{PACKAGE}.portable")
op = import_module(f"{PACKAGE}.op")

CASES = {
    name: case
    for table in vars(cases).values()
    if isinstance(table, dict)
    for name, case in table.items()
    if isinstance(case, cases.GatedCase) and case.t < 2000
}


@pytest.mark.parametrize("name", CASES)
def test_the_plain_form_is_right_on_every_named_case(name):
    inputs = CASES[name].inputs()
    q, k, v, bonus = (inputs.get(letter) for letter in ("q", "k", "v", "bonus"))
    decays = [op._per_key(inputs.get(decay), k) for decay in ("decay", "decay_backward")]
    y = portable.gated_linear_attention(q, k, v, *decays, bonus)
    assert verifier("linbench::gated_linear_attention")((q, k, v, *decays, bonus), y) <= 1e-5
