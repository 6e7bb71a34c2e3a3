"""Models as files: no operator of linbench's left, right in both engines; a wrong form of Mamba is found out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from linbench.backbones.vim import Mixer
from linbench.engines import contract
from linbench.engines.check import BOUND, Truth, judge
from linbench.engines.drawn import draw_weights
from linbench.engines.export import export_program, save_onnx
from linbench.kernels.decompositions import load_portable_forms, operator_nodes
from linbench.kernels.impl import Impl
from linbench.kernels.operators import _LOWERINGS

ENGINES = ("onnxruntime", "openvino")
TOKENS, WIDTH = 64, 16


class VimBlock(nn.Module):
    """Vim's mixer in both directions, with 16 states."""

    def __init__(self) -> None:
        super().__init__()
        self.mixer = Mixer(WIDTH, Impl.FAST, fused=True)

    def forward(self, tokens: Tensor) -> tuple[Tensor]:
        return (self.mixer(tokens),)


@pytest.fixture(scope="module")
def block() -> nn.Module:
    block = VimBlock().eval()
    draw_weights(block, 0)
    return block


def tokens(seed: int) -> Tensor:
    return torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))


def judgement(model: nn.Module, path: Path, engine: str) -> Any:
    """Hold the file's outputs on two inputs against eager's."""
    runner = contract.exported(engine)
    assert runner is not None
    config = contract.RunConfig("cpu", "float32", 1)
    if reason := runner.available(config):
        pytest.skip(reason)
    session, outputs, truth = runner.load(path, config), [], []
    for seed in (1, 2):
        session.bind((tokens(seed).numpy(),))()
        outputs.append(session.outputs())
        with torch.no_grad():
            truth.append(tuple(y.numpy() for y in model(tokens(seed))))
    return judge(outputs, Truth(tuple(truth)))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_block_of_mamba_is_right_in_the_engine(block, engine, tmp_path):
    pytest.importorskip("onnxscript")
    program = export_program(block, (tokens(0),), engine)
    assert not operator_nodes(program)
    save_onnx(program, tmp_path / "m.onnx", {"linbench": "{}"})
    result = judgement(block, tmp_path / "m.onnx", engine)
    assert result.reason == ""
    assert result.error.largest <= BOUND
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def closed_form(*inputs: Any) -> tuple[Tensor, Tensor]:
    """One cumulative sum over a suffix decay and 1e-12: a form in circulation, finite and wrong for 16 states."""
    u, delta, A, B, C, _scale, D, z, bias, _softplus = inputs
    delta = nn.functional.softplus(delta + bias[:, None])[..., None]  # b d t 1
    total = (delta * A[:, None]).cumsum(2)  # b d t n
    decay = (total[:, :, -1:] - total).exp()
    into, out = (x[:, 0].transpose(1, 2)[:, None] for x in (B, C))  # b 1 t n
    h = (decay * delta * u[..., None] * into).cumsum(2) / (decay + 1e-12)
    y = (h * out).sum(3) + D[:, None] * u
    return y * nn.functional.silu(z), h[:, :, -1]


def test_the_closed_form_of_mamba_in_a_model_is_wrong(block, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    load_portable_forms()
    monkeypatch.setitem(_LOWERINGS, "linbench::selective_scan", lambda engine, calls: closed_form)
    program = export_program(block, (tokens(0),), "onnxruntime")
    with torch.no_grad():
        outputs = [tuple(y.numpy() for y in program.module()(tokens(seed))) for seed in (1, 2)]
        truth = Truth(tuple(tuple(y.numpy() for y in block(tokens(seed))) for seed in (1, 2)))
    assert "off eager float32" in judge(outputs, truth).reason  # finite: nothing but the comparison shows it
    save_onnx(program, tmp_path / "m.onnx")
    assert judgement(block, tmp_path / "m.onnx", "onnxruntime").reason


def test_a_full_disk_leaves_the_file_before_it_and_no_rest(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    with torch.no_grad():
        program = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),))
    path = tmp_path / "m.onnx"
    path.write_bytes(b"before")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_onnx(program, path)
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.onnx"]


def test_an_operator_that_no_form_replaces_is_named(block, monkeypatch):
    load_portable_forms()
    monkeypatch.delitem(_LOWERINGS, "linbench::causal_conv_silu")
    with pytest.raises(LookupError, match="linbench::causal_conv_silu has no plain form"):
        export_program(block, (tokens(0),), "openvino")
