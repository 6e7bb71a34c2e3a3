"""Hostile checkpoints: nothing of theirs runs or is imported, and memory and time stay bounded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import hostile

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("zip", "old")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """What became of each file, by name, read in a process of its own under an audit hook."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("good", "control"):
        hostile.write(folder, name, hostile.whole(("weight", hostile.tensor())))
    for name, data in {**hostile.HARMLESS, **hostile.REFUSED}.items():
        hostile.write(folder, name, data)
    names = sorted(path.name for path in folder.iterdir())
    assert all((folder / name).stat().st_size < 2**20 for name in names)
    command = [sys.executable, "-m", "tests.models.hostile", str(folder), *names]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert sorted(rows) == names
    assert not (folder / "ran").exists()
    return rows


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", hostile.HARMLESS)
def test_weights_are_read_and_what_is_beside_them_stays_a_name(rows, name, kind):
    assert rows[f"{name}.{kind}.pth"]["result"] == 'read {"weight": [1.0, 2.0, 3.0, 4.0]}'


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", hostile.REFUSED)
def test_a_hostile_file_is_refused_in_one_sentence(rows, name, kind):
    result = rows[f"{name}.{kind}.pth"]["result"]
    assert f"{name}.{kind}.pth: " in result and not result.startswith("read")
    assert "\n" not in result and len(result) < 500


def test_nothing_is_run_or_imported(rows):
    control = rows.pop(hostile.CONTROL)
    assert control["imported"] == ["colorsys"] and any("pickle.find_class" in event for event in control["events"])
    assert {name: row["events"] for name, row in rows.items() if row["events"]} == {}
    assert {name: row["imported"] for name, row in rows.items() if row["imported"]} == {}


def test_memory_and_time_stay_bounded(rows):
    assert {name: row["bytes"] for name, row in rows.items() if row["bytes"] > hostile.LARGEST} == {}
    assert {name: row["seconds"] for name, row in rows.items() if row["seconds"] > hostile.LONGEST} == {}


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("weights-run", "'weight' is made by os.system, which would have to run, and only tensors are read"),
        ("weights-numpy", "'weight' is made by numpy.core.multiarray._reconstruct, which would have to run"),
        ("top-is-code", "it holds no state dict but made by os.system, which would have to run"),
        ("quantized", "'weight' is made by torch._utils._rebuild_qtensor"),
        ("persistent-kind", "a storage of an unknown type (torch.EvilStorage)"),
        ("storage-too-long", "should have 4,000,000,000 bytes and has 16"),
        ("stride-zero", "'weight' has more elements than the file holds of it"),
        ("buffer", "it has the opcode NEXT_BUFFER"),
    ],
)
def test_the_refusal_names_the_class_or_the_fault(rows, name, named):
    for kind in FORMATS:
        assert named in rows[f"{name}.{kind}.pth"]["result"].replace("its pickle has", "it has")
