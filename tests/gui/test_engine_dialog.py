"""The dialog of jobs and engine: rows, details, try again, the line of a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from qtpy.QtCore import QObject, Signal

from napari_ssl.core.job import Job, JobKind, JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.gui.engine_dialog import EngineDialog
from napari_ssl.jobs import place
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

    def cancel(self, job_id: str) -> None:
        self.ordered.append(("cancel", job_id))

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


def test_the_line_of_a_server_is_pasted_and_taken_back(dialog):
    assert dialog.place.text() == "Jobs run on this computer"
    dialog.line.setText("nonsense")
    dialog.use_button.click()
    assert "no line of" in dialog.message.text() and place.server_in_use() is None
    dialog.line.setText(place.line_of(SERVER))
    dialog.use_button.click()
    assert place.server_in_use() == SERVER and dialog.line.text() == ""
    assert dialog.place.text() == "Jobs run at tls://gpu.lab:8786"
    dialog.here_button.click()
    assert place.server_in_use() is None and not dialog.here_button.isEnabled()
