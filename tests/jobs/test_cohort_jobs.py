"""Labelling a cohort: bounded batches, no case twice whatever happens, broken cases left out."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.job import EventKind, JobState
from napari_ssl.errors import JobError, StorageError
from napari_ssl.jobs.cohort import CohortOrder, Ledger, label_cohort
from napari_ssl.jobs.cohort_ledger import overtaken
from napari_ssl.rounds import prediction_spec

pytest.importorskip("torch")
from cohort_study import count_labelled, make_study

N = 7
PLAIN = {"crf": False}


@pytest.fixture(autouse=True)
def light(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("NAPARI_SSL_TEST_KINDS", raising=False)


@pytest.fixture
def cohort(tmp_path):
    with make_study(tmp_path, N) as study:
        yield study


def names(*numbers):
    return [f"c{n:03d}" for n in numbers]


def label(study, *, size=3, stop=lambda: False, cases=None, **settings):
    events = []
    order = CohortOrder(settings={**PLAIN, **settings}, batch_size=size, cases=cases)
    return label_cohort(study, order, events.append, stop), events


def damage(study, *numbers):
    for n in numbers:
        path = study.case(f"c{n:03d}").image_path
        with open(path, "r+b") as file:
            file.write(b"damaged!")


def test_every_open_case_is_labelled_in_bounded_batches(cohort):
    result, events = label(cohort)
    assert result["cases"] == names(*range(N)) and result["failed"] == {}
    assert [len(prediction.items) for prediction in _orders(cohort)] == [3, 3, 1]
    assert all(cohort.proposal(name).model_id == "m1" for name in names(*range(N)))
    last = [e.data for e in events if e.kind is EventKind.PROGRESS][-1]
    assert (last["n_done"], last["n_cases"], last["fraction"], last["seconds_left"]) == (N, N, 1.0, 0.0)
    assert last["cases_per_hour"] > 0 and result["efficiency"]["n"] == N
    assert not list((cohort.folder / "cohorts").glob("*.jsonl"))


def _orders(study):
    from napari_ssl.jobs.spec import read_spec

    return [read_spec(study.job_folder(job.id)) for job in study.jobs()]


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_command_that_is_killed_goes_on_without_doing_a_case_twice(cohort, monkeypatch, at):
    labelled = count_labelled(monkeypatch)

    class Killed(BaseException):
        """What nothing in the program catches, as a signal would end it."""

    from napari_ssl.rounds import prediction

    noting = prediction._keep_case

    def dying(spec, item, *rest):
        if len(labelled) == at:
            raise Killed
        noting(spec, item, *rest)

    monkeypatch.setattr(prediction, "_keep_case", dying)
    with pytest.raises(Killed):
        label(cohort)
    monkeypatch.setattr(prediction, "_keep_case", noting)
    result, _events = label(cohort)
    assert sorted(labelled) == names(*range(N))  # each once
    assert result["cases"] == names(*range(N))
    assert result["n_done_before"] == 3 * (at // 3)
    assert all(job.state is JobState.DONE for job in cohort.jobs())


def test_a_stop_is_gone_on_with_and_a_case_decided_meanwhile_does_not_make_others_be_done_again(cohort, monkeypatch):
    labelled = count_labelled(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        label(cohort, stop=lambda: len(labelled) >= 2)
    assert labelled == names(0, 1)
    damage(cohort, 5)  # of a batch that has not begun
    result, _events = label(cohort)
    assert sorted(labelled) == names(0, 1, 2, 3, 4, 6)
    assert list(result["failed"]) == names(5)


def test_a_case_that_breaks_is_left_out_and_told_and_the_others_go_on(cohort):
    damage(cohort, 1, 6)  # the last batch holds a broken case alone
    result, events = label(cohort)
    assert list(result["failed"]) == names(1, 6)
    assert "has changed since it was imported" in result["failed"]["c001"]
    assert result["cases"] == names(0, 2, 3, 4, 5)
    notices = [e.data for e in events if e.kind is EventKind.NOTICE]
    assert any("c001 was left out" in n["message"] and "ImageError" in n["traceback"] for n in notices)
    assert [e.data["n_failed"] for e in events if e.kind is EventKind.PROGRESS][-1] == 2


def test_any_error_at_a_case_is_that_cases_alone(cohort, monkeypatch):
    from napari_ssl.rounds import prediction

    keep_case = prediction._keep_case

    def breaking(spec, item, *rest):
        if item.case_id == "c002":
            raise ZeroDivisionError("division by zero")
        keep_case(spec, item, *rest)

    monkeypatch.setattr(prediction, "_keep_case", breaking)
    result, _events = label(cohort)
    assert result["failed"] == {"c002": "ZeroDivisionError: division by zero"}


def test_a_full_disk_ends_the_cohort_in_words_and_it_goes_on_where_it_was(cohort, monkeypatch):
    labelled = count_labelled(monkeypatch)
    from napari_ssl.rounds import prediction

    write = prediction.write_case

    def full(*arguments):
        if len(labelled) == 4:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(prediction, "write_case", full)
    with pytest.raises(StorageError, match=r"No space left.*make space"):
        label(cohort)
    monkeypatch.setattr(prediction, "write_case", write)
    result, _events = label(cohort)
    assert result["cases"] == names(*range(N)) and sorted(labelled) == names(*range(N))


def test_nothing_at_all_labelled_is_an_error(cohort):
    damage(cohort, *range(N))
    with pytest.raises(JobError, match="none of 7 cases"):
        label(cohort)
    assert not list((cohort.folder / "cohorts").glob("*.jsonl"))  # the next time all are tried again


def test_half_a_line_of_the_ledger_counts_for_nothing(tmp_path):
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.begin(["a", "b"])
    ledger.end(["a"], {"b": "damaged"})
    ledger.begin(["c"])
    with (tmp_path / "l.jsonl").open("ab") as file:
        file.write(b'{"done": ["c"')
    again = Ledger(tmp_path / "l.jsonl")
    assert (again.done, again.failed, again.begun) == ({"a"}, {"b": "damaged"}, ["c"])
    again.end(["c"], {})
    assert Ledger(tmp_path / "l.jsonl").done == {"a", "c"}


@pytest.mark.parametrize(
    "line", ["5", "[]", '{"done": 3, "failed": {}}', '{"done": ["c"]}', '{"begin": [1], "sizes": "x"}', "["]
)
def test_a_damaged_line_of_the_ledger_counts_for_nothing(tmp_path, line):
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.end(["a"], {})
    with (tmp_path / "l.jsonl").open("a") as file:
        file.write(line + "\n")
    ledger.end(["b"], {})
    again = Ledger(tmp_path / "l.jsonl")
    assert {"a", "b"} <= again.done and not again.under_way


def test_two_processes_share_a_cohort_and_give_what_one_gives(cohort):
    label(cohort)
    alone = [cohort.proposal(name).label_hash for name in names(*range(N))]
    damage(cohort, 2)
    result, _events = label(cohort, size=N, workers=2)
    assert result["cases"] == names(0, 1, 3, 4, 5, 6) and list(result["failed"]) == names(2)
    assert [cohort.proposal(name).label_hash for name in names(*range(N))] == alone
    assert len(cohort.segmentations()) == N  # the same labels are no new version


def test_a_case_that_killed_the_whole_command_twice_is_left_out_of_the_third_attempt(cohort):
    spec = prediction_spec(cohort, cases=names(0, 1, 2), **PLAIN)
    from napari_ssl.jobs.runner import run_here

    job = cohort.create_job("predict", spec.to_dict())
    cohort.update_job(job.id, state=JobState.INTERRUPTED)
    output = cohort.job_folder(job.id) / "output"
    output.mkdir()
    (output / "c001.trying").write_bytes(b"..")
    result = run_here(cohort, spec, lambda event: None, lambda: False)
    assert result["cases"] == names(0, 2) and "died 2 times" in result["failed"]["c001"]


def test_predict_tells_what_was_left_out_and_its_status_says_so(cohort):
    damage(cohort, 4)
    words = ["predict", str(cohort.folder), "--no-crf", "--batch", "3"]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code == 3, result.stderr
    document = json.loads(result.stdout)
    assert list(document["failed"]) == names(4) and len(document["cases"]) == N - 1
    spoken = CliRunner().invoke(main, words)
    assert spoken.exit_code == 3 and "1 left out" in spoken.stdout and "c004: " in spoken.stdout
    assert "cases an hour" in spoken.stderr
    assert CliRunner().invoke(main, [*words, "--cases", "c000"]).exit_code == 0


@pytest.mark.parametrize("sizes", ["[-1]", "[1e400]", "[99999999999999999999]", "[0]", "5"])
def test_batches_of_a_damaged_size_are_under_way_once_or_not_at_all(tmp_path, sizes):
    (tmp_path / "l.jsonl").write_text(f'{{"begin": ["a", "b"], "sizes": {sizes}}}\n{{"done": ["x"], "failed": 3}}\n')
    again = Ledger(tmp_path / "l.jsonl")
    assert again.under_way in ([], [["a", "b"]]) and not again.done


def test_proposals_of_a_large_cohort_are_asked_for_a_part_at_a_time():
    """Each holds its measures, so that all at once would take the more memory the larger the cohort."""
    asked = []

    def proposals_of(cases):
        asked.append(len(cases))
        made = {c: [SimpleNamespace(model_id="m2"), SimpleNamespace(model_id="m1")] for c in cases}
        made |= {"c7": made["c7"][:1]} if "c7" in made else {}
        made.pop("c1999", None)
        return made

    done = [f"c{n}" for n in range(2000)]
    assert overtaken(SimpleNamespace(proposals_of=proposals_of), "m1", done) == {"c7", "c1999"}
    assert sum(asked) == 2000 and max(asked) <= 500
    assert overtaken(SimpleNamespace(proposals_of=proposals_of), "m1", []) == set()
