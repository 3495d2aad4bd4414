"""What a cohort costs besides the network: scheduling, database and files at 100,000 cases, with a fake network.

    python benchmarks/cohort.py --cases 100000 [--batch 250] [--workers 1] [--folder DIR] [--json FILE]
    python benchmarks/cohort.py --cases 100000 --minutes 30       stops then; the rows of the rest are made up
    python benchmarks/cohort.py --cases 2000 --relabel            a second model labels them again, Change is measured
    python benchmarks/cohort.py --throughput 2 [--network-ms 100] [--cases 400] [--repeat 2]      1, 2, 1, 2 processes

The fake network thresholds its image, so that what is measured is everything around it: reading and hashing the image,
writing labels and confidence, volumes and rules, records, jobs, ledger, adoption into the study's database. Images are
``(2, 2, 16, 16)`` in 100 files, each with a place in space of its own. Goals: 20 ms a case, memory that does not grow
with the cases, ``study status`` and the first page of the queue within 200 ms. For the throughput it computes for so
many milliseconds of CPU time in one thread, as a small network on one core does.

Time by the clock on a machine that others use too says little: CPU time and the machine's load stand beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
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
    files = []
    (folder / "images").mkdir(parents=True)
    for n in range(N_FILES):
        origin = (float(n), 2.0 * n, -3.0 * n)
        geometry = Geometry(size_xyz=(size, size, SLICES), spacing_xyz=(1.5, 1.5, 8.0), origin_xyz=origin, is_4d=True)
        path = folder / "images" / f"i{n:03d}.nii.gz"
        pixels = np.random.default_rng(n).integers(0, 255, (FRAMES, SLICES, size, size)).astype(np.uint8)
        write_volume(path, pixels, geometry)
        files.append((str(path), hash_file(path), geometry))
    now = datetime.now(UTC)
    with study._database.write() as connection:
        for start in range(0, n_cases, 10_000):
            numbers = range(start, min(n_cases, start + 10_000))
            connection.execute(sa.insert(schema.subjects), [{"id": f"s{n:06d}", "split": "train"} for n in numbers])
            rows = [_case_row(n, files[n % N_FILES], size, now) for n in numbers]
            connection.execute(sa.insert(schema.cases), rows)
    add_model(study, folder / "model", "m1")
    return study


def _case_row(n: int, file: tuple[str, str, Geometry], size: int, now: datetime) -> dict[str, Any]:
    return {
        "id": f"c{n:06d}",
        "subject_id": f"s{n:06d}",
        "image_path": file[0],
        "image_path_relative": None,
        "image_hash": file[1],
        "shape_tzyx": [FRAMES, SLICES, size, size],
        "spacing_zyx_mm": [8.0, 1.5, 1.5],
        "geometry": dataclasses.asdict(file[2]),
        "ed_frame": 0,
        "es_frame": 1,
        "created_at": now,
    }


def add_model(study: Study, folder: Path, model_id: str) -> None:
    """Register and promote a network of random weights; no two are the same."""
    from napari_ssl.networks import build_network, save_weights

    folder.mkdir()
    network = build_network("res-unet", n_classes=study.label_scheme.n_classes, parameters=NETWORK, dimensions=2)
    save_weights(network, folder / "weights.safetensors", {"model": model_id})
    card = {
        "model_id": model_id,
        "network": "res-unet",
        "network_parameters": NETWORK,
        "preprocessing": dataclasses.asdict(study.preprocessing),
    }
    (folder / "card.json").write_text(json.dumps(card))
    model = Model(
        id=model_id,
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
    study.promote(model_id, by="benchmark")


def use_fake_network(milliseconds: float = 0.0, threshold: int = 200) -> None:
    """Replace the labelling of an image by a threshold, after so much CPU time of one thread."""
    from napari_ssl.inference.labelling import Labelling, LabellingStopped
    from napari_ssl.rounds import prediction

    def label_image(network: Any, image: np.ndarray, *, scheme: Any, should_stop: Any, **_: Any) -> Labelling:
        if should_stop():
            raise LabellingStopped("stopped on request")
        until = time.thread_time() + milliseconds / 1000
        while time.thread_time() < until:
            np.sqrt(image[0].astype(np.float32)).sum()
        labels = scheme.from_classes((image > threshold).astype(np.uint8) * 3)
        return Labelling(labels=labels, confidence=image.astype(np.uint8), changed=0.0)

    prediction.label_image = label_image


def use_fake_network_in_workers(folder: Path, milliseconds: float = 0.0) -> None:
    """Let processes that share the cases begin with the fake network."""
    here = Path(__file__).resolve().parent
    (folder / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if os.environ.get('NAPARI_SSL_WORKER'):\n"
        f"    sys.path.insert(0, {str(here)!r})\n"
        "    import cohort\n"
        f"    cohort.use_fake_network({milliseconds!r})\n"
    )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


def median_ms(action: Callable[[], object], n: int = 5) -> float:
    """Return the median time of an action after one warm-up."""
    action()
    times = []
    for _ in range(n):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times), 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a run: cases done, seconds, CPU seconds and resident MB of this process and of those it started."""

    n_done: int
    seconds: float
    cpu: float
    rss_mb: float
    workers_mb: float


class Watch:
    """Takes a mark whenever the cohort tells how far it is."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.marks = [self._mark(0)]

    def _mark(self, n_done: int) -> Mark:
        own = self._process.cpu_times()
        used = own.user + own.system + own.children_user + own.children_system
        workers_mb = 0.0
        for child in self._process.children():
            try:
                workers_mb += child.memory_info().rss / 2**20
            except psutil.Error:  # it has just ended
                continue
        return Mark(n_done, time.perf_counter(), used, self._process.memory_info().rss / 2**20, workers_mb)

    def __call__(self, event: Any) -> None:
        if "n_cases" in event.data:
            self.marks.append(self._mark(event.data["n_done"]))

    def end(self) -> None:
        """Take the last mark: everything is in the study."""
        self.marks.append(self._mark(self.marks[-1].n_done))

    def figures(self) -> dict[str, Any]:
        """Return means a case, and by tenths of the cases that were done, the adoption of the last batch included."""
        first, last = self.marks[0], self.marks[-1]
        n_cases = last.n_done
        points = [first, *(next(m for m in self.marks if m.n_done >= n_cases * t // 10) for t in range(1, 10)), last]
        return {
            "ms_per_case": round(1000 * (last.seconds - first.seconds) / n_cases, 2),
            "cpu_ms_per_case": round(1000 * (last.cpu - first.cpu) / n_cases, 2),
            "ms_per_case_by_tenth": [_per_case(a, b, "seconds") for a, b in itertools.pairwise(points)],
            "cpu_ms_per_case_by_tenth": [_per_case(a, b, "cpu") for a, b in itertools.pairwise(points)],
            "rss_mb_by_tenth": [round(m.rss_mb) for m in points],
            "workers_rss_mb_by_tenth": [round(m.workers_mb) for m in points],
            "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


def _per_case(a: Mark, b: Mark, what: str) -> float:
    return round(1000 * (getattr(b, what) - getattr(a, what)) / max(1, b.n_done - a.n_done), 2)


def measure_overhead(
    folder: Path, n_cases: int, batch: int, workers: int, relabel: bool, minutes: float
) -> dict[str, Any]:
    """Label cases with the fake network; milliseconds a case by tenth, memory over time, the study's answers."""
    use_fake_network()
    use_fake_network_in_workers(folder)
    settings = {"crf": False, "confidence": ("probability",), "workers": workers}
    with make_study(folder, n_cases, 16) as study:
        if relabel:
            label_cohort(study, CohortOrder(settings=settings, batch_size=batch), lambda _: None, lambda: False)
            add_model(study, folder / "second", "m2")
            use_fake_network(threshold=190)
        watch = Watch()
        until = time.monotonic() + 60 * minutes
        order = CohortOrder(settings=settings, batch_size=batch)
        try:
            result = label_cohort(study, order, watch, lambda: time.monotonic() > until)
            assert len(result["cases"]) == n_cases and not result["failed"]
        except KeyboardInterrupt:
            print(f"stopped after {minutes:g} minutes; the same order would go on")
        watch.end()
        n_made_up = fill(study)
        return {
            "cases": n_cases,
            "cases_labelled": watch.marks[-1].n_done,
            "rows_made_up": n_made_up,
            "batch": batch,
            "workers": workers,
            **watch.figures(),
            "load_of_the_machine": [round(load, 1) for load in os.getloadavg()],
            **measure_answers(study),
        }


def fill(study: Study) -> int:
    """Give every case without a proposal the row of one that has; return how many those are."""
    table = schema.segmentations
    with study._database.write() as connection:
        row = dict(connection.execute(sa.select(table).limit(1)).mappings().one())
        done = sa.select(table.c.case_id)
        case_ids = (
            connection.execute(sa.select(schema.cases.c.id).where(schema.cases.c.id.not_in(done))).scalars().all()
        )
        random = np.random.default_rng(0).random(len(case_ids))
        del row["id"]
        for start in range(0, len(case_ids), 10_000):
            some = zip(case_ids[start : start + 10_000], random[start : start + 10_000], strict=True)
            made_up = [{**row, "case_id": c, "version": 1, "mean_confidence": float(x)} for c, x in some]
            connection.execute(sa.insert(table), made_up)
    return len(case_ids)


def measure_answers(study: Study) -> dict[str, float]:
    """Milliseconds of what a person asks a large study."""
    return {
        "open_ms": median_ms(lambda: Study.open(study.folder, read_only=True).close()),
        "status_ms": median_ms(study.status),
        "first_page_ms": median_ms(lambda: study.first_queue_rows(None, 200)),
        "all_rows_ms": median_ms(lambda: study.queue_rows(None), 1),
    }


def label_once(study: Path, batch: int, workers: int, milliseconds: float) -> list[Mark]:
    """Label the cohort, in a process that has imported nothing before, as the command's has not."""
    if workers == 1:
        use_fake_network(milliseconds)
    watch = Watch()
    settings = {"crf": False, "confidence": ("probability",), "workers": workers}
    with Study.open(study) as opened:
        label_cohort(opened, CohortOrder(settings=settings, batch_size=batch), watch, lambda: False)
    watch.end()
    return watch.marks


def measure_throughput(
    folder: Path, n_cases: int, batch: int, workers: int, milliseconds: float, repeat: int
) -> dict[str, Any]:
    """Cases an hour with one process and with several, by turns: of whole cohorts, and while cases are labelled.

    The whole counts everything from the start of the command's process: imports, the start of the other processes, the
    batches' orders, adoption. CPU time a case, the
    processes' included, tells what sharing costs where other programs disturb the clock.
    """
    use_fake_network_in_workers(folder, milliseconds)
    found: dict[str, dict[int, list[float]]] = {
        what: {1: [], workers: []} for what in ("whole", "labelling", "cpu_ms_per_case", "busy_percent")
    }
    for turn in range(repeat):
        for n in (1, workers):
            place = folder / f"turn{turn}-{n}"
            place.mkdir()
            make_study(place, n_cases, 16).close()
            psutil.cpu_times_percent()
            begun = time.perf_counter()
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                marks = pool.submit(label_once, place / "study", batch, n, milliseconds).result()
                seconds = time.perf_counter() - begun
            found["busy_percent"][n].append(round(100 - psutil.cpu_times_percent().idle))
            begin, first, done, end = marks[0], marks[1], marks[-2], marks[-1]
            rate = (done.n_done - first.n_done) / (done.seconds - first.seconds)
            found["whole"][n].append(round(3600 * n_cases / seconds))
            found["labelling"][n].append(round(3600 * rate))
            found["cpu_ms_per_case"][n].append(round(1000 * (end.cpu - begin.cpu) / n_cases, 1))
    return {
        "cases": n_cases,
        "batch": batch,
        "network_ms": milliseconds,
        "cases_per_hour_whole": found["whole"],
        "cases_per_hour_labelling": found["labelling"],
        "cpu_ms_per_case": found["cpu_ms_per_case"],
        "busy_percent_of_the_machine": found["busy_percent"],
        "load_of_the_machine": [round(load, 1) for load in os.getloadavg()],
        "speed_up_whole": round(max(found["whole"][workers]) / max(found["whole"][1]), 2),
        "speed_up_labelling": round(max(found["labelling"][workers]) / max(found["labelling"][1]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the cases")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--relabel", action="store_true", help="measure the second labelling, by another model")
    parser.add_argument("--throughput", type=int, metavar="N", help="compare one process with N instead")
    parser.add_argument("--network-ms", type=float, default=100.0, help="CPU time a case, for --throughput")
    parser.add_argument("--repeat", type=int, default=2, help="turns, for --throughput")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    parser.add_argument("--json", type=Path, help="also write the figures into this file")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.throughput:
            how = (options.batch, options.throughput, options.network_ms, options.repeat)
            figures = measure_throughput(Path(name), options.cases, *how)
        else:
            how = (options.batch, options.workers, options.relabel, options.minutes)
            figures = measure_overhead(Path(name), options.cases, *how)
    for key, value in figures.items():
        print(f"{key:28} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
