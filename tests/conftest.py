"""Fixtures that several test folders share."""

from pathlib import Path

import pytest

PLUGINS = Path(__file__).parent / "plugins"


@pytest.fixture
def plugins() -> Path:
    """The folder of plug-ins made for tests."""
    return PLUGINS
