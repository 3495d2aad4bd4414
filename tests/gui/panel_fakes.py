"""A small study and a runner without processes, for the tests of the panels."""

from __future__ import annotations

import dataclasses
import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from napari_ssl.core.case import Split
from napari_ssl.core.job import Event, EventKind, Job, JobKind, JobState
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import Model, ModelState
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.jobs.events import EventWriter
from napari_ssl.measures.evaluation import summarise
from napari_ssl.study.study import Study


def write_image(path: Path, array: np.ndarray) -> Path:
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 10.0, 35.0)[: array.ndim])
    sitk.WriteImage(image, str(path))
    return path


def make_study(folder: Path, *, labelled: int = 1, unlabelled: int = 2) -> Study:
    """A study with tiny cines: `labelled` + `unlabelled` training cases, one validation and one test case."""
    images = folder / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.zeros((3, 2, 16, 16), np.uint8)
    labels[:, :, 4:10, 4:10] = 3
    study = Study.create(folder / "study", label_scheme=PRESETS["acdc"])
    plan = [(f"lab{i}", Split.TRAIN, True) for i in range(labelled)]
    plan += [(f"unl{i}", Split.TRAIN, False) for i in range(unlabelled)]
    plan += [("val0", Split.VALIDATION, True), ("test0", Split.TEST, True)]
    for name, split, has_labels in plan:
        image = write_image(images / f"{name}.nii.gz", rng.integers(0, 200, labels.shape).astype(np.int16))
        paths = ((None, write_image(images / f"{name}_gt.nii.gz", labels)),) if has_labels else ()
        report = study.add_cases(
            [ImportItem(subject_id=name, case_id=name, image_path=image, label_paths=paths)], split=split
        )
        assert report.added, report
    return study


class FakeRunner:
    """Does what `jobs.runner.Runner` promises, with jobs that the test itself moves on."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.calls: list[tuple] = []
        self.specs: list = []
        self.refuse: Exception | None = None
        self.closed = False
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def submit(self, spec) -> Job:
        if self.refuse is not None:
            raise self.refuse
        kind = spec.to_dict()["kind"]
        with self._lock:
            self.specs.append(spec)
            job = self.add_job(f"job{len(self._jobs) + 1}", kind)
        return job

    def add_job(self, job_id: str, kind: str = "train", state: JobState = JobState.QUEUED) -> Job:
        now = datetime.now(UTC)
        job = Job(id=job_id, kind=JobKind(kind), state=state, folder=f"runs/{job_id}", created_at=now, updated_at=now)
        (self.folder / job.folder).mkdir(parents=True, exist_ok=True)
        self._jobs[job_id] = job
        return job

    def set_state(self, job_id: str, state: JobState, message: str = "") -> None:
        with self._lock:
            self._jobs[job_id] = dataclasses.replace(self._jobs[job_id], state=state, message=message)

    def tell(self, job_id: str, kind: EventKind, **data) -> None:
        EventWriter(self.folder / "runs" / job_id).append(Event(kind=kind, data=data))

    def jobs(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def cancel(self, job_id: str, *, force: bool = False) -> None:
        self.calls.append(("cancel", job_id, force))

    def pause(self, job_id: str) -> None:
        self.calls.append(("pause", job_id))

    def resume(self, job_id: str) -> None:
        self.calls.append(("resume", job_id))

    def close(self) -> None:
        self.closed = True


def evaluation(dice: dict[str, list[float]], ef_errors: list[float]) -> dict:
    """An evaluation document of as many cases as there are EF errors."""
    cases = []
    for i, error in enumerate(ef_errors):
        scores = {name: values[i] for name, values in dice.items()}
        cases.append(
            {
                "case_id": f"test{i}",
                "subject_id": f"test{i}",
                "frames": {},
                "dice": scores,
                "nsd": {n: v - 0.05 for n, v in scores.items()},
                "hd95_mm": {n: 20 * (1 - v) for n, v in scores.items()},
                "asd_mm": {n: 5 * (1 - v) for n, v in scores.items()},
                "ef_error_points": {"LV": error},
                "ef_abs_error_points": {"LV": abs(error)},
            }
        )
    return summarise(cases)


def add_models(study: Study, folder: Path) -> None:
    """Register r001 (promoted) and r002 (a better candidate), both measured on four test cases."""
    first = evaluation({"RV": [0.70, 0.72, 0.68, 0.74], "LV": [0.80, 0.82, 0.81, 0.85]}, [8.0, -6.0, 7.0, 5.0])
    second = evaluation({"RV": [0.78, 0.80, 0.75, 0.77], "LV": [0.88, 0.90, 0.86, 0.84]}, [3.0, -2.0, 4.0, 6.0])
    reference = study.reference("lab0")
    for number, (model_id, document) in enumerate((("r001-aaaa", first), ("r002-bbbb", second)), start=1):
        source = folder / f"weights{number}"
        source.mkdir()
        (source / "weights.safetensors").write_bytes(bytes([number]) * 64)
        card = {
            "model_id": model_id,
            "weights_hash": str(number) * 64,
            "network": "res-unet",
            "network_parameters": {},
            "preprocessing": dataclasses.asdict(study.preprocessing),
            "training_cases": [["lab0", "labelled", reference.label_hash]],
            "parameters": {"learning_rate": 0.001},
            "policy": "accept-all",
            "seed": 0,
            "device": "cpu",
            "threads": 1,
        }
        (source / "card.json").write_text(json.dumps(card))
        study.register_model(
            Model(
                id=model_id,
                spec_hash=str(number) * 64,
                strategy="supervised",
                network="res-unet",
                round=number,
                parents=() if number == 1 else ("r001-aaaa",),
                metrics={"test": document},
                state=ModelState.CANDIDATE,
                created_at=datetime(2026, 1, number, tzinfo=UTC),
            ),
            source,
        )
    study.promote("r001-aaaa", by="tester")
