"""Tables about subjects: units and codes are never guessed, a wrong line changes nothing."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from study_factory import make_items

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import StudyError
from napari_ssl.study.study import Study
from napari_ssl.study.subject_tables import import_subjects


@pytest.fixture
def study(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        study.add_cases(make_items(tmp_path / "images", n=3, n_labelled=0))
        yield study


def _table(tmp_path, text: str):
    path = tmp_path / "subjects.csv"
    path.write_text(text)
    return path


def test_a_table_sets_what_it_says_and_keeps_the_rest(study, tmp_path):
    study.set_subject("s0", birth_year=1950)
    found = import_subjects(study, _table(tmp_path, "subject,sex,height_cm,weight_kg\ns0,female,169,64\ns9,M,180,80\n"))
    assert found.unknown == ("s9",)
    subject = study.subject("s0")
    assert (subject.sex, subject.height_cm, subject.weight_kg, subject.birth_year) == ("F", 169.0, 64.0, 1950)
    assert subject.body_surface_area_m2 == pytest.approx((169 * 64 / 3600) ** 0.5)


def test_semicolons_decimal_commas_and_empty_cells(study, tmp_path):
    import_subjects(study, _table(tmp_path, "ID;Sex;Height;Weight\ns1;M;181,5;\n"))
    assert (study.subject("s1").height_cm, study.subject("s1").weight_kg) == (181.5, None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("s1,1,170,70", "sex is '1', write F or M"),
        ("s1,F,1.70,70", "height_cm is 1.7"),  # metres
        ("s1,F,tall,70", "height_cm is 'tall'"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_imported(study, tmp_path, line, said):
    table = _table(tmp_path, f"subject,sex,height_cm,weight_kg\ns0,F,160,60\n{line}\n")
    with pytest.raises(StudyError, match=f"line 3.*{said}"):
        import_subjects(study, table)
    assert study.subject("s0").sex is None


@pytest.mark.parametrize("text", ["", "name,sex\ns0,F\n", "subject,colour\ns0,red\n", "subject,sex\nx,F\n"])
def test_a_table_about_nothing_is_refused(study, tmp_path, text):
    with pytest.raises(StudyError, match=r"subjects\.csv"):
        import_subjects(study, _table(tmp_path, text))


def test_the_command_imports_and_lists(study, tmp_path):
    table = _table(tmp_path, "subject,sex,height_cm,weight_kg\ns2,M,180,80\n")
    outcome = CliRunner().invoke(main, ["study", "subjects", str(study.folder), str(table)])
    assert outcome.exit_code == 0 and outcome.stdout.startswith("1 subject from")
    outcome = CliRunner().invoke(main, ["study", "subjects", str(study.folder), "--json"])
    found = {s["id"]: s for s in json.loads(outcome.stdout)["subjects"]}
    assert found["s2"]["body_surface_area_m2"] == pytest.approx(2.0)
