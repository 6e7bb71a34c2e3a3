"""The options of the suite ``training-step``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from linbench.suites.latency.options import LatencyOptions, Part
from linbench.suites.latency.settings import Preset
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.model_options import SMALL, ModelOptions
from linbench.suites.runner.options import option, pairs
from linbench.suites.runner.resolutions import Size, resolutions

DTYPES = (Dtype.FLOAT32, Dtype.BFLOAT16)
#: Settings that a step may be given; the others are of forwards without gradients.
SETTINGS = ("allocator", "matmul", "memory_format", "sdpa_backend", "tf32")


class Checkpointing(StrEnum):
    """Which parts of the backbone recompute their activations in the backward."""

    NONE = "none"
    BLOCKS = "blocks"


@dataclass(frozen=True, kw_only=True)
class TrainingStepOptions(ModelOptions):
    """The cells of ``training-step``: every backbone × size × batch × dtype × gradient checkpointing."""

    backbones: tuple[str, ...] = option(
        SMALL,
        "Backbones, by comma; each gets the neck of its promptable segmenter.",
        flag="--backbone",
        comma=True,
        panel="Model",
        shown="the tiny variants",
    )
    resolutions: tuple[Size, ...] = option(
        ((512, 512),),
        "512..2048 doubles, 512..2048:256 steps, 768x1024 is height x width; lists by comma.",
        flag="--res",
        parse=lambda text: tuple(resolutions(text)),
        panel="Model",
        shown="512",
    )
    batches: tuple[int, ...] | None = option(
        None,
        "Images in one step, by comma: 1,8,32.",
        flag="--batch",
        kind=int,
        minimum=1,
        comma=True,
        panel="Model",
        shown="1",
    )
    checkpointing: tuple[Checkpointing, ...] = option(
        tuple(Checkpointing),
        "Gradient checkpointing: none, blocks (of the backbone), or both by comma.",
        flag="--gradient-checkpointing",
        choices=tuple(Checkpointing),
        comma=True,
        panel="Training",
        shown="none,blocks",
    )
    largest_batch: bool = option(
        False,
        "Find the largest batch that fits: doubling, then bisection, each try in a process.",
        kind=bool,
        panel="Training",
    )
    memory_limit: float | None = option(
        None,
        "Memory that a step may take, GiB; default: what is free.",
        kind=float,
        minimum=0.01,
        panel="Training",
    )
    dtypes: tuple[Dtype, ...] = option(
        (Dtype.FLOAT32,),
        "float32, or bfloat16 under autocast; by comma.",
        flag="--dtype",
        choices=tuple(Dtype),
        comma=True,
        panel="Device",
        shown="float32",
    )
    setting: Mapping[str, Any] = option(
        {},
        f"{', '.join(SETTINGS)}, as tf32=true; repeatable.",
        **pairs("--setting", "memory_format=channels_last"),
        panel="Settings",
    )

    def __post_init__(self) -> None:
        """Validate every field; raises ValueError for options that a step does not have, or not together."""
        super().__post_init__()
        if other := [dtype for dtype in self.dtypes if dtype not in DTYPES]:
            raise ValueError(f"--dtype {other[0]}: a training step allows {' and '.join(DTYPES)}")
        if unknown := [name for name in self.setting if name not in SETTINGS]:
            raise ValueError(f"--setting {unknown[0]}: a training step allows {', '.join(SETTINGS)}")
        if self.memory_limit is not None and not math.isfinite(self.memory_limit):
            raise ValueError(f"--memory-limit {self.memory_limit}: write a number of GiB")
        if self.largest_batch and self.batches:
            batches = ",".join(map(str, self.batches))
            raise ValueError(f"--batch {batches}: --largest-batch finds the batch; give one of the two")

    def forwards(self) -> LatencyOptions:
        """Return the options of the forwards behind the steps: those of the encoder, backbone and neck."""
        return LatencyOptions(
            backbones=self.backbones,
            parts=(Part.ENCODER,),
            resolutions=self.resolutions,
            batches=self.batches or (1,),
            presets=(Preset.PAPER,),
            dtypes=self.dtypes,
            device=self.device,
            threads=self.threads,
            options=self.options,
            impl=self.impl,
            attention=self.attention,
            setting=self.setting,
        )
