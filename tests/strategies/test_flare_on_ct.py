"""The two FLARE papers on real abdominal CT: their presets, from files to labels on the images' grid."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from napari_ssl.core.catalogue import STRATEGIES, preset_values
from napari_ssl.core.label_scheme import LabelScheme
from napari_ssl.core.preprocessing import Preprocessing, changed_preprocessing
from napari_ssl.core.training import Role, TrainingItem, TrainingSpec
from napari_ssl.io.images import hash_file, hash_labels
from napari_ssl.strategies import make_strategy
from napari_ssl.strategies.lab import Lab

SMALL = {"swin-unet": {"embedding": 12}, "unet": {"channels": "6,8,12,16,24"}}
STEPS = {
    "self-labelling": {"first_phase": "18 iterations", "second_phase": "12 iterations", "keep": "last"},
    "teacher-student": {
        "folds": 2,
        "best": 2,
        "teacher_duration": "12 iterations",
        "student_duration": "18 iterations",
        "student_batch_size": 0,
        "student_learning_rate": 0.0,
    },
}
ROLES = {"11": Role.LABELLED, "14": Role.LABELLED, "18": Role.UNLABELLED, "24": Role.LABELLED}


@pytest.fixture(scope="module")
def liver_slices(shared_data, tmp_path_factory):
    """Four slices of each subject where most voxels are liver, every second pixel; real orientation and spacing."""
    folder, items = tmp_path_factory.mktemp("ct"), {}
    for subject, role in ROLES.items():
        labels = sitk.ReadImage(str(shared_data / "abdomen_ct" / f"label_{subject}.nii.gz"))
        image = sitk.ReadImage(str(shared_data / "abdomen_ct" / f"image_{subject}.nii.gz"))
        z = int((sitk.GetArrayViewFromImage(labels) == 6).sum(axis=(1, 2)).argmax())
        image, labels = (v[::2, ::2, z - 2 : z + 2] for v in (image, labels))
        sitk.WriteImage(image, str(folder / f"image_{subject}.nii.gz"))
        sitk.WriteImage(labels, str(folder / f"label_{subject}.nii.gz"))
        items[subject] = TrainingItem(
            case_id=subject,
            subject_id=subject,
            image_path=str(folder / f"image_{subject}.nii.gz"),
            image_hash=hash_file(folder / f"image_{subject}.nii.gz"),
            spacing_zyx_mm=image.GetSpacing()[::-1],
            frames=(0,),
            role=role,
            label_path=str(folder / f"label_{subject}.nii.gz") if role.has_labels else None,
            label_hash=hash_labels(sitk.GetArrayFromImage(labels)[None]) if role.has_labels else None,
        )
    return items


@pytest.mark.parametrize("name", sorted(STEPS))
def test_paper_preset_learns_from_ct_and_labels_lie_where_the_image_does(name, liver_slices, tmp_path):
    entry = STRATEGIES[name]
    overrides = {"batch_size": 4, "learning_rate": 3e-3, "validate_every": 6, "augmentation": "none", **STEPS[name]}
    coarse = {"pixel_spacing_mm": 6.0, "crop_yx": (64, 64)}
    network = entry.preset_network["paper"]
    spec = TrainingSpec(
        strategy=name,
        network=network,
        network_parameters=SMALL[network],
        parameters=preset_values(entry, "paper", overrides),
        label_scheme=LabelScheme.parse(",".join(f"{n}=organ{n}:other" for n in range(1, 14))),
        preprocessing=changed_preprocessing(Preprocessing(), {**entry.preset_preprocessing["paper"], **coarse}),
        items=tuple(item for subject, item in liver_slices.items() if subject != "24"),
        validation=(liver_slices["24"],),
        device="cpu",
    )
    lab = Lab(spec, tmp_path, torch.device("cpu"), lambda e: None, lambda: False)
    make_strategy(name, spec.parameters).run(lab)

    written = [json.loads(p.read_text()) for p in tmp_path.glob("steps/*/done.json")]
    histories = [w["history"] for w in written if w.get("history")]
    assert len(histories) == {"self-labelling": 2, "teacher-student": 3}[name]
    assert all(h[-1]["loss"] < h[0]["loss"] for h in histories)
    assert all(set(h[-1]["validation_dice"]) == {f"organ{n}" for n in range(1, 14)} for h in histories)
    (pseudo,) = tmp_path.glob("steps/*/18.nii.gz")
    image, labels = sitk.ReadImage(liver_slices["18"].image_path), sitk.ReadImage(str(pseudo))
    assert labels.GetSize()[:3] == image.GetSize()
    assert labels.GetSpacing()[:3] == pytest.approx(image.GetSpacing())
    assert labels.GetOrigin()[:3] == pytest.approx(image.GetOrigin(), abs=1e-3)
    n = labels.GetDimension()
    direction = np.reshape(labels.GetDirection(), (n, n))[:3, :3]
    assert direction == pytest.approx(np.reshape(image.GetDirection(), (3, 3)), abs=1e-5)
