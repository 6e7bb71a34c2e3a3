"""The engine ``aotinductor``: what ``compile`` compiles, in a package on disk.

The kernels are those of ``compile``, so it is no faster; it moves the compile time out of the process that runs. Its
package calls linbench's ops by name: it needs linbench where it is loaded.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from linbench.engines.compile import no_compiler
from linbench.engines.contract import (
    Arrays,
    EngineFacts,
    EngineKey,
    ExportedEngine,
    RunConfig,
    Session,
    engine,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

OPTIONS = "freezing=on"


@engine("aotinductor")
class AotInductor(ExportedEngine):
    """Inductor ahead of time."""

    name: ClassVar[str] = "aotinductor"
    what: ClassVar[str] = "inductor's kernels in a package (.pt2); needs a C++ compiler"
    typed: ClassVar[bool] = True
    suffix: ClassVar[str] = ".pt2"
    exporting: ClassVar[tuple[str, ...]] = ()

    def refusal(self, config: RunConfig) -> str | None:
        """Return why there is no compiler, where there is none; and of a GPU, which has not been tried."""
        if config.device_type != "cpu":
            return f"linbench builds AOTInductor packages for CPUs, not for {config.device_type}"
        return no_compiler(config)

    def key(self, device_type: str) -> EngineKey:
        """Return its name and options."""
        return EngineKey(self.name, provider="CPU", options=OPTIONS)

    def save(self, model: "nn.Module", inputs: "tuple[Tensor, ...]", path: Path) -> None:
        """Compile the model, with linbench's own kernels in it, to a package."""
        import torch
        import torch._inductor.config as inductor

        inductor.freezing = True
        with torch.no_grad():
            program = torch.export.export(model, inputs)
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))

    def load(self, path: Path, config: RunConfig) -> Session:
        """Load a package."""
        import torch

        import linbench.kernels  # noqa: F401 (the package calls its ops)
        from linbench.kernels.threads import set_threads

        set_threads(config.threads)
        return AotInductorSession(torch._inductor.aoti_load_package(str(path)), config)


class AotInductorSession(Session):
    """A package that is loaded."""

    def __init__(self, package: Any, config: RunConfig) -> None:
        import torch

        self.package = package
        self.dtype = getattr(torch, config.dtype)
        self.last: tuple[Any, ...] = ()

    def bind(self, inputs: Arrays) -> Callable[[], None]:
        """Return the forward on the inputs as tensors."""
        import torch

        tensors = tuple(torch.from_numpy(array).to(self.dtype) for array in inputs)

        def run() -> None:
            with torch.inference_mode():
                last = self.package(*tensors)
            self.last = tuple(last) if isinstance(last, tuple | list) else (last,)

        return run

    def outputs(self) -> Arrays:
        """Return copies of the last outputs."""
        return tuple(np.array(tensor.float().numpy()) for tensor in self.last)

    def facts(self) -> EngineFacts:
        """Return torch's version and threads, and the dtype of the weights in the package."""
        import torch

        dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in self.last if tensor.is_floating_point()}
        return EngineFacts(torch.__version__, "CPU", ", ".join(sorted(dtypes)), torch.get_num_threads())
