"""``python -m napari_ssl`` is the command ``napari-ssl``."""

from napari_ssl.cli import main

if __name__ == "__main__":
    main()
