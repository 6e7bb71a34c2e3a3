"""The engine ``tensorrt``: NVIDIA's TensorRT, from the ONNX file. Untested on hardware.

Written against the documentation of TensorRT 10 and 11. Networks are strongly typed, so the precision is that of the
graph; linbench exports float32, and turns TF32 off. The plan is built for the GPU in the process that measures: its
seconds are those of ``load``, never part of a latency.
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

OPTIONS = "tf32=off"


@engine("tensorrt")
class TensorRT(ExportedEngine):
    """TensorRT."""

    name: ClassVar[str] = "tensorrt"
    what: ClassVar[str] = "TensorRT on NVIDIA GPUs, float32"
    packages: ClassVar[tuple[str, ...]] = ("tensorrt",)
    distribution: ClassVar[str] = "tensorrt"
    hint: ClassVar[str] = "pip install tensorrt onnx onnxscript"
    is_tested: ClassVar[bool] = False

    def available(self, config: RunConfig) -> str | None:
        """Return why it cannot run here: the device first, as nobody installs it without one."""
        return self.refusal(config) or self.missing()

    def refusal(self, config: RunConfig) -> str | None:
        """Return why it does not run a device or dtype."""
        if config.device_type != "cuda":
            return f"TensorRT needs an NVIDIA GPU, the device is {config.device_type}"
        if config.dtype != "float32":
            return f"TensorRT runs the graph's own precision, and linbench exports float32, not {config.dtype}"
        return None

    def key(self, device_type: str) -> EngineKey:
        """Return version and options."""
        return EngineKey(self.name, self.version(), "CUDA", OPTIONS)

    def load(self, path: Path, config: RunConfig) -> Session:
        """Build a plan of an ONNX file for this GPU, and load it. Raises EngineUnsupported."""
        import tensorrt as trt

        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        network = builder.create_network(_strongly_typed(trt))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse_from_file(str(path)):
            raise EngineUnsupported(f"TensorRT does not read the artifact: {str(parser.get_error(0))[:200]}")
        settings = builder.create_builder_config()
        settings.clear_flag(trt.BuilderFlag.TF32)
        plan = builder.build_serialized_network(network, settings)
        if plan is None:
            raise EngineUnsupported("TensorRT builds no plan of the artifact; its log says why")
        return TensorRTSession(trt, trt.Runtime(logger).deserialize_cuda_engine(plan))


def _strongly_typed(trt: Any) -> int:
    """Return the flags of a network; from TensorRT 11 on each one is strongly typed, and the flag may be gone."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


class TensorRTSession(Session):
    """A plan with one context; inputs and outputs are CUDA tensors of torch."""

    def __init__(self, trt: Any, plan: Any) -> None:
        self.trt = trt
        self.plan = plan
        self.context = plan.create_execution_context()
        names = [plan.get_tensor_name(i) for i in range(plan.num_io_tensors)]
        inputs = {name for name in names if plan.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        self.input_names = [name for name in names if name in inputs]
        self.output_names = [name for name in names if name not in inputs]
        self.last: list[Any] = []

    def bind(self, inputs: Arrays) -> Callable[[], None]:
        """Return the forward, queued on torch's present stream, on inputs that are on the GPU."""
        import torch

        given = [torch.from_numpy(array).cuda() for array in inputs]
        self.last = [torch.empty(tuple(self.plan.get_tensor_shape(n)), device="cuda") for n in self.output_names]
        for name, tensor in zip([*self.input_names, *self.output_names], [*given, *self.last], strict=True):
            self.context.set_tensor_address(name, tensor.data_ptr())

        def run() -> None:
            if not self.context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
                raise RuntimeError(f"TensorRT did not run; inputs {[tuple(tensor.shape) for tensor in given]}")

        return run

    def outputs(self) -> Arrays:
        """Return copies of the last outputs."""
        return tuple(np.array(tensor.float().cpu().numpy()) for tensor in self.last)

    def facts(self) -> EngineFacts:
        """Return the version, and the dtype of the outputs."""
        dtypes = {str(self.plan.get_tensor_dtype(name)).rpartition(".")[2].lower() for name in self.output_names}
        precision = {"float": "float32", "half": "float16", "bf16": "bfloat16"}
        return EngineFacts(self.trt.__version__, "CUDA", ", ".join(precision.get(d, d) for d in sorted(dtypes)), 0)
