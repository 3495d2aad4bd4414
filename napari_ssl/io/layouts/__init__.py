"""Folders of images as data sets are published; one file per layout."""

from __future__ import annotations

from napari_ssl.io.layouts.item import ImportItem

__all__ = ["ImportItem"]
