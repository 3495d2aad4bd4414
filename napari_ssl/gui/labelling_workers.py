"""How many processes share the cases when a cohort is labelled: the person's choice for this computer."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QSpinBox, QWidget

from napari_ssl.gui.settings import config_folder, read_json, write_json
from napari_ssl.gui.theme import WheelGuard

__all__ = ["MOST_WORKERS", "WorkersForm", "labelling_workers", "set_labelling_workers"]

MOST_WORKERS = 64
_FILE = "labelling.json"


def labelling_workers() -> int:
    """Return the number that was chosen, else 1."""
    chosen = read_json(config_folder() / _FILE).get("workers")
    is_number = isinstance(chosen, int) and not isinstance(chosen, bool)
    return min(MOST_WORKERS, max(1, chosen)) if is_number else 1


def set_labelling_workers(n: int) -> None:
    """Remember the number; OSError when the folder of settings cannot be written."""
    path = config_folder() / _FILE
    write_json(path, {**read_json(path), "workers": int(n)})


class WorkersForm(QWidget):
    """Edits the number and keeps it at once.

    Signals
    -------
    told(str)
        Why it could not be kept.
    """

    told = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.number = QSpinBox()
        self.number.setRange(1, MOST_WORKERS)
        self.number.setValue(labelling_workers())
        self.number.setAccessibleName("Processes that share the cases when a cohort is labelled")
        self.number.setToolTip(
            "Each takes memory for the model and one image; several graphics cards are taken in turns. It holds for "
            "the next relabelling, wherever it runs"
        )
        self._guard = WheelGuard(self)
        self._guard.protect(self.number)
        row = QFormLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        caption = QLabel("Processes that label a cohort")
        caption.setBuddy(self.number)
        row.addRow(caption, self.number)
        self.number.valueChanged.connect(self._keep)

    def _keep(self, n: int) -> None:
        try:
            set_labelling_workers(n)
        except OSError as error:
            self.told.emit(f"The number of processes cannot be kept ({error}); it stays {labelling_workers()}.")
