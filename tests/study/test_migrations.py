from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from study_factory import decide

from napari_ssl.core.rating import Rating
from napari_ssl.errors import DecisionError
from napari_ssl.study import Study, database
from napari_ssl.study.schema import GUARDED_TABLES, metadata


def _make_third(study: Study) -> None:
    """Turn a study into what the third revision was."""
    study.close()
    with sqlite3.connect(study.folder / "study.db") as connection:
        for column in ("task_id", "reading"):
            connection.execute(f"ALTER TABLE decisions DROP COLUMN {column}")
        for table in ("place_verdicts", "reading_tasks", "reader_memory"):
            connection.execute(f"DROP TABLE {table}")
        for column in ("sex", "height_cm", "weight_kg", "birth_year"):
            connection.execute(f"ALTER TABLE subjects DROP COLUMN {column}")
        connection.execute("ALTER TABLE cases DROP COLUMN source")
        for column in ("predicted_dice", "committee_good"):
            connection.execute(f"ALTER TABLE segmentations DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = '0003'")


def _make_older(study: Study) -> None:
    """Turn a study into what the first revision was: fewer tables, without guards."""
    _make_third(study)
    with sqlite3.connect(study.folder / "study.db") as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for table in ("ratings", "qc_scores", "qc_classifier_events", "qc_classifiers"):
            connection.execute(f"DROP TABLE {table}")
        for table, column in (("segmentations", "n_flags"), ("cases", "systolic_mmhg"), ("cases", "diastolic_mmhg")):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")


def test_the_migrations_make_the_tables_of_the_schema(study: Study):
    with study._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_known_revisions_are_those_of_the_migrations():
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(s.revision for s in scripts.walk_revisions())[::-1] == database.REVISIONS


def test_an_older_study_is_copied_then_upgraded(study: Study):
    recorded = study.record(decide(study.reference("p0")))
    _make_older(study)
    with Study.open(study.folder) as again:
        assert again._database.revision() == database.REVISIONS[-1] and again.decisions() == [recorded]
        assert again.ratings() == [] and again.queue_rows()[0].n_flags is None
        with pytest.raises(DecisionError), again._database.write() as connection:
            connection.exec_driver_sql("DELETE FROM decisions")
        assert again.place_verdicts() == [] and again.subject("s0").height_cm is None
        assert again._database.missing_guards() == [] and again.case("p0").source is None
    (backup,) = (study.folder / "backups").iterdir()
    with sqlite3.connect(backup) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT count(*) FROM decisions").fetchone() == (1,)


def test_a_study_of_the_third_revision_keeps_decisions_ratings_and_guards(study: Study):
    recorded = study.record(decide(study.reference("p0")))
    rated = study.add_rating(
        Rating(
            case_id="p0",
            segmentation_id=study.reference("p0").id,
            reader="Ada",
            score=4,
            seconds=2.0,
            rated_at=recorded.decided_at,
            app_version="0",
        )
    )
    cases = study.cases()
    _make_third(study)
    with Study.open(study.folder) as again:
        assert again.decisions() == [recorded] and again.ratings() == [rated] and again.cases() == cases
        assert again.subject("s0").sex is None and again.place_verdicts() == []
        assert {"decisions", "ratings", "place_verdicts"} <= set(GUARDED_TABLES)
        for table in ("decisions", "ratings"):
            with pytest.raises(DecisionError, match="append-only"), again._database.write() as connection:
                connection.exec_driver_sql(f"DELETE FROM {table}")
        with again._database.read() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_failed_upgrade_changes_nothing(study: Study, monkeypatch):
    _make_older(study)
    with sqlite3.connect(study.folder / "study.db") as connection:  # the third trigger will fail
        connection.execute(
            "CREATE TRIGGER model_events_no_update BEFORE UPDATE ON model_events BEGIN SELECT RAISE(ABORT, 'x'); END"
        )
    with pytest.raises(Exception, match=r"model_events_no_update already exists"):
        Study.open(study.folder)
    with sqlite3.connect(study.folder / "study.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert triggers == [("model_events_no_update",)]


def test_opening_an_up_to_date_study_makes_no_backup(study: Study):
    Study.open(study.folder).close()
    assert not (study.folder / "backups").exists()
    with study._database.read() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
