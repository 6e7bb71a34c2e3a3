"""The GPU engines at their boundary, with stand-ins for packages that no machine here has: untested on hardware."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from linbench.engines.contract import EngineUnsupported, RunConfig, build, exported

CUDA = RunConfig("cuda", "float32", 1)


class FakeTensorRT(ModuleType):
    """What ``load`` calls of TensorRT, with a log of it."""

    def __init__(self, readable: bool = True, builds: bool = True) -> None:
        super().__init__("tensorrt")
        self.calls: list[Any] = []
        calls = self.calls
        self.__version__ = "11.4.0"
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.BuilderFlag = SimpleNamespace(TF32="tf32")
        self.TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
        names = {"image": "in", "map": "out"}
        plan = SimpleNamespace(
            create_execution_context=SimpleNamespace,
            num_io_tensors=2,
            get_tensor_name=list(names).__getitem__,
            get_tensor_mode=names.__getitem__,
            get_tensor_dtype=lambda name: "DataType.FLOAT",
        )

        class Logger:
            ERROR = 1

            def __init__(self, level: int) -> None:
                calls.append(("log level", level))

        self.Logger = Logger
        self.Builder = lambda logger: SimpleNamespace(
            create_network=lambda flags: calls.append(("network", flags)),
            create_builder_config=lambda: SimpleNamespace(clear_flag=lambda flag: calls.append(("clear", flag))),
            build_serialized_network=lambda network, config: b"plan" if builds else None,
        )
        self.OnnxParser = lambda network, logger: SimpleNamespace(
            parse_from_file=lambda path: readable, get_error=lambda i: "node 3: no importer"
        )
        self.Runtime = lambda logger: SimpleNamespace(deserialize_cuda_engine=lambda content: plan)


def load(monkeypatch: pytest.MonkeyPatch, package: FakeTensorRT) -> Any:
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    engine = exported("tensorrt")
    assert engine is not None and engine.available(CUDA) is None
    return engine.load(Path("model.onnx"), CUDA)


def test_tensorrt_builds_a_strongly_typed_network_without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    package = FakeTensorRT()
    session = load(monkeypatch, package)
    assert ("network", 1 << 1) in package.calls and ("clear", "tf32") in package.calls
    assert (session.input_names, session.output_names) == (["image"], ["map"])
    assert session.facts().mismatch(CUDA) == ""


@pytest.mark.parametrize(
    ("package", "message"),
    [
        (FakeTensorRT(readable=False), "does not read the artifact: node 3: no importer"),
        (FakeTensorRT(builds=False), "builds no plan"),
    ],
)
def test_a_model_that_tensorrt_does_not_build_is_unsupported(
    monkeypatch: pytest.MonkeyPatch, package: FakeTensorRT, message: str
) -> None:
    with pytest.raises(EngineUnsupported, match=message):
        load(monkeypatch, package)


def test_tensorrt_is_marked_untested_and_refuses_what_its_graph_is_not() -> None:
    assert not build("tensorrt").is_tested
    assert "exports float32, not float16" in (build("tensorrt").available(RunConfig("cuda", "float16", 1)) or "")


def test_onnxruntime_on_a_gpu_forbids_the_fallback_and_turns_tf32_off(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: dict[str, str] = {}
    made: list[Any] = []

    class Options:
        intra_op_num_threads = 0

        def add_session_config_entry(self, name: str, value: str) -> None:
            entries[name] = value

    def session(path: str, options: Options, providers: list[str], settings: list[dict[str, str]]) -> Any:
        made.append((providers, settings))
        return SimpleNamespace(get_inputs=list, get_providers=lambda: ["CPUExecutionProvider"])

    package: Any = ModuleType("onnxruntime")
    package.SessionOptions, package.InferenceSession = Options, session
    package.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime", package)
    engine = exported("onnxruntime")
    assert engine is not None and engine.available(CUDA) is None
    loaded = engine.load(Path("model.onnx"), CUDA)
    assert entries["session.disable_cpu_ep_fallback"] == "1"
    assert made == [(["CUDAExecutionProvider"], [{"use_tf32": "0"}])]
    with pytest.raises(EngineUnsupported, match="ONNX Runtime took CPUExecutionProvider"):
        loaded.facts()
