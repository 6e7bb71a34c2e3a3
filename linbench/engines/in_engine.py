"""A promptable segmenter that is built in PyTorch, run in an engine: exported, held against eager, loaded again."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linbench.engines.artifact import Artifact, decoder_path
from linbench.engines.check import EngineError, Truth, judge
from linbench.engines.contract import Arrays, EngineUnsupported, ExportedEngine, RunConfig
from linbench.engines.export import OPSET, export_program, save_onnx
from linbench.engines.segmenter import BoxDecoder, load_exported_segmenter
from linbench.models.sam import Prompts, Sam

SEEDS = (1, 2)  # of the two images of the check


def run_in_engine(
    sam: Sam, engine: ExportedEngine, name: str, side: int, threads: int, facts: Mapping[str, Any]
) -> tuple[Sam, EngineError]:
    """Return the segmenter with encoder and decoder in the engine, in float32, and its error.

    sam: On the CPU, in eval mode, in float32.  name: Of the model.  side: Of its input, px.
    facts: Of its weights.
    Raises EngineUnsupported where it cannot run, ValueError where its masks are off eager's.
    """
    if reason := engine.available(RunConfig("cpu", "float32", threads)) or engine.cannot_export():
        raise EngineUnsupported(reason)
    with tempfile.TemporaryDirectory(prefix="linbench-") as folder:
        path = Path(folder) / "model.onnx"
        _write(sam, engine, name, side, facts, path)
        loaded = load_exported_segmenter(path, threads, side).sam
    box = Prompts(boxes=torch.tensor([[0.2, 0.2, 0.7, 0.8]]) * side)
    images = [torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
    judgement = judge([_masks(loaded, x, box) for x in images], Truth(tuple(_masks(sam, x, box) for x in images)))
    if judgement.reason:
        raise ValueError(f"{name} in {engine.name}: {judgement.reason}")
    return loaded, judgement.error


def _write(sam: Sam, engine: ExportedEngine, name: str, side: int, facts: Mapping[str, Any], path: Path) -> None:
    """Write encoder and decoder."""
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = tuple(x.contiguous() for x in sam.encoder(image))
    box = torch.tensor([[0.1, 0.2, 0.7, 0.6]]) * side
    decoder = BoxDecoder(sam, (side, side))
    parts: tuple[tuple[str, torch.nn.Module, tuple[Tensor, ...], Path], ...] = (
        ("encoder", sam.encoder, (image,), path),
        ("decoder", decoder, (box, *maps), decoder_path(path)),
    )
    for part, module, inputs, file in parts:
        about = Artifact(name, part, (side, side), engine.name, opset=OPSET, weights=dict(facts))
        save_onnx(export_program(module, inputs, engine.name), file, {"linbench": about.to_json()})


def _masks(sam: Sam, image: Tensor, box: Prompts) -> Arrays:
    with torch.no_grad():
        logits, _ = sam.decode(sam.encode(image), box)
    return (logits.float().numpy(),)
