"""Training and prediction in three dimensions, and with a preprocessing that is not the study's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.case import Split
from napari_ssl.core.catalogue import STRATEGIES
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import SpecError
from napari_ssl.io.layouts import scan
from napari_ssl.jobs.runner import run_here
from napari_ssl.rounds import evaluation_spec, prediction_spec, training_spec
from napari_ssl.study.study import Study

QUICK = {"duration": "2 iterations", "batch_size": 2, "validate_every": 2}
TINY = {"base_channels": 2, "levels": 3}
IN_3D = {"dimensions": 3, "patch_z": 8, "crop_yx": (16, 16), "pixel_spacing_mm": 1.5, "overlap": 0.25}
SPACING_XYZ = (1.0, 1.0, 2.5)


def _write(path, array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ)
    image.SetOrigin((5.0, -7.0, 11.0))
    image.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "images"
    for n in range(4):
        (folder / f"s{n}").mkdir(parents=True)
        rng = np.random.default_rng(n)
        z, y, x = np.mgrid[:9, :28, :26]
        labels = (((z - 4) / 3) ** 2 + ((y - 14) / 7) ** 2 + ((x - 12) / 6) ** 2 < 1).astype(np.uint8)
        _write(
            folder / f"s{n}" / f"case{n}.nii.gz", (labels * 80 + 20 + rng.normal(0, 5, labels.shape)).astype(np.int16)
        )
        if n != 2:
            _write(folder / f"s{n}" / f"case{n}_label.nii.gz", labels)
    scheme = LabelScheme.parse("1=Organ")
    with Study.create(tmp_path / "study", label_scheme=scheme, preprocessing=Preprocessing(crop_yx=(32, 32))) as made:
        for n, split in enumerate((Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST)):
            assert not made.add_cases(scan(folder / f"s{n}", "plain"), split=split).failed
        yield made


def _train(study, **changes):
    values = {
        "strategy": "supervised", "overrides": QUICK, "network_overrides": TINY, "preprocessing_overrides": IN_3D,
        **changes,
    }  # fmt: skip
    return training_spec(study, **values)


def test_volumes_are_learnt_labelled_and_keep_their_geometry(study):
    events = []
    result = run_here(study, _train(study), events.append, lambda: False)
    card = study.model_card(result["model_id"])
    assert card["preprocessing"]["dimensions"] == 3 and card["preprocessing"]["crop_yx"] == [16, 16]
    assert result["metrics"]["test"]["efficiency"]["mean_seconds"] > 0
    predicted = run_here(study, prediction_spec(study, crf=False), events.append, lambda: False)
    assert len(predicted["cases"]) == 1
    case = study.case(predicted["cases"][0])
    labels = sitk.ReadImage(str(study.folder / study.proposal(case.id).label_path))
    image = sitk.ReadImage(case.image_path)
    assert labels.GetSize()[:3] == image.GetSize() and labels.GetSpacing()[:3] == image.GetSpacing()
    assert labels.GetOrigin()[:3] == image.GetOrigin()
    matrix = np.array(labels.GetDirection()).reshape(labels.GetDimension(), -1)[:3, :3]
    np.testing.assert_allclose(matrix.ravel(), image.GetDirection(), atol=1e-6)
    assert predicted["efficiency"]["n"] == 1 and predicted["efficiency"]["peak_rss_mb"] > 0
    evaluated = run_here(study, evaluation_spec(study), events.append, lambda: False)
    assert evaluated["summary"]["efficiency"]["n"] == 1


def test_a_start_model_of_another_preprocessing_is_not_used(study):
    run_here(study, _train(study), lambda event: None, lambda: False)
    assert _train(study).start is not None
    assert _train(study, preprocessing_overrides={**IN_3D, "patch_z": 4}).start is None
    assert _train(study, preprocessing_overrides={}).start is None


def test_networks_without_volumes_are_refused_for_them(study):
    with pytest.raises(SpecError, match=r"network fcn17 takes images of 2 dimensions, the preprocessing has 3"):
        _train(study, network="fcn17", network_overrides={})


def test_a_preset_brings_its_network_and_preprocessing(study):
    entry = STRATEGIES["asdnet"]
    spec = training_spec(study, strategy="asdnet", preset="paper")
    assert spec.network == entry.preset_network["paper"]
    for name, value in entry.preset_preprocessing["paper"].items():
        assert getattr(spec.preprocessing, name) == value
    changed = training_spec(study, strategy="asdnet", preset="paper", preprocessing_overrides={"patch_z": 32})
    assert changed.preprocessing.patch_z == 32 and changed.hash != spec.hash
    assert training_spec(study, strategy="asdnet").preprocessing == study.preprocessing


def test_the_command_takes_preprocessing_and_a_memory_limit(study):
    words = ["train", str(study.folder), "--strategy", "supervised", "--json"]
    for name, value in QUICK.items():
        words += ["--set", f"{name}={value}"]
    for name, value in TINY.items():
        words += ["--network-set", f"{name}={value}"]
    for word in ("dimensions=3", "patch_z=8", "crop_yx=16x16"):
        words += ["--preprocessing", word]
    runner = CliRunner()
    trained = runner.invoke(main, words)
    assert trained.exit_code == 0, trained.stderr
    card = study.model_card(json.loads(trained.stdout)["model_id"])
    assert card["preprocessing"]["patch_z"] == 8
    held = runner.invoke(main, ["predict", str(study.folder), "--json", "--memory-limit", "100000", "--no-crf"])
    assert held.exit_code == 0, held.stderr
    document = json.loads(held.stdout)
    assert document["memory_limit_mb"] == 100000 and document["efficiency"]["mean_cpu_area_percent_s"] >= 0
    refused = runner.invoke(main, [*words, "--preprocessing", "depth=3"])
    assert refused.exit_code == 1 and "NAME one of: pixel_spacing_mm" in refused.stderr


def test_a_memory_limit_that_cannot_be_kept_is_said(study):
    run_here(study, _train(study), lambda event: None, lambda: False)
    result = CliRunner().invoke(main, ["predict", str(study.folder), "--memory-limit", "100", "--no-crf"])
    assert result.exit_code == 1
    assert "the limit is 100 MB" in result.stderr
