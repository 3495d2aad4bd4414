"""Atlases: registration and label fusion with SimpleITK."""
