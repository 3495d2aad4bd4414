"""The dialog of jobs and engine: rows, details, try again, the line of a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from qtpy.QtCore import QObject, Signal

from napari_ssl.core.job import Job, JobKind, JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui.engine_dialog import EngineDialog
from napari_ssl.gui.engine_place import PlaceForm
from napari_ssl.jobs import place
from napari_ssl.jobs.cluster_settings import Kubernetes, Slurm
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.study.study import Study

PEM = "-----BEGIN X-----"
SERVER = place.Server(address="tls://gpu.lab:8786", ca_cert=PEM, client_cert=PEM, client_key=PEM)


class FakeBridge(QObject):
    jobs_changed = Signal(list)
    refused = Signal(str, str)

    def __init__(self, folder: Path, parent: QObject) -> None:
        super().__init__(parent)
        self.ordered: list[tuple[str, str]] = []

    def resume(self, job_id: str) -> None:
        self.ordered.append(("resume", job_id))

    def pause(self, job_id: str) -> None:
        self.ordered.append(("pause", job_id))

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        self.ordered.append(("force" if force else "cancel", job_id))

    def close(self) -> None:
        self.ordered.append(("close", ""))


@pytest.fixture
def dialog(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        study.create_job("train", {"a": 1}, "job1")
        study.update_job("job1", state=JobState.FAILED, attempts=3, message="out of memory")
        (study.job_folder("job1") / "log.txt").write_text("the last words\n")
        made = EngineDialog(study, make_bridge=FakeBridge)
        qtbot.addWidget(made)
        yield made
        made.done(0)


def job(job_id: str, state: JobState) -> Job:
    now = datetime.now(UTC)
    return Job(
        id=job_id, kind=JobKind.TRAIN, state=state, folder=f"runs/{job_id}", created_at=now, updated_at=now, attempts=3
    )


def test_a_job_that_failed_shows_its_story_and_can_be_tried_again(qtbot, dialog):
    bridge = dialog._bridge
    bridge.jobs_changed.emit([job("job1", JobState.FAILED)])
    qtbot.waitUntil(lambda: "the last words" in dialog.details.toPlainText(), timeout=20_000)
    assert "failed  out of memory" in dialog.details.toPlainText()
    assert dialog.table.item(0, 3).text() == "3"
    assert dialog.retry_button.isEnabled() and not dialog.stop_button.isEnabled()
    dialog.retry_button.click()
    assert bridge.ordered == [("resume", "job1")]


def test_the_newest_job_comes_first_and_a_choice_stays(dialog):
    jobs = [job("job1", JobState.FAILED), job("job2", JobState.RUNNING)]
    dialog._bridge.jobs_changed.emit(jobs)
    assert dialog.chosen.id == "job2" and dialog.stop_button.isEnabled()
    dialog.table.selectRow(1)
    dialog._bridge.jobs_changed.emit([*jobs, job("job3", JobState.QUEUED)])
    assert dialog.chosen.id == "job1"


def test_a_running_job_can_be_paused_stopped_and_ended_at_once_and_that_is_acknowledged(dialog):
    bridge = dialog._bridge
    bridge.jobs_changed.emit([job("job1", JobState.RUNNING)])
    assert not dialog.retry_button.isEnabled()
    dialog.pause_button.click()
    assert "writes a checkpoint first" in dialog.message.text() and not dialog.message.isHidden()
    dialog.stop_button.click()
    dialog.force_button.click()
    assert bridge.ordered == [("pause", "job1"), ("cancel", "job1"), ("force", "job1")]
    bridge.jobs_changed.emit([job("job1", JobState.PAUSED)])
    assert dialog.retry_button.text() == "Resume" and not dialog.pause_button.isEnabled()


def test_the_line_of_a_server_is_pasted_and_taken_back(qtbot, dialog, monkeypatch):
    class Answering:
        def __init__(self, server):
            assert server == SERVER

        def __call__(self, handler, **arguments):
            return {"gpus": 2, "memory_mb": 64_000, "cores": 16, "slots": 1, "running": 0}

        def close(self):
            pass

    monkeypatch.setattr("napari_ssl.jobs.server_connection.Connection", Answering)
    form = dialog.place
    qtbot.waitUntil(lambda: form.place.text() == "Jobs run on this computer", timeout=20_000)
    assert "cores" in form.workers.text() and form.pages.isHidden()
    form.kind.setCurrentIndex(1)
    form.line.setText("nonsense")
    form.use_button.click()
    qtbot.waitUntil(lambda: "no line of" in dialog.message.text(), timeout=20_000)
    assert place.server_in_use() is None and form.use_button.isEnabled()
    form.line.setText(place.line_of(SERVER))
    form.use_button.click()
    qtbot.waitUntil(lambda: form.place.text() == "Jobs run at tls://gpu.lab:8786", timeout=20_000)
    assert place.server_in_use() == SERVER and form.line.text() == ""
    assert dialog.message.text() == "The server answers: 2 GPUs, 64,000 MB, 16 cores."
    qtbot.waitUntil(lambda: "answers: 2 GPUs" in form.workers.text(), timeout=20_000)
    form.kind.setCurrentIndex(0)
    form.use_button.click()
    qtbot.waitUntil(lambda: form.place.text() == "Jobs run on this computer", timeout=20_000)
    assert place.server_in_use() is None


def test_a_cluster_is_chosen_with_its_settings_and_shown_again(qtbot, dialog, monkeypatch):
    monkeypatch.setattr("napari_ssl.jobs.slurm.check_slurm", lambda: None)
    form = dialog.place
    form.kind.setCurrentIndex(2)
    form._slurm.edits["queue"].setText("gpu")
    form._slurm.numbers["gpus"].setValue(1)
    form.use_button.click()
    qtbot.waitUntil(lambda: form.place.text() == "Jobs run on SLURM, partition gpu", timeout=20_000)
    assert place.place_in_use() == Slurm(queue="gpu", gpus=1)
    again = PlaceForm()
    qtbot.addWidget(again)
    assert again.kind.currentIndex() == 2 and again._slurm.values() == form._slurm.values()
    again.close_tasks()
    form._slurm.edits["queue"].setText("a; rm")
    form.use_button.click()
    qtbot.waitUntil(lambda: "no blank" in dialog.message.text(), timeout=20_000)
    assert place.place_in_use() == Slurm(queue="gpu", gpus=1)


def test_kubernetes_needs_an_image(qtbot, dialog):
    form = dialog.place
    form.kind.setCurrentIndex(3)
    form.use_button.click()
    qtbot.waitUntil(lambda: "name a container image" in dialog.message.text(), timeout=20_000)
    form._kubernetes.edits["image"].setText("registry.lab/napari-ssl:1")
    form.use_button.click()
    qtbot.waitUntil(lambda: form.place.text() == "Jobs run on Kubernetes, namespace default", timeout=20_000)
    assert place.place_in_use() == Kubernetes(image="registry.lab/napari-ssl:1")


def test_of_hundreds_of_batches_only_what_changed_is_written_anew(dialog, monkeypatch):
    jobs = [job(f"job{n}", JobState.DONE) for n in range(300)]
    dialog._bridge.jobs_changed.emit(jobs)
    dialog.table.selectRow(299)
    written, write = [], dialog._show_row
    monkeypatch.setattr(dialog, "_show_row", lambda row, job: (written.append(job.id), write(row, job)))
    jobs = [*jobs[:-1], job("job299", JobState.FAILED), job("job300", JobState.QUEUED)]
    dialog._bridge.jobs_changed.emit(jobs)
    assert written == ["job300", "job299"] and dialog.chosen.id == "job0"
    states = [dialog.table.item(row, 1).text() for row in range(dialog.table.rowCount())]
    assert states == [j.state.value for j in reversed(jobs)]
    dialog._bridge.jobs_changed.emit(jobs[:2])
    assert [dialog.table.item(row, 1).text() for row in range(dialog.table.rowCount())] == ["done"] * 2


def test_a_cell_that_is_set_does_not_measure_its_column(dialog):
    """With hundreds of jobs the window stood still for a minute."""
    header = dialog.table.horizontalHeader()
    automatic = header.ResizeMode.ResizeToContents
    assert all(header.sectionResizeMode(place) != automatic for place in range(header.count()))
    dialog._bridge.jobs_changed.emit([job("job1", JobState.DONE)])
    assert dialog.table.columnWidth(0) >= dialog.table.sizeHintForColumn(0)
