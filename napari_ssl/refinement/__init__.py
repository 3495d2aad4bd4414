"""Refinement of label maps: the fully connected CRF of Bai 2017 and connected components."""
