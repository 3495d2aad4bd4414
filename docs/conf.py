"""How Sphinx builds these pages: ``make docs``. What the program knows about itself is written by the program."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))

from reference_pages import write_pages  # noqa: E402

from napari_ssl import __version__  # noqa: E402

project, author, release = "napari-ssl", "the napari-ssl developers", __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"napari-ssl {release}"
suppress_warnings = ["myst.xref_missing"] if "linkcheck" in sys.argv else []


def setup(app) -> None:
    """Write the generated pages before Sphinx looks for its sources."""
    write_pages(_HERE / "generated")
