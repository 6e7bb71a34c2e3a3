"""The engine ``onnxruntime``: ONNX Runtime, on a CPU or through its CUDA provider.

Two of its habits are turned off. It falls back to its CPU provider with no more than a warning: the fallback is
disabled and the provider asserted. Its workers spin after a run, and burn cores that others need: that is off, and
in the key.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from linbench.engines.contract import (
    Arrays,
    EngineFacts,
    EngineKey,
    EngineUnsupported,
    ExportedEngine,
    RunConfig,
    Session,
    engine,
)

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PACKAGES = {"cpu": "onnxruntime", "cuda": "onnxruntime-gpu"}
OPTIONS = "spinning=off"


@engine("onnxruntime")
class OnnxRuntime(ExportedEngine):
    """ONNX Runtime."""

    name: ClassVar[str] = "onnxruntime"
    what: ClassVar[str] = "ONNX Runtime, float32 on CPUs; on GPUs with onnxruntime-gpu"
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    distribution: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = "onnxruntime"

    def refusal(self, config: RunConfig) -> str | None:
        """Return why it does not run a dtype, or has no provider for a device."""
        import onnxruntime

        if config.dtype != "float32":
            return f"ONNX Runtime runs linbench's artifacts in float32, not {config.dtype}"
        provider = PROVIDERS[config.device_type]
        if provider not in onnxruntime.get_available_providers():
            package = PACKAGES[config.device_type]
            return (
                f"this onnxruntime has no {provider}: pip uninstall onnxruntime; pip install '{package}[cuda,cudnn]'"
            )
        return None

    def key(self, device_type: str) -> EngineKey:
        """Return version, provider and options."""
        return EngineKey(self.name, self.version(), PROVIDERS[device_type], OPTIONS)

    def load(self, path: Path, config: RunConfig) -> Session:
        """Load an ONNX file on the one provider; raises EngineUnsupported where another would run."""
        import onnxruntime

        provider = PROVIDERS[config.device_type]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings: list[dict[str, Any]] = [{}]
        if config.device_type == "cuda":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            settings = [{"use_tf32": "0"}]
        try:
            session = onnxruntime.InferenceSession(str(path), options, [provider], settings)
        except Exception as error:  # its exceptions derive from Exception alone
            if type(error).__module__.startswith("onnxruntime"):
                raise EngineUnsupported(f"ONNX Runtime does not load the artifact: {_first_line(error)}") from error
            raise
        return OnnxRuntimeSession(session, config)


class OnnxRuntimeSession(Session):
    """An ONNX file in ONNX Runtime."""

    def __init__(self, session: Any, config: RunConfig) -> None:
        self.session = session
        self.config = config
        self.names = [given.name for given in session.get_inputs()]
        self.last: list[Any] = []

    def bind(self, inputs: Arrays) -> Callable[[], None]:
        """Return the forward; on a GPU inputs and outputs stay there."""
        feed = dict(zip(self.names, inputs, strict=True))
        if self.config.device_type == "cuda":
            return self._bound_on_gpu(feed)

        def run() -> None:
            self.last = self.session.run(None, feed)

        return run

    def _bound_on_gpu(self, feed: dict[str, Any]) -> Callable[[], None]:
        import onnxruntime

        binding = self.session.io_binding()
        for name, array in feed.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", 0))
        for output in self.session.get_outputs():
            binding.bind_output(output.name, "cuda")

        def run() -> None:
            self.session.run_with_iobinding(binding)
            self.last = binding.get_outputs()

        return run

    def outputs(self) -> Arrays:
        """Return copies of the last outputs."""
        arrays = (value if isinstance(value, np.ndarray) else value.numpy() for value in self.last)
        return tuple(np.array(array, dtype=np.float32) for array in arrays)

    def facts(self) -> EngineFacts:
        """Return provider, threads and dtype of the inputs; raises EngineUnsupported for another provider."""
        import onnxruntime

        ran, requested = self.session.get_providers()[0], PROVIDERS[self.config.device_type]
        if ran != requested:
            raise EngineUnsupported(f"{requested} was requested, ONNX Runtime took {ran}")
        types = {given.type for given in self.session.get_inputs()}
        precision = "float32" if types == {"tensor(float)"} else ", ".join(sorted(types))
        threads = self.session.get_session_options().intra_op_num_threads
        return EngineFacts(onnxruntime.__version__, ran, precision, threads, {"options": OPTIONS})


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
