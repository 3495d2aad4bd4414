"""Choices that only some layouts ask for: DICOM's phases and identities, the channel of images that have several."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_ssl.gui.background import BackgroundRun
from napari_ssl.gui.theme import set_margins
from napari_ssl.io.identity import Pseudonyms
from napari_ssl.io.layouts import LAYOUTS, ScanOptions

__all__ = ["ImportOptions"]

_CHANNEL_LAYOUTS = ("nnunet", "msd")


class ImportOptions(QWidget):
    """A row of choices; shows those that the layout takes."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.phases = QComboBox()
        self.phases.setAccessibleName("Phases")
        self.phases.addItem("by time", "auto")
        self.phases.addItem("by instance number", "instance")
        self.phases.setToolTip(
            "What orders the phases of a DICOM cine: temporal position or trigger time; instance number only where you "
            "know that it counts them"
        )
        self.keep_body = QCheckBox("Keep sex, height and weight")
        self.keep_identity = QCheckBox("Keep identities")
        self.keep_identity.setToolTip(
            "Patients keep their identifiers. Otherwise they get pseudonyms, keyed with the study's own secret, "
            "and nothing else of them is kept"
        )
        self.channel = QLineEdit()
        self.channel.setAccessibleName("Channel")
        self.channel.setPlaceholderText("if several")
        self.channel.setToolTip("Name or number of the channel")
        self._dicom = (QLabel("Phases"), self.phases, self.keep_body, self.keep_identity)
        self._channels = (QLabel("Channel"), self.channel)
        row = QHBoxLayout(self)
        set_margins(row, margin=0)
        for widget in (*self._dicom, *self._channels):
            row.addWidget(widget)
        row.addStretch(1)
        self.phases.currentIndexChanged.connect(lambda _: self.changed.emit())
        for box in (self.keep_body, self.keep_identity):
            box.toggled.connect(lambda _: self.changed.emit())
        self.channel.editingFinished.connect(self._channel_typed)
        self._channel = ""
        self.show_for("auto")

    def show_for(self, layout: str) -> None:
        """Show what a layout takes."""
        takes = layout == "auto" or LAYOUTS[layout].takes_options
        channels = layout in (*_CHANNEL_LAYOUTS, "auto")
        for widget in self._dicom:
            widget.setVisible(takes and layout not in _CHANNEL_LAYOUTS)
        for widget in self._channels:
            widget.setVisible(channels)

    def scan_options(self, folder: Path, run: BackgroundRun) -> tuple[ScanOptions, Pseudonyms]:
        """Return the choices; the study's key is read, or a new one drawn that is not written yet.

        Raises
        ------
        StudyError
            The key cannot be read, or others may read it.
        """
        pseudonyms = Pseudonyms.of_folder(folder, keep_identity=self.keep_identity.isChecked())
        options = ScanOptions(
            pseudonyms=pseudonyms,
            phases=self.phases.currentData(),
            keep_body=self.keep_body.isChecked(),
            channel=self._channel or None,
            progress=run.report,
            should_stop=run.should_stop,
        )
        return options, pseudonyms

    def _channel_typed(self) -> None:
        text = self.channel.text().strip()
        if text != self._channel:
            self._channel = text
            self.changed.emit()
