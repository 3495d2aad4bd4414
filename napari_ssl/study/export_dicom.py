"""Labels as DICOM Segmentation objects, one per phase, with the image series that they lie on.

A case that came from DICOM keeps the UIDs that its import wrote down: pseudonymised ones, or the scanner's own where
the identity was kept on purpose. In the first case the de-identified pictures are written again, in the second the
originals are where they were, and only the segmentation is written. A case that was no DICOM gets UIDs and pictures of
its own.
"""

from __future__ import annotations

from napari_ssl.core.case import Case
from napari_ssl.core.export import MODALITIES
from napari_ssl.errors import GeometryError
from napari_ssl.io.dicom_seg import write_dicom, write_dicom_seg
from napari_ssl.io.dicom_series import SeriesIdentity, derived_series, need_dicom
from napari_ssl.io.images import read_image
from napari_ssl.study.export_run import ExportRun
from napari_ssl.study.export_source import kept_details, picture_numbers

__all__ = ["export_dicom_seg"]

_KEPT = "kept"


def export_dicom_seg(run: ExportRun) -> None:
    """Write ``<case>/images/*.dcm`` and ``<case>/<case>_frameTT_seg.dcm`` for every exported phase."""
    need_dicom()
    for item in run.each(run.items()):
        case, labels, frames = item.case, run.labels(item), run.frames(item)
        image = read_image(case.image_path)
        if image.data.shape != labels.shape:
            raise GeometryError(
                f"case {case.id}: labels have shape {labels.shape}, the image {image.data.shape}; the image was "
                "replaced since its import; put the original back"
            )
        series = derived_series(
            image.data, image.geometry, _identity(run, case), frames=frames, frame_times_ms=_frame_times(case)
        )
        if (case.source or {}).get("identity") == _KEPT:
            run.notes.append(
                f"{case.id}: the segmentation refers to the original DICOM images, which are not written again"
            )
        else:
            for (frame, z), picture in series.items():
                name = f"{case.id}/images/frame{frame + 1:02d}_slice{z + 1:02d}.dcm"
                write_dicom(run.target.file(name), picture)
        for frame in frames:
            run.check_stop()
            write_dicom_seg(
                run.target.file(f"{case.id}/{case.id}_frame{frame + 1:02d}_seg.dcm"),
                labels[frame],
                [series[frame, z] for z in range(case.n_slices)],
                run.study.label_scheme,
                case_id=case.id,
                frame=frame,
                label_hash=item.segmentation.label_hash,
                by_hand=item.by_hand,
            )


def _identity(run: ExportRun, case: Case) -> SeriesIdentity:
    """Return the UIDs that the import kept beside the image; where it kept none, those made from the image's hash."""
    kept = kept_details(case)
    modality, series = kept.get("modality"), kept.get("series_instance_uids") or [None]
    instances = None if "frames_in_file" in kept else kept.get("sop_instance_uids")  # of multi-frame files: not unique
    fits = instances and len(instances) == case.n_frames and all(len(row) == case.n_slices for row in instances)
    return SeriesIdentity(
        patient_id=case.subject_id,
        description=case.id,
        key=case.image_hash,
        modality=modality if modality in MODALITIES else run.options.modality,
        study_uid=kept.get("study_instance_uid"),
        series_uid=series[0] if len(series) == 1 else None,
        frame_of_reference_uid=kept.get("frame_of_reference_uid"),
        instance_uids=instances if fits else None,
        instance_numbers=picture_numbers(case),
    )


def _frame_times(case: Case) -> list[float] | None:
    times = (case.source or {}).get("frame_times_ms")
    if times and len(times) == case.n_frames:
        return [float(t) for t in times]
    if case.frame_interval_ms is None:
        return None
    return [frame * case.frame_interval_ms for frame in range(case.n_frames)]
