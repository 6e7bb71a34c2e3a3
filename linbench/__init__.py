"""linbench measures image backbones for segmentation: which one, at which resolution, on my machine?

    import linbench
    result = linbench.measure("rwkv-sam-t", sizes=[512, 1024])
    backbone = linbench.build_backbone("vrwkv-s", image_size=1024, impl="fast")
    fine, coarse = backbone(image)[0], backbone(image)[-1]

The names below are loaded on first use, so that ``import linbench`` costs no import of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from linbench._version import __version__ as __version__
from linbench.system import affinity as _affinity  # noqa: F401 (reads it before torch may bind this thread)

if TYPE_CHECKING:
    from linbench import kernels as kernels
    from linbench.api.compare import compare as compare
    from linbench.api.evaluate import evaluate as evaluate
    from linbench.api.export import export as export
    from linbench.api.measure import measure as measure
    from linbench.api.results import Results as Results
    from linbench.api.results import load_results as load_results
    from linbench.backbones import build_backbone as build_backbone
    from linbench.backbones import load_official as load_official
    from linbench.models import build_classifier as build_classifier
    from linbench.models import build_sam as build_sam
    from linbench.models import build_semantic as build_semantic

_HOME = {
    "measure": "linbench.api.measure",
    "Results": "linbench.api.results",
    "load_results": "linbench.api.results",
    "compare": "linbench.api.compare",
    "evaluate": "linbench.api.evaluate",
    "export": "linbench.api.export",
    "profile": "linbench.suites.profile",
    "build_backbone": "linbench.backbones",
    "load_official": "linbench.backbones",
    "build_classifier": "linbench.models",
    "build_sam": "linbench.models",
    "build_semantic": "linbench.models",
    "kernels": "linbench",
}

__all__ = [
    "Results",
    "__version__",
    "build_backbone",
    "build_classifier",
    "build_sam",
    "build_semantic",
    "compare",
    "evaluate",
    "export",
    "kernels",
    "load_official",
    "load_results",
    "measure",
    "profile",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name == "kernels":
        return import_module("linbench.kernels")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'linbench' has no attribute {name!r}; it has {', '.join(__all__)}")
