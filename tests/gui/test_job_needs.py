"""What trainings and labellings ask of a computer: chosen in the dialog of jobs, kept, handed to the jobs, told."""

from __future__ import annotations

import pytest
from panel_fakes import FakeRunner, add_models, make_study
from qtpy.QtCore import Qt

from napari_ssl.core.resources import Resources
from napari_ssl.gui import job_needs as module
from napari_ssl.gui.bridge import JobBridge
from napari_ssl.gui.engine_dialog import EngineDialog
from napari_ssl.gui.job_needs import LABELLING, TRAINING, NeedsForm, job_needs, set_job_needs
from napari_ssl.gui.models_panel import ModelsPanel
from napari_ssl.gui.training_panel import TrainingPanel
from napari_ssl.jobs import place
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.jobs.offers import GPUS_VARIABLE, Offer
from napari_ssl.jobs.runner import Runner


@pytest.fixture(autouse=True)
def small_computer(tmp_path, monkeypatch):
    """This computer has 8 GB, 2 cores and no graphics card, and an engine folder of the test's own."""
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "engine"))
    monkeypatch.setenv(GPUS_VARIABLE, "0")
    monkeypatch.setattr("napari_ssl.jobs.handing.offer_here", lambda: Offer(gpus=0, memory_mb=8000, cores=2))


@pytest.fixture
def form(qtbot):
    made = NeedsForm()
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close_tasks()


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path) as made:
        add_models(made, tmp_path)
        yield made


def bridge_to(runner):
    return lambda folder, parent: JobBridge(folder, parent, make_runner=lambda f: runner)


def test_everything_is_automatic_until_a_person_chooses(form):
    assert job_needs(TRAINING) == job_needs(LABELLING) == Resources()
    assert {field.text() for field in form.fields.values()} == {"automatic"}


def test_a_choice_is_kept_for_trainings_and_labellings_apart(qtbot, form):
    form.fields[TRAINING, "memory_gb"].setValue(32.5)
    form.fields[TRAINING, "hours"].setValue(12)
    form.fields[LABELLING, "gpus"].setValue(0)
    form.fields[LABELLING, "cores"].setValue(4)
    assert job_needs(TRAINING) == Resources(memory_mb=32_500, hours=12.0)
    assert job_needs(LABELLING) == Resources(gpus=0, cores=4)
    again = NeedsForm()
    qtbot.addWidget(again)
    assert again.fields[TRAINING, "memory_gb"].value() == 32.5
    assert again.fields[LABELLING, "gpus"].value() == 0 and again.fields[TRAINING, "gpus"].text() == "automatic"
    again.fields[TRAINING, "memory_gb"].setValue(0)
    assert job_needs(TRAINING) == Resources(hours=12.0)
    again.close_tasks()


@pytest.mark.parametrize(
    "content", ['{"training": {"memory_gb": "much"}}', '{"training": {"gpus": -3}}', '{"training": 4}', "[]", "{",
                '{"training": {"cores": 1e400}}', '{"training": {"hours": true, "gpus": true}}']
)  # fmt: skip
def test_a_damaged_choice_is_automatic(content):
    path = module.config_folder() / "job_needs.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert job_needs(TRAINING) in (Resources(), Resources(hours=1.0))
    set_job_needs(TRAINING, Resources(cores=2))
    assert job_needs(TRAINING).cores == 2


def test_a_choice_that_cannot_be_kept_is_told(qtbot, form, monkeypatch):
    def refuse(*_):
        raise PermissionError("not allowed")

    monkeypatch.setattr(module, "write_json", refuse)
    with qtbot.waitSignal(form.told) as told:
        form.fields[TRAINING, "cores"].setValue(2)
    assert told.args == ["What jobs ask for cannot be kept (not allowed); it stays as it was."]


def test_more_than_any_worker_has_is_said_while_it_is_chosen(qtbot, form):
    form.fields[TRAINING, "memory_gb"].setValue(64)
    form.fields[LABELLING, "gpus"].setValue(1)
    qtbot.waitUntil(lambda: "Labelling would wait" in form.unmet.text(), timeout=20_000)
    training, labelling = form.unmet.text().splitlines()
    assert training == (
        "Training would wait: needs 64,000 MB of memory; no worker of this engine has that "
        "(this computer has no GPU, 8,000 MB, 2 cores)."
    )
    assert "needs 1 GPU; no worker of this engine has one" in labelling and form.unmet.isVisible()
    form.fields[TRAINING, "memory_gb"].setValue(4)
    form.fields[LABELLING, "gpus"].setValue(-1)
    qtbot.waitUntil(lambda: not form.unmet.text() and not form.unmet.isVisible(), timeout=20_000)


def test_a_damaged_place_of_work_is_left_to_the_form_that_shows_it(tmp_path):
    place.forget_server()
    (tmp_path / "engine" / "place.json").write_text("{")
    set_job_needs(TRAINING, Resources(memory_mb=64_000))
    assert module.unmet_needs() == ""


def test_the_dialog_of_jobs_holds_the_form_and_ends_its_thread(qtbot):
    dialog = EngineDialog(None)
    qtbot.addWidget(dialog)
    dialog.needs.fields[TRAINING, "hours"].setValue(2)
    assert job_needs(TRAINING).hours == 2
    dialog.done(0)


def test_relabelling_and_measuring_hand_it_to_their_jobs(qtbot, study):
    set_job_needs(LABELLING, Resources(memory_mb=4000, hours=3))
    runner, panel = FakeRunner(study.folder), ModelsPanel()
    qtbot.addWidget(panel)
    panel.set_study(study, make_bridge=bridge_to(runner))
    qtbot.waitUntil(panel.relabel_button.isEnabled, timeout=20_000)
    panel.relabel()
    qtbot.waitUntil(lambda: len(runner.specs) == 1, timeout=20_000)
    panel.select_model("r001-aaaa")
    panel._evaluate()
    qtbot.waitUntil(lambda: len(runner.specs) == 2, timeout=20_000)
    assert [spec.resources for spec in runner.specs] == [Resources(memory_mb=4000, hours=3.0)] * 2
    assert runner.specs[0].settings["resources"] == Resources(memory_mb=4000, hours=3.0)  # of each batch, too
    panel.close_panel()


@pytest.fixture
def training(qtbot, study):
    panel = TrainingPanel()
    qtbot.addWidget(panel)
    panel.resize(420, 900)
    panel.show()
    yield panel
    panel.close_panel()


def test_a_training_hands_it_to_its_job(qtbot, study, training):
    set_job_needs(TRAINING, Resources(gpus=2, cores=8))
    runner = FakeRunner(study.folder)
    training.set_study(study, make_bridge=bridge_to(runner))
    qtbot.waitUntil(training.setup.start_button.isEnabled, timeout=20_000)
    qtbot.mouseClick(training.setup.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(runner.specs) == 1, timeout=20_000)
    assert runner.specs[0].resources == Resources(gpus=2, cores=8)


def test_a_training_that_nobody_can_serve_waits_and_says_why(qtbot, study, training):
    set_job_needs(TRAINING, Resources(memory_mb=64_000))
    training.set_study(study, make_bridge=lambda folder, parent: JobBridge(folder, parent, make_runner=Runner))
    qtbot.waitUntil(training.setup.start_button.isEnabled, timeout=20_000)
    qtbot.mouseClick(training.setup.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "needs 64,000 MB of memory" in training.run.banner.text, timeout=30_000)
    assert "Choose another place" in training.run.banner.text


def test_a_relabelling_that_nobody_can_serve_waits_and_says_why(qtbot, study):
    set_job_needs(LABELLING, Resources(gpus=4))
    panel = ModelsPanel()
    qtbot.addWidget(panel)
    panel.set_study(study, make_bridge=lambda folder, parent: JobBridge(folder, parent, make_runner=Runner))
    qtbot.waitUntil(panel.relabel_button.isEnabled, timeout=20_000)
    panel.relabel()
    qtbot.waitUntil(lambda: "needs 4 GPUs; no worker of this engine has any" in panel.jobs.text.text(), timeout=30_000)
    panel.close_panel()
