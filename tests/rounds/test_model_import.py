from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet
from safetensors.torch import save_file

from napari_ssl.core.label_scheme import PRESETS
from napari_ssl.errors import CheckpointError, LabelError, StudyError
from napari_ssl.networks import build_network, load_weights
from napari_ssl.rounds.model_import import import_model
from napari_ssl.rounds.orders import start_model
from napari_ssl.study.study import Study

NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [2, 4, 8],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}
CHANNELS = {"0": "background", "1": "left ventricle", "2": "myocardium", "3": "right ventricle"}


@pytest.fixture
def study(tmp_path):
    with Study.create(tmp_path / "study", label_scheme=PRESETS["ukbb"]) as study:
        yield study


def monai_network() -> UNet:
    torch.manual_seed(0)
    return UNet(2, 1, 4, channels=(2, 4, 8), strides=(2, 2), num_res_units=1, norm="batch")


def bundle(
    folder: Path, *, network=NETWORK, channels=CHANNELS, weights="model.safetensors", state=None, **config
) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": network, **config}))
    outputs = {"pred": {"channel_def": channels}} if channels else {}
    metadata = {"name": "heart", "version": "1.2", "network_data_format": {"outputs": outputs}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    state = monai_network().state_dict() if state is None else state
    if weights.endswith(".safetensors"):
        save_file(state, folder / "models" / weights)
    else:
        torch.save(state, folder / "models" / weights)
    return folder


def test_a_bundle_of_monai_becomes_a_candidate_that_computes_the_same(study, tmp_path):
    model, notes = import_model(study, bundle(tmp_path / "heart"))
    assert (model.id, model.strategy, model.network, model.state) == (
        "imported-heart",
        "imported",
        "res-unet",
        "candidate",
    )
    assert any("not known" in note for note in notes)
    started = start_model(study, model.id)
    network = build_network(started.network, n_classes=4, parameters=started.network_parameters)
    network.load_state_dict(load_weights(started.weights_path)[0])
    original, images = monai_network().eval(), torch.rand(2, 1, 16, 16)
    assert torch.equal(network.eval()(images), original(images))
    assert study.model_card(model.id)["imported_from"]["name"] == "heart"


@pytest.mark.parametrize("form", ["pt", "wrapped", "zip", "zip with a folder"])
def test_the_other_forms_of_a_bundle(study, tmp_path, form):
    state = monai_network().state_dict()
    state = {"state_dict": {f"module.{k}": v for k, v in state.items()}} if form == "wrapped" else state
    path = bundle(tmp_path / "heart", weights="model.safetensors" if "zip" in form else "model.pt", state=state)
    if "zip" in form:
        with zipfile.ZipFile(tmp_path / "heart.zip", "w") as archive:
            for file in path.rglob("*.*"):
                archive.write(file, file.relative_to(path if form == "zip" else tmp_path))
        path = tmp_path / "heart.zip"
    assert import_model(study, path)[0].id == "imported-heart"


def test_references_to_literals_are_followed(study, tmp_path):
    path = bundle(tmp_path / "heart", network={**NETWORK, "spatial_dims": "@dims"}, dims=2)
    assert import_model(study, path)[0].network == "res-unet"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_target_": "os.system"}, r"network 'os\.system' is not allowed; allowed are UNet"),
        ({"_target_": "monai.networks.nets.SegResNet"}, "is not allowed"),
        ({"spatial_dims": "$__import__('os').getpid()"}, r"spatial_dims is .*would have to be evaluated"),
        ({"spatial_dims": "@absent"}, "would have to be evaluated"),
        ({"norm": {"_target_": "os.system"}}, "would have to be evaluated"),
        ({"channels": [2, 6, 8]}, r"channels = \[2, 6, 8\]"),
        ({"strides": [1, 2]}, r"strides = \[1, 2\]"),
        ({"act": "RELU"}, "act = 'RELU'"),
        ({"num_res_units": 0}, "num_res_units"),
        ({"channels": [4, 8, 16]}, "the weights do not fit network 'res-unet'"),
    ],
)
def test_networks_that_are_not_in_the_allow_list_are_refused(study, tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        import_model(study, bundle(tmp_path / "b", network={**NETWORK, **change}))
    assert study.models() == []


class Bomb:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def test_programs_in_the_place_of_weights_never_run(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = bundle(tmp_path / "b", weights="model.pt")
    for content in (pickle.dumps({"weight": Bomb()}), pickle.dumps(Bomb())):
        (path / "models" / "model.pt").write_bytes(content)
        with pytest.raises(CheckpointError, match="programs and never run"):
            import_model(study, path)
    torch.save({"weight": Bomb()}, path / "models" / "model.pt")
    with pytest.raises(CheckpointError, match="programs and never run"):
        import_model(study, path)
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path / "models" / "model.pt"))
    with pytest.raises(CheckpointError, match="programs and never run"):
        import_model(study, path)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x10\0\0\0\0\0\0\0{}"])
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_damaged_weights_are_refused(study, tmp_path, name, content):
    path = bundle(tmp_path / "b", weights=name)
    (path / "models" / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged|do not fit|named tensors"):
        import_model(study, path)


def test_weights_with_nan_are_refused(study, tmp_path):
    state = monai_network().state_dict()
    next(iter(state.values())).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="holds NaN"):
        import_model(study, bundle(tmp_path / "b", state=state))


# what the classes are


def test_classes_in_another_order_are_refused(study, tmp_path):
    swapped = {**CHANNELS, "1": "right ventricle", "3": "left ventricle"}
    with pytest.raises(
        LabelError, match=r"says 1=right ventricle.*are not the study's in their order \(1=LV, 2=Myo, 3=RV\)"
    ):
        import_model(study, bundle(tmp_path / "b", channels=swapped))


def test_classes_that_nobody_names_must_be_confirmed(study, tmp_path):
    path = bundle(tmp_path / "b", channels=None)
    with pytest.raises(LabelError, match=r"never guessed.*--labels 1=LV,2=Myo,3=RV"):
        import_model(study, path)
    with pytest.raises(LabelError, match="are not the study's"):
        import_model(study, path, labels="1=RV,2=Myo,3=LV")
    assert import_model(study, path, labels="1=LV,2=Myo,3=RV")[0].network == "res-unet"


def test_another_number_of_classes_is_refused(study, tmp_path):
    with pytest.raises(LabelError, match="has 3 classes with background, the study 4"):
        import_model(study, bundle(tmp_path / "b", network={**NETWORK, "out_channels": 3}))


# safetensors with a card


def test_a_model_of_another_study_comes_with_its_card(study, tmp_path):
    first, _ = import_model(study, bundle(tmp_path / "heart"))
    folder = study.folder / "models" / first.id
    with Study.create(tmp_path / "other", label_scheme=PRESETS["ukbb"]) as other:
        model, _ = import_model(other, folder, name="from-elsewhere")
        assert model.id == "from-elsewhere"
        assert other.model_card(model.id)["preprocessing"] == study.model_card(first.id)["preprocessing"]
        assert other.model_weights_hash(model.id) == study.model_weights_hash(first.id)
    with (
        Study.create(tmp_path / "acdc", label_scheme=PRESETS["acdc"]) as acdc,
        pytest.raises(LabelError, match="order"),
    ):
        import_model(acdc, folder)


def test_another_model_under_a_known_name_is_refused(study, tmp_path):
    import_model(study, bundle(tmp_path / "a"), name="heart")
    state = {k: v + 1 for k, v in monai_network().state_dict().items()}
    with pytest.raises(StudyError, match="exists already with other weights"):
        import_model(study, bundle(tmp_path / "b", state=state), name="heart")


def test_a_folder_that_is_no_model_is_refused(study, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds neither card\.json nor configs/inference\.json"):
        import_model(study, tmp_path / "empty")
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="neither a folder nor a zip"):
        import_model(study, tmp_path / "x.zip")
