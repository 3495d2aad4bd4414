"""The choice to train on several graphics cards at once, shown where there are some."""

from __future__ import annotations

from qtpy.QtWidgets import QFormLayout, QLabel, QSpinBox, QWidget

from napari_ssl.errors import NapariSslError
from napari_ssl.gui.theme import WheelGuard
from napari_ssl.jobs.offers import offer_here
from napari_ssl.jobs.place import place_in_use

__all__ = ["ProcessesForm", "gpus_to_share"]

_MOST_ELSEWHERE = 8
"""What a server or a cluster has is not known here; a job that asks for more than there is waits and says so."""


def gpus_to_share() -> int:
    """Return how many graphics cards a training may use where jobs run; asks the driver, so call it in a thread."""
    try:
        is_here = place_in_use() is None
    except NapariSslError:  # the settings are damaged: the dialog of jobs says so
        is_here = True
    return offer_here().gpus if is_here else _MOST_ELSEWHERE


class ProcessesForm(QWidget):
    """The number of processes that share every batch, one a graphics card; hidden with fewer than two cards."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.number = QSpinBox()
        self.number.setAccessibleName("Graphics cards that share the training")
        self.number.setToolTip(
            "Every batch is divided among so many cards, one process each; the result is that of one card within "
            "rounding. The batch must hold at least as many slices as there are cards"
        )
        self._guard = WheelGuard(self)
        self._guard.protect(self.number)
        row = QFormLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        caption = QLabel("Graphics cards")
        caption.setBuddy(self.number)
        row.addRow(caption, self.number)
        self.set_most(0)

    def set_most(self, n_gpus: int) -> None:
        """Offer 1 to so many cards."""
        self.number.setRange(1, max(1, n_gpus))
        self.setVisible(n_gpus > 1)

    def number_for(self, device: str) -> int:
        """Return the number of processes of a training on this device; the processor is one."""
        return 1 if device == "cpu" else self.number.value()

    def device_for(self, device: str) -> str:
        """Return the device: several processes are for graphics cards."""
        return "cuda" if device == "auto" and self.number.value() > 1 else device
