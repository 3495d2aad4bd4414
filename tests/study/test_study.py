from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from study_factory import decide
from study_workers import write_as_nobody

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.training import Preprocessing
from napari_ssl.errors import DecisionError, StorageError, StudyError, StudyReadOnlyError, StudyVersionError
from napari_ssl.study import Study


def test_a_study_is_found_as_it_was_made(tmp_path: Path):
    preprocessing = Preprocessing(pixel_spacing_mm=1.4, crop_yx=(192, 160), low_percentile=1.0)
    name = 'Herz "α" \\ 2\n💓'
    with Study.create(tmp_path / "s", label_scheme=PRESETS["ukbb"], preprocessing=preprocessing, name=name) as made:
        reasons = made.reject_reasons
    with Study.open(tmp_path / "s") as study:
        assert (study.name, study.label_scheme, study.preprocessing) == (name, PRESETS["ukbb"], preprocessing)
        assert study.reject_reasons == reasons
        assert study.cases() == [] and not study.read_only


def test_a_study_takes_the_name_of_its_folder(tmp_path: Path):
    with Study.create(tmp_path / "cine", label_scheme=PRESETS["acdc"]) as study:
        assert study.name == "cine" and study.preprocessing == Preprocessing()


def test_no_study_is_made_over_another(study: Study):
    with pytest.raises(StudyError, match=r"study\.toml already; open that study"):
        Study.create(study.folder, label_scheme=PRESETS["acdc"])
    assert len(study.cases()) == 6


def test_a_folder_that_is_no_study_is_named(tmp_path: Path):
    with pytest.raises(StudyError, match=r"not a study, it has no study\.toml"):
        Study.open(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema_version = 1", "schema_version = 1 1", "cannot be read"),
        ("schema_version = 1", "", "schema_version is None"),
        ("value = 2", "value = 700", "must be in"),
        ("crop_yx", "crop_xy", "crop_xy"),
        ("reject_reasons = [", "reject_reasons = [7, ", "reject_reasons"),
    ],
)
def test_a_malformed_settings_file_is_an_error_in_words(study: Study, old: str, new: str, message: str):
    path = study.folder / "study.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(StudyError, match=message):
        Study.open(study.folder)


def test_settings_of_a_newer_version_are_refused_and_left_alone(study: Study):
    path = study.folder / "study.toml"
    text = path.read_text().replace("schema_version = 1", "schema_version = 9")
    path.write_text(text)
    with pytest.raises(StudyVersionError, match=r"schema_version is 9.*up to 1.*update napari-ssl"):
        Study.open(study.folder)
    assert path.read_text() == text


def test_tables_of_a_newer_version_are_refused_and_left_alone(study: Study):
    study.close()
    with sqlite3.connect(study.folder / "study.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StudyVersionError, match=r"'9999'.*update napari-ssl"):
        Study.open(study.folder)
    assert not (study.folder / "backups").exists()


def test_a_missing_database_is_not_made_anew(study: Study):
    study.close()
    (study.folder / "study.db").unlink()
    with pytest.raises(StudyError, match=r"study\.db: absent; restore"):
        Study.open(study.folder)
    assert not (study.folder / "study.db").exists()


def test_a_damaged_database_is_named(study: Study):
    study.close()
    (study.folder / "study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StudyError, match=r"study\.db: damaged.*backups"):
        Study.open(study.folder)


def test_decisions_cannot_be_changed_even_by_hand(study: Study):
    study.record(decide(study.reference("p0")))
    for statement in ("UPDATE decisions SET reader = 'Eve'", "DELETE FROM decisions"):
        with pytest.raises(DecisionError, match=r"append-only"), study._database.write() as connection:
            connection.exec_driver_sql(statement)
    assert [d.reader for d in study.decisions()] == ["Ada"]


def test_a_study_whose_guards_were_removed_is_not_opened(study: Study):
    study.close()
    with sqlite3.connect(study.folder / "study.db") as connection:
        connection.execute("DROP TRIGGER decisions_no_update")
    with pytest.raises(StudyError, match=r"decisions_no_update.*are gone"):
        Study.open(study.folder)


def test_open_for_reading_only_refuses_to_write_and_says_what_to_do(study: Study):
    with Study.open(study.folder, read_only=True) as reading:
        assert reading.read_only and len(reading.cases()) == 6
        with pytest.raises(StudyReadOnlyError, match=r"open for reading only.*write permission"):
            reading.record(decide(reading.reference("p0")))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
@pytest.mark.parametrize("at_rest", [True, False], ids=["at rest", "write-ahead log present"])
def test_a_folder_without_write_permission_opens_for_reading(study: Study, tmp_path: Path, at_rest: bool):
    study.set_phases("p0", 0, 2)
    if at_rest:
        study.close()
    assert (study.folder / "study.db-wal").exists() is not at_rest
    outer = Path(tempfile.mkdtemp())  # another user may not enter tmp_path
    place = Path(shutil.copytree(tmp_path, outer / "place"))
    try:
        outer.chmod(0o755)
        for path in [place, *place.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        context = multiprocessing.get_context("spawn")
        results = context.Queue()
        child = context.Process(target=write_as_nobody, args=(place / "study", results))
        child.start()
        said = results.get(timeout=60)
        child.join()
    finally:
        for path in [place, *place.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IRWXU)
        shutil.rmtree(outer)
    assert said["read_only"] and said["n_cases"] == 6 and said["label_sum"] > 0
    for action in ("record", "import", "job"):
        kind, message = said[action]
        assert kind == "StudyReadOnlyError" and "write permission" in message


def test_a_full_disk_loses_nothing(study: Study):
    reference = study.reference("p0")
    recorded = [study.record(decide(reference)) for _ in range(3)]
    with study._database.read() as connection:
        n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    study._database._writer.pool.dispose()
    connect = study._database._writer.pool._creator

    def connect_to_full_disk(*args):
        connection = connect(*args)
        connection.execute(f"PRAGMA max_page_count = {n_pages}")  # SQLite then reports a full disk
        return connection

    study._database._writer.pool._creator = connect_to_full_disk
    study._database._writer.pool = study._database._writer.pool.recreate()
    with pytest.raises(StorageError, match=r"study\.db.*full.*free space"):
        for _ in range(500):
            recorded.append(study.record(decide(reference, comment="x" * 2000)))
    with Study.open(study.folder) as again:
        assert [d.id for d in again.decisions()] == [d.id for d in recorded]
        assert not [f for f in again.check() if f.severity == "error"]


def test_a_study_that_was_moved_with_its_images_finds_them(fresh_study: Study, tmp_path: Path):
    assert fresh_study.case("p0").image_path == str(tmp_path / "fresh" / "images" / "p0.nii.gz")
    fresh_study.close()
    moved = (tmp_path / "fresh").rename(tmp_path / "elsewhere")
    with Study.open(moved / "study") as again:
        assert again.case("p0").image_path == str(moved / "images" / "p0.nii.gz")
        assert not [f for f in again.check() if f.severity == "error"]


def test_a_study_imports_no_torch_and_no_qt():
    code = (
        "import sys, napari_ssl.study, napari_ssl.study.exporting, napari_ssl.review.queue; "
        "print([m for m in ('torch', 'monai', 'qtpy', 'napari', 'alembic') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_limits_of_the_rules_are_read_from_the_settings_file(study: Study):
    assert study.rule_limits.changed() == {}
    study.close()
    toml = study.folder / "study.toml"
    text = toml.read_text()
    toml.write_text(text + "\n[rules]\nhole_mm2 = 25\n")
    with Study.open(study.folder) as again:
        assert again.rule_limits.changed() == {"hole_mm2": 25.0}
    for wrong, message in (("hole = 3", "no parameter 'hole'"), ("hole_mm2 = -1", r"must be in \[0, 10000\]")):
        toml.write_text(text + f"\n[rules]\n{wrong}\n")
        with pytest.raises(StudyError, match=message):
            Study.open(study.folder)


def test_own_limits_of_the_rules_are_written_and_others_follow_the_program(tmp_path: Path):
    from napari_ssl.measures.flags import RuleLimits
    from napari_ssl.study.settings import StudySettings, read_settings, write_settings

    settings = StudySettings(name="a", label_scheme=PRESETS["acdc"], rule_limits=RuleLimits(contact_mm=8.0))
    write_settings(tmp_path, settings)
    assert "[rules]\ncontact_mm = 8.0" in (tmp_path / "study.toml").read_text()
    assert read_settings(tmp_path) == settings
