"""Names that file systems and shells trip over, in every layout: nothing leaves its folder, nothing becomes one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_ssl.core.case import CASE_ID_PATTERN, is_device_name
from napari_ssl.core.export import ExportOptions
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.errors import NapariSslError
from napari_ssl.io.geometry import Geometry
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ScanOptions, scan
from napari_ssl.study.exporting import export_study
from napari_ssl.study.study import Study

GEOMETRY = Geometry(size_xyz=(4, 4, 2), spacing_xyz=(1.5, 1.5, 8.0))
NAMES = ["CON", "nul.old", "-rf", " x ", "a b;rm", "Müller", "患者1", "x" * 90, "%s{0}", "a'b\"c", "p\nq"]
IN_TABLES = ["../out", "/etc/passwd", "..", "a/../../b", "C:\\x", "a\x00b", ""]


def write(path: Path, seed: int) -> None:
    """Write an image of its own, or labels where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_label = "gt" in path.name or "label" in str(path) or "dseg" in path.name or "segmentation" in path.name
    data = np.random.default_rng(seed).integers(0, 500, (1, 2, 4, 4)).astype(np.int16)
    write_volume(path, (data % 2).astype(np.uint8) if is_label else data, GEOMETRY)


def _acdc(folder: Path, name: str, seed: int) -> None:
    for ending in ("frame01", "frame01_gt"):
        write(folder / name / f"{name}_{ending}.nii.gz", seed)


def _ukbb(folder: Path, name: str, seed: int) -> None:
    write(folder / name / "sa.nii.gz", seed)
    write(folder / name / "label_sa.nii.gz", seed)


def _mnms(folder: Path, name: str, seed: int) -> None:
    for ending in ("sa", "sa_gt"):
        write(folder / name / f"{name}_{ending}.nii.gz", seed)
    table = folder / "Dataset_information.csv"
    old = table.read_text(encoding="utf-8") if table.is_file() else "External code,ED,ES\n"
    quoted = name.replace('"', '""')
    table.write_text(f'{old}"{quoted}",0,0\n', encoding="utf-8")


def _nnunet(folder: Path, name: str, seed: int) -> None:
    write(folder / "imagesTr" / f"{name}_0000.nii.gz", seed)
    write(folder / "labelsTr" / f"{name}.nii.gz", seed)
    document = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "LV": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(document))


def _msd(folder: Path, name: str, seed: int) -> None:
    path = folder / "dataset.json"
    document = json.loads(path.read_text()) if path.is_file() else {"modality": {"0": "MR"}, "training": [], "test": []}
    document["labels"] = {"0": "background", "1": "LV"}
    document["training"].append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
    for part in ("imagesTr", "labelsTr"):
        write(folder / part / f"{name}.nii.gz", seed)
    path.write_text(json.dumps(document))


def _bids(folder: Path, name: str, seed: int) -> None:
    write(folder / f"sub-{name}" / "anat" / f"sub-{name}_cine.nii.gz", seed)


def _plain(folder: Path, name: str, seed: int) -> None:
    write(folder / f"{name}.nii.gz", seed)
    write(folder / f"{name}_gt.nii.gz", seed)


def _folders(folder: Path, name: str, seed: int) -> None:
    write(folder / name / "image.nii.gz", seed)


# FLARE22, PROMISE12 and Sunnybrook take numbers for names, DICOM gives pseudonyms.
LAYOUTS: dict[str, tuple[str, Callable[[Path, str, int], None]]] = {
    "acdc": ("acdc", _acdc),
    "ukbb": ("ukbb", _ukbb),
    "mnms": ("mnms", _mnms),
    "nnunet": ("nnunet", _nnunet),
    "msd": ("msd", _msd),
    "bids": ("bids", _bids),
    "plain": ("plain", _plain),
    "folders": ("plain", _folders),
}


@pytest.mark.parametrize("which", LAYOUTS)
def test_odd_names_become_identifiers_that_stay_apart_or_are_refused_by_name(tmp_path, which):
    layout, make = LAYOUTS[which]
    n_refused = 0
    for number, name in enumerate(NAMES):
        folder = tmp_path / f"{number}"
        for seed, one in enumerate((name, "other1")):
            make(folder, one, seed)
        try:
            items = scan(folder, layout, ScanOptions())
        except NapariSslError as error:  # refused with its reason, not imported under another's name
            n_refused += 1
            assert str(folder) in str(error) or repr(name) in str(error), str(error)
            continue
        ids = {i.case_id for i in items} | {i.subject_id for i in items}
        assert all(re.fullmatch(CASE_ID_PATTERN, i) and not is_device_name(i) for i in ids), ids
        assert len({i.image_path for i in items}) == len({i.case_id for i in items}) == len(items) >= 1
    assert n_refused <= 3, which


def test_cases_of_odd_names_go_through_a_study_and_out_again(tmp_path):
    names = [n for n in NAMES if n != "p\nq"]
    for seed, name in enumerate(names):
        _plain(tmp_path / "in", name, seed)
    with Study.create(tmp_path / "study", label_scheme=LabelScheme.parse("1=LV:lv_cavity")) as study:
        items = scan(tmp_path / "in", "plain")
        assert not study.add_cases(items).failed
        assert len(study.cases()) == len(names)
        export_study(study, tmp_path / "out", "nifti", ExportOptions(states=("all",)))
    assert len(list((tmp_path / "out").glob("*_seg.nii.gz"))) == len(names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out", "study"]


@pytest.mark.parametrize("name", IN_TABLES)
def test_tables_that_name_files_elsewhere_are_refused_or_do_not_reach_them(tmp_path, name):
    _msd(tmp_path / "msd", "p1", 0)
    document = json.loads((tmp_path / "msd" / "dataset.json").read_text())
    document["training"].append({"image": name, "label": name})
    (tmp_path / "msd" / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(NapariSslError, match="dataset"):
        scan(tmp_path / "msd", "msd", ScanOptions())
    _mnms(tmp_path / "mnms", "p1", 0)
    table = tmp_path / "mnms" / "Dataset_information.csv"
    table.write_text(table.read_text() + f'"{name}",0,0\n', newline="")
    _acdc(tmp_path / "acdc", "p1", 0)
    (tmp_path / "acdc" / "cases.csv").write_text(f'patient,split\n"{name}",train\np1,test\n', newline="")
    for layout in ("mnms", "acdc"):
        try:
            items = scan(tmp_path / layout, layout)
        except NapariSslError as error:
            assert str(tmp_path / layout) in str(error)
        else:
            assert [i.case_id.partition("_")[0] for i in items] == ["p1"]
