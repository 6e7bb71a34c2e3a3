"""Gated linear attention against VRWKV6's and ViG's goldens, its recurrence in float64, and its symmetries."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from linbench.kernels.bench_cases import leaves
from linbench.kernels.gated_linear_attention import gated_linear_attention
from linbench.kernels.gated_linear_attention.cases import ADVERSARIAL, BENCH_CASES, CASES, sample_gradients
from linbench.kernels.gated_linear_attention.reference import verify
from linbench.kernels.impl import Unsupported
from linbench.kernels.operators import bytes_moved
from tests.goldens import golden
from tests.kernels.against import error, noise

BUDGET = 1e-5  # of max|y|, float32
GRADIENT_BUDGET = 1e-4  # of each gradient's own largest value
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-11}
IMPLS = ["reference", "fast"]


def output_and_gradients(
    inputs, gy: Tensor, impl: str = "fast", dtype: torch.dtype | None = None
) -> dict[str, Tensor]:
    """Return y, and by input the gradient; of zeros where an input has no part in y."""
    wide = leaves(inputs, dtype)
    names = [name for name, x in wide.items() if x is not None]
    y = gated_linear_attention(**wide, impl=impl)
    given = [wide[name] for name in names]
    gradients = torch.autograd.grad(y, given, gy.to(y.dtype), materialize_grads=True)
    return {"y": y.detach(), **dict(zip(names, gradients, strict=True))}


def assert_golden(value: Tensor, truth: Tensor, dtype: torch.dtype, gate: bool = False) -> None:
    largest = truth.abs().max().clamp_min(1)
    apart = (value.detach().double() - truth).abs().max()
    assert apart <= (10 if gate else 1) * ROUNDING[dtype] * largest


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("case", golden("wkv6")[0]["cases"], ids=lambda case: str(case["index"]))
def test_it_is_the_wkv_6_of_vrwkv6_with_its_gradients(case, impl, dtype):
    arrays, name, heads = golden("wkv6")[1], f"c{case['index']:02}", case["heads"]
    r, k, v, w, gy = (
        torch.from_numpy(arrays[f"in_{name}_{x}"]).to(dtype).unflatten(-1, (heads, -1))
        for x in ("r", "k", "v", "w", "gy")
    )
    given = [x.requires_grad_() for x in (r, k, v, w, torch.from_numpy(arrays[f"in_{name}_u"]).to(dtype))]
    g = -given[3].exp()
    y = gated_linear_attention(*given[:3], g, g, given[4], impl=impl)
    gradients = torch.autograd.grad(y, given, gy, materialize_grads=True)
    for letter, value in zip(["y", "gr", "gk", "gv", "gw", "gu"], (y, *gradients), strict=True):
        truth = torch.from_numpy(arrays[f"out_{name}_{letter}"]).double().reshape(value.shape)
        assert_golden(value, truth, dtype, gate=letter == "gw")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("case", golden("gated_linear_attention")[0]["cases"], ids=lambda case: str(case["index"]))
def test_it_is_the_attention_of_vig_with_its_gradients(case, impl, dtype):
    arrays, name = golden("gated_linear_attention")[1], f"c{case['index']:02}"
    letters = ("q", "k", "v", "gf", "gb", "gy")
    *given, gy = (torch.from_numpy(arrays[f"in_{name}_{x}"]).to(dtype).transpose(1, 2) for x in letters)
    q, k, v, gf, gb = (x.requires_grad_() for x in given)
    q = case["Dk"] ** -0.5 * q
    forward = gated_linear_attention(q, k, v, gf, impl=impl)
    backward = gated_linear_attention(q, k, v, None, gb, impl=impl)
    y = gated_linear_attention(q / 2, k, v, gf, gb, impl=impl)
    gradients = torch.autograd.grad(y, given, gy, materialize_grads=True)
    names = ["of", "ob", "gq", "gk", "gv", "ggf", "ggb"]
    for letter, value in zip(names, (forward, backward, *gradients), strict=True):
        truth = torch.from_numpy(arrays[f"out_{name}_{letter}"]).transpose(1, 2)
        assert_golden(value, truth, dtype, gate=letter.startswith("gg"))


@pytest.mark.parametrize("t", [1, 2, 16, 17, 250])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_outputs_and_gradients_stay_in_the_budget_at_any_decay(name, t):
    inputs = ADVERSARIAL[name].inputs(t=t)
    gy = noise(inputs["v"].shape)
    truth = output_and_gradients(inputs, gy, "reference", torch.float64)
    for letter, value in output_and_gradients(inputs, gy).items():
        assert error(value, truth[letter]) <= (BUDGET if letter == "y" else GRADIENT_BUDGET), letter


@pytest.mark.parametrize("t", [4096, pytest.param(65536, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_budget_holds_for_long_sequences(name, t):
    inputs = ADVERSARIAL[name].inputs(t=t)
    gy = noise(inputs["v"].shape)
    # The recurrence takes seconds here. The float64 form is the truth: at 77 tokens it equals it, see below.
    truth = output_and_gradients(inputs, gy, "fast", torch.float64)
    for letter, value in output_and_gradients(inputs, gy).items():
        assert error(value, truth[letter]) <= (BUDGET if letter == "y" else GRADIENT_BUDGET), letter


@pytest.mark.parametrize("name", ["no decay, equal tokens", "decay of 1e-5", "decay of 3.3e-4, equal tokens"])
def test_no_rounding_repeats_from_chunk_to_chunk(name):
    inputs = ADVERSARIAL[name].inputs(t=30000)
    truth = gated_linear_attention(**{name: x if x is None else x.double() for name, x in inputs.items()})
    assert error(gated_linear_attention(**inputs), truth) <= 1e-6


@pytest.mark.parametrize("name", [*CASES, *ADVERSARIAL])
def test_float64_is_exact_to_its_own_rounding(name):
    inputs = (CASES | ADVERSARIAL)[name].inputs(t=min((CASES | ADVERSARIAL)[name].t, 77))
    gy = noise(inputs["v"].shape, torch.float64)
    truth = output_and_gradients(inputs, gy, "reference", torch.float64)
    for letter, value in output_and_gradients(inputs, gy, "fast", torch.float64).items():
        assert error(value, truth[letter]) <= 1e-12, letter


@pytest.mark.parametrize("name", CASES)
def test_float32_and_its_gradients_equal_the_recurrence_in_every_form(name):
    inputs = CASES[name].inputs()
    gy = noise(inputs["v"].shape)
    truth = output_and_gradients(inputs, gy, "reference", torch.float64)
    for letter, value in output_and_gradients(inputs, gy).items():
        assert value.dtype == torch.float32
        assert error(value, truth[letter]) <= 2e-6, letter


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("bonus", [False, True])
def test_autograd_equals_finite_differences(impl, bonus):
    inputs = CASES["toy"].inputs(torch.float64)
    inputs["bonus"] = inputs["bonus"] if bonus else None
    given = {name: x.requires_grad_() for name, x in inputs.items() if x is not None}

    def call(*tensors: Tensor) -> Tensor:
        return gated_linear_attention(**dict(zip(given, tensors, strict=True)), impl=impl)

    assert torch.autograd.gradcheck(call, tuple(given.values()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32_and_rounded_once(dtype):
    inputs = CASES["ragged with a bonus"].inputs(dtype)
    y = gated_linear_attention(**inputs)
    truth = gated_linear_attention(**{name: x if x is None else x.float() for name, x in inputs.items()})
    assert y.dtype == dtype
    steps = torch.finfo(dtype).eps * truth.abs().clamp_min(torch.finfo(dtype).smallest_normal)
    assert ((y.float() - truth).abs() <= 0.51 * steps).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_gradients_come_in_the_dtype_of_their_inputs(dtype):
    inputs = CASES["ragged with a bonus"].inputs(dtype)
    gy = noise(inputs["v"].shape, dtype)
    truth = output_and_gradients(inputs, gy, "reference", torch.float64)
    for letter, value in output_and_gradients(inputs, gy).items():
        assert letter == "y" or value.dtype == inputs[letter].dtype
        assert error(value, truth[letter]) <= torch.finfo(dtype).eps, letter


def test_reversing_the_tokens_swaps_the_scans():
    inputs = CASES["ragged"].inputs()
    flipped = {name: x.flip(1) for name, x in inputs.items() if x is not None}
    flipped["decay"], flipped["decay_backward"] = flipped["decay_backward"], flipped["decay"]
    assert error(gated_linear_attention(**flipped).flip(1), gated_linear_attention(**inputs)) <= 1e-6


def test_the_first_token_of_a_scan_reads_itself_or_its_bonus_alone():
    inputs = CASES["forward with a bonus"].inputs()
    q, k, v, u = (inputs[name] for name in ("q", "k", "v", "bonus"))
    with_bonus = (q * u * k).sum(-1, keepdim=True)[:, :1] * v[:, :1]
    assert error(gated_linear_attention(**inputs)[:, :1], with_bonus) <= 1e-6
    alone = (q * k).sum(-1, keepdim=True)[:, :1] * v[:, :1]
    assert error(gated_linear_attention(**(inputs | {"bonus": None}))[:, :1], alone) <= 1e-6


@pytest.mark.parametrize("bonus", [False, True])
def test_a_neighbour_has_weight_1_with_a_bonus_and_its_readers_decay_without(bonus):
    inputs = CASES["forward with a bonus" if bonus else "forward"].inputs(t=2)
    inputs["bonus"] = torch.zeros_like(inputs["bonus"]) if bonus else None
    q, k, v, g = (inputs[name] for name in ("q", "k", "v", "decay"))
    weight = 1 if bonus else g[:, 1].exp()
    expected = (q[:, 1] * weight * k[:, 0]).sum(-1, keepdim=True) * v[:, 0]
    if not bonus:
        expected = expected + (q[:, 1] * k[:, 1]).sum(-1, keepdim=True) * v[:, 1]
    assert error(gated_linear_attention(**inputs)[:, 1], expected) <= 1e-6


def test_a_decay_of_minus_infinity_forgets_all_that_came_before():
    inputs = CASES["forward"].inputs()
    inputs["decay"][:, 20] = -torch.inf
    rest = {name: None if x is None else x[:, 20:] for name, x in inputs.items()}
    assert gated_linear_attention(**inputs)[:, 20:].isfinite().all()
    assert error(gated_linear_attention(**inputs)[:, 20:], gated_linear_attention(**rest)) <= 1e-6


def test_a_decay_per_head_is_the_same_decay_for_each_key():
    inputs = CASES["decay per head"].inputs()
    full = {x: inputs[x][..., None].expand(inputs["q"].shape).contiguous() for x in ("decay", "decay_backward")}
    assert gated_linear_attention(**inputs).equal(gated_linear_attention(**(inputs | full)))


@pytest.mark.parametrize("shape", [(0, 9, 2, 4, 5), (2, 0, 2, 4, 5), (2, 9, 0, 4, 5), (2, 9, 2, 4, 0)])
def test_an_empty_input_gives_an_empty_output_and_gradients_of_zero(shape):
    b, t, h, k, v = shape
    inputs = {
        "q": noise((b, t, h, k)),
        "k": noise((b, t, h, k)),
        "v": noise((b, t, h, v)),
        "decay": -(noise((b, t, h, k)) ** 2),
    }
    result = output_and_gradients(inputs, noise((b, t, h, v)))
    assert result.pop("y").shape == (b, t, h, v)
    assert all(gradient.abs().sum() == 0 for gradient in result.values())


def test_any_layout_gives_the_same_contiguous_output():
    inputs = CASES["ragged"].inputs()
    strided = {name: x if x is None else torch.stack([x, x], -1)[..., 0] for name, x in inputs.items()}
    y = gated_linear_attention(**strided)
    assert y.equal(gated_linear_attention(**inputs)) and y.is_contiguous()


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(threads):
    inputs, before = CASES["ragged with a bonus"].inputs(), torch.get_num_threads()
    gy = noise(inputs["v"].shape)
    torch.set_num_threads(1)
    alone = output_and_gradients(inputs, gy)
    try:
        torch.set_num_threads(threads)
        for letter, value in output_and_gradients(inputs, gy).items():
            assert value.equal(alone[letter]), letter
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["toy", "forward", "decay per head", "no image"])
def test_torch_accepts_the_operators(name):
    inputs = CASES[name].inputs()
    for x in ("decay", "decay_backward"):
        if inputs[x] is not None and inputs[x].ndim == 3:
            inputs[x] = inputs[x][..., None].expand(inputs["q"].shape)
    ops = torch.ops.linbench
    torch.library.opcheck(ops.gated_linear_attention.default, [*leaves(inputs).values()])
    gy = noise(inputs["v"].shape)
    torch.library.opcheck(ops.gated_linear_attention_backward.default, [gy, *inputs.values()])


def test_forward_and_backward_compile_to_one_graph():
    inputs = CASES["toy"].inputs()
    gy = noise(inputs["v"].shape)
    compiled = torch.compile(gated_linear_attention, fullgraph=True, backend="aot_eager")
    given = leaves(inputs)
    y = compiled(**given)
    expected = output_and_gradients(inputs, gy)
    assert y.equal(expected.pop("y"))
    for value, truth in zip(torch.autograd.grad(y, list(given.values()), gy), expected.values(), strict=True):
        assert value.equal(truth)


def test_forward_and_backward_state_their_arithmetic_and_their_bytes():
    inputs = CASES["toy"].inputs()
    with FlopCounterMode(display=False) as counter:
        gated_linear_attention(**leaves(inputs)).sum().backward()
    tokens, entries = 5 * 2, 3 * 4
    assert counter.get_total_flops() == tokens * ((5 + 14) * 2 * entries + 3 * (3 * 3 + 2 * 4))
    moved = 4 * tokens * (4 * 3 + 2 * 4) + 4 * 2 * 3
    assert bytes_moved("linbench::gated_linear_attention")(*inputs.values()) == moved


@pytest.mark.parametrize("wrong", [float("nan"), 1e-2])
def test_verification_refuses_a_wrong_output(wrong):
    inputs = CASES["ragged with a bonus"].inputs()
    y = gated_linear_attention(**inputs)
    assert verify(tuple(inputs.values()), y) <= 1e-6
    y[-1, -1, -1, -1] += wrong
    assert verify(tuple(inputs.values()), y) > 1e-4


@pytest.mark.parametrize("name", ["toy", "vrwkv6-s at 1024", "vig-s at 1024", "mamba-2, 6 heads, at 1024"])
def test_the_sampled_gradients_are_those_of_the_whole_recurrence(name):
    inputs = BENCH_CASES["gated_linear_attention"][name].inputs(torch.float32)
    inputs = {key: x if x is None or x.ndim == 2 else x[:, :19] for key, x in inputs.items()}
    (gy,), truths = sample_gradients(inputs)
    whole = output_and_gradients(inputs, gy, "reference", torch.float64)
    for letter, truth in truths.items():
        torch.testing.assert_close(truth, whole[letter], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"k": (2, 3, 2, 5)}, "k must be `b t h k` with k = 4"),
        ({"v": (2, 3, 6)}, "v must be `b t h v`, got 3 axes"),
        ({"decay": (2, 3, 1)}, "decay must be `b t h` with h = 2"),
        ({"decay": None}, "decay is missing"),
        ({"bonus": (2, 5)}, "bonus must be `h k` with k = 4"),
    ],
)
def test_an_error_names_the_argument_and_its_contract(sizes, message):
    shapes = {"q": (2, 3, 2, 4), "k": (2, 3, 2, 4), "v": (2, 3, 2, 6), "decay": (2, 3, 2, 4), **sizes}
    with pytest.raises(ValueError, match=message):
        gated_linear_attention(
            **{name: shape if shape is None else torch.zeros(shape) for name, shape in shapes.items()}
        )


def test_there_is_no_vendor_form():
    with pytest.raises(Unsupported, match="use impl='fast'"):
        gated_linear_attention(**CASES["toy"].inputs(), impl="vendor")
