"""A model leaves as MONAI bundle: MONAI's own loader and runner give the same values as napari-ssl."""

from __future__ import annotations

import json
from pathlib import Path

import monai
import numpy as np
import pytest
import torch
from comparison_study import discs, make_study
from monai.bundle import ConfigWorkflow

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.core.export import ExportOptions
from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.core.model import Model, ModelState
from napari_ssl.core.preprocessing import Preprocessing
from napari_ssl.errors import CheckpointError, UnknownCaseError
from napari_ssl.inference.labelling import label_image
from napari_ssl.io.images import read_labels
from napari_ssl.networks import build_network, save_weights
from napari_ssl.rounds.model_export import export_bundle
from napari_ssl.study.base import now, plain_json
from napari_ssl.study.exporting import export_study
from napari_ssl.study.study import Study

PARAMETERS = {"base_channels": 4, "levels": 3}


def _register(study: Study, folder: Path, network: str = "res-unet") -> torch.nn.Module:
    import dataclasses

    torch.manual_seed(0)
    made = build_network("res-unet", n_classes=4, parameters=PARAMETERS).eval()
    folder.mkdir()
    save_weights(made, folder / "weights.safetensors", {})
    card = {
        "model_id": "m1",
        "network": network,
        "network_parameters": PARAMETERS,
        "strategy": "supervised",
        "round": 1,
        "preprocessing": plain_json(dataclasses.asdict(Preprocessing(crop_yx=(32, 32)))),
        "label_scheme": PRESETS["acdc"].to_dict(),
        "metrics": {"validation": {"dice": {"LV": 0.9}}},
        "training_cases": [],
    }
    (folder / "card.json").write_text(json.dumps(card))
    model = Model(
        id="m1", spec_hash="0" * 64, strategy="supervised", network=network, round=1, parents=(), metrics={},
        state=ModelState.CANDIDATE, created_at=now(),
    )  # fmt: skip
    study.register_model(model, folder)
    study.promote("m1", by="Ada")
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    with make_study(folder) as study:
        network = _register(study, folder / "made")
        report = export_study(study, folder / "out", "monai-bundle", write=export_bundle)
    return folder, network, report


def test_monais_loader_gives_the_same_logits(exported):
    folder, network, _ = exported
    loaded = monai.bundle.load("m1", bundle_dir=str(folder / "out"), workflow_type="inference", device="cpu").eval()
    image = torch.rand(2, 1, 32, 40)
    with torch.inference_mode():
        assert torch.equal(loaded(image), network(image))


def test_the_bundle_has_all_that_monai_requires(exported):
    folder, _, report = exported
    root = folder / "out" / "m1"
    assert {p.relative_to(root).as_posix() for p in report.files} == {
        *("configs/metadata.json", "configs/inference.json"),
        *("docs/README.md", "models/model.pt", "models/model.safetensors"),
    }
    workflow = ConfigWorkflow(
        config_file=str(root / "configs" / "inference.json"),
        meta_file=str(root / "configs" / "metadata.json"),
        workflow_type="infer",
        bundle_root=str(root),
        dataset_dir=str(folder),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    outputs = metadata["network_data_format"]["outputs"]["pred"]
    assert outputs["channel_def"] == {"0": "background", "1": "RV", "2": "Myo", "3": "LV"}
    assert outputs["num_channels"] == 4
    assert metadata["eval_metrics"] == {"validation": {"dice LV": 0.9}}
    assert set(metadata["required_packages_version"]) == {"napari-ssl"}
    assert str(folder) not in "".join(p.read_text() for p in root.rglob("*.json"))


def test_a_run_of_the_bundle_labels_as_napari_ssl_does(exported):
    folder, network, _ = exported
    root = folder / "out" / "m1"
    images = folder / "images" / "patient001"
    monai.bundle.run(
        config_file=str(root / "configs" / "inference.json"),
        bundle_root=str(root),
        dataset_dir=str(images),
        output_dir=str(folder / "labels"),
        dataset=f"$['{images}/patient001_4d.nii.gz']",
    )
    image = discs(1)[0]
    expected = label_image(
        network, image, preprocessing=Preprocessing(crop_yx=(32, 32)), spacing_zyx_mm=(8.0, 1.5, 1.5),
        scheme=PRESETS["acdc"], frames=(0, 1), device=torch.device("cpu"), crf=CRFParameters(),
    ).labels  # fmt: skip
    np.testing.assert_array_equal(read_labels(folder / "labels" / "patient001_4d_seg.nii.gz"), expected)


def test_weights_in_the_bundle_hold_tensors_and_nothing_else(exported):
    folder, network, _ = exported
    state = torch.load(folder / "out" / "m1" / "models" / "model.pt", weights_only=True)
    assert {k: tuple(v.shape) for k, v in state.items()} == {k: tuple(v.shape) for k, v in network.state_dict().items()}


def test_a_model_of_atlases_stays_and_so_does_one_that_is_not_there(tmp_path):
    with make_study(tmp_path) as study:
        with pytest.raises(UnknownCaseError, match="no model is promoted"):
            export_study(study, tmp_path / "out", "monai-bundle", write=export_bundle)
        _register(study, tmp_path / "made", network="multi-atlas")
        with pytest.raises(CheckpointError, match="holds training images"):
            export_study(study, tmp_path / "out", "monai-bundle", write=export_bundle)
        with pytest.raises(UnknownCaseError, match="no model 'm9'"):
            chosen = ExportOptions(model_id="m9")
            export_study(study, tmp_path / "out", "monai-bundle", chosen, write=export_bundle)
    assert not (tmp_path / "out").exists()
