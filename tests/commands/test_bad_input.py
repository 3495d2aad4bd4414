"""What a person may do wrong at the terminal: one clear line, the right exit status, nothing lost."""

from __future__ import annotations

import json
import shutil

import click
import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.commands.options import catching


def call(*words):
    return CliRunner().invoke(main, [str(w) for w in words])


def refused(result, *parts, status=1):
    """The command ended with `status`, one line that holds all `parts`, and nothing on standard output."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("napari-ssl: "), result.stderr
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def study(tmp_path):
    assert call("study", "new", tmp_path / "study", "--labels", "acdc", "--crop", 32, 32).exit_code == 0
    return tmp_path / "study"


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((1.5, 1.5, 8.0, 1.0)[: array.ndim])
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("error", [OSError(36, "File name too long", "xxx"), MemoryError(), ZeroDivisionError("1/0")])
def test_whatever_goes_wrong_is_one_line_and_never_a_traceback(error):
    @click.command()
    @catching
    def command():
        raise error

    result = CliRunner().invoke(command)
    refused(result)
    assert "Traceback" not in result.stderr


def test_a_study_cannot_take_the_place_of_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    refused(call("study", "new", tmp_path / "file" / "in", "--labels", "acdc"), "file", "choose another place")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(call("study", "new", tmp_path / "link", "--labels", "acdc"), "link", "choose another place")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_name_that_no_disk_takes(tmp_path):
    refused(call("study", "new", tmp_path / ("a" * 300), "--labels", "acdc", "--name", "x"), "too long")


def test_an_existing_folder_keeps_its_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert call("study", "new", tmp_path, "--labels", "acdc", "--json").exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_emptied_database_is_told_and_not_filled_anew(study):
    for path in study.glob("study.db*"):
        path.unlink()
    (study / "study.db").touch()
    for words in (("status",), ("check",), ("import", study)):
        refused(call("study", words[0], study, *words[1:]), "study.db", "emptied", "backup")
    assert (study / "study.db").stat().st_size == 0


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("schema_version = 1", "schema_version = 99", "update napari-ssl"),
        ('reject_reasons = ["', 'reject_reasons = "a" # ["', "list of texts"),
        ("crop_yx = [", "crop_yx = 5 # [", "malformed"),
        ("[preprocessing]", "[preprocessing", "cannot be read"),
    ],
)
def test_damaged_settings_are_named(study, old, new, part):
    path = study / "study.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    refused(call("study", "status", study), str(path), part)


def test_status_says_whether_the_study_can_be_written(study):
    assert json.loads(call("study", "status", study, "--json").stdout)["read_only"] is False


def test_lists_that_name_nothing_are_wrong_usage(study):
    for words in (("predict", study, "--cases", ""), ("train", study, "--strategy", "supervised", "--labelled", ",")):
        result = call(*words)
        assert result.exit_code == 2 and "names none; write CASE,CASE" in result.stderr


@pytest.mark.parametrize("seed", ["-1", str(2**64)])
def test_seeds_out_of_range_are_wrong_usage(study, seed):
    result = call("train", study, "--strategy", "supervised", "--seed", seed)
    assert result.exit_code == 2 and seed in result.stderr


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("learning_rate=nan", "nan"),
        ("batch_size=100000", "512"),
        ("batch_size=1e3", "not int"),
        ("duration=-3 iterations", "-3 iterations"),
        ("duration=0 iterations", "0 iterations"),
        ("bogus=1", "bogus"),
    ],
)
def test_values_of_parameters_are_checked_before_anything_is_recorded(study, tmp_path, setting, part):
    folder = tmp_path / "images" / "p1"
    write(folder / "p1.nii.gz", np.full((2, 32, 32), 7, np.uint8))
    write(folder / "p1_gt.nii.gz", np.ones((2, 32, 32), np.uint8))
    assert call("study", "import", study, tmp_path / "images", "--split", "train").exit_code == 0
    refused(call("train", study, "--strategy", "supervised", "--set", setting, "--json"), part)
    assert json.loads(call("jobs", "list", study, "--json").stdout) == {"jobs": []}


def test_one_document_for_a_folder_of_good_and_bad_files(study, tmp_path):
    images = tmp_path / "images"
    write(images / "good.nii.gz", np.full((2, 8, 8), 7, np.uint8))
    write(images / "cine.nrrd", np.full((3, 2, 8, 8), 7, np.int16))
    write(images / "flat.mha", np.full((8, 8), 7, np.int16))
    whole = (images / "good.nii.gz").read_bytes()
    (images / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (images / "empty.nrrd").touch()
    (images / "text.nii.gz").write_text("no image")
    (images / "notes.txt").write_text("no image")
    write(images / "nan.nii.gz", np.full((2, 8, 8), np.nan, np.float32))
    write(images / "immense.nrrd", np.full((2, 8, 8), 1e300))
    result = call("study", "import", study, images, "--json")
    assert result.exit_code == 0 and result.stderr == ""
    document = json.loads(result.stdout)
    assert sorted(document["added"]) == ["cine", "flat", "good"]
    failed = {f["path"].rpartition("/")[2]: f["message"] for f in document["failed"]}
    assert sorted(failed) == ["empty.nrrd", "immense.nrrd", "nan.nii.gz", "text.nii.gz", "truncated.nii.gz"]
    for name, message in failed.items():
        assert name in message and ";" in message, message


def test_a_demo_never_removes_what_it_has_not_made(tmp_path):
    (tmp_path / "out" / "images").mkdir(parents=True)
    (tmp_path / "out" / "images" / "mine.nii.gz").write_text("precious")
    refused(call("demo", "--headless", "--out", tmp_path / "out", "--json"), "out", "empty")
    assert (tmp_path / "out" / "images" / "mine.nii.gz").read_text() == "precious"


def test_a_demo_with_a_persons_decisions_is_not_replaced(tmp_path, study):
    out = tmp_path / "demo"
    (out / "images").mkdir(parents=True)
    shutil.copytree(study, out / "study")
    (out / "demo.json").write_text(json.dumps({"study": str(out / "study"), "headless": False}))
    (out / "study" / "journal" / "p1-anna.strokes").write_bytes(b"strokes")
    refused(call("demo", "--headless", "--out", out, "--json"), "decisions", "--out")
    assert (out / "study" / "journal" / "p1-anna.strokes").exists()


def test_an_empty_list_of_models_asks_for_models(study):
    for option, wanted in (("--ensemble", "MODEL,MODEL"), ("--cases", "CASE,CASE")):
        result = call("predict", study, option, " , ")
        assert result.exit_code == 2 and wanted in result.stderr
