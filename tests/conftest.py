"""Fixtures that every test may use."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    """Widgets end in this thread only, so no other one may collect; see `napari_ssl.gui.garbage`."""
    gc.disable()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Collect in the thread of the tests: all after the last of a file, else what is young."""
    gc.collect(1 if nextitem is not None and nextitem.path == item.path else 2)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real images; its licence keeps it out of the project, so tests skip where it is absent."""
    if not _SHARED.is_dir():
        pytest.skip(f"real images are not here ({_SHARED.name} folder beside the project is absent)")
    return _SHARED
