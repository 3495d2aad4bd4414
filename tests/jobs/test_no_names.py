"""A patient's name and number are in the images that came in, and nowhere that the program writes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.io.layouts import ScanOptions, scan
from napari_ssl.jobs.foreground import run_here
from napari_ssl.study.study import Study

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "io"))

from dicom_files import NAME, PATIENT, cine, save

SECRETS = [NAME.encode(), NAME.partition("^")[0].encode(), PATIENT.encode(), b"19700203"]


def found_in(folder: Path) -> list[str]:
    import gzip

    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".gz":
                content += gzip.decompress(content)
            found += [f"{path}: {secret!r}" for secret in SECRETS if secret in content]
    return found


@pytest.fixture
def incoming(tmp_path):
    return save(tmp_path / "incoming", cine())


def test_no_file_log_or_message_of_a_study_holds_a_name(incoming, jobs_environment, order, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    assert found_in(incoming)  # the names are there to be found
    with Study.create(tmp_path / "study", label_scheme=PRESETS["acdc"]) as study:
        assert not study.add_cases(scan(incoming, "dicom", ScanOptions()), split="train").failed
        run_here(study, order(count=2, step_s=0), lambda event: None, lambda: False)
        with pytest.raises(Exception, match="truncated"):
            run_here(study, order(fail=True), lambda event: None, lambda: False)
        folder, jobs = study.folder, study.jobs()
    words = []
    for command in (
        ["study", "status", str(folder)],
        ["jobs", "list", str(folder)],
        ["jobs", "show", str(folder), jobs[0].id],
    ):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        words.append(done.output)
    for command in (["report", str(folder), "--out", str(tmp_path / "report")],
                    ["export", str(folder), "--format", "audit", "--out", str(tmp_path / "audit")]):  # fmt: skip
        words.append(CliRunner().invoke(main, command).output)
    assert found_in(folder) == [] and found_in(tmp_path / "report") == [] and found_in(tmp_path / "audit") == []
    told = "\n".join([*words, caplog.text, *capfd.readouterr()]).encode()
    assert [secret for secret in SECRETS if secret in told] == []


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_file_is_told_without_the_name_that_stands_in_it(incoming, tmp_path, place, caplog):
    caplog.set_level(logging.DEBUG)
    for path in incoming.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: int(place * len(content))])
    done = CliRunner().invoke(
        main, ["study", "new", str(tmp_path / "s"), "--images", str(incoming), "--layout", "dicom"]
    )
    told = (done.output + caplog.text).encode()
    assert done.exit_code != 0 and [secret for secret in SECRETS if secret in told] == []
