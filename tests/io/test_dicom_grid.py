from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest
from dicom_files import cine, enhanced, phantom, picture, save

from napari_ssl.io.dicom.conversion import DicomConversion
from napari_ssl.io.images import write_volume
from napari_ssl.io.layouts import ScanOptions, scan

ORIGIN, SPACING_XYZ = np.array([-10.0, 20.0, 30.0]), np.array([1.25, 1.5, 8.0])


def signed_permutations() -> list[np.ndarray]:
    """All 48 ways in which the axes of an image can lie along those of the patient."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            axes = np.zeros((3, 3))
            axes[list(order), range(3)] = signs
            found.append(axes)
    return found


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def by_place(data_tzyx: np.ndarray, affine: np.ndarray) -> dict[tuple, list[int]]:
    """Return the values over time by the place of the voxel in the patient (LPS, 0.01 mm)."""
    found = {}
    for z, y, x in np.ndindex(data_tzyx.shape[1:]):
        place = affine @ (x, y, z, 1)
        found[tuple(np.round(place[:3], 2) + 0.0)] = data_tzyx[:, z, y, x].tolist()
    return found


def only(folder: Path) -> DicomConversion:
    (item,) = scan(folder, "dicom", ScanOptions())
    return item.conversion


def check_places(folder: Path, data: np.ndarray, axes: np.ndarray) -> None:
    """Import, write as NIfTI, read by nibabel: every voxel must be where the DICOM file had it."""
    converted = only(folder).convert()
    path = folder.parent / f"{folder.name}.nii.gz"
    write_volume(path, converted.data, converted.geometry)
    image = nibabel.load(path)
    written = np.asarray(image.dataobj)
    written = written if written.ndim == 4 else written[..., None]
    lps = np.diag([-1, -1, 1, 1]) @ image.affine
    expected = np.eye(4)
    expected[:3, :3], expected[:3, 3] = axes * SPACING_XYZ, ORIGIN
    assert by_place(written.transpose(3, 2, 1, 0), lps) == by_place(data, expected)


@pytest.mark.parametrize("part", range(8))
def test_every_voxel_keeps_its_place_in_all_48_orientations(tmp_path, part):
    for n, axes in enumerate(signed_permutations()[part * 6 : part * 6 + 6]):
        folder = save(tmp_path / f"o{n}", cine(origin=ORIGIN, axes=axes), seed=n)
        check_places(folder, phantom(), axes)


@pytest.mark.parametrize("angles", [(0.3, -0.4, 0.9), (-1.1, 0.2, 2.5)])
@pytest.mark.parametrize("left_handed", [False, True])
def test_oblique_stacks_keep_their_place(tmp_path, angles, left_handed):
    axes = rotation(angles) @ np.diag([1, 1, -1 if left_handed else 1])
    check_places(save(tmp_path / "o", cine(origin=ORIGIN, axes=axes)), phantom(), axes)


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_order_of_files_and_instance_numbers_say_nothing(tmp_path, seed):
    pictures = cine()
    for number, one in enumerate(p for row in reversed(pictures) for p in row):
        one.InstanceNumber = number
    data = only(save(tmp_path / "a", pictures, seed)).convert().data
    assert np.array_equal(data, phantom()) and data.dtype == np.int16


def test_files_may_lie_in_several_folders_and_be_named_anything(tmp_path):
    early, late = cine()
    save(tmp_path / "a" / "b", early)
    save(tmp_path / "c", late)
    (tmp_path / "c" / "0000.dcm").rename(tmp_path / "c" / "IMG")
    assert np.array_equal(only(tmp_path).convert().data, phantom())


def test_spacing_is_the_distance_of_positions_and_not_the_thickness(tmp_path):
    header = only(save(tmp_path / "a", cine(slice_mm=10.5))).header()
    assert header.spacing_zyx_mm == (10.5, 1.5, 1.25)


def test_times_are_kept_in_ms_and_their_mean_step_is_the_interval(tmp_path):
    pictures = cine(phantom((3, 2, 4, 5)))
    for row, times in zip(pictures, ((10, 14), (52, 54), (90, 96)), strict=True):
        for one, time in zip(row, times, strict=True):
            one.TriggerTime = time
    converted = only(save(tmp_path / "a", pictures)).convert()
    assert converted.source["frame_times_ms"] == [12.0, 53.0, 93.0]
    assert converted.geometry.frame_interval_ms == 40.5
    assert converted.details["trigger_times_ms"] == [[10, 14], [52, 54], [90, 96]]


def test_the_temporal_position_counts_before_the_trigger_time(tmp_path):
    pictures = cine(phantom((3, 2, 4, 5)))
    for t, row in enumerate(pictures):
        for one in row:
            one.TemporalPositionIdentifier = (2, 3, 1)[t]
            one.TriggerTime = (50, 90, 10)[t]
    assert np.array_equal(only(save(tmp_path / "a", pictures)).convert().data, phantom((3, 2, 4, 5))[[2, 0, 1]])


def test_a_temporal_position_that_is_the_same_everywhere_is_none(tmp_path):
    assert np.array_equal(only(save(tmp_path / "a", cine(TemporalPositionIdentifier=1))).convert().data, phantom())


def test_phases_by_instance_number_when_the_user_says_so(tmp_path):
    pictures = cine()
    for row in pictures:
        for one in row:
            del one.TriggerTime
    folder = save(tmp_path / "a", pictures)
    (item,) = scan(folder, "dicom", ScanOptions(phases="instance"))
    converted = item.conversion.convert()
    assert np.array_equal(converted.data, phantom())
    assert "frame_times_ms" not in converted.source and converted.geometry.frame_interval_ms is None
    assert item.conversion.notes == ("times of the phases are not known",)


def test_a_static_volume_has_one_frame(tmp_path):
    converted = only(save(tmp_path / "a", cine(phantom((1, 4, 4, 5))))).convert()
    assert converted.data.shape == (1, 4, 4, 5) and not converted.geometry.is_4d


def test_one_slice_takes_its_thickness_and_says_so(tmp_path):
    conversion = only(save(tmp_path / "a", cine(phantom((2, 1, 4, 5)))))
    assert conversion.header().spacing_zyx_mm == (6, 1.5, 1.25)
    assert conversion.notes == ("one slice; its SliceThickness (6 mm) stands for the spacing",)


def test_an_enhanced_file_is_the_same_as_its_single_frames(tmp_path):
    axes = rotation((0.3, -0.4, 0.9))
    single = only(save(tmp_path / "a", cine(axes=axes))).convert()
    (tmp_path / "b").mkdir()
    enhanced(cine(axes=axes)).save_as(tmp_path / "b" / "one.dcm")
    whole = only(tmp_path / "b").convert()
    assert np.array_equal(whole.data, single.data)
    assert whole.geometry.differs(single.geometry) is None
    assert whole.source["frame_times_ms"] == single.source["frame_times_ms"] == [10.0, 50.0]


@pytest.mark.parametrize(
    ("slope", "intercept", "kind"), [(1, 0, np.int16), (1, -1024, np.int16), (2, 40000, np.int32), (0.5, 0, np.float32)]
)
def test_values_are_rescaled(tmp_path, slope, intercept, kind):
    data = only(save(tmp_path / "a", cine(RescaleSlope=slope, RescaleIntercept=intercept))).convert().data
    assert np.array_equal(data, phantom().astype(float) * slope + intercept) and data.dtype == kind


def test_a_rescale_of_each_slice_is_applied_to_it(tmp_path):
    pictures = cine()
    for row in pictures:
        row[1].RescaleSlope, row[1].RescaleIntercept = 3, 1
    expected = phantom().copy()
    expected[:, 1] = expected[:, 1] * 3 + 1
    assert np.array_equal(only(save(tmp_path / "a", pictures)).convert().data, expected)


# series


def test_series_and_patients_become_cases_and_subjects(tmp_path):
    save(tmp_path / "a", cine())
    save(tmp_path / "b", cine(SeriesInstanceUID="1.2.3.5", SeriesNumber=8))
    save(tmp_path / "c", cine(SeriesInstanceUID="1.2.4.5", StudyInstanceUID="1.2.4", PatientID="other"))
    one, two, three = scan(tmp_path, "dicom", ScanOptions())
    assert one.subject_id == two.subject_id != three.subject_id
    assert one.case_id.endswith("-s7") and two.case_id.endswith("-s8")


def test_a_stack_of_one_series_a_slice_is_put_together(tmp_path):
    for row in (pictures := cine()):
        for z, one in enumerate(row):
            one.SeriesInstanceUID, one.SeriesNumber = f"1.2.3.{10 + z}", 20 + z
    conversion = only(save(tmp_path / "a", pictures))
    assert np.array_equal(conversion.convert().data, phantom())
    assert "3 series of one slice each were put together" in conversion.notes


def test_a_series_of_two_kinds_of_images_is_taken_apart_and_says_so(tmp_path):
    magnitude, phase = cine(ImageType=["ORIGINAL", "PRIMARY", "M"]), cine(ImageType=["ORIGINAL", "PRIMARY", "P"])
    items = scan(save(tmp_path / "a", [*magnitude, *phase]), "dicom", ScanOptions())
    assert [i.case_id[-2:] for i in items] == ["-1", "-2"]
    assert all("its images are of 2 kinds (6, 6 images)" in i.conversion.notes[0] for i in items)


def test_other_objects_and_files_are_counted_and_left_out(tmp_path):
    from napari_ssl.io.dicom.folder import files_below, index_files

    save(tmp_path, cine())
    report = picture(np.zeros((2, 2), np.int16))
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.22", "SR"
    del report.Rows, report.PixelData
    report.save_as(tmp_path / "report.dcm")
    (tmp_path / "notes.txt").write_text("read me")
    found = index_files(files_below([tmp_path]))
    assert found.notes() == ("1 file left out: no DICOM", "1 file left out: no image (SR)")
    assert len(found.series) == 1
    assert only(tmp_path).notes == found.notes()


def test_indexing_tells_how_far_it_is_and_stops(tmp_path):
    from napari_ssl.io.dicom.folder import files_below, index_files

    files = files_below([save(tmp_path / "a", cine(phantom((10, 3, 4, 5))))])
    steps = []
    index_files(files, progress=lambda *step: steps.append(step))
    assert steps == [(0, 30, ""), (20, 30, "")]
    assert index_files(files, should_stop=lambda: len(steps) > 1).series == ()
