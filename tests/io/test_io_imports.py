from __future__ import annotations

import subprocess
import sys

_CHECK = """
import sys
import napari_ssl.io.images, napari_ssl.io.layouts, napari_ssl.io.exports
loaded = [m for m in ("torch", "monai", "napari", "qtpy", "sqlalchemy") if m in sys.modules]
sys.exit(", ".join(loaded) or 0)
"""


def test_room_needs_neither_torch_nor_qt():
    result = subprocess.run([sys.executable, "-c", _CHECK], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
