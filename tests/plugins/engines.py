"""Engines that are wrong in the ways that engines are: each is ONNX Runtime, sabotaged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from linbench.engines.contract import Arrays, EngineFacts, RunConfig, Session, engine
from linbench.engines.onnxruntime import OnnxRuntime
from linbench.engines.openvino import OpenVino


class Changed(Session):
    """A session whose outputs are changed."""

    def __init__(self, session: Session, change: Callable[[Any], Any]) -> None:
        self.session, self.change = session, change

    def bind(self, inputs: Arrays) -> Callable[[], None]:
        return self.session.bind(inputs)

    def outputs(self) -> Arrays:
        return tuple(self.change(array) for array in self.session.outputs())

    def facts(self) -> EngineFacts:
        return self.session.facts()


@engine("permuted")
class Permuted(OnnxRuntime):
    """Channels in another order."""

    name = "permuted"

    def load(self, path: Path, config: RunConfig) -> Session:
        return Changed(super().load(path, config), lambda array: np.roll(array, 1, axis=1))


@engine("overflowing")
class Overflowing(OnnxRuntime):
    """Activations that leave float16's range on their way."""

    name = "overflowing"

    def load(self, path: Path, config: RunConfig) -> Session:
        def through_half(array: Any) -> Any:
            with np.errstate(over="ignore"):
                return (array * 2**16).astype(np.float16).astype(np.float32) / 2**16

        return Changed(super().load(path, config), through_half)


@engine("dropping")
class Dropping(OnnxRuntime):
    """The last addition of a residual is dropped from the graph, as a bad pass of an optimiser would."""

    name = "dropping"

    def load(self, path: Path, config: RunConfig) -> Session:
        import onnx

        model = onnx.load(str(path))
        constants = {tensor.name for tensor in model.graph.initializer}
        constants |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
        added = [n for n in model.graph.node if n.op_type == "Add" and not constants & set(n.input)]
        (dropped,) = added[-1:]
        for node in model.graph.node:
            node.input[:] = [dropped.input[0] if name == dropped.output[0] else name for name in node.input]
        changed = path.with_name("dropped.onnx")
        onnx.save(model, str(changed))
        return super().load(changed, config)


@engine("blind")
class Blind(OnnxRuntime):
    """The first image's outputs for every image: the input is ignored."""

    name = "blind"

    def load(self, path: Path, config: RunConfig) -> Session:
        first: list[Any] = []
        return Changed(super().load(path, config), lambda array: (first.append(array), first[0])[1])


@engine("rounding")
class Rounding(OpenVino):
    """OpenVINO as it is without a hint, sold as float32."""

    name = "rounding"

    def load(self, path: Path, config: RunConfig) -> Session:
        session = super().load(path, RunConfig(config.device_type, "bfloat16", config.threads))
        facts = session.facts()
        sold = EngineFacts(facts.version, facts.provider, config.dtype, facts.threads)

        class Sold(Changed):
            def facts(self) -> EngineFacts:
                return sold

        return Sold(session, lambda array: array)
