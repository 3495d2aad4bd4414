from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ssl.core.catalogue import CRFParameters
from napari_ssl.errors import CatalogueError, ImageError, LabelError, MissingDependencyError
from napari_ssl.refinement import crf

BACKENDS = ("pydensecrf", "torch")
WIDE = {"sigma_alpha": 4.0, "sigma_beta": 20.0, "sigma_gamma": 3.0, "w1": 0.05, "w2": 0.1}


@pytest.fixture(params=BACKENDS)
def backend(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return request.param


def agreement(a, b):
    return float((a == b).mean())


@pytest.mark.parametrize("normalisation", ["none", "symmetric"])
def test_uncertain_region_gives_the_label_map_of_the_whole_slice(hearts, backend, normalisation):
    parameters = CRFParameters(backend=backend, normalisation=normalisation)
    changed = 0
    for probabilities, image, _ in hearts:
        region = crf.refine_slice(probabilities, image, parameters)
        whole = crf.refine_slice(probabilities, image, replace(parameters, region="whole"))
        assert agreement(region, whole) >= 0.9999
        changed += int((whole != probabilities.argmax(axis=0)).sum())
    assert changed > 20, "the CRF had nothing to do: the test shows nothing"


def test_uncertain_region_equals_the_whole_slice_on_real_images(shared_data, backend, make_softmax):
    sitk = pytest.importorskip("SimpleITK")
    parameters = CRFParameters(backend=backend)
    changed = 0
    for path in sorted((shared_data / "acdc_ed_es").glob("*/*_gt.nii.gz"))[:3]:
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[4]
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(path).replace("_gt", "")))[4].astype(np.float32)
        image = np.clip(image / np.percentile(image, 99), 0, 1)
        probabilities = make_softmax(labels, 4, noise=1.5, scale=8)
        region = crf.refine_slice(probabilities, image, parameters)
        whole = crf.refine_slice(probabilities, image, replace(parameters, region="whole"))
        assert agreement(region, whole) >= 0.9999
        changed += int((whole != probabilities.argmax(axis=0)).sum())
    assert changed > 20


@pytest.mark.parametrize("normalisation", ["none", "symmetric"])
def test_back_ends_agree_in_999_of_1000_pixels(hearts, normalisation):
    """The lattice of pydensecrf approximates the sums that torch computes, so a few pixels at borders differ."""
    for backend in BACKENDS:
        pytest.importorskip(backend)
    for probabilities, image, _ in hearts:
        maps = [
            crf.refine_slice(
                probabilities, image, CRFParameters(backend=name, normalisation=normalisation, region="whole")
            )
            for name in BACKENDS
        ]
        assert agreement(*maps) >= 0.999


def test_back_ends_agree_on_wide_kernels(hearts):
    for backend in BACKENDS:
        pytest.importorskip(backend)
    probabilities, image = hearts[2][0][:, 80:144, 80:144], hearts[2][1][80:144, 80:144]
    maps = [crf.refine_slice(probabilities, image, CRFParameters(backend=name, **WIDE)) for name in BACKENDS]
    assert agreement(*maps) >= 0.995


def test_wide_kernels_refine_the_whole_slice(hearts, monkeypatch):
    pytest.importorskip("pydensecrf")
    sizes = []
    solver = crf._SOLVERS["pydensecrf"]
    recorded = lambda u, pixels, *rest: sizes.append(len(pixels)) or solver(u, pixels, *rest)  # noqa: E731
    monkeypatch.setitem(crf._SOLVERS, "pydensecrf", recorded)
    probabilities, image, _ = hearts[0]
    crf.refine_slice(probabilities, image, CRFParameters(backend="pydensecrf", **WIDE))
    crf.refine_slice(probabilities, image, CRFParameters(backend="pydensecrf"))
    assert sizes[0] == image.size
    assert sizes[1] < image.size / 5


def test_uncertain_region_is_refused_for_wide_kernels(hearts):
    probabilities, image, _ = hearts[0]
    with pytest.raises(CatalogueError, match=r"narrow kernels.*choose region"):
        crf.refine_slice(probabilities, image, CRFParameters(region="uncertain", **WIDE))


def test_noise_is_removed_and_a_clean_map_is_kept(hearts, backend):
    _, image, labels = hearts[0]
    clean = np.where(labels[None] == np.arange(4)[:, None, None], np.float32(0.997), np.float32(0.001))
    parameters = CRFParameters(backend=backend)
    refined = crf.refine_slice(clean, image, parameters)
    assert agreement(refined, labels) >= 0.9999  # sharp corners of the drawing may be cut
    speckled = clean.copy()
    for y, x in ((40, 40), (20, 150), (200, 100)):
        assert labels[y, x] == 0
        speckled[:, y, x] = 0.3, 0.1, 0.1, 0.5
    np.testing.assert_array_equal(crf.refine_slice(speckled, image, parameters), refined)


def test_frame_is_refined_slice_by_slice(hearts, backend):
    parameters = CRFParameters(backend=backend)
    probabilities = np.stack([heart[0] for heart in hearts])
    image = np.stack([heart[1] for heart in hearts])
    refined = crf.refine_frame(probabilities, image, parameters)
    assert refined.shape == image.shape
    assert refined.dtype == np.uint8
    for z in range(3):
        np.testing.assert_array_equal(refined[z], crf.refine_slice(probabilities[z], image[z], parameters))


@pytest.mark.parametrize("region", ["auto", "whole"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (3, 1, 9), (2, 7, 1), (4, 16, 16)])
def test_edge_shapes_and_empty_foreground_give_the_only_possible_map(backend, region, shape):
    probabilities = np.zeros(shape, np.float32)
    probabilities[0] = 1
    refined = crf.refine_slice(
        probabilities, np.full(shape[1:], 0.5, np.float32), CRFParameters(backend=backend, region=region)
    )
    np.testing.assert_array_equal(refined, np.zeros(shape[1:], np.uint8))


def test_two_classes_on_a_constant_image(backend):
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 12:28] = 1
    foreground = np.where(labels == 1, np.float32(0.9), np.float32(0.1))
    image = np.zeros((40, 40), np.float32)
    parameters = CRFParameters(backend=backend)
    refined = crf.refine_slice(np.stack([1 - foreground, foreground]), image, parameters)
    assert set(np.unique(refined)) == {0, 1}
    assert agreement(refined, labels) > 0.98  # Eq. 4 shortens the contour: the four corners are rounded


def test_zero_weights_keep_the_arg_max(hearts, backend):
    probabilities, image, _ = hearts[2]
    for region in ("auto", "whole"):
        refined = crf.refine_slice(probabilities, image, CRFParameters(backend=backend, w1=0, w2=0, region=region))
        np.testing.assert_array_equal(refined, probabilities.argmax(axis=0))


def test_inputs_are_not_written_and_may_be_read_only_views(hearts, backend):
    probabilities, image = hearts[0][0][:, ::2, ::-1], hearts[0][1][::2, ::-1]
    before = probabilities.copy()
    probabilities.flags.writeable = image.flags.writeable = False
    crf.refine_slice(probabilities, image, CRFParameters(backend=backend))
    np.testing.assert_array_equal(probabilities, before)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda p, i: (np.where(np.arange(p.shape[2]) == 3, np.nan, p), i),
            LabelError,
            "not finite at 224 pixels.*diverged",
        ),
        (lambda p, i: (np.log(p + 1e-3), i), LabelError, "not logits"),
        (lambda p, i: (p, np.where(i > 0.7, np.nan, i)), ImageError, "grey values are not finite"),
        (lambda p, i: (p, i[:-1]), LabelError, r"\(223, 224\)"),
        (lambda p, i: (p[0], i), LabelError, r"\(K, Y, X\)"),
    ],
)
def test_bad_input_is_named(hearts, change, error, message):
    probabilities, image = change(*hearts[0][:2])
    with pytest.raises(error, match=message):
        crf.refine_slice(probabilities, image, CRFParameters())


def test_bad_slice_of_a_frame_is_named(hearts):
    probabilities = np.stack([hearts[0][0]] * 2)
    image = np.stack([hearts[0][1]] * 2)
    image[1, 5, 5] = np.inf
    with pytest.raises(ImageError, match="slice 1: 1 grey values"):
        crf.refine_frame(probabilities, image, CRFParameters())


def test_kernel_too_narrow_for_the_lattice_is_refused(hearts):
    pytest.importorskip("pydensecrf")
    probabilities, image, _ = hearts[0]
    with pytest.raises(CatalogueError, match="choose backend 'torch'"):
        crf.refine_slice(probabilities, image, CRFParameters(backend="pydensecrf", sigma_gamma=0.01))


def test_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(crf, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install pydensecrf2"):
        crf.which_backend(CRFParameters(backend="pydensecrf"))
    with pytest.raises(MissingDependencyError, match="pip install torch"):
        crf.which_backend(CRFParameters(backend="torch"))
    with pytest.raises(MissingDependencyError, match=r"pydensecrf2.*torch"):
        crf.which_backend(CRFParameters())


def test_auto_takes_torch_where_pydensecrf_is_missing(monkeypatch):
    monkeypatch.setattr(crf, "find_spec", lambda name: object() if name == "torch" else None)
    assert crf.which_backend(CRFParameters()) == "torch"
    monkeypatch.setattr(crf, "find_spec", lambda name: object())
    assert crf.which_backend(CRFParameters()) == "pydensecrf"


def test_the_device_that_was_chosen_is_the_one_that_computes(hearts):
    probabilities, image, _ = hearts[0]
    parameters = CRFParameters(backend="torch")
    on_cpu = crf.refine_slice(probabilities, image, parameters, "cpu")
    assert np.array_equal(on_cpu, crf.refine_slice(probabilities, image, parameters))
    with pytest.raises(RuntimeError):
        crf.refine_slice(probabilities, image, parameters, "no-such-device")
