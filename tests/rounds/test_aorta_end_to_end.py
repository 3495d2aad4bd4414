"""The aorta from import to distensibility: single-slice cines of 100 frames, a tiny training, areas of every frame."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.io.images import Geometry, write_volume
from napari_ssl.io.layouts.item import ImportItem
from napari_ssl.jobs.runner import run_here
from napari_ssl.measures.aorta import aortic_area, aortic_indices, distensibility
from napari_ssl.phantom import PhantomAorta, render_aorta
from napari_ssl.rounds import prediction_spec, training_spec
from napari_ssl.study.study import Study

GEOMETRY = Geometry(size_xyz=(48, 48, 1), spacing_xyz=(2.0, 2.0, 6.0), origin_xyz=(0.0, 0.0, 0.0), is_4d=True)
QUICK = {"duration": "30 iterations", "batch_size": 8, "validate_every": 30, "learning_rate": 0.01}
TINY = {"base_channels": 4, "levels": 3}


def _items(folder: Path, n: int, n_labelled: int) -> tuple[list[ImportItem], list[PhantomAorta]]:
    folder.mkdir()
    items, vessels = [], []
    for i in range(n):
        vessel = PhantomAorta(min_area_mm2=450.0 + 40 * i, max_area_mm2=560.0 + 60 * i)
        made = render_aorta(
            vessel, rng=np.random.default_rng(i), n_frames=100 if i >= n_labelled else 10, matrix_yx=(48, 48),
            spacing_zyx_mm=(6.0, 2.0, 2.0),
        )  # fmt: skip
        image = folder / f"a{i}.nii.gz"
        write_volume(image, made.image, GEOMETRY)
        labels = ()
        if i < n_labelled:
            write_volume(folder / f"a{i}_gt.nii.gz", made.labels, GEOMETRY)
            labels = ((None, folder / f"a{i}_gt.nii.gz"),)
        items.append(
            ImportItem(subject_id=f"a{i}", case_id=f"a{i}", image_path=image, label_paths=labels, split="train")
        )
        vessels.append(vessel)
    return items, vessels


def test_the_aorta_goes_from_import_to_distensibility(tmp_path: Path):
    items, vessels = _items(tmp_path / "images", n=3, n_labelled=2)
    preprocessing = Preprocessing(crop_yx=(48, 48))
    with Study.create(tmp_path / "study", label_scheme=PRESETS["aorta"], preprocessing=preprocessing) as study:
        assert not study.add_cases(items, split="train").failed
        order = training_spec(study, strategy="supervised", overrides=QUICK, network_overrides=TINY)
        run_here(study, order, lambda event: None, lambda: False)
        run_here(study, prediction_spec(study, crf=False), lambda event: None, lambda: False)
        proposal = study.proposal("a2")
        assert proposal.frames == tuple(range(100)) and study.case("a2").n_slices == 1
        curve = aortic_area("a2", study.read_labels(proposal), study.label_scheme, study.case("a2").spacing_zyx_mm)
        true = vessels[2].area_mm2(np.arange(100) / 100)
        assert np.corrcoef(curve.area_mm2, true)[0, 1] > 0.8
        assert np.abs(curve.area_mm2 / true - 1).mean() < 0.2
        assert {f["rule"] for f in study.measures(proposal.id)["flags"]} <= {"jumps", "islands"}

    runner = CliRunner()
    said = runner.invoke(main, ["study", "pressures", str(study.folder), "a2", "120", "80"])
    assert said.output.strip() == "Case a2: systolic 120 mmHg, diastolic 80 mmHg"
    told = runner.invoke(main, ["study", "pressures", str(study.folder), "a0", "--json"])
    assert json.loads(told.stdout) == {"case": "a0", "systolic_mmhg": None, "diastolic_mmhg": None}
    assert runner.invoke(main, ["study", "pressures", str(study.folder), "a2", "80", "120"]).exit_code == 1
    out = tmp_path / "out"
    done = runner.invoke(main, ["export", str(study.folder), "--format", "csv", "--out", str(out), "--state", "all"])
    assert done.exit_code == 0, done.output
    rows = {r["case"]: r for r in csv.DictReader((out / "clinical_indices.csv").open())}
    found = aortic_indices(curve, (120.0, 80.0))
    assert float(rows["a2"]["Aorta distensibility (10-3 mmHg-1)"]) == round(1000 * found.distensibility_per_mmhg, 3)
    assert rows["a0"]["Aorta distensibility (10-3 mmHg-1)"] == "" and float(rows["a0"]["Aorta max area (mm2)"]) > 0
    assert abs(1000 * distensibility(true.max(), true.min(), 120, 80) - 1000 * found.distensibility_per_mmhg) < 5
