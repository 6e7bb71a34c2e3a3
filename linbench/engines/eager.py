"""The engine ``eager``: PyTorch, one operator after the other, with linbench's kernels."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from linbench.engines.contract import EAGER, EngineKey, RunConfig, TorchEngine, engine

if TYPE_CHECKING:
    from torch import Tensor, nn


@engine(EAGER)
class Eager(TorchEngine):
    """PyTorch as it is; every other engine is held against it."""

    name: ClassVar[str] = EAGER
    what: ClassVar[str] = "PyTorch as it is, with linbench's kernels"

    def refusal(self, config: RunConfig) -> str | None:
        """Return None: it runs everything."""
        return None

    def key(self, device_type: str) -> EngineKey:
        """Return its name alone."""
        return EngineKey(EAGER)

    def wrap(self, model: "nn.Module", config: RunConfig) -> "Callable[..., tuple[Tensor, ...]]":
        """Return the module itself."""
        return model
