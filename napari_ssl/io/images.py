"""The public face of this room for single files: read, write and fingerprint images and label maps."""

from __future__ import annotations

from napari_ssl.io.geometry import Geometry
from napari_ssl.io.hashing import hash_file, hash_labels
from napari_ssl.io.labels import check_grid, read_labels
from napari_ssl.io.reading import SUFFIXES, Image, ImageHeader, is_image_name, read_header, read_image
from napari_ssl.io.writing import write_volume

__all__ = [
    "SUFFIXES",
    "Geometry",
    "Image",
    "ImageHeader",
    "check_grid",
    "hash_file",
    "hash_labels",
    "is_image_name",
    "read_header",
    "read_image",
    "read_labels",
    "write_volume",
]
