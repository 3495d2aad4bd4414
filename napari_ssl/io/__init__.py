"""Files in and out: images, labels, folder layouts, exports. Knows nothing of studies, Qt or torch."""
