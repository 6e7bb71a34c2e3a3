"""The registry of engines: what each needs, what its key says, and that nothing is imported to ask."""

import subprocess
import sys
from typing import Any

import pytest

from linbench.engines import engine
from linbench.engines.compile import NO_COMPILER, cpp_compiler
from linbench.engines.contract import EngineFacts, EngineKey, RunConfig, build, exported
from linbench.registry import UnknownName

CPU = RunConfig("cpu", "float32", 1)


def test_the_six_engines_are_registered_and_two_run_inside_pytorch() -> None:
    names = {"aotinductor", "compile", "eager", "onnxruntime", "openvino", "tensorrt"}
    assert names <= set(engine)
    assert {name for name in names if exported(name) is None} == {"compile", "eager"}
    with pytest.raises(UnknownName, match="nearest are openvino"):
        build("openvin")


def test_importing_the_engines_imports_none_of_them_and_no_torch() -> None:
    code = (
        "import sys, linbench.engines\n"
        "print([n for n in ('torch', 'onnx', 'onnxruntime', 'openvino', 'tensorrt') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_engine_that_is_not_installed_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    reason = build(name).available(CPU)
    assert reason == f"{name} is not installed: pip install linbench[{name}]"
    assert not build(name).is_installed


def test_an_engine_that_is_broken_says_what_its_import_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ImportError("libfoo.so.1: cannot open shared object file")

    monkeypatch.setattr("linbench.engines.contract.import_module", refuse)
    reason = build("openvino").available(CPU) or ""
    assert reason.startswith("openvino does not import (libfoo.so.1: cannot open shared object file)")


def test_without_a_compiler_compile_is_refused_on_a_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert cpp_compiler() == ""
    assert build("compile").available(CPU) == build("aotinductor").available(CPU) == NO_COMPILER
    assert build("compile").available(RunConfig("cuda", "float32", 1)) is None


def test_what_an_engine_does_not_run_is_refused_before_anything_is_exported() -> None:
    pytest.importorskip("onnxruntime")
    assert "float32, not bfloat16" in (build("onnxruntime").available(RunConfig("cpu", "bfloat16", 1)) or "")
    assert "no CUDAExecutionProvider" in (build("onnxruntime").available(RunConfig("cuda", "float32", 1)) or "")
    assert "needs an NVIDIA GPU, the device is cpu" in (build("tensorrt").available(CPU) or "")


def test_an_older_key_without_an_engine_was_eager_or_compiled() -> None:
    assert EngineKey.from_json({"compile": False}) == EngineKey.from_json({}) == EngineKey("eager")
    assert EngineKey.from_json({"compile": True}) == EngineKey("compile")
    key = build("onnxruntime").key("cpu")
    assert EngineKey.from_json(key.to_json()) == key
    assert (key.provider, key.options) == ("CPUExecutionProvider", "spinning=off")


def test_a_precision_or_thread_count_that_was_not_asked_for_is_named() -> None:
    config = RunConfig("cpu", "float16", 2)
    facts = EngineFacts("1", "CPU", "bfloat16", 2)
    assert facts.mismatch(config) == "float16 was requested, the engine answers bfloat16"
    assert EngineFacts("1", "CPU", "float16", 8).mismatch(config) == "2 threads were requested, the engine answers 8"
    assert EngineFacts("1", "CPU", "float16", 2).mismatch(config) == ""
