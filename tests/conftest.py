"""Fixtures that several test folders share."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Tests that load ONNX Runtime or OpenVINO into their process, or wait for one that does.
ENGINES = ("engines", "test_engines.py", "test_exported.py", "test_export.py", "test_decompositions.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of engines, the throughput of an exported model among them."""
    for item in items:
        parts = item.path.relative_to(TESTS).parts
        if any(part in ENGINES for part in parts) or parts[-1] in ("test_throughput.py", "test_search.py"):
            item.add_marker("engines")


PLUGINS = TESTS / "plugins"


@pytest.fixture
def plugins() -> Path:
    """The folder of plug-ins made for tests."""
    return PLUGINS
