"""Plug-ins from an installed package: a wheel with an entry point, in an environment of its own."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from linbench.cli.quiet_progress import DISTURBED_EXIT

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "toy-backbone"
version = "1.0"
[project.entry-points."linbench.backbones"]
toy = "toy_backbone"
[tool.hatch.build.targets.wheel]
packages = ["toy_backbone"]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that sees this one's packages and has the plug-in's wheel installed."""
    root = tmp_path_factory.mktemp("plugin")
    (root / "toy_backbone").mkdir()
    (root / "pyproject.toml").write_text(PYPROJECT)
    source = (Path(__file__).parents[1] / "plugins" / "toy.py").read_text()
    (root / "toy_backbone" / "__init__.py").write_text(source.replace('"toy"', '"toy-installed"'))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", str(root), "--outdir", str(root / "dist")]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (root / "dist").glob("*.whl")
    assert any(name.endswith("entry_points.txt") for name in zipfile.ZipFile(wheel).namelist())
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    ours = subprocess.run(
        [sys.executable, "-c", "import site; print(site.getsitepackages()[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    arguments = [str(python), "-c", "import site; print(site.getsitepackages()[0])"]
    theirs = Path(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip())
    import linbench

    seen = [ours.stdout.strip(), str(Path(linbench.__file__).parents[1])]
    (theirs / "of_the_tests.pth").write_text("\n".join(seen) + "\n")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(theirs), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return python


def test_an_installed_plugin_is_listed_and_measured_like_our_own(installed: Path, tmp_path: Path) -> None:
    listed = subprocess.run(
        [installed, "-m", "linbench", "list", "--json"], capture_output=True, text=True, check=True
    )
    assert "toy-installed" in {row["name"] for row in json.loads(listed.stdout)["backbones"]}
    quick = ["--preset", "paper", "--res", "64", "--rounds", "1", "--cell-seconds", "0.2", "--results", str(tmp_path)]
    where = ["--device", "cpu", "--wait", "0"]
    run = [installed, "-m", "linbench", "run", "--backbone", "toy-installed", *where, *quick]
    assert subprocess.run(run, capture_output=True, check=False).returncode in (0, DISTURBED_EXIT)
    (path,) = tmp_path.glob("*/latency/toy-installed/*.json")
    assert json.loads(path.read_text())["status"] == "ok"


def test_another_environment_does_not_see_it() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "linbench", "list", "--json"], capture_output=True, text=True, check=True
    )
    assert "toy-installed" not in listed.stdout
