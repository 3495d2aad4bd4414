"""Figures and documents that show what a round has brought."""
