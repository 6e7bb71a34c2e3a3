"""The engine ``openvino``: OpenVINO on a CPU.

Left alone it takes bfloat16 wherever the CPU has it, and it answers float16 with bfloat16: the precision is always
given, and read back from the compiled model.
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
from linbench.environment import cpu_features

#: OpenVINO's names of the precisions, and what it reports.
HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "float": "float32", "bfloat16": "bfloat16"}
OPTIONS = "hint=latency"


@engine("openvino")
class OpenVino(ExportedEngine):
    """OpenVINO."""

    name: ClassVar[str] = "openvino"
    what: ClassVar[str] = "OpenVINO on CPUs: float32, and bfloat16 where the CPU has it"
    packages: ClassVar[tuple[str, ...]] = ("openvino",)
    distribution: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"

    def refusal(self, config: RunConfig) -> str | None:
        """Return why it does not run a device or dtype."""
        if config.device_type != "cpu":
            return f"OpenVINO runs on CPUs here, not on {config.device_type}"
        if config.dtype == "bfloat16" and not {"avx512_bf16", "amx_bf16", "bf16"} & set(cpu_features()):
            return "this CPU has no bfloat16, and OpenVINO would run float32 instead"
        return None

    def key(self, device_type: str) -> EngineKey:
        """Return version, device and options."""
        return EngineKey(self.name, self.version(), "CPU", OPTIONS)

    def load(self, path: Path, config: RunConfig) -> Session:
        """Compile an artifact for the CPU in the precision of the dtype."""
        import openvino

        properties = {
            "INFERENCE_PRECISION_HINT": HINTS[config.dtype],
            "INFERENCE_NUM_THREADS": config.threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            compiled = openvino.Core().compile_model(str(path), "CPU", properties)
        except RuntimeError as error:
            lines = str(error).strip().splitlines() or ["RuntimeError"]
            raise EngineUnsupported(f"OpenVINO does not load the artifact: {lines[-1].strip()[:200]}") from error
        return OpenVinoSession(compiled)


class OpenVinoSession(Session):
    """A compiled model and one request of it."""

    def __init__(self, compiled: Any) -> None:
        self.compiled = compiled
        self.request = compiled.create_infer_request()

    def bind(self, inputs: Arrays) -> Callable[[], None]:
        """Return the forward on the arrays, which are shared with the engine."""
        import openvino

        arrays = [np.ascontiguousarray(array) for array in inputs]
        tensors = [openvino.Tensor(array, shared_memory=True) for array in arrays]

        def run() -> None:
            for i, tensor in enumerate(tensors):
                self.request.set_input_tensor(i, tensor)
            self.request.infer()

        return run

    def outputs(self) -> Arrays:
        """Return copies of the last outputs: what the engine gives is a view that the next forward overwrites."""
        count = len(self.compiled.outputs)
        return tuple(np.array(self.request.get_output_tensor(i).data, dtype=np.float32) for i in range(count))

    def facts(self) -> EngineFacts:
        """Return device, precision and threads as the compiled model reports them."""
        import openvino

        read = self.compiled.get_property
        hint = str(read("INFERENCE_PRECISION_HINT").get_type_name())
        return EngineFacts(
            openvino.__version__.split("-")[0],
            ", ".join(read("EXECUTION_DEVICES")),
            DTYPES.get(hint, hint),
            int(read("INFERENCE_NUM_THREADS")),
            {"streams": int(read("NUM_STREAMS")), "pinned": bool(read("ENABLE_CPU_PINNING"))},
        )
