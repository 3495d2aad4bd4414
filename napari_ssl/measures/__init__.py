"""Numbers that are read from label maps: volume curves, clinical indices, overlap, evaluation of a model."""
