from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

from study_factory import decide, make_items, propose
from study_workers import import_more, record_and_die

from napari_ssl.study import Study

SPAWN = multiprocessing.get_context("spawn")


def test_cases_can_be_imported_while_another_process_reviews(study: Study, tmp_path: Path):
    make_items(tmp_path / "images", n=12)
    child = SPAWN.Process(target=import_more, args=(study.folder, tmp_path / "images"))
    child.start()
    reference, recorded, seen = study.reference("p0"), 0, set()
    while child.is_alive():
        study.record(decide(reference))
        recorded += 1
        seen.add(len(study.queue_rows("Ada")))
    child.join()
    assert child.exitcode == 0 and len(study.cases()) == 12
    assert len(study.decisions()) == recorded > 1


def test_a_process_killed_in_the_middle_of_writing_leaves_no_trace(study: Study):
    child = SPAWN.Process(target=record_and_die, args=(study.folder,))
    child.start()
    child.join()
    assert child.exitcode == -9
    with Study.open(study.folder) as again:
        assert len(again.decisions()) == 1 and again.case("p0").group == "NOR"
        again.record(decide(again.reference("p0")))
        assert not [f for f in again.check() if f.severity == "error"]


def test_threads_may_share_a_study(study: Study):
    errors: list[BaseException] = []

    def work(reader: str) -> None:
        try:
            for _ in range(10):
                study.record(decide(study.reference("p0"), reader=reader))
                assert len(study.queue_rows(reader)) == 6
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(f"reader{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(study.decisions()) == 60


def test_two_threads_that_save_the_same_labels_make_one_version(study: Study, tmp_path: Path):
    from study_factory import make_model

    make_model(study, tmp_path / "m1")
    found = []
    threads = [threading.Thread(target=lambda: found.append(propose(study, "p0", 1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len({s.id for s in found}) == 1
    assert study.read_labels(found[0]).any()
