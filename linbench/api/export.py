"""``linbench.export``: a backbone or a promptable segmenter as files for an engine, each held against eager float32.

    linbench.export("vrwkv-s", engine="openvino", image_size=1024, path="vrwkv-s.onnx", part="backbone")
    linbench.export("rwkv-sam-s", checkpoint="weights.safetensors", engine="onnxruntime", path="model.onnx")

The second call writes ``model.onnx``, the encoder, and ``model.decoder.onnx``, which takes the encoder's maps and one
box; ``linbench predict`` and the accuracy suites take ``model.onnx`` as a checkpoint.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from linbench.backbones import backbone as backbones
from linbench.backbones import build_backbone
from linbench.choices import choose
from linbench.engines.artifact import SUFFIX, Artifact, decoder_path
from linbench.engines.check import BOUND, EngineError, error_of
from linbench.engines.contract import ExportedEngine, RunConfig, exported
from linbench.engines.contract import engine as engines
from linbench.engines.export import OPSET, export_program, save_onnx
from linbench.engines.segmenter import BoxDecoder
from linbench.models import checkpoint as checkpoints
from linbench.models.sam import Sam, backbone_of, transform_of
from linbench.models.segmenter import load_segmenter
from linbench.provenance import code_hash
from linbench.system.files import file_sha256

PARTS = ("segmenter", "encoder", "decoder", "backbone")
#: Settings under which eager is fastest, and whose graphs engines read best; an option given by hand wins.
BEST = {"fused": True, "attention": "sdpa"}
ENTRIES = ("linbench.engines.export", "linbench.engines.segmenter")
Size = tuple[int, int]
#: Called with what begins.
Progress = Callable[[str], None]


class WrongArtifact(RuntimeError):
    """A file that was written, and whose outputs in its engine are off eager's; the message has the error."""


@dataclass(frozen=True)
class Exported:
    """A file that was written. seconds: Of the export.  load_seconds: Of its loading in the engine, for the check.

    error: Of its outputs against eager float32 with the same weights, on images that the export did not see.
    """

    path: Path
    artifact: Artifact
    mib: float
    seconds: float
    load_seconds: float
    error: EngineError


@dataclass(frozen=True)
class _Part:
    """What becomes one file: a module, inputs for its export and its check, and the file's path and metadata."""

    module: nn.Module
    inputs: tuple[tuple[Tensor, ...], ...]
    path: Path
    artifact: Artifact


def export(
    model: str | nn.Module,
    *,
    engine: str,
    path: Path | str,
    image_size: int | Size | None = None,
    part: str | None = None,
    checkpoint: Path | str | None = None,
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
    threads: int = 1,
    progress: Progress = lambda text: None,
) -> list[Exported]:
    """Write the files of a model for an engine; load each and compare its outputs with eager's.

    model: A model by name, or a module that maps ``b 3 h w`` to maps, in eval mode on the CPU.
    engine: ``onnxruntime`` or ``openvino``.
    path: Ends in ``.onnx``.
    image_size: Side, or height and width, px; the files take no other. None for the checkpoint's own, or 1024.
    part: One of PARTS: ``segmenter`` (default of a name) writes encoder and decoder; a module is a ``backbone``.
    checkpoint, weights: As in ``load_segmenter``; None for random weights, the same each time.
    options: Of the model.
    threads: Of the engine, in the check.
    Raises ValueError for input that cannot be exported, NotPortable among them; OSError where a file cannot be
    written; WrongArtifact where a file's outputs are off by more than the bound: it stays, to be looked at.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(f"path={path}: an artifact's name ends in {SUFFIX}, such as {path.with_suffix(SUFFIX).name}")
    runner = _runner(engine, threads)
    part = choose("part", part or ("segmenter" if isinstance(model, str) else "backbone"), PARTS)
    if isinstance(model, str):
        parts = _named_parts(
            model, part, engine, path, image_size, Path(checkpoint) if checkpoint else None, weights, options or {}
        )
    elif part != "backbone" or checkpoint or options:
        raise ValueError("a module is exported as it is, as a backbone: it takes no part, checkpoint or options")
    else:
        size = _size(image_size or 1024)
        artifact = Artifact(type(model).__name__, "backbone", size, engine, opset=OPSET)
        parts = iter([_Part(model, _images(size), path, artifact)])
    return [_write(each, runner, threads, progress) for each in parts]


def _runner(name: str, threads: int) -> ExportedEngine:
    """Return the engine; raises ValueError where it loads no ONNX or is not installed."""
    choose("engine", name, tuple(engines))
    runner = exported(name)
    if runner is None or runner.suffix != SUFFIX or not runner.is_tested:
        raise ValueError(f"engine={name!r}: files are written for onnxruntime and openvino")
    if reason := runner.cannot_export() or runner.available(RunConfig("cpu", "float32", threads)):
        raise ValueError(f"engine={name!r}: {reason}")
    return runner


def _named_parts(
    name: str,
    part: str,
    engine: str,
    path: Path,
    image_size: int | Size | None,
    checkpoint: Path | None,
    weights: str | None,
    options: Mapping[str, Any],
) -> Iterator[_Part]:
    """Yield the parts of a model by name."""
    about = checkpoints.describe(checkpoint) if checkpoint else None
    entry = backbones[backbone_of(name)]
    chosen = {key: value for key, value in BEST.items() if key in entry.options} | dict(options)
    module: Any
    if part == "backbone" and (about is None or about.task == "backbone"):
        size = _size(image_size or checkpoints.own_size(about, (1024, 1024)))
        module, facts = _backbone(name, size, checkpoint, about, weights, chosen)
    else:
        size = _size(image_size or checkpoints.own_size(about, (1024, 1024)))
        if size[0] != size[1] and part != "backbone":
            raise ValueError(f"image_size={size}: the input of a segmenter is square")
        segmenter = load_segmenter(name, checkpoint, image_size=size[0], options=chosen, weights=weights)
        module, facts = segmenter.sam, dict(segmenter.facts)
    kept = {key: facts.get(key) for key in ("weights", "sha256", "recipe", "scale", "trained_at")}

    def artifact(kind: str) -> Artifact:
        preprocessing = "" if kind == "backbone" else str(transform_of(name, size[0]))
        hashed = code_hash(ENTRIES, entry.source)
        model_options = dict(facts["options"])
        return Artifact(name, kind, size, engine, model_options, preprocessing, "float32", OPSET, kept, hashed)

    if part == "backbone":
        only = module.encoder.backbone if isinstance(module, Sam) else module
        yield _Part(only, _images(size), path, artifact(part))
        return
    if part in ("segmenter", "encoder"):
        yield _Part(module.encoder, _images(size), path, artifact("encoder"))
    if part in ("segmenter", "decoder"):
        with torch.no_grad():
            maps = [module.encoder(*image) for image in _images(size)]
        boxes = [torch.tensor([[0.1 * i, 0.2, 0.7, 0.6 + 0.1 * i]]) * size[0] for i in range(1, len(maps) + 1)]
        inputs = tuple((box, *map(Tensor.contiguous, of_image)) for box, of_image in zip(boxes, maps, strict=True))
        where = decoder_path(path) if part == "segmenter" else path
        yield _Part(BoxDecoder(module, size), inputs, where, artifact("decoder"))


def _backbone(
    name: str,
    size: Size,
    checkpoint: Path | None,
    about: checkpoints.About | None,
    weights: str | None,
    options: Mapping[str, Any],
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a backbone with its weights, and their facts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: Any = build_backbone(name, image_size=checkpoints.built_for(about, name, size), **options)
    facts: dict[str, Any] = {"options": dict(options), "weights": "random", "sha256": None, "trained_at": None}
    if checkpoint:
        branch = checkpoints.branch_of(checkpoint, weights, checkpoints.default_branch(name))
        checkpoints.load(module, checkpoint, branch or "model")
        facts |= {"weights": checkpoint.name, "sha256": file_sha256(checkpoint)}
        facts |= {"recipe": about.recipe, "trained_at": list(about.image_size)} if about else {}
    return module.eval(), facts


def _size(image_size: int | Size) -> Size:
    return (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])


def _images(size: Size) -> tuple[tuple[Tensor, ...], ...]:
    """Return three random images: one for the export, two for the check."""
    generator = torch.Generator().manual_seed(0)
    return tuple((torch.randn(1, 3, *size, generator=generator),) for _ in range(3))


def _write(part: _Part, engine: ExportedEngine, threads: int, progress: Progress) -> Exported:
    """Write one file, load it, and compare."""
    progress(f"{part.path.name}: export of {part.artifact}")
    start = time.perf_counter()
    program = export_program(part.module, part.inputs[0], engine.name)
    save_onnx(program, part.path, {"linbench": part.artifact.to_json()})
    seconds = time.perf_counter() - start
    mib = sum(file.stat().st_size for file in part.path.parent.glob(f"{part.path.name}*")) / 2**20
    progress(f"{part.path.name}: check in {engine.name} against eager")
    start = time.perf_counter()
    session = engine.load(part.path, RunConfig("cpu", "float32", threads))
    load_seconds = time.perf_counter() - start
    outputs, truth = [], []
    for inputs in part.inputs[1:]:
        session.bind(tuple(np.ascontiguousarray(x.numpy()) for x in inputs))()
        outputs.append(session.outputs())
        with torch.no_grad():
            truth.append(tuple(y.numpy() for y in part.module(*inputs)))
    error = error_of(outputs, truth)
    if not error.largest <= BOUND:
        raise WrongArtifact(
            f"{part.path}: its outputs in {engine.name} are off eager float32 by {error.largest:.1e} of max|y|; "
            f"allowed are {BOUND:.0e}"
        )
    return Exported(part.path, part.artifact, mib, seconds, load_seconds, error)
