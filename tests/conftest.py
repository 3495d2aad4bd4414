"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real images; its licence keeps it out of the project, so tests skip where it is absent."""
    if not _SHARED.is_dir():
        pytest.skip(f"real images are not here ({_SHARED.name} folder beside the project is absent)")
    return _SHARED
