"""Options that suites over backbones share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from linbench.choices import Attention, Fusion, Impl
from linbench.suites.runner.device import DeviceOptions
from linbench.suites.runner.options import SuiteOptions, option, pairs

#: The backbones that a suite takes by default: the tiny variant of each family.
SMALL = ("vit-t", "vim-t", "vmamba-t", "vrwkv-t", "rwkv-sam-t")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(DeviceOptions):
    """The options of every suite that builds backbones."""

    options: Mapping[str, Any] = option(
        {},
        "An option of the backbone; repeatable.",
        **pairs("--option", "position_embedding=true"),
        panel="Model",
    )
    impl: Impl | None = option(
        None,
        "reference, fast or vendor; default fast, or the preset's.",
        choices=tuple(Impl),
        panel="Model",
    )
    attention: Attention | None = option(
        None,
        "naive, sdpa or chunked; default sdpa, or the preset's.",
        choices=tuple(Attention),
        panel="Model",
    )


@dataclass(frozen=True, kw_only=True)
class FusionOptions(SuiteOptions):
    """The option of suites over promptable segmenters: the design of RWKV-SAM's decoder."""

    fusions: tuple[Fusion, ...] = option(
        (Fusion.CONV,),
        "RWKV-SAM's decoder: conv, mamba, rwkv, dcn, by comma; other decoders have nothing to fuse.",
        flag="--fusion",
        choices=tuple(Fusion),
        comma=True,
        panel="Segmenter",
        shown="conv",
    )
