"""napari widgets for clinicians, thin over the rooms below; neither torch nor strategies are imported here."""
