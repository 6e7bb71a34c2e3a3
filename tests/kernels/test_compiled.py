"""Machine code on disk: where it lies, and that other sources never find it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numba

import linbench
from linbench.kernels import compiled
from linbench.system import files, untrusted


def run(where: Path, cache: Path) -> str:
    """The sum that a copy of linbench under ``where`` computes, and how often its kernel was compiled for it."""
    code = (
        "import numpy as np\n"
        "from linbench.kernels.probe import total\n"
        "print(total(np.ones(3)), sum(total.stats.cache_misses.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=where,
        env={"XDG_CACHE_HOME": str(cache), "TMPDIR": str(where)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def package(where: Path) -> Path:
    """A linbench of one kernel, a file that it imports, and what finds the cache."""
    kernels = where / "linbench" / "kernels"
    kernels.mkdir(parents=True)
    system = kernels.parent / "system"
    system.mkdir()
    for folder in (kernels.parent, kernels, system):
        (folder / "__init__.py").touch()
    shutil.copy(compiled.__file__, kernels)
    for module in (files, untrusted):
        shutil.copy(module.__file__, system)
    (kernels / "scale.py").write_text("from numba import njit\n@njit\ndef scaled(x):\n    return 2 * x\n")
    (kernels / "probe.py").write_text(
        "from linbench.kernels.compiled import compiled\nfrom linbench.kernels.scale import scaled\n"
        "@compiled()\ndef total(x):\n    return scaled(x).sum()\n"
    )
    return kernels


def test_a_kernel_is_compiled_once_and_again_when_a_file_that_it_imports_changes(tmp_path: Path) -> None:
    kernels = package(tmp_path)
    cache = tmp_path / "cache"
    assert run(tmp_path, cache) == "6.0 1"
    assert run(tmp_path, cache) == "6.0 0"
    (kernels / "scale.py").write_text("from numba import njit\n@njit\ndef scaled(x):\n    return 5 * x\n")
    assert run(tmp_path, cache) == "15.0 1"


def test_without_a_cache_that_can_be_written_each_process_compiles_and_leaves_nothing(tmp_path: Path) -> None:
    package(tmp_path)
    (tmp_path / "file").touch()
    for _ in range(2):
        assert run(tmp_path, tmp_path / "file") == "6.0 1"
    assert not list(tmp_path.glob("linbench-kernels-*"))


def test_numbas_own_setting_is_left_as_it_was() -> None:
    before = numba.config.CACHE_DIR
    compiled.compiled()(lambda x: x)
    assert before == numba.config.CACHE_DIR
    assert not list(Path(linbench.__file__).parent.rglob("*.nbc"))
