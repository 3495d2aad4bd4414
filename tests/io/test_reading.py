from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from nibabel.nifti1 import Nifti1Image

from napari_ssl.errors import GeometryError, ImageError
from napari_ssl.io.images import read_header, read_image


def test_header_trap_reads_its_true_spacing(shared_data):
    for name in ("patient045_frame01.nii.gz", "patient045_frame01_gt.nii.gz"):
        path = shared_data / "header_trap" / name
        assert read_header(path).spacing_zyx_mm == (10.0, 1.5625, 1.5625)
        image = read_image(path)
        assert image.data.shape == (1, 8, 256, 208)
        assert image.geometry.spacing_xyz == (1.5625, 1.5625, 10.0)


def test_acdc_cine_has_no_time_step_because_its_header_says_one_second(shared_data):
    header = read_header(shared_data / "acdc_cine" / "patient045" / "patient045_4d.nii.gz")
    assert header.shape_tzyx == (35, 7, 95, 100)
    assert header.frame_interval_ms is None
    assert header.geometry.is_4d


def test_axes_are_time_slice_row_column_as_on_disk(nifti, cine):
    image = read_image(nifti(cine.T))
    np.testing.assert_array_equal(image.data, cine)
    assert image.data.dtype == np.int16
    assert image.data.dtype.isnative
    assert image.geometry.size_xyz == (6, 5, 4)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
@pytest.mark.parametrize("n_axes", [2, 3, 4])
def test_every_format_reads_in_two_three_and_four_axes(tmp_path, cine, suffix, n_axes):
    array = {2: cine[0, 0], 3: cine[0], 4: cine}[n_axes]
    stored = sitk.GetImageFromArray(array, isVector=False)
    stored.SetSpacing((1.25, 1.5, 8.0, 1.0)[:n_axes])
    path = tmp_path / f"image{suffix}"
    sitk.WriteImage(stored, str(path), useCompression=suffix in (".nii.gz", ".mha", ".nrrd"))
    image = read_image(path)
    np.testing.assert_array_equal(image.data, cine[: 3 if n_axes == 4 else 1, : 4 if n_axes > 2 else 1])
    assert image.geometry.spacing_xyz == ((1.25, 1.5, 1.0) if n_axes == 2 else (1.25, 1.5, 8.0))
    assert (image.geometry.is_2d, image.geometry.is_4d) == (n_axes == 2, n_axes == 4)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", ">i2", ">f4"])
def test_values_equal_those_that_another_reader_gives(tmp_path, cine, dtype):
    path = tmp_path / "image.nii.gz"
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    Nifti1Image((cine.T % 100).astype(dtype), np.eye(4), header).to_filename(path)
    expected = np.asanyarray(nibabel.load(path).dataobj).T
    np.testing.assert_array_equal(read_image(path).data, expected)


def test_scaled_values_are_unscaled(tmp_path, cine):
    stored = Nifti1Image(cine.T.astype(np.int16), np.eye(4))
    stored.header.set_slope_inter(2.0, 7.0)
    stored.to_filename(tmp_path / "image.nii")
    expected = nibabel.load(tmp_path / "image.nii").get_fdata().T
    np.testing.assert_allclose(read_image(tmp_path / "image.nii").data, expected, rtol=1e-6)


def test_a_pair_of_header_and_image_reads_by_either_name(tmp_path, cine):
    nibabel.Nifti1Pair(cine.T, np.eye(4)).to_filename(tmp_path / "pair.img")
    for name in ("pair.hdr", "pair.img"):
        np.testing.assert_array_equal(read_image(tmp_path / name).data, cine)
    (tmp_path / "pair.img").unlink()
    with pytest.raises(ImageError, match="copy both files"):
        read_image(tmp_path / "pair.hdr")


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_some_frames_only(nifti, cine, name):
    path = nifti(cine.T, name)
    np.testing.assert_array_equal(read_image(path, frames=[2, 0]).data, cine[[2, 0]])
    assert read_image(path, frames=[1]).geometry == read_image(path).geometry
    with pytest.raises(ImageError, match=r"frames \[3\]; it has frames 0 to 2"):
        read_image(path, frames=[3])
    with pytest.raises(ImageError, match="asked for frames"):
        read_image(path, frames=[])


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("sec", 0.03, 30.0),
        ("msec", 30.0, 30.0),
        ("usec", 30000.0, 30.0),
        ("sec", 1.0, None),
        ("msec", 1.0, None),
        ("unknown", 30.0, None),
        ("hz", 30.0, None),
        ("sec", 30.0, None),
        ("msec", 0.0, None),
    ],
)
def test_time_step_needs_a_unit_and_a_plausible_value(nifti, cine, unit, value, expected):
    path = nifti(cine.T, pixdim=(1.5, 1.5, 8.0, value), units=("mm", unit))
    assert read_header(path).frame_interval_ms == expected
    assert read_image(path).frame_interval_ms == expected


def test_spatial_unit_is_brought_to_mm(nifti, cine):
    path = nifti(cine.T, affine=np.diag([-0.0015, -0.0015, 0.008, 1]), units=("meter", "msec"))
    assert read_header(path).spacing_zyx_mm == (8.0, 1.5, 1.5)


def test_sform_without_scale_yields_to_pixdim(nifti, cine):
    path = nifti(cine.T, affine=np.diag([-1.0, -1.0, 1.0, 1.0]), pixdim=(1.25, 1.25, 10.0))
    assert read_header(path).spacing_zyx_mm == (10.0, 1.25, 1.25)


def test_pixdim_never_filled_in_yields_to_the_sform(nifti, cine):
    assert read_header(nifti(cine.T, pixdim=(1.0, 1.0, 1.0))).spacing_zyx_mm == (8.0, 1.5, 1.5)


def test_spacings_that_contradict_each_other_are_refused_with_both_values(nifti, cine):
    with pytest.raises(GeometryError, match=r"image\.nii\.gz.*\(1\.5, 1\.5, 4\.0\).*\(1\.5, 1\.5, 8\.0\).*correct"):
        read_image(nifti(cine.T, pixdim=(1.5, 1.5, 4.0)))


@pytest.mark.parametrize("value", [0.0, -1.5, np.nan, np.inf])
def test_spacing_that_is_not_positive_is_refused(nifti, cine, value):
    with pytest.raises(GeometryError, match=r"image\.nii\.gz: spacing \(pixdim\).*above 0 mm; write the true spacing"):
        read_image(nifti(cine.T, pixdim=(1.5, value, 8.0)))


@pytest.mark.parametrize("spacing", ["1 0 1", "1 -1 1", "1 nan 1", "1 5000 1"])
def test_wrong_spacing_of_other_formats_is_refused(tmp_path, spacing):
    path = tmp_path / "image.mha"
    header = f"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementSpacing = {spacing}\n"
    path.write_bytes(header.encode() + b"ElementType = MET_UCHAR\nElementDataFile = LOCAL\n" + bytes(8))
    with pytest.raises(GeometryError, match=r"image\.mha.*spacing.*correct its header"):
        read_image(path)


def test_skewed_axes_are_refused(nifti, tmp_path, cine):
    skewed = np.array([[-1.5, 0.7, 0, 0], [0, -1.5, 0, 0], [0, 0, 8, 0], [0, 0, 0, 1.0]])
    with pytest.raises(GeometryError, match=r"image\.nii\.gz.*perpendicular.*resample"):
        read_image(nifti(cine.T, affine=skewed, pixdim=tuple(np.linalg.norm(skewed[:3, :3], axis=0))))
    path = tmp_path / "image.nrrd"
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nspace: left-posterior-superior\n"
    path.write_bytes(header.encode() + b"space directions: (1,0,0) (.5,1,0) (0,0,1)\nencoding: raw\n\n" + bytes(8))
    with pytest.raises(GeometryError, match=r"image\.nrrd.*not orthonormal.*resample"):
        read_image(path)


@pytest.mark.parametrize("kept", [0.3, 0.98])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "image.mha"])
def test_truncated_file_is_refused(tmp_path, name, kept):
    noise = np.random.default_rng(0).integers(0, 30000, (3, 4, 40, 40)).astype(np.int16)
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(noise, isVector=False), str(path), useCompression=True)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ImageError, match=rf"{name}.*copy it again"):
        read_image(path)


def test_missing_last_bytes_of_the_check_sum_are_noticed(nifti, cine):
    path = nifti(cine.T)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize("name", ["image.nii.gz", "image.mha", "image.nrrd"])
def test_flipped_bits_are_noticed(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 30000, (4, 40, 40)).astype(np.int16)
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(path), useCompression=True)
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"{name}.*copy it again"):
        read_image(path)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "image.mha"])
def test_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ImageError, match=rf"{name}: is empty \(0 bytes\)"):
        read_header(tmp_path / name)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "image.mha"])
@pytest.mark.parametrize("content", [b"hello", b"not an image, but long enough to hold a header " * 20])
def test_text_under_the_name_of_an_image_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=name):
        read_image(tmp_path / name)


@pytest.mark.parametrize("name", ["image.png", "image.dcm", "notes.txt", "image"])
def test_other_formats_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ImageError, match=r"is not supported; napari-ssl reads \.nii\.gz.*convert it"):
        read_image(tmp_path / name)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_header(tmp_path / "absent.nii.gz")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(ImageError, match="is a folder"):
        read_header(tmp_path / "folder.nii")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.nrrd", "image.mha"])
def test_nan_and_infinity_are_refused_with_their_place(tmp_path, cine, name, value):
    array = cine.astype(np.float32)
    array[1, 2, 3, 4] = value
    if name.startswith("image.nii"):
        Nifti1Image(array.T, np.eye(4)).to_filename(tmp_path / name)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(tmp_path / name))
    with pytest.raises(ImageError, match=rf"{name}: 1 voxels are NaN or infinite.*\(1, 2, 3, 4\).*replace them"):
        read_image(tmp_path / name)


def test_five_axes_are_refused(nifti, cine):
    with pytest.raises(ImageError, match=r"image\.nii\.gz: has 5 axes \(6, 5, 4, 3, 2\).*split it"):
        read_header(nifti(np.stack([cine.T, cine.T], axis=-1)))


def test_one_axis_is_refused(nifti, cine):
    with pytest.raises(ImageError, match="has 1 axes"):
        read_header(nifti(cine.T[:, 0, 0, 0]))


def test_colour_vector_and_complex_images_are_refused(tmp_path, nifti, cine):
    vector = tmp_path / "vector.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(cine, isVector=True), str(vector))
    with pytest.raises(ImageError, match=r"vector\.nrrd: has 6 values per pixel.*export"):
        read_header(vector)
    rgb = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageError, match="3 values per pixel"):
        read_header(nifti(rgb, "rgb.nii"))
    with pytest.raises(ImageError, match="2 values per pixel"):
        read_header(nifti(cine.T.astype(np.complex64), "complex.nii"))


def test_an_axis_without_voxels_is_refused(nifti, tmp_path, cine):
    path = nifti(cine.T, "image.nii")
    content = bytearray(path.read_bytes())
    content[42:44] = b"\0\0"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"image\.nii: size \(0, 5, 4, 3\) holds an axis without voxels"):
        read_image(path)
    path = tmp_path / "image.mha"
    path.write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 0 4 4\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    )
    with pytest.raises(GeometryError, match=r"image\.mha: size \(x, y, z\) is \(0, 4, 4\)"):
        read_image(path)


def test_analyze_and_nifti_2_are_refused_with_a_remedy(tmp_path, cine):
    nibabel.AnalyzeImage(cine.T, np.eye(4)).to_filename(tmp_path / "old.hdr")
    nibabel.Nifti2Image(cine.T, np.eye(4)).to_filename(tmp_path / "two.nii.gz")
    for name in ("old.hdr", "two.nii.gz"):
        with pytest.raises(ImageError, match=rf"{name}: is no NIfTI-1 file.*convert"):
            read_header(tmp_path / name)


def test_reading_leaves_the_file_alone(nifti, cine):
    path = nifti(cine.T)
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    read_image(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def all_orientations():
    """The 48 ways to lay the axes of an image along those of the patient: 6 orders times 8 signs."""
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        matrix = np.zeros((3, 3))
        matrix[order, range(3)] = signs
        yield matrix


@pytest.mark.parametrize(
    "matrix", list(all_orientations()), ids=lambda m: "".join(nibabel.aff2axcodes(np.pad(m, (0, 1))))
)
def test_orientation_is_reported_in_patient_axes(nifti, cine, matrix):
    affine = np.eye(4)
    affine[:3, :3] = matrix @ np.diag([1.5, 2.0, 8.0])
    affine[:3, 3] = (11, -22, 33)
    geometry = read_header(nifti(cine.T, affine=affine)).geometry
    to_lps = np.diag([-1, -1, 1])
    np.testing.assert_allclose(np.reshape(geometry.direction, (3, 3)), to_lps @ matrix, atol=1e-6)
    np.testing.assert_allclose(geometry.origin_xyz, to_lps @ affine[:3, 3])
    assert geometry.spacing_xyz == (1.5, 2.0, 8.0)
