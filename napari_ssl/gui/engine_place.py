"""The choice of where jobs run: this computer, servers, SLURM, Kubernetes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_ssl.gui.background import BackgroundTask
from napari_ssl.gui.engine_texts import page_of
from napari_ssl.jobs.choosing import choose_cluster, choose_server, place_words
from napari_ssl.jobs.cluster_settings import Kubernetes, Slurm
from napari_ssl.jobs.place import Servers, forget_server, place_in_use

__all__ = ["PlaceForm"]

HERE, SERVER, SLURM, KUBERNETES = range(4)
_NAMES = ("on this computer", "at a server", "on a SLURM cluster", "on Kubernetes")


class PlaceForm(QWidget):
    """Shows where jobs run and lets the user choose; what servers answer is asked in a thread.

    Signals
    -------
    told(str)
        What came of a choice, or why it was refused.
    """

    told = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.place, self.workers = QLabel(), QLabel()
        self.place.setStyleSheet("font-weight: bold")
        for label in (self.place, self.workers):
            label.setWordWrap(True)
        self.kind = QComboBox()
        self.kind.addItems(_NAMES)
        self.kind.setAccessibleName("Where new attempts of jobs run")
        self.pages = QStackedWidget()
        self.use_button = QPushButton("Use")
        self.use_button.setToolTip("Have new attempts of jobs run there; those that run go on where they are")
        self._server, self._slurm, self._kubernetes = _ServerPage(), _SlurmPage(), _KubernetesPage()
        for page in (QWidget(), self._server, self._slurm, self._kubernetes):
            self.pages.addWidget(page)
        self.line = self._server.line
        row = QHBoxLayout()
        row.addWidget(QLabel("Run jobs"))
        row.addWidget(self.kind)
        row.addStretch(1)
        row.addWidget(self.use_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for item in (self.place, self.workers, row, self.pages):
            column.addLayout(item) if isinstance(item, QHBoxLayout) else column.addWidget(item)
        self.kind.currentIndexChanged.connect(self._show_page)
        self.use_button.clicked.connect(self._use)
        self._choice, self._look = BackgroundTask(self), BackgroundTask(self)
        self._choice.done.connect(self._chosen)
        self._choice.failed.connect(self._refused)
        self._look.done.connect(lambda words: self._tell(*words))
        self._look.failed.connect(lambda text: self._tell(text, []))
        self.kind.setCurrentIndex(page_of(_place_or_none()))
        self._fill()
        self._show_page()
        self.refresh()

    def _fill(self) -> None:
        """Show the settings that are in use."""
        place = _place_or_none()
        if isinstance(place, Slurm):
            self._slurm.set(place)
        elif isinstance(place, Kubernetes):
            self._kubernetes.set(place)

    def _show_page(self) -> None:
        for number in range(self.pages.count()):  # the tallest page would keep its room when it is not shown
            page, is_shown = self.pages.widget(number), number == self.kind.currentIndex()
            policy = QSizePolicy.Policy.Preferred if is_shown else QSizePolicy.Policy.Ignored
            page.setSizePolicy(QSizePolicy.Policy.Preferred, policy)
        self.pages.setCurrentIndex(self.kind.currentIndex())
        self.pages.setMaximumHeight(max(0, self.pages.currentWidget().sizeHint().height()))
        self.pages.setVisible(self.kind.currentIndex() != HERE)  # an empty page takes no room

    def refresh(self) -> None:
        """Look again where jobs run and what the workers have."""
        self._look.start(lambda run: place_words())

    def _tell(self, title: str, lines: list[str]) -> None:
        self.place.setText(title)
        self.workers.setText("\n".join(lines))

    def _use(self) -> None:
        self.use_button.setEnabled(False)
        work = self._work()
        self._choice.start(lambda run: work())

    def _work(self) -> Callable[[], str]:
        """Return what carries the choice out; it reads the form now and runs in a thread."""
        kind = self.kind.currentIndex()
        if kind == HERE:
            return lambda: forget_server() or "New attempts of jobs run on this computer."
        if kind == SERVER:
            line, shared, also = self._server.values()
            return lambda: f"The server answers: {choose_server(line, shared=shared, also=also)}."
        values = (self._slurm if kind == SLURM else self._kubernetes).values()
        make = Slurm if kind == SLURM else Kubernetes

        def use() -> str:
            place = make(**values)
            choose_cluster(place)
            return f"New attempts of jobs run {place.describe()}."

        return use

    def _chosen(self, words: str) -> None:
        self.use_button.setEnabled(True)
        self.line.clear()
        self.told.emit(words)
        self.refresh()

    def _refused(self, words: str) -> None:
        self.use_button.setEnabled(True)
        self.told.emit(words)

    def close_tasks(self) -> None:
        """End the threads."""
        self._choice.close()
        self._look.close()


def _place_or_none() -> Servers | Slurm | Kubernetes | None:
    from napari_ssl.errors import NapariSslError

    try:
        return place_in_use()
    except NapariSslError:
        return None  # damaged: `refresh` tells so


class _ServerPage(QWidget):
    """A server's line, the folder that both see."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.shared = QLineEdit(), QLineEdit()
        self.line.setPlaceholderText("The line that 'napari-ssl engine serve' printed there")
        self.line.setEchoMode(QLineEdit.EchoMode.PasswordEchoOnEdit)  # whoever has it may use the server
        self.line.setAccessibleName("Line of a server")
        self.shared.setPlaceholderText("/here=/there, if both see one folder (optional: else files are sent)")
        self.shared.setAccessibleName("Folder that this computer and the server share")
        self.also = QCheckBox("beside the servers in use")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Line", self.line)
        form.addRow("Shared folder", self.shared)
        form.addRow("", self.also)

    def values(self) -> tuple[str, str | None, bool]:
        """Return line, shared folder, whether it is a further server."""
        return self.line.text(), self.shared.text().strip() or None, self.also.isChecked()


class _ClusterPage(QWidget):
    """Texts in one column, amounts in another."""

    texts: tuple[tuple[str, str, str], ...]
    """Name of the setting, its label, what to type."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.edits: dict[str, QLineEdit] = {}
        for row, (name, label, hint) in enumerate(self.texts):
            edit = self.edits[name] = QLineEdit()
            edit.setPlaceholderText(hint)
            edit.setAccessibleName(label)
            grid.addWidget(QLabel(label), row, 0)
            grid.addWidget(edit, row, 1)
        self.numbers: dict[str, QSpinBox | QDoubleSpinBox] = {}
        amounts = (
            ("cores", "Cores", 1, 4096), ("memory_gb", "Memory (GB)", 1, 16_000), ("gpus", "GPUs", 0, 64),
            ("hours", "Hours", 0.1, 8760), ("jobs", "Jobs at a time", 1, 32),
        )  # fmt: skip
        for row, (name, label, least, most) in enumerate(amounts):
            box = self.numbers[name] = QDoubleSpinBox() if name == "hours" else QSpinBox()
            box.setRange(least, most)
            box.setAccessibleName(label)
            box.setToolTip("Of a job that does not say what it needs" if name != "jobs" else "")
            grid.addWidget(QLabel(label), row, 2)
            grid.addWidget(box, row, 3)
        grid.setColumnStretch(1, 1)

    def set(self, place: Slurm | Kubernetes) -> None:
        """Show settings."""
        for name, edit in self.edits.items():
            edit.setText(str(getattr(place, name)))
        for name, box in self.numbers.items():
            box.setValue(getattr(place, name))

    def values(self) -> dict[str, object]:
        """Return settings as typed."""
        texts = {name: edit.text().strip() for name, edit in self.edits.items()}
        return {**texts, **{name: box.value() for name, box in self.numbers.items()}}


class _SlurmPage(_ClusterPage):
    texts = (
        ("queue", "Partition", "the cluster's own"),
        ("account", "Account", "the cluster's own"),
        ("folder", "Folder for jobs", "seen by all nodes; in your home by default"),
        ("interface", "Network interface", "that nodes reach this computer at, such as ib0"),
        ("python", "Python at the nodes", "the path of this one"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.set(Slurm())


class _KubernetesPage(_ClusterPage):
    texts = (
        ("image", "Image", "that holds napari-ssl of this version"),
        ("namespace", "Namespace", ""),
        ("volume", "Volume claim", "for jobs' files; without one they end with the pod"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.set(Kubernetes(image="x"))
        self.edits["image"].clear()
