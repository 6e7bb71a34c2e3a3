"""The artifact of a cell: exported once, in a process of its own, and kept in linbench's cache.

A folder for each model, size, batch and engine, and in it one for each state of the code: the file that the engine
loads, the two images and eager's outputs for them, and a manifest. It is written under a temporary name and renamed,
so that a killed export leaves nothing that is loaded. A newer state of the code removes the older ones.
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linbench.backbones import backbone
from linbench.engines.check import EngineError, Truth
from linbench.engines.contract import Arrays, EngineUnsupported, ExportedEngine, exported, portable_modules
from linbench.environment import environment
from linbench.kernels.impl import Unsupported
from linbench.models.sam import backbone_of
from linbench.provenance import code_hash
from linbench.records import Status, key_hash, slug
from linbench.suites.latency.complexity import complexity
from linbench.suites.latency.forward import build, pin
from linbench.suites.latency.key import LatencyKey
from linbench.suites.latency.reference import IMAGE_SEEDS, WEIGHTS_SEED, Reference
from linbench.suites.runner.device import Dtype
from linbench.suites.runner.process import first_line
from linbench.suites.runner.suite import Outcome
from linbench.system.files import cache_dir

MANIFEST = "manifest.json"
CODE = ("linbench.suites.latency.artifact", "linbench.suites.latency.reference", "linbench.engines.export")
LIBRARIES = ("torch", "onnx", "onnxscript")


@dataclass(frozen=True)
class Artifact:
    """A folder with an exported model. manifest: Metrics of the model, seconds and bytes of the export."""

    folder: Path
    file: Path
    manifest: Mapping[str, Any]

    def inputs(self) -> tuple[Arrays, ...]:
        """Return the two images."""
        return self._arrays("input")

    def truth(self, dtype: Dtype) -> Truth:
        """Return eager's outputs for them, and the noise of eager in a dtype."""
        noise = self.manifest["noise"].get(str(dtype))
        return Truth(self._arrays("output"), EngineError(**noise) if noise else None)

    def _arrays(self, kind: str) -> tuple[Arrays, ...]:
        with np.load(self.folder / "check.npz") as stored:
            names = [[n for n in stored.files if n.startswith(f"{kind}-{i}-")] for i in range(len(IMAGE_SEEDS))]
            return tuple(tuple(stored[name] for name in of_image) for of_image in names)


def address(key: LatencyKey, engine: ExportedEngine) -> Path:
    """Return the folder of a cell's artifact: by what it holds, then by the code and libraries behind it."""
    settings = key.settings
    content = {
        "model": asdict(key.model) | {"part": str(key.model.part), "options": dict(key.model.options)},
        "size": key.size,
        "batch": key.batch,
        "dtype": graph_dtype(key, engine),
        "graph": [settings.attention, settings.fused, settings.impl],
        "engine": engine.name,
        "seed": WEIGHTS_SEED,
    }
    source = backbone[backbone_of(key.model.backbone)].source
    code = code_hash((*CODE, *portable_modules(), type(engine).__module__), source)
    packages = environment()["packages"]
    libraries = [packages.get(name, "") for name in LIBRARIES]
    readable = slug(f"{key.model.backbone}-{key.model.part}-{key.size[0]}x{key.size[1]}-{engine.name}")
    folder = cache_dir("artifacts") / f"{readable}-{key_hash(content)[:12]}"
    return folder / key_hash({"code": code, "libraries": libraries})[:12]


def graph_dtype(key: LatencyKey, engine: ExportedEngine) -> str:
    """Return the dtype of the artifact: float32, unless the engine's artifacts are of one dtype each."""
    return str(key.dtype) if engine.typed else str(Dtype.FLOAT32)


def stored(key: LatencyKey, engine: ExportedEngine) -> Artifact | None:
    """Return the artifact of a cell where it is in the cache."""
    folder = address(key, engine)
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    has_noise = key.dtype is Dtype.FLOAT32 or str(key.dtype) in manifest["noise"]
    return Artifact(folder, folder / manifest["file"], manifest) if has_noise else None


def export(key: LatencyKey, seconds: float, seed: int) -> Outcome:
    """Export the model of a cell into the cache; the outcome of the process that does so."""
    engine = exported(key.settings.engine.name)
    assert engine is not None
    if reason := engine.cannot_export():
        return Outcome(Status.UNSUPPORTED, reason)
    pin(replace(key, settings=replace(key.settings, matmul="highest")))
    folder = address(key, engine)
    temporary = folder.with_name(f".{folder.name}.{key.dtype}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write(key, engine, temporary)
        _replace(temporary, folder)
    except (EngineUnsupported, NotImplementedError, Unsupported, ValueError) as error:
        return Outcome(Status.UNSUPPORTED, f"the export: {first_line(error)}")
    except OSError as error:
        return Outcome(Status.FAILED, f"the export could not be written: {error.strerror or error}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Outcome(Status.OK)


def _write(key: LatencyKey, engine: ExportedEngine, folder: Path) -> None:
    """Write artifact, check and manifest into an empty folder."""
    cpu = torch.device("cpu")
    metrics = dict(complexity(*_flat(build(replace(key, dtype=Dtype.FLOAT32), torch.device("meta")))))
    reference = Reference(key, cpu)
    typed = replace(key, dtype=Dtype(graph_dtype(key, engine)))
    torch.manual_seed(WEIGHTS_SEED)
    model, inputs = build(typed, cpu)
    model.load_state_dict(reference.model.state_dict())
    file = f"model{engine.suffix}"
    begin = time.perf_counter()
    engine.save(model, tuple(x.contiguous() for x in inputs), folder / file)
    export_s = time.perf_counter() - begin
    arrays = {
        f"{kind}-{i}-{j:02d}": np.asarray(x)
        for kind, images in (("input", reference.inputs), ("output", reference.outputs))
        for i, maps in enumerate(images)
        for j, x in enumerate(maps)
    }
    np.savez(folder / "check.npz", allow_pickle=False, **arrays)
    sizes = [path.stat().st_size for path in folder.iterdir() if path.name != "check.npz"]
    halves = {dtype: reference.noise(replace(key, dtype=dtype)) for dtype in {Dtype.BFLOAT16, key.dtype}}
    manifest = {
        "file": file,
        "export_s": export_s,
        "bytes": sum(sizes),
        "metrics": metrics,
        "noise": {str(dtype): asdict(noise) for dtype, noise in halves.items() if noise},
        "environment": environment(),
        "python": sys.version.split()[0],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))


def _replace(temporary: Path, folder: Path) -> None:
    """Put a finished folder into its place, and remove those of other states of the code."""
    for older in folder.parent.iterdir():
        if older not in (temporary, folder) and not older.name.startswith("."):
            shutil.rmtree(older, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _flat(built: tuple[Any, Any]) -> tuple[Any, ...]:
    return (built[0], *built[1])
