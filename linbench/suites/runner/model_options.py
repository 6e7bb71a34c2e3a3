"""Options that suites over backbones share."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from linbench.suites.runner.device import DeviceOptions
from linbench.suites.runner.options import option, pairs

#: The backbones that a suite takes by default: the tiny variant of each family.
SMALL = ("vit-t", "vim-t", "vmamba-t", "vrwkv-t", "rwkv-sam-t")


class Attention(StrEnum):
    """Implementations of softmax attention."""

    NAIVE = "naive"
    SDPA = "sdpa"
    CHUNKED = "chunked"


@dataclass(frozen=True, kw_only=True)
class ModelOptions(DeviceOptions):
    """The options of every suite that builds backbones."""

    options: Mapping[str, Any] = option(
        {},
        "An option of the backbone; repeatable.",
        **pairs("--option", "position_embedding=true"),
        panel="Model",
    )
