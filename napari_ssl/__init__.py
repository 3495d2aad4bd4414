"""napari-ssl: clinicians vet pseudo-labels in napari, networks learn from what they accept."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
