"""An engine of the tests' own, studies to run in, orders of the kind that counts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import PredictionSpec, Preprocessing, Role, StartModel, TrainingItem
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE, stop_engine
from napari_ssl.jobs.runner import Runner
from napari_ssl.jobs.spec import TEST_KINDS_VARIABLE
from napari_ssl.study.study import Study

HERE = str(Path(__file__).parent)


def _processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(ENGINE_FOLDER_VARIABLE) == str(folder) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_for(condition, timeout_s: float = 15.0):
    """Return the first true value of `condition`; fail after a time, thrice as long as a free machine needs."""
    until = time.monotonic() + 3 * timeout_s
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.03)
    raise AssertionError(f"did not become true within {timeout_s} s")


@pytest.fixture(scope="module")
def jobs_environment(tmp_path_factory):
    """Environment of the test kind and an engine folder of its own; nothing may be left running afterwards."""
    folder = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENGINE_FOLDER_VARIABLE, str(folder))
        patch.setenv(TEST_KINDS_VARIABLE, "counting_kind")
        patch.setenv("PYTHONPATH", HERE)
        patch.syspath_prepend(HERE)
        yield folder
        stop_engine()
        wait_for(lambda: not _processes_of(folder), 20)


@pytest.fixture
def study(jobs_environment, tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as made:
        yield made


@pytest.fixture
def runner(study):
    with Runner(study.folder) as made:
        yield made


@pytest.fixture
def processes(jobs_environment):
    """Ask which processes the engine and its jobs have."""
    return lambda: _processes_of(jobs_environment)


@pytest.fixture
def order():
    """Make an order to count."""

    def make(count: int = 5, step_s: float = 0.02, **behaviour) -> PredictionSpec:
        item = TrainingItem(
            case_id="p1",
            subject_id="p1",
            image_path="/p1.nii.gz",
            image_hash="0" * 64,
            spacing_zyx_mm=(10, 1, 1),
            frames=(0,),
            role=Role.UNLABELLED,
        )
        model = StartModel(
            model_id="m1",
            weights_path="/m1",
            weights_hash="0" * 64,
            network="res-unet",
            network_parameters={},
            preprocessing=Preprocessing(),
        )
        return PredictionSpec(
            model=model,
            label_scheme=PRESETS["acdc"],
            items=(item,),
            crf={"count": count, "step_s": step_s, **behaviour},
        )

    return make


@pytest.fixture
def eventually():
    return wait_for
