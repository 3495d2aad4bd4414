"""The nouns of napari-ssl: frozen, validated, free of files, Qt and torch."""
