"""Correction tools on label maps: smoothing, islands, filling between slices, propagation in time, CRF in a region."""
