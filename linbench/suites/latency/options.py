"""The options of the suite ``latency``."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from linbench.suites.latency.settings import Preset
from linbench.suites.runner.model_options import SMALL, FusionOptions, ModelOptions
from linbench.suites.runner.options import option, pairs
from linbench.suites.runner.resolutions import Size, resolutions

SIZES = ((512, 512), (1024, 1024), (2048, 2048))


class Part(StrEnum):
    """The part of a model that is timed."""

    BACKBONE = "backbone"
    ENCODER = "encoder"
    DECODER = "decoder"
    END_TO_END = "end-to-end"

    @property
    def encodes(self) -> bool:
        """Whether the backbone runs in this part."""
        return self is not Part.DECODER

    @property
    def decodes(self) -> bool:
        """Whether prompts are decoded in this part."""
        return self in (Part.DECODER, Part.END_TO_END)


@dataclass(frozen=True, kw_only=True)
class ForwardOptions(ModelOptions):
    """The options of a suite that times forwards: which models, at which sizes, under which settings."""

    backbones: tuple[str, ...] = option(
        SMALL,
        "Backbones, and groups such as @linear, by comma; `linbench list` shows all.",
        flag="--backbone",
        comma=True,
        panel="Model",
        shown="the tiny variants",
    )
    resolutions: tuple[Size, ...] = option(
        SIZES,
        "512..2048 doubles, 512..2048:256 steps, 768x1024 is height x width; lists by comma.",
        flag="--res",
        parse=lambda text: tuple(resolutions(text)),
        panel="Model",
        shown="512..2048",
    )
    parts: tuple[Part, ...] = option(
        (Part.BACKBONE,),
        "backbone, or a segmenter's encoder, decoder, end-to-end; by comma.",
        flag="--part",
        choices=tuple(Part),
        comma=True,
        panel="Segmenter",
        shown="backbone",
    )
    presets: tuple[Preset, ...] = option(
        (Preset.PAPER, Preset.BEST),
        "Columns by comma: paper, best (fastest in PyTorch), deployed (fastest engine).",
        flag="--preset",
        choices=(Preset.PAPER, Preset.BEST, Preset.DEPLOYED),
        comma=True,
        panel="Settings",
        shown="paper,best",
    )
    engines: tuple[str, ...] = option(
        (),
        "eager, compile, onnxruntime, openvino, aotinductor, tensorrt, by comma; default the preset's.",
        flag="--engine",
        comma=True,
        panel="Settings",
    )
    compile: bool | None = option(
        None,
        "The same as --engine compile, or eager.",
        flag="--compile/--no-compile",
        kind=bool,
        panel="Settings",
    )
    setting: Mapping[str, Any] = option(
        {},
        "Any setting, as memory_format=channels_last; repeatable.",
        **pairs("--setting", "memory_format=channels_last"),
        panel="Settings",
    )
    search_seconds: float = option(
        20.0,
        "Time of one search for best, starts of processes included, s; 0 proves the first settings alone.",
        kind=float,
        minimum=0,
        panel="Settings",
        shown="20",
    )

    @property
    def given(self) -> dict[str, Any]:
        """The settings given by hand, the engine apart; None where one is not."""
        chosen = {"impl": self.impl, "attention": self.attention}
        named = {name: str(value) if value else None for name, value in chosen.items()}
        return {**named, "compile": self.compile, **self.setting}


@dataclass(frozen=True, kw_only=True)
class LatencyOptions(ForwardOptions, FusionOptions):
    """The cells of ``latency``: every backbone × part × fusion × size × batch × dtype × preset."""

    batches: tuple[int, ...] = option(
        (1,),
        "Images in one forward, by comma: 1,8,32.",
        flag="--batch",
        kind=int,
        minimum=1,
        comma=True,
        panel="Model",
        shown="1",
    )
    prompts: int = option(
        1,
        "Box prompts that decoder and end-to-end decode.",
        kind=int,
        minimum=1,
        panel="Segmenter",
        shown="1",
    )
    energy: bool = option(
        False,
        "Measure joules per image too, 15 s a round.",
        kind=bool,
        panel="Settings",
    )
