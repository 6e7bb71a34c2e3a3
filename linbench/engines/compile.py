"""The engine ``compile``: ``torch.compile`` with inductor, on a CPU with weights frozen into the graph.

Freezing folds and packs weights; without it the gain on a CPU is a fraction. Inductor writes C++ there and has no
fallback where no compiler is found, so that is looked for before.
"""

import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from linbench.engines.contract import COMPILE, EngineKey, RunConfig, TorchEngine, engine

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_COMPILER = "no C++ compiler: apt install g++, or set CXX"


def cpp_compiler() -> str:
    """Return the C++ compiler that inductor would call: ``CXX``, else g++ (clang++ on macOS); empty where none is."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return shutil.which(name) or ""


def no_compiler(config: RunConfig) -> str | None:
    """Return why inductor cannot compile for a CPU; None where it can, and for a GPU, where Triton compiles."""
    return NO_COMPILER if config.device_type == "cpu" and not cpp_compiler() else None


@engine(COMPILE)
class Compile(TorchEngine):
    """``torch.compile`` with inductor."""

    name: ClassVar[str] = COMPILE
    what: ClassVar[str] = "torch.compile with inductor; on CPUs frozen, needs a C++ compiler"

    def refusal(self, config: RunConfig) -> str | None:
        """Return why there is no compiler, where there is none."""
        return no_compiler(config)

    def key(self, device_type: str) -> EngineKey:
        """Return its name, and whether weights are frozen."""
        return EngineKey(COMPILE, options="freezing=on" if device_type == "cpu" else "")

    def wrap(self, model: "nn.Module", config: RunConfig) -> "Callable[..., tuple[Tensor, ...]]":
        """Return the compiled module; its first call, without gradients, compiles."""
        import torch
        import torch._inductor.config as inductor

        inductor.freezing = config.device_type == "cpu"
        return torch.compile(model)
