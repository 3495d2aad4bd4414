"""The examples of the documentation are real: a strategy that trains, a layout that lists a folder."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner
from conftest import DOCS, discs, write

from napari_ssl.cli import main
from napari_ssl.core import catalogue
from napari_ssl.errors import ImageError
from napari_ssl.io.layouts import LAYOUTS
from napari_ssl.study import Study


@pytest.fixture
def examples(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    yield
    for name in ("confident_labels", "site_layout"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("threshold", "kept"), [("0.0", 1), ("1.0", 0)])
def test_the_strategy_of_the_documentation_trains_a_model(
    examples, acdc_folder, tmp_path, monkeypatch, threshold, kept
):
    from confident_labels import ENTRY

    monkeypatch.setitem(catalogue.STRATEGIES, ENTRY.name, ENTRY)
    folder = tmp_path / "study"
    values = ("first=2 iterations", "second=2 iterations", "batch_size=4", f"threshold={threshold}")
    settings = [part for value in values for part in ("--set", value)]
    for arguments in (
        ["study", "new", folder, "--labels", "acdc", "--crop", "32", "32"],
        ["study", "import", folder, acdc_folder],
        ["train", folder, "--strategy", ENTRY.name, *settings, "--network-set", "base_channels=4",
         "--network-set", "levels=3", "--no-crf"],
    ):  # fmt: skip
        done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert f"{kept} of 1 cases are labelled with confidence" in done.output
    with Study.open(folder) as study:
        (model,) = study.models()
        assert model.strategy == "confident-labels" and (model.id == study.promoted().id)


def test_the_layout_of_the_documentation_lists_a_folder(examples, tmp_path, monkeypatch):
    from site_layout import LAYOUT

    for n in (1, 2):
        image, labels = discs(n)
        write(tmp_path / "site" / f"S{n}" / "cine.nii.gz", image)
        write(tmp_path / "site" / f"S{n}" / "cine_ed.nii.gz", labels[0])
    assert LAYOUT.fits(tmp_path / "site") and not LAYOUT.fits(tmp_path)
    items = LAYOUT(tmp_path / "site")
    assert [(i.case_id, i.label_paths[0][0]) for i in items] == [("S1", 0), ("S2", 0)]
    assert "our-site" not in LAYOUTS
    with Study.create(tmp_path / "study", label_scheme=catalogue_scheme()) as study:
        report = study.add_cases(items)
        assert not report.failed and study.reference("S1").frames == (0,)
    with pytest.raises(ImageError, match=r"no <subject>/cine\.nii\.gz"):
        LAYOUT(tmp_path / "study")


def catalogue_scheme():
    from napari_ssl.core.label_scheme import PRESETS

    return PRESETS["acdc"]
