from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner
from postgresql_server import LocalServer, running_server
from study_factory import decide, make_model, propose
from study_workers import record_many

from napari_ssl.cli import main
from napari_ssl.core.decision import ReviewState, Verdict
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import DecisionError, StudyError, StudyReadOnlyError
from napari_ssl.study import Study, database
from napari_ssl.study.database_address import DatabaseAddress
from napari_ssl.study.schema import GUARDED_TABLES, metadata

SPAWN = multiprocessing.get_context("spawn")
N_EACH = int(os.environ.get("NAPARI_SSL_TEST_DECISIONS", "60"))
"""Decisions of each of the four processes; 500 in the long run of the same test."""


def test_the_migrations_make_the_tables_of_the_schema_and_guard_them(server_study: Study):
    with server_study._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    assert server_study._database.revision() == database.REVISIONS[-1]
    assert server_study._database.missing_guards() == []
    assert not [f for f in server_study.check() if f.severity == "error"]


def test_nothing_that_was_recorded_can_be_changed(server_study: Study):
    server_study.record(decide(server_study.reference("p0")))
    for table in GUARDED_TABLES:
        for statement in (f"UPDATE {table} SET id = 7", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DecisionError, match="append-only"), server_study._database.write() as connection:
                connection.exec_driver_sql(statement)
    assert [d.reader for d in server_study.decisions()] == ["Ada"]


def test_a_study_on_the_server_is_found_again_by_its_folder(server_study: Study):
    recorded = server_study.record(decide(server_study.reference("p0"), Verdict.REJECT))
    assert not (server_study.folder / "study.db").exists()
    with Study.open(server_study.folder) as again:
        assert again.decisions() == [recorded] and again.cases() == server_study.cases()
        assert again.review_state("p0", "Ada")[0] is ReviewState.REJECTED
    with Study.open(server_study.folder, read_only=True) as reading:
        with pytest.raises(StudyReadOnlyError):
            reading.record(decide(reading.reference("p0")))
        assert [r.state for r in reading.queue_rows("Ada")].count(ReviewState.REJECTED) == 1


def test_two_studies_share_a_database_and_know_nothing_of_each_other(
    server_study: Study, tmp_path: Path, postgresql: LocalServer
):
    with Study.create(tmp_path / "b", label_scheme=PRESETS["acdc"], name="Tiny", database_url=postgresql.url) as other:
        assert other.cases() == [] and len(server_study.cases()) == 6
        assert other._settings.database.schema != server_study._settings.database.schema


def test_models_scores_and_proposals_are_kept_alike(any_study: Study, tmp_path: Path):
    make_model(any_study, tmp_path / "m1")
    made = propose(any_study, "p0", 1)
    any_study.set_measures(made.id, {"mean_confidence": 0.5, "indices": {"lv_ef_percent": 55.0}})
    any_study.record(decide(made, Verdict.DEFER))
    any_study.set_phases("p0", 0, 2)
    row = any_study.queue_rows("Ada")[0]
    assert (row.state, row.mean_confidence, row.lv_ef, row.round) == (ReviewState.DEFERRED, 0.5, 55.0, 1)
    assert any_study.models()[0].id == "m1" and any_study.status()["n_decisions"] == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_four_processes_lose_nothing(request: pytest.FixtureRequest, kind: str):
    study: Study = request.getfixturevalue("study" if kind == "sqlite" else "server_study")
    children = [SPAWN.Process(target=record_many, args=(study.folder, f"reader{i}", N_EACH)) for i in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    decisions = study.decisions()
    assert len({d.id for d in decisions}) == 4 * N_EACH
    assert all(sum(d.reader == f"reader{i}" for d in decisions) == N_EACH for i in range(4))


def test_of_many_who_take_the_same_decision_back_one_succeeds(server_study: Study):
    recorded = server_study.record(decide(server_study.reference("p0")))
    said: list[str] = []

    def take() -> None:
        try:
            server_study.take_back(recorded.id, reader="Ada")
            said.append("taken")
        except DecisionError as error:
            said.append("before" if "taken back before" in str(error) else str(error))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["before"] * 5 + ["taken"]


def test_a_writer_waits_for_the_one_before_and_sees_what_it_wrote(server_study: Study):
    order: list[str] = []
    holding = threading.Event()

    def slow() -> None:
        with server_study._database.write() as connection:
            holding.set()
            time.sleep(0.3)
            connection.execute(sa.text("UPDATE subjects SET sex = 'F' WHERE id = 's0'"))
            order.append("first")

    thread = threading.Thread(target=slow)
    thread.start()
    holding.wait(10)
    with server_study._database.write() as connection:
        order.append("second")
        assert connection.execute(sa.text("SELECT sex FROM subjects WHERE id = 's0'")).scalar() == "F"
    thread.join()
    assert order == ["first", "second"]


def test_writing_changes_the_stamp_and_reading_does_not(any_study: Study):
    before = any_study.change_stamp()
    any_study.decisions()
    assert any_study.change_stamp() == before
    any_study.record(decide(any_study.reference("p0")))
    assert any_study.change_stamp() != before


def test_a_server_that_is_gone_is_named_and_found_again(tmp_path: Path, items: list, postgresql: LocalServer):
    scheme = PRESETS["acdc"]
    with (
        running_server() as server,
        Study.create(tmp_path / "s", label_scheme=scheme, database_url=server.url) as study,
    ):
        study.add_cases(items)
        study.record(decide(study.reference("p0")))
        server.stop()
        with pytest.raises(StudyError, match=r"the database server cannot be reached.*try again"):
            study.record(decide(study.reference("p0")))
        with pytest.raises(StudyError, match=r"the database server cannot be reached"):
            Study.open(study.folder)
        server.start()
        study.record(decide(study.reference("p0")))
        assert len(study.decisions()) == 2


def test_a_user_who_may_only_look_opens_for_reading(server_study: Study, postgresql: LocalServer):
    schema = server_study._settings.database.schema
    with server_study._database.write() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS guest")
        connection.exec_driver_sql("CREATE ROLE guest LOGIN")
        connection.exec_driver_sql(f'GRANT USAGE ON SCHEMA "{schema}" TO guest')
        connection.exec_driver_sql(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO guest')
    toml = server_study.folder / "study.toml"
    toml.write_text(toml.read_text().replace("reader@", "guest@"))
    with Study.open(server_study.folder) as looking:
        assert looking.read_only and len(looking.cases()) == 6
        with pytest.raises(StudyReadOnlyError):
            looking.record(decide(looking.reference("p0")))
    with server_study._database.write() as connection:
        connection.exec_driver_sql("DROP OWNED BY guest")
        connection.exec_driver_sql("DROP ROLE guest")


def test_a_study_that_could_not_be_made_leaves_no_schema(tmp_path: Path, postgresql: LocalServer, monkeypatch):
    def refuse(*_: object) -> None:
        raise StudyError("no room")

    monkeypatch.setattr("napari_ssl.study.study.write_settings", refuse)
    with pytest.raises(StudyError, match="no room"):
        Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"], name="halfway", database_url=postgresql.url)
    engine = sa.create_engine(postgresql.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        query = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'halfway%%'"
        assert connection.exec_driver_sql(query).scalar() == 0
    engine.dispose()


def test_a_study_on_a_server_is_made_by_command_and_its_file_holds_no_password(tmp_path: Path, postgresql: LocalServer):
    folder = tmp_path / "s"
    done = CliRunner().invoke(main, ["study", "new", str(folder), "--labels", "acdc", "--database", postgresql.url])
    assert done.exit_code == 0, done.output
    assert f'url = "{postgresql.url}"' in (folder / "study.toml").read_text()
    with Study.open(folder) as made:
        assert made.is_on_server and made.cases() == []
    done = CliRunner().invoke(
        main, ["study", "new", str(tmp_path / "t"), "--labels", "acdc", "--database", "postgresql://a:secret@h/d"]
    )
    assert done.exit_code == 1 and "holds a password" in done.output and "secret" not in done.output


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ada:secret@server/heart", r"holds a password.*\.pgpass"),
        ("postgresql://server/heart?password=secret", r"holds a password.*\.pgpass"),
        ("mysql://server/heart", "SQLite or PostgreSQL"),
        ("heart", "cannot be read; use postgresql://"),
    ],
)
def test_addresses_that_are_none_or_hold_a_password_are_refused_without_repeating_it(url: str, message: str):
    with pytest.raises(StudyError, match=message) as caught:
        DatabaseAddress.new(url, "heart")
    assert "secret" not in str(caught.value)


def test_no_server_at_an_address_is_said_in_words(tmp_path: Path, postgresql: LocalServer):
    with pytest.raises(StudyError, match="the database server cannot be reached"):
        url = f"postgresql://reader@/postgres?host={tmp_path}"
        Study.create(tmp_path / "s", label_scheme=PRESETS["acdc"], database_url=url)
    assert not (tmp_path / "s" / "study.toml").exists()
