"""Contours that other programs drew: read, and filled to label maps."""
