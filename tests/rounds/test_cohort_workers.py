"""Processes that share the cases of a prediction: every case once, lost ones replaced, nothing waits for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import PredictionSpec, Preprocessing, Role, StartModel, TrainingItem
from napari_ssl.errors import JobError, StorageError
from napari_ssl.io.documents import read_document
from napari_ssl.rounds import cohort_workers
from napari_ssl.rounds.case_records import failure_of, is_done
from napari_ssl.rounds.cohort_workers import gpu_names, label_in_processes, workers_kept


@pytest.fixture
def share(tmp_path, monkeypatch):
    """Let two workers label the cases of these names."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nif os.environ.get('NAPARI_SSL_WORKER'):\n    import fake_labeller\n    fake_labeller.install()\n"
    )
    paths = [str(tmp_path), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def work(*names, should_stop=lambda: False, folder=tmp_path):
        (folder / "output").mkdir(exist_ok=True, parents=True)
        told = []
        through = label_in_processes(
            _spec(names),
            range(len(names)),
            folder,
            n_threads=1,
            should_stop=should_stop,
            on_case=lambda n: told.append(names[n]),
        )
        return through, told

    work.output = tmp_path / "output"
    return work


def _spec(names) -> PredictionSpec:
    items = tuple(
        TrainingItem(
            case_id=name,
            subject_id=name,
            image_path="/image",
            image_hash="0",
            spacing_zyx_mm=(1, 1, 1),
            frames=(0,),
            role=Role.UNLABELLED,
        )
        for name in names
    )
    model = StartModel(
        model_id="m", weights_path="/w", weights_hash="0", network="n", network_parameters={},
        preprocessing=Preprocessing(),
    )  # fmt: skip
    return PredictionSpec(model=model, label_scheme=PRESETS["acdc"], items=items, workers=2)


def test_every_case_is_told_once_and_both_work(share):
    names = [f"c{n}" for n in range(40)]
    through, told = share(*names)
    assert through and sorted(told) == sorted(names)
    assert len({read_document(share.output / f"{name}.json")["worker"] for name in names}) == 2


def _workers_of(folder, names):
    return {read_document(folder / "output" / f"{name}.json")["worker"] for name in names}


def test_kept_workers_serve_the_next_run_and_end_with_the_block(share, tmp_path):
    names = [f"c{n}" for n in range(12)]
    folders = [tmp_path / f"run{n} of a cohort" for n in range(3)]
    with workers_kept():
        for folder in folders[:2]:
            assert share(*names, folder=folder)[0]
        first, second = (_workers_of(folder, names) for folder in folders[:2])
        kept = list(cohort_workers._kept.get())
        assert second <= {worker.process.pid for worker in kept} and first <= {w.process.pid for w in kept}
        kept[0].process.kill()  # one dies while nobody needs it
        kept[0].process.wait()
        assert share(*names, folder=folders[2])[0]
        third = [worker.process.pid for worker in cohort_workers._kept.get()]
        assert kept[0].process.pid not in third and kept[1].process.pid in third
    assert all((folder / f"worker{n}.log").exists() for folder in folders for n in (0, 1))
    assert not any(psutil.pid_exists(pid) for pid in (*third, kept[0].process.pid))


def test_workers_that_were_stopped_are_not_kept(share, tmp_path):
    with workers_kept():
        assert share("slow1", "slow2", should_stop=lambda: (share.output / "slow1.trying").exists()) == (False, [])
        assert not cohort_workers._kept.get()
        assert share("a", "b", folder=tmp_path / "next")[0]
        assert len(cohort_workers._kept.get()) == 2


def test_a_case_that_kills_is_left_out_after_two_deaths_and_takes_no_other_along(share):
    names = ["a", "kills1", "b", "c", "d"]
    through, told = share(*names)
    assert through and sorted(told) == sorted(names)
    for name in names:
        assert is_done(share.output, name) != name.startswith("kills")
        why = failure_of(share.output, name)
        assert (why is not None and "died 2 times" in why) == name.startswith("kills")


def test_a_full_disk_ends_the_work_in_words(share):
    with pytest.raises(StorageError, match="full1: the disk is full"):
        share("a", "full1", "b", "c", "d", "e")


def test_a_stop_ends_cases_under_way_at_once(share):
    started = time.monotonic()

    def later():
        assert time.monotonic() - started < 100
        return (share.output / "slow1.trying").exists() and (share.output / "slow2.trying").exists()

    through, told = share("slow1", "slow2", "a", should_stop=later)
    assert not through and not told


@pytest.mark.parametrize(
    ("chosen", "n_gpus", "names"),
    [("", 2, ["0", "1"]), ("3, 5", 2, ["3", "5"]), ("3,5", 0, []), ("GPU-a", 1, ["GPU-a"])],
)
def test_workers_take_the_gpus_that_the_user_left_them(monkeypatch, chosen, n_gpus, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert gpu_names(n_gpus) == names


def test_workers_that_cannot_start_are_an_error_not_a_wait(share, monkeypatch):
    monkeypatch.setenv("FAKE_LABELLER_CANNOT_START", "1")
    with pytest.raises(JobError, match="end by themselves"):
        share("a", "b")
