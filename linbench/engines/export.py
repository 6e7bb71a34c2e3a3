"""Export of a model: stands in until the export with decompositions is merged."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from linbench.kernels.decompositions import decompositions


def export_program(model: nn.Module, image: Any, engine: str) -> torch.export.ExportedProgram:
    """Export."""
    with torch.no_grad():
        program = torch.export.export(model, image if isinstance(image, tuple) else (image,))
    table = decompositions(engine, program)
    return program.run_decompositions(table) if table else program


def save_onnx(program: torch.export.ExportedProgram, path: Path, metadata: Any) -> None:
    """Save."""
    exported: Any = torch.onnx.export(program, (), dynamo=True, verbose=False, optimize=False)
    exported.save(str(path))
