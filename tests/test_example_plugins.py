"""The plug-ins under ``examples/``: each meets the contract, or is refused in one sentence where it cannot run."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from linbench.backbones import backbone, build_backbone
from linbench.backbones.conformance import conform
from linbench.cli import app
from linbench.kernels.impl import Impl
from linbench.models.sam import build_sam
from linbench.registry import load_plugin

FOLDER = Path(__file__).parents[1] / "examples"
PLUGINS = {
    "hybrid": ["my-hybrid"],
    "torchvision_plugin": ["tv-efficientnet-b0", "tv-resnet18"],
    "mambavision_plugin": ["mambavision-b", "mambavision-s", "mambavision-t"],
}


@pytest.fixture
def spare_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No plug-in stays registered."""
    import sys

    monkeypatch.setattr(backbone, "_entries", dict(backbone._entries))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("linbench_plugin_"):
            del sys.modules[name]


def test_every_file_of_the_folder_is_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == PLUGINS.keys()


@pytest.mark.parametrize("plugin", ["hybrid", "torchvision_plugin"])
def test_a_plugin_conforms(spare_registry: None, plugin: str) -> None:
    before = set(backbone)
    load_plugin(FOLDER / f"{plugin}.py")
    assert sorted(set(backbone) - before) == PLUGINS[plugin]
    assert {name: conform(name) for name in PLUGINS[plugin]} == {name: [] for name in PLUGINS[plugin]}


def test_the_command_line_checks_the_file_of_the_hybrid(spare_registry: None) -> None:
    result = CliRunner().invoke(app, ["check", str(FOLDER / "hybrid.py")])
    assert (result.exit_code, result.output) == (0, "my-hybrid: conforms\n")


def test_the_hybrid_follows_the_reference_of_its_kernels_and_carries_a_decoder(spare_registry: None) -> None:
    load_plugin(FOLDER / "hybrid.py")
    maps = []
    for impl in (Impl.REFERENCE, Impl.FAST):
        torch.manual_seed(0)
        model = build_backbone("my-hybrid", image_size=96, impl=impl)
        with torch.no_grad():
            maps.append(model(torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(1)))[-1])
    torch.testing.assert_close(*maps, atol=1e-5, rtol=0)
    with torch.device("meta"):
        assert build_sam("my-hybrid", image_size=64)


@pytest.mark.skipif(
    find_spec("mambavision") is not None and torch.cuda.is_available(), reason="MambaVision runs here"
)
def test_mambavision_is_refused_in_one_sentence_where_its_package_or_cuda_is_absent(spare_registry: None) -> None:
    before = set(backbone)
    result = CliRunner().invoke(app, ["check", str(FOLDER / "mambavision_plugin.py")])
    assert result.exit_code == 2
    assert "MambaVision" in result.stderr and "CUDA" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert set(backbone) == before
