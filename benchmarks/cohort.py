"""What a cohort costs besides the network: scheduling, database and files at 100,000 cases, with a fake network.

    python benchmarks/cohort.py [--cases 100000] [--batch 250] [--folder DIR] [--json]
    python benchmarks/cohort.py --workers 2 [--cases 400]            throughput of 1 and 2 processes, a small network

The fake network thresholds its image, so that what is measured is everything around it: reading and hashing the image,
writing and checking labels and confidence, volumes and rules, records, jobs, ledger, adoption into the study's
database. Images are ``(2, 2, 16, 16)`` in 100 files. Goals: 20 ms a case, memory that does not grow with the cases,
``study status`` and the first page of the queue within 200 ms.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.training import Preprocessing
from napari_ssl.io.images import Geometry, hash_file, write_volume
from napari_ssl.jobs.cohort import CohortOrder, label_cohort
from napari_ssl.study import schema
from napari_ssl.study.study import Study

N_FILES = 100
FRAMES, SLICES = 2, 2
NETWORK = {"base_channels": 4, "levels": 3}


def make_study(folder: Path, n_cases: int, size: int) -> Study:
    """A study with rows for `n_cases` cases over `N_FILES` image files, and a promoted model of random weights."""
    preprocessing = Preprocessing(crop_yx=(size, size))
    study = Study.create(folder / "study", label_scheme=PRESETS["acdc"], preprocessing=preprocessing)
    geometry = Geometry(size_xyz=(size, size, SLICES), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=(0, 0, 0), is_4d=True)
    files = []
    (folder / "images").mkdir()
    for n in range(N_FILES):
        path = folder / "images" / f"i{n:03d}.nii.gz"
        pixels = np.random.default_rng(n).integers(0, 255, (FRAMES, SLICES, size, size)).astype(np.uint8)
        write_volume(path, pixels, geometry)
        files.append((str(path), hash_file(path)))
    now = datetime.now(UTC)
    with study._database.write() as connection:
        for start in range(0, n_cases, 10_000):
            numbers = range(start, min(n_cases, start + 10_000))
            connection.execute(sa.insert(schema.subjects), [{"id": f"s{n:06d}", "split": "train"} for n in numbers])
            rows = [_case_row(n, files[n % N_FILES], geometry, size, now) for n in numbers]
            connection.execute(sa.insert(schema.cases), rows)
    _add_model(study, folder / "model", preprocessing)
    return study


def _case_row(n: int, file: tuple[str, str], geometry: Geometry, size: int, now: datetime) -> dict[str, Any]:
    return {
        "id": f"c{n:06d}",
        "subject_id": f"s{n:06d}",
        "image_path": file[0],
        "image_path_relative": None,
        "image_hash": file[1],
        "shape_tzyx": [FRAMES, SLICES, size, size],
        "spacing_zyx_mm": [8.0, 1.5, 1.5],
        "geometry": dataclasses.asdict(geometry),
        "ed_frame": 0,
        "es_frame": 1,
        "created_at": now,
    }


def _add_model(study: Study, folder: Path, preprocessing: Preprocessing) -> None:
    from napari_ssl.networks import build_network, save_weights

    folder.mkdir()
    network = build_network("res-unet", n_classes=study.label_scheme.n_classes, parameters=NETWORK, dimensions=2)
    save_weights(network, folder / "weights.safetensors", {})
    card = {
        "model_id": "m1",
        "network": "res-unet",
        "network_parameters": NETWORK,
        "preprocessing": dataclasses.asdict(preprocessing),
    }
    (folder / "card.json").write_text(json.dumps(card))
    model = Model(
        id="m1",
        spec_hash="0" * 64,
        strategy="supervised",
        network="res-unet",
        round=1,
        parents=(),
        metrics={},
        state=ModelState.CANDIDATE,
        created_at=datetime.now(UTC),
    )
    study.register_model(model, folder)
    study.promote("m1", by="benchmark")


def use_fake_network() -> None:
    """Replace the labelling of an image by a threshold."""
    from napari_ssl.inference.labelling import Labelling
    from napari_ssl.rounds import prediction

    def label_image(network: Any, image: np.ndarray, *, scheme: Any, **_: Any) -> Labelling:
        labels = scheme.from_classes((image > 200).astype(np.uint8) * 3)
        return Labelling(labels=labels, confidence=image.astype(np.uint8), changed=0.0)

    prediction.label_image = label_image


def median_ms(action: Callable[[], object], n: int = 5) -> float:
    """Return the median time of an action after one warm-up."""
    action()
    times = []
    for _ in range(n):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 1)


def measure_overhead(folder: Path, n_cases: int, batch: int) -> dict[str, Any]:
    """Label all cases with the fake network; milliseconds a case by tenth, memory over time, the study's answers."""
    use_fake_network()
    process = psutil.Process()
    with make_study(folder, n_cases, 16) as study:
        order = CohortOrder(settings={"crf": False, "confidence": ("probability",)}, batch_size=batch)
        marks: list[tuple[int, float, float, float]] = []

        def note(event: Any) -> None:
            if "n_cases" in event.data:
                cpu = process.cpu_times()
                now = (time.perf_counter(), cpu.user + cpu.system, process.memory_info().rss / 2**20)
                marks.append((event.data["n_done"], *now))

        started = time.perf_counter()
        cpu = process.cpu_times()
        cpu_started = cpu.user + cpu.system
        result = label_cohort(study, order, note, lambda: False)
        seconds = time.perf_counter() - started
        cpu = process.cpu_times()
        assert len(result["cases"]) == n_cases
        return {
            "cases": n_cases,
            "ms_per_case": round(1000 * seconds / n_cases, 2),
            "cpu_ms_per_case": round(1000 * (cpu.user + cpu.system - cpu_started) / n_cases, 2),
            "ms_per_case_by_tenth": _by_tenth(marks, n_cases),
            "rss_mb_by_tenth": [round(m[3]) for m in _at_tenths(marks, n_cases)],
            **measure_answers(study),
        }


def _at_tenths(marks: list[tuple[int, float, float, float]], n_cases: int) -> list[tuple[int, float, float, float]]:
    """The first mark, and the first after each tenth of the cases."""
    found = [marks[0]]
    for tenth in range(1, 11):
        found.append(next(m for m in marks if m[0] >= n_cases * tenth // 10))
    return found


def _by_tenth(marks: list[tuple[int, float, float, float]], n_cases: int) -> list[float]:
    points = _at_tenths(marks, n_cases)
    return [round(1000 * (b[1] - a[1]) / max(1, b[0] - a[0]), 2) for a, b in itertools.pairwise(points)]


def measure_answers(study: Study) -> dict[str, float]:
    """Milliseconds of what a person asks a large study."""
    return {
        "open_ms": median_ms(lambda: Study.open(study.folder, read_only=True).close()),
        "status_ms": median_ms(study.status),
        "first_page_ms": median_ms(lambda: study.first_queue_rows(None, 200)),
        "all_rows_ms": median_ms(lambda: study.queue_rows(None), 1),
    }


def measure_workers(folder: Path, n_cases: int, workers: int, size: int) -> dict[str, Any]:
    """Cases an hour with one process and with several, single-threaded, start of the processes left out."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rates = {}
    for n in (1, workers):
        with make_study(folder / f"w{n}", n_cases, size) as study:
            marks: list[tuple[float, int]] = []

            def note(event: Any, marks: list[tuple[float, int]] = marks) -> None:
                if "n_done" in event.data:
                    marks.append((time.perf_counter(), event.data["n_done"]))

            order = CohortOrder(settings={"crf": False, "workers": n}, batch_size=n_cases)
            label_cohort(study, order, note, lambda: False)
            (first, n_first), (last, n_last) = marks[0], marks[-1]
            rates[n] = (n_last - n_first) / (last - first)
    return {
        "cases": n_cases,
        "cases_per_hour": {n: round(3600 * rate) for n, rate in rates.items()},
        "speed_up": round(rates[workers] / rates[1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--workers", type=int, default=1, help="with 2 and more: throughput instead of overhead")
    parser.add_argument("--size", type=int, default=128, help="pixels of a side, for --workers")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.workers > 1:
            (Path(name) / "w1").mkdir()
            (Path(name) / f"w{options.workers}").mkdir()
            figures = measure_workers(Path(name), options.cases, options.workers, options.size)
        else:
            figures = measure_overhead(Path(name), options.cases, options.batch)
    if options.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:24} {value}")


if __name__ == "__main__":
    main()
