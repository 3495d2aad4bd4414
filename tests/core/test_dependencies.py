"""Who may import whom, and that light rooms stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIGHT = ("core", "io", "study", "measures", "review", "rounds", "jobs.runner", "report", "phantom", "cli", "commands")
_HEAVY = ("torch", "monai", "napari", "qtpy", "PySide6", "PyQt6", "matplotlib.pyplot")


def imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(m for m in {_HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("room", LIGHT)
def test_a_light_room_imports_neither_torch_nor_qt_nor_napari(room):
    assert imported_by(f"import napari_ssl.{room}") == set()


def test_help_imports_neither_torch_nor_qt():
    statement = "from click.testing import CliRunner; from napari_ssl.cli import main; CliRunner().invoke(main, ['-h'])"
    assert imported_by(statement) == set()


def test_lower_rooms_never_import_higher_ones():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
