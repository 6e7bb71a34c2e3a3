"""The plain forms of the operators: float64 truth on the operators' named cases, their bounds, and the engines."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from linbench import kernels
from linbench.kernels.add_rms_norm.cases import CASES as ADD_RMS_NORM
from linbench.kernels.bi_wkv import portable as bi_wkv_forms
from linbench.kernels.bi_wkv.cases import ADVERSARIAL
from linbench.kernels.bi_wkv.cases import CASES as BI_WKV
from linbench.kernels.causal_conv_silu.cases import CASES as CAUSAL_CONV
from linbench.kernels.cross_scan.cases import SIZES, feature_map, sequences
from linbench.kernels.decompositions import decompositions, load_portable_forms, operator_nodes
from linbench.kernels.gelu_depthwise.cases import CASES as GELU_DEPTHWISE
from linbench.kernels.operators import NotPortable, lowering_of, verifier
from linbench.kernels.q_shift.cases import CASES as Q_SHIFT
from linbench.kernels.selective_scan.cases import inputs as scan_inputs
from linbench.kernels.selective_scan.cases import small
from linbench.kernels.selective_scan.op import _split_constants
from linbench.kernels.shift_mix.cases import CASES as SHIFT_MIX

BUDGET = 1e-5  # of max|y|, float32: the kernels' own
LONGEST = "1024"  # cases at a model's size, whose truth takes seconds
#: Cases of bi-WKV that its form must refuse: two tokens' decays leave float32.
REFUSED = {"keys to 30, decay 5000", "keys to 30, growth 5000"}
#: What costs digits: factors of e^8 within a chunk; torch's layer norm, which the form calls, beside such a mean.
LARGEST_ERROR = {
    "keys to 30, growth 1000": 2e-5,
    "keys to 100, decay -1000 to 1000": 2e-5,
    "far from zero, with norm": 3e-5,
    "almost equal, with norm": 3e-4,
}


def scan_arguments(inputs: dict[str, Any]) -> list[Any]:
    """Return the operator's arguments for those of ``selective_scan``."""
    B, C, scale = _split_constants(*(inputs[name] for name in ("u", "A", "B", "C")))
    rest = [inputs[name] for name in ("D", "z", "delta_bias", "delta_softplus")]
    return [inputs["u"], inputs["delta"], inputs["A"], B, C, scale, *rest]


def operator_cases() -> Iterator[tuple[str, str, list[Any]]]:
    """Yield operator, name of the case, and arguments."""
    for name, case in BI_WKV.items():
        if name in REFUSED or LONGEST in name:
            continue
        inputs = case.inputs()
        yield "bi_wkv", name, inputs
        yield "gated_bi_wkv", name, [*inputs, inputs[3].flip(1)]
    for name, inputs in small().items():
        yield "selective_scan", name, scan_arguments(inputs)
    constant = scan_inputs(2, 12, 3, 21)
    constant |= {"B": constant["B"][0, :, :12].T.contiguous(), "C": constant["C"][1, :, :12].T.contiguous()}
    yield "selective_scan", "constant B and C", scan_arguments(constant)
    yield "selective_scan", "vim at 256", scan_arguments(scan_inputs(1, 64, 16, 257))
    yield "selective_scan", "vmamba at 256", scan_arguments(scan_inputs(1, 64, 1, 4096, groups=4, gate=False))
    for name, shape in SIZES.items():
        for channel_last in (False, True):
            yield "cross_scan", f"{name}, {channel_last}", [feature_map(shape, channel_last=channel_last)]
            yield "cross_merge", f"{name}, {channel_last}", [sequences(shape, channel_last=channel_last)]
    for name, shift in Q_SHIFT.items():
        yield "q_shift", name, [shift.x(), shift.shift_pixel, shift.gamma, shift.h, shift.w]
    for name, mix in SHIFT_MIX.items():
        x, weight, bias, mixes = mix.inputs()
        yield "shift_mix", f"{name}, with norm", [x, weight, bias, mixes, 1e-5, *mix.grid]
        yield "shift_mix", name, [x, None, None, mixes, 0.0, *mix.grid]
    for name, conv in CAUSAL_CONV.items():
        yield "causal_conv_silu", f"{name}, forward", [*conv.inputs(), False]
        yield "causal_conv_silu", f"{name}, backward", [*conv.inputs(), True]
    for name, norm in ADD_RMS_NORM.items():
        yield "add_rms_norm", name, [*norm.inputs(), 1e-5]
    for name, gelu in GELU_DEPTHWISE.items():
        if LONGEST not in name:
            yield "gelu_depthwise", name, [*gelu.inputs(), gelu.stride]


CASES = [pytest.param(op, arguments, id=f"{op}: {name}") for op, name, arguments in operator_cases()]


def plain_form(operator: str, arguments: list[Any]) -> Callable[..., Any]:
    load_portable_forms()
    return lowering_of(f"linbench::{operator}")("onnxruntime", [arguments])


@pytest.mark.parametrize(("operator", "arguments"), CASES)
def test_a_plain_form_is_right_on_every_named_case(operator, arguments, request):
    output = plain_form(operator, arguments)(*arguments)
    error = verifier(f"linbench::{operator}")(arguments, output)
    name = request.node.callspec.id.partition(": ")[2]
    assert error <= LARGEST_ERROR.get(name, BUDGET)


@pytest.mark.slow
@pytest.mark.parametrize("t", [1, 2, 49, 196, 257, 500, 1000, 4096])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_bi_wkv_is_right_or_refused_at_any_length(name, t):
    inputs = ADVERSARIAL[name].inputs(t=t)
    try:
        output = plain_form("bi_wkv", inputs)(*inputs)
    except NotPortable:
        assert float(inputs[0].abs().max()) * 2 > bi_wkv_forms.REACH
    else:
        assert verifier("linbench::bi_wkv")(inputs, output) <= 2e-5


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_bi_wkv_is_refused_where_two_tokens_decays_leave_float32(name):
    with pytest.raises(NotPortable, match=r"max\|w\| is 4\.88 per token; its plain form is right up to 4"):
        plain_form("bi_wkv", ADVERSARIAL[name].inputs())


def test_one_scale_for_all_chunks_is_wrong_beyond_its_bound_and_is_not_chosen():
    inputs = ADVERSARIAL["keys normal, growth 100"].inputs()
    truth = verifier("linbench::bi_wkv")
    assert truth(inputs, bi_wkv_forms.one_scale(*inputs)) > 1e-3
    assert truth(inputs, plain_form("bi_wkv", inputs)(*inputs)) <= BUDGET


def test_the_scales_of_two_chunks_agree_where_large_keys_stand_beside_growth():
    w = torch.full((16,), -40 / 200)
    u, k, v = torch.zeros(16), *torch.randn(2, 1, 200, 16, generator=torch.Generator().manual_seed(0)).unbind(0)
    inputs = [w, u, 20 * k, v]
    assert verifier("linbench::bi_wkv")(inputs, plain_form("bi_wkv", inputs)(*inputs)) <= BUDGET


def test_a_bonus_or_a_decay_beyond_the_bound_is_refused():
    w, u, k, v = BI_WKV["toy"].inputs()
    with pytest.raises(NotPortable, match=r"max\|u\| is 50; its plain form is right up to 40"):
        plain_form("bi_wkv", [w, torch.full_like(u, -50.0), k, v])
    with pytest.raises(NotPortable, match=r"max\|w\| is nan"):
        plain_form("bi_wkv", [w * float("nan"), u, k, v])


class EachOperator(nn.Module):
    """Every operator once, on inputs that reach each of its forms; w and u are weights."""

    def __init__(self) -> None:
        super().__init__()
        self.names = []
        self.calls: list[list[Any]] = []
        for w_times_t in ((-5.0, 3.0), (-200.0, 200.0)):
            decay = torch.linspace(*w_times_t, 16) / 200
            self._add(torch.ops.linbench.gated_bi_wkv, decay, torch.linspace(-1, 1, 16), *self._noise(3, 1, 200, 16))
        for name in ("one state", "ragged"):
            self._add(torch.ops.linbench.selective_scan, *scan_arguments(small()[name]))
        self._add(torch.ops.linbench.q_shift, *self._noise(1, 1, 12, 10), 1, 0.25, 3, 4)
        x, weight, bias, mixes = SHIFT_MIX["quarters of 17"].inputs()
        self._add(torch.ops.linbench.shift_mix, x, weight, bias, mixes, 1e-5, 3, 4)
        self._add(torch.ops.linbench.causal_conv_silu, *CAUSAL_CONV["ragged"].inputs(), True)
        self._add(torch.ops.linbench.add_rms_norm, *ADD_RMS_NORM["ragged"].inputs(), 1e-5)
        self._add(torch.ops.linbench.gelu_depthwise, *GELU_DEPTHWISE["ragged, stride 2"].inputs(), 2)
        self._add(torch.ops.linbench.cross_scan, feature_map(SIZES["ragged"], channel_last=True))
        self._add(torch.ops.linbench.cross_merge, sequences(SIZES["ragged"], channel_last=True))

    def _noise(self, count: int, *shape: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(len(self.calls))
        return [torch.randn(shape, generator=generator) for _ in range(count)]

    def _add(self, operator: Any, *arguments: Any) -> None:
        for i, x in enumerate(arguments):
            if isinstance(x, Tensor):
                self.register_buffer(f"x{len(self.calls)}_{i}", x)
        self.calls.append([operator, *arguments])

    def forward(self, one: Tensor) -> list[Tensor]:
        """Return the first output of every operator; ``one`` keeps an engine from computing them when it loads."""
        outputs = []
        for call, (operator, *arguments) in enumerate(self.calls):
            for i, x in enumerate(arguments):
                if isinstance(x, Tensor):
                    x = getattr(self, f"x{call}_{i}")
                    arguments[i] = x * one if x.ndim > 2 else x
            y = operator(*arguments)
            outputs.append(y if isinstance(y, Tensor) else y[0])
        return outputs


@pytest.fixture(scope="module")
def each_operator(tmp_path_factory) -> tuple[EachOperator, Path]:
    """Return the operators and their ONNX file, in plain forms."""
    pytest.importorskip("onnxscript")
    module, path = EachOperator().eval(), tmp_path_factory.mktemp("operators") / "operators.onnx"
    with torch.no_grad():
        program = torch.export.export(module, (torch.ones(1),))
        program = program.run_decompositions(decompositions("onnxruntime", program))
        assert not operator_nodes(program)
        torch.onnx.export(program, (torch.ones(1),), dynamo=True, verbose=False, optimize=False).save(path)
    return module, path


def in_onnxruntime(path: Path) -> list[np.ndarray]:
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: np.ones(1, np.float32)})


def in_openvino(path: Path) -> list[np.ndarray]:
    core = pytest.importorskip("openvino").Core()
    request = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    request.infer([np.ones(1, np.float32)])
    return [np.array(request.get_output_tensor(i).data) for i in range(len(request.output_tensors))]


@pytest.mark.parametrize("run", [in_onnxruntime, in_openvino])
def test_every_operator_is_right_in_the_engine(each_operator, run):
    module, path = each_operator
    outputs = run(path)
    for (operator, *arguments), output in zip(module.calls, outputs, strict=True):
        y = torch.from_numpy(output)
        with torch.no_grad():
            last = operator(*arguments)
        given = y if isinstance(last, Tensor) else (y, *last[1:])  # the other outputs are eager's
        error = verifier(operator._qualified_op_name)(arguments, given)
        assert error <= BUDGET, operator._qualified_op_name


def test_a_decay_that_depends_on_the_image_is_refused():
    class FromImage(nn.Module):
        def forward(self, w: Tensor, u: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return kernels.bi_wkv(w, u, k, v)

    with torch.no_grad():
        program = torch.export.export(FromImage(), tuple(BI_WKV["toy"].inputs()))
    with pytest.raises(NotPortable, match="w depends on the input"):
        decompositions("onnxruntime", program)


def test_an_operator_without_a_plain_form_is_named():
    with pytest.raises(LookupError, match=r"linbench::q_shift_backward has no plain form; add portable\.py"):
        lowering_of("linbench::q_shift_backward")


def test_every_operator_of_a_forward_pass_has_a_plain_form():
    load_portable_forms()
    forward = [
        name
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("linbench::") and "backward" not in name
    ]
    assert len(forward) >= 12
    for name in forward:
        lowering_of(name.partition(".")[0])
