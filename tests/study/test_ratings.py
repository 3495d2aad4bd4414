from __future__ import annotations

import csv
import dataclasses
import json
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rating_workers import rate, rate_many
from study_factory import make_model, propose

from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import DecisionError, UnknownCaseError
from napari_ssl.study import Study

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def proposal(study: Study, tmp_path: Path) -> Segmentation:
    make_model(study, tmp_path / "out")
    return propose(study, "p5", 1)


def test_a_rating_comes_back_as_it_was_given(study: Study, proposal: Segmentation):
    given = rate(proposal, 2, reader="Ada")
    recorded = study.add_rating(given)
    assert study.ratings("p5") == [recorded] and dataclasses.replace(recorded, id=None) == given
    assert study.ratings(reader="Bob") == []
    with pytest.raises(DecisionError, match=r"recorded or taken back already"):
        study.add_rating(recorded)


def test_ratings_of_what_is_not_there_are_refused(study: Study, proposal: Segmentation):
    with pytest.raises(DecisionError, match=r"belongs to case p5"):
        study.add_rating(dataclasses.replace(rate(proposal), case_id="p0"))
    with pytest.raises(UnknownCaseError, match=r"no label version number 999"):
        study.add_rating(dataclasses.replace(rate(proposal), segmentation_id=999))
    with pytest.raises(UnknownCaseError, match=r"no case 'p9'"):
        study.add_rating(dataclasses.replace(rate(proposal), case_id="p9"))
    assert study.ratings() == []


def test_ratings_cannot_be_changed_in_the_database(study: Study, proposal: Segmentation):
    study.add_rating(rate(proposal))
    for statement in ("UPDATE ratings SET score = 1", "DELETE FROM ratings"):
        with pytest.raises(DecisionError, match=r"ratings are append-only"), study._database.write() as connection:
            connection.exec_driver_sql(statement)


def test_a_rating_is_taken_back_by_its_reader_once(study: Study, proposal: Segmentation):
    recorded = study.add_rating(rate(proposal, 1))
    with pytest.raises(DecisionError, match=r"only Ada can take it back"):
        study.take_back_rating(recorded.id, "Bob")
    taken = study.take_back_rating(recorded.id, "Ada")
    assert taken == dataclasses.replace(recorded, taken_back=True) and study.ratings() == [taken]
    with pytest.raises(DecisionError, match=r"taken back before"):
        study.take_back_rating(recorded.id, "Ada")
    with pytest.raises(UnknownCaseError, match=r"no rating number 999"):
        study.take_back_rating(999, "Ada")
    assert study.consensus_ratings() == {}


def test_readers_who_disagree_are_settled(study: Study, proposal: Segmentation):
    study.add_rating(rate(proposal, 4, reader="Ada"))
    study.add_rating(rate(proposal, 1, reader="Bob"))
    assert study.consensus_ratings() == {} and study.ratings_to_settle() == [proposal.id]
    settled = study.adjudicate(proposal.id, "Eve", 2)
    assert settled.is_adjudication and study.consensus_ratings() == {proposal.id: False}
    assert study.ratings_to_settle() == []


def _open_cases(study: Study, n: int) -> list[str]:
    """Give the study unlabelled training cases with proposals; returns their names."""
    import sqlalchemy as sa

    from napari_ssl.study import schema

    names = [f"u{i}" for i in range(n)]
    with study._database.write() as connection:
        case = dict(connection.execute(sa.select(schema.cases).where(schema.cases.c.id == "p5")).mappings().one())
        connection.execute(sa.insert(schema.subjects), [{"id": name, "split": "train"} for name in names])
        connection.execute(sa.insert(schema.cases), [{**case, "id": name, "subject_id": name} for name in names])
    for name in names:
        propose(study, name, 1)
    return names


def test_only_cases_that_no_network_has_seen_are_drawn(study: Study, proposal: Segmentation, tmp_path: Path):
    names = _open_cases(study, 6)
    for i in range(5):  # labelled ones, some of them for validation and test
        propose(study, f"p{i}", 2)
    drawn = study.rating_queue(100, seed=0, reader="Ada")
    assert sorted(drawn) == ["p5", *names]
    folder = tmp_path / "m2"
    make_model(study, folder, "m2")
    roles = [["u0", "unlabelled", None], ["u1", "pseudo", "h"], ["u2", "accepted", "h"], ["p0", "labelled", "h"]]
    (study.folder / "models" / "m2" / "card.json").write_text(json.dumps({"training_cases": roles}))
    assert sorted(study.rating_queue(100, seed=0, reader="Ada")) == ["p5", "u0", "u3", "u4", "u5"]


def test_the_draw_is_random_the_same_for_the_same_seed_and_leaves_out_what_the_reader_rated(
    study: Study, proposal: Segmentation
):
    _open_cases(study, 8)
    first = study.rating_queue(100, seed=0, reader="Ada")
    assert first == study.rating_queue(100, seed=0, reader="Bob") != study.rating_queue(100, seed=1, reader="Ada")
    assert study.rating_queue(3, seed=0, reader="Ada") == first[:3]
    rated = study.add_rating(rate(study.proposal(first[0])))
    assert study.rating_queue(100, seed=0, reader="Ada") == first[1:]
    assert study.rating_queue(100, seed=0, reader="Bob") == first
    study.take_back_rating(rated.id, "Ada")
    study.add_rating(rate(study.proposal(first[1])))
    propose(study, first[1], 2)  # a newer proposal wants a rating of its own
    assert study.rating_queue(100, seed=0, reader="Ada") == first


def test_two_processes_lose_no_rating(study: Study, proposal: Segmentation):
    children = [SPAWN.Process(target=rate_many, args=(study.folder, f"reader{i}", 40)) for i in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    ratings = study.ratings()
    assert len({r.id for r in ratings}) == 80
    assert [sum(r.reader == f"reader{i}" for r in ratings) for i in range(2)] == [40, 40]


def test_a_table_of_ratings_goes_out_and_comes_back(study: Study, proposal: Segmentation, tmp_path: Path):
    study.add_rating(rate(proposal, 4, reader='A "d", a'))
    study.add_rating(rate(proposal, 1, reader="Bøb"))
    study.take_back_rating(study.add_rating(rate(proposal, 2, reader="Cy")).id, "Cy")
    study.adjudicate(proposal.id, "Eve", 3, seconds=1.5)
    table = study.export_ratings_csv(tmp_path / "ratings.csv")
    assert study.import_ratings_csv(table) == []  # all there
    other_hash = propose(study, "p5", 3)
    text = table.read_text().replace(proposal.label_hash, other_hash.label_hash)
    (tmp_path / "other.csv").write_text(text, encoding="utf-8-sig")
    added = study.import_ratings_csv(tmp_path / "other.csv")
    assert [(r.reader, r.score, r.is_adjudication) for r in added] == [
        ('A "d", a', 4, False),
        ("Bøb", 1, False),
        ("Eve", 3, True),
    ]
    assert {r.segmentation_id for r in added} == {other_hash.id}
    assert study.consensus_ratings() == {proposal.id: True, other_hash.id: True}


def test_a_plain_table_is_taken_for_the_newest_proposals(study: Study, proposal: Segmentation, tmp_path: Path):
    (tmp_path / "plain.csv").write_text("reader,case,score,remark\nAda,p5,2,basal\nAda,p0,0,\nAda,p5,2,again\n")
    added = study.import_ratings_csv(tmp_path / "plain.csv")
    assert [(r.case_id, r.segmentation_id, r.score) for r in added] == [
        ("p5", proposal.id, 2),
        ("p0", study.reference("p0").id, 0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,reader,score\np5,Ada,4\np5,Ada,7\n", r"line 3: .*got 7; correct the line. Nothing was imported"),
        ("case,reader,score\np9,Ada,4\n", r"line 2: .*no case 'p9'"),
        ("case,reader,score\np5,Ada,good\n", r"line 2: .*good"),
        ("case,reader\np5,Ada\n", r"no column 'score'"),
        ("case,reader,score,label_hash\np5,Ada,4,abc\n", r"case p5 has no labels of hash abc"),
        ("case,reader,score\np5,Ada\n", r"line 2"),
        ("", r"has no rows or no column 'case'"),
        ("case;reader;score\np5;Ada;4\n", r"no column 'case'.*with commas between"),
        ("case,reader,score\np5,Ada,3.0\n", r"line 2: score must be 1, 2, 3, 4 or 0 .*got '3.0'"),
        ("case,reader,score\n\n\np5,Ada,\n", r"line 4: score must be"),
        ("case,reader,score,seconds\np5,Ada,3,long\n", r"seconds must be a number of seconds, got 'long'"),
        ("case,reader,score,rated_at\np5,Ada,3,yesterday\n", r"rated_at must be a time"),
        ("case,reader,score,rated_at\np5,Ada,3,0001-01-01T00:00:00+14:00\n", r"rated_at must be a time"),
        ("case,reader,score,taken_back\np5,Ada,3,x\n", r"taken_back must be 0 or 1, got 'x'"),
        ("case,reader,score,adjudication\np5,Ada,3,maybe\n", r"adjudication must be 0 or 1, got 'maybe'"),
        ("case,reader,score\np5,A\x07da,3\n", r"reader must be at most 200 printable"),
        (f"case,reader,score\np5,{'x' * 201},3\n", r"reader must be at most 200 printable"),
    ],
)
def test_a_malformed_table_is_refused_whole(study: Study, proposal: Segmentation, tmp_path: Path, text, message):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(DecisionError, match=message):
        study.import_ratings_csv(tmp_path / "bad.csv")
    assert study.ratings() == []


def test_what_a_spreadsheet_writes_for_true_takes_a_rating_back(study: Study, proposal: Segmentation, tmp_path: Path):
    (tmp_path / "t.csv").write_text("case,reader,score,taken_back\np5,Ada,2,TRUE\np5,Bo,2,FALSE\n")
    assert [r.reader for r in study.import_ratings_csv(tmp_path / "t.csv")] == ["Bo"]


def test_a_reader_who_is_a_formula_is_text_in_a_spreadsheet(study: Study, proposal: Segmentation, tmp_path: Path):
    for name in ('=HYPERLINK("http://x")', "@SUM(A1)", "'=quoted"):
        study.add_rating(rate(proposal, 4, reader=name))
    table = study.export_ratings_csv(tmp_path / "t.csv")
    with table.open(newline="") as file:
        written = [row["reader"] for row in csv.DictReader(file)]
    assert not [name for name in written if name[0] in "=+-@"]
    assert study.import_ratings_csv(table) == []  # each is known under the name that it was given


def test_an_unreadable_table_is_named(study: Study, tmp_path: Path):
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DecisionError, match=r"cannot be read as a table"):
        study.import_ratings_csv(tmp_path / "bad.csv")
    with pytest.raises(DecisionError, match=r"none.csv: cannot be read"):
        study.import_ratings_csv(tmp_path / "none.csv")


def test_pressures_are_kept_by_case(study: Study):
    from napari_ssl.errors import StudyError

    assert study.pressures("p0") is None
    study.set_pressures("p0", 120, 80)
    assert study.pressures("p0") == (120, 80)
    for pair in ((80, 120), (120, None), (float("nan"), 80), (400, 80), (80, 80)):
        with pytest.raises(StudyError, match=r"case p0: pressures must be"):
            study.set_pressures("p0", *pair)
    study.set_pressures("p0", None, None)
    assert study.pressures("p0") is None


def test_times_are_kept_in_utc(study: Study, proposal: Segmentation):
    recorded = study.add_rating(rate(proposal))
    assert recorded.rated_at.tzinfo is UTC and study.ratings()[0].rated_at == recorded.rated_at <= datetime.now(UTC)
