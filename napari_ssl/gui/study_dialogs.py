"""Dialogs that make or open a study; importing has its own dialog."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.core.label_scheme import PRESETS, LabelScheme, StructureRole
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import NapariSslError, StudyReadOnlyError
from napari_ssl.gui.background import BackgroundTask, in_words
from napari_ssl.gui.banner import Banner
from napari_ssl.gui.database_choice import DatabaseChoice
from napari_ssl.gui.import_dialog import ImportDialog
from napari_ssl.gui.theme import muted_label, set_margins, wrapped_label
from napari_ssl.study.study import Study

__all__ = ["ImportDialog", "NewStudyDialog", "ask_new_study", "ask_open_study", "open_study"]

_PRESET_TITLES = {"acdc": "ACDC", "ukbb": "UK Biobank", "mnms": "M&Ms", "sunnybrook": "Sunnybrook", "aorta": "Aorta"}
_ROLE_TITLES = {
    StructureRole.LV_CAVITY: "left ventricle, cavity",
    StructureRole.RV_CAVITY: "right ventricle, cavity",
    StructureRole.MYOCARDIUM: "myocardium",
    StructureRole.AORTA: "aorta",
    StructureRole.OTHER: "no clinical index",
}


class NewStudyDialog(QDialog):
    """Folder, name, meaning of the labels, in-plane spacing and size of training slices, and where the database is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("New study")
        self.study: Study | None = None
        self._making = BackgroundTask(self)
        self._making.done.connect(self._made)
        self._making.failed.connect(self._not_made)
        self.database = DatabaseChoice(self)
        self.banner = Banner(self)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("An empty or new folder")
        self.browse = QPushButton("Browse…")
        self.name = QLineEdit()
        self.labels = QComboBox()
        self.custom = QLineEdit()
        self.custom.setPlaceholderText("1=RV:rv_cavity,2=Myo:myocardium,3=LV:lv_cavity")
        self.preview = wrapped_label()
        self.spacing = QDoubleSpinBox()
        self.crop = (QSpinBox(), QSpinBox())
        self.reason = muted_label()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.create_button = self.buttons.addButton("Create study", QDialogButtonBox.ButtonRole.AcceptRole)
        self.create_button.setDefault(True)
        self.browse.setAutoDefault(False)
        self._fill_choices()
        for field, name in (
            (self.folder, "Folder"),
            (self.custom, "Label values as VALUE=NAME:ROLE, separated by commas"),
            (self.crop[0], "Rows of a training slice"),
            (self.crop[1], "Columns of a training slice"),
        ):
            field.setAccessibleName(name)
        self._build()
        self._connect()
        self._refresh()

    def _fill_choices(self) -> None:
        self.labels.addItem("Choose what the label values mean…", None)
        for name, scheme in PRESETS.items():
            meaning = ", ".join(f"{s.value} = {s.name}" for s in scheme.structures)
            self.labels.addItem(f"{_PRESET_TITLES.get(name, name)}: {meaning}", name)
        self.labels.addItem("Other…", "")
        self.spacing.setRange(0.0, 50.0)
        self.spacing.setDecimals(3)
        self.spacing.setSingleStep(0.1)
        self.spacing.setSuffix(" mm")
        self.spacing.setSpecialValueText("as in the images")
        for box in self.crop:
            box.setRange(16, 2048)
            box.setSingleStep(16)
            box.setValue(224)

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Folder", _row(self.folder, self.browse))
        form.addRow("Name", self.name)
        form.addRow("Label values", self.labels)
        form.addRow("", self.custom)
        form.addRow("", self.preview)
        form.addRow("Pixel spacing for training", self.spacing)
        form.addRow("Training slice (rows × columns)", _row(self.crop[0], QLabel("×"), self.crop[1]))
        form.addRow("Database", self.database)
        form.addRow(
            "",
            muted_label(
                "Label values are never guessed: data sets disagree. Slices are cut or padded to the training size "
                "around their centre; predictions always see whole slices."
            ),
        )
        column = QVBoxLayout(self)
        set_margins(column, margin=12, spacing=8)
        column.addWidget(self.banner)
        column.addLayout(form)
        column.addStretch(1)
        column.addWidget(self.reason)
        column.addWidget(self.buttons)
        self.resize(620, 480)

    def _connect(self) -> None:
        self.database.changed.connect(self._refresh)
        self.browse.clicked.connect(self._browse)
        for line in (self.folder, self.name, self.custom):
            line.textChanged.connect(self._refresh)
        self.labels.currentIndexChanged.connect(self._refresh)
        for box in self.crop:
            box.valueChanged.connect(self._refresh)
        self.spacing.valueChanged.connect(self._refresh)
        self.buttons.accepted.connect(self.create_study)
        self.buttons.rejected.connect(self.reject)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the new study", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def label_scheme(self) -> LabelScheme:
        """Return the chosen label scheme; SchemeError when the text cannot be read."""
        return LabelScheme.parse(self.labels.currentData() or self.custom.text())

    def preprocessing(self) -> Preprocessing:
        """Return the chosen preprocessing; SpecError when it is not allowed."""
        return Preprocessing(
            pixel_spacing_mm=round(self.spacing.value(), 3), crop_yx=(self.crop[0].value(), self.crop[1].value())
        )

    def why_not(self) -> str:
        """Return why the study cannot be made yet, empty when it can."""
        if not self.folder.text().strip():
            return "Choose a folder for the study."
        if self.labels.currentData() is None:
            return "Choose what the label values in your files mean."
        if self.labels.currentData() == "" and not self.custom.text().strip():
            return "Write the label values as VALUE=NAME:ROLE, separated by commas."
        try:
            self.label_scheme()
            self.preprocessing()
        except NapariSslError as error:
            return in_words(error)
        return self.database.why_not()

    def _refresh(self) -> None:
        self.custom.setVisible(self.labels.currentData() == "")
        folder = self.folder.text().strip()
        self.name.setPlaceholderText(Path(folder).name if folder else "The folder's name")
        try:
            scheme = self.label_scheme() if self.labels.currentData() is not None else None
        except NapariSslError:
            scheme = None
        self.preview.setText(_preview(scheme) if scheme else "")
        self.preview.setVisible(scheme is not None)
        reason = self.why_not()
        self.reason.setText(reason)
        self.create_button.setEnabled(not reason and not self._making.running)

    def create_study(self) -> None:
        """Make the study in a thread, since a server may take its time, and close; an error stays here, in words."""
        folder, name = Path(self.folder.text().strip()).expanduser(), self.name.text().strip() or None
        scheme, preprocessing, url = self.label_scheme(), self.preprocessing(), self.database.url
        self.banner.clear()
        self._making.start(
            lambda _run: Study.create(
                folder, label_scheme=scheme, preprocessing=preprocessing, name=name, database_url=url
            )
        )
        self.create_button.setEnabled(False)

    def _made(self, study: Study) -> None:
        self.study = study
        self.accept()

    def _not_made(self, text: str) -> None:
        self.banner.show_message(text, kind="error")
        self._refresh()

    def reject(self) -> None:
        """Close without a study; one that is being made cannot be called off, which takes seconds at most."""
        if not self._making.running:
            super().reject()

    def done(self, result: int) -> None:
        """Close; nobody waits for a server any more."""
        self.database.close_task()
        self._making.close()
        super().done(result)


def _preview(scheme: LabelScheme) -> str:
    lines = ["0 = background"]
    for s in scheme.structures:
        lines.append(f'<span style="color:{s.colour}">■</span> {s.value} = <b>{s.name}</b> ({_ROLE_TITLES[s.role]})')
    return "<br>".join(lines)


def _row(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    for index, widget in enumerate(widgets):
        row.addWidget(widget, 1 if index == 0 or not isinstance(widget, QPushButton | QLabel) else 0)
    return holder


def ask_new_study(parent: QWidget | None = None) -> Study | None:
    """Let the user make a study; None when they changed their mind."""
    dialog = NewStudyDialog(parent)
    dialog.exec()
    dialog.deleteLater()
    return dialog.study


def open_study(folder: str | Path) -> Study:
    """Open a study, for reading only where it cannot be written.

    Raises
    ------
    StudyError
        The folder holds no study, or a damaged or newer one.
    """
    try:
        return Study.open(folder)
    except StudyReadOnlyError:
        return Study.open(folder, read_only=True)


def ask_open_study(parent: QWidget | None = None) -> Study | None:
    """Let the user choose a study's folder; errors are told and the choice offered again. None when cancelled."""
    start = ""
    while True:
        folder = QFileDialog.getExistingDirectory(parent, "Open a study: choose its folder", start)
        if not folder:
            return None
        try:
            return open_study(folder)
        except (NapariSslError, OSError) as error:
            start = str(Path(folder).parent)
            box = QMessageBox(QMessageBox.Icon.Warning, "Open a study", in_words(error), parent=parent)
            box.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            box.exec()
