"""Real pictures and masks, where they lie beside the project; tests that need them are skipped elsewhere."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "realdata"


def realdata(*parts: str) -> Path:
    """A folder of real data, under ``LINBENCH_REALDATA`` or beside the project."""
    folder = Path(os.environ.get("LINBENCH_REALDATA") or BESIDE).joinpath(*parts)
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; LINBENCH_REALDATA names another folder")
    return folder
