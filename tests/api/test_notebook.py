"""The notebook of the documentation runs from a clean kernel, and is committed without outputs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SECONDS = 60  # on two cores that are not busy
#: Executes a notebook in a process of its own: the threads of a kernel's client stay until their process ends.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=sys.argv[3])
nbformat.write(notebook, sys.argv[2])
"""


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook after a run in a new kernel, which sees this checkout; a cell that raises fails it."""
    written = tmp_path_factory.mktemp("notebook") / "executed.ipynb"
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOK), str(written), str(ROOT)]
    begin, spent = time.perf_counter(), os.times()
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    after = os.times()
    notebook = nbformat.read(written, as_version=4)
    notebook.metadata["cpu_seconds"] = sum(after[2:4]) - sum(spent[2:4])
    notebook.metadata["seconds"] = time.perf_counter() - begin
    return notebook


def test_every_cell_runs_in_a_minute(executed) -> None:
    kinds = {output.output_type for output in outputs(executed)}
    assert "error" not in kinds and "execute_result" in kinds
    assert executed.metadata["seconds"] < SECONDS or executed.metadata["cpu_seconds"] < SECONDS


def test_it_shows_tables_a_figure_and_every_kind_of_model(executed) -> None:
    shown = [output.data for output in outputs(executed) if "data" in output]
    pages = " ".join(data.get("text/html", "") for data in shown)
    assert any("image/png" in data for data in shown)
    for model in ("Patches", "resnet18", "compiled patches", "convnext", "pooling", "timm/resnet10t"):
        assert model in pages, model
    assert "miou" in pages and "not compared" in pages
    assert "failed" not in pages and "unsupported" not in pages


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
