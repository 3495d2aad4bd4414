"""The commands of ``napari-ssl``, one group a file; `options` holds what they share."""
