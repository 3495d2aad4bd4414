"""Write what readers stand for, for other programs. One table names the formats; each has a module of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from napari_ssl.core.export import FORMATS, ExportOptions
from napari_ssl.errors import StudyError
from napari_ssl.io.export_folder import exporting_to
from napari_ssl.study.export_audit import export_audit
from napari_ssl.study.export_contours import export_contours, export_sunnybrook
from napari_ssl.study.export_crate import export_crate
from napari_ssl.study.export_dicom import export_dicom_seg
from napari_ssl.study.export_labels import export_indices, export_label_maps
from napari_ssl.study.export_nnunet import export_nnunet
from napari_ssl.study.export_run import ExportRun
from napari_ssl.study.study import Study

__all__ = ["ExportReport", "export_study"]

_WRITERS: dict[str, Callable[[ExportRun], None]] = {
    "nifti": export_label_maps,
    "csv": export_indices,
    "nnunet": export_nnunet,
    "dicom-seg": export_dicom_seg,
    "contours": export_contours,
    "sunnybrook": export_sunnybrook,
    "audit": export_audit,
    "ro-crate": export_crate,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote, and what the user should know about it."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def export_study(
    study: Study,
    folder: str | Path,
    format: str = "nifti",
    options: ExportOptions | None = None,
    *,
    write: Callable[[ExportRun], None] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ExportReport:
    """Write all that is asked for or nothing, only inside `folder`.

    Parameters
    ----------
    study : Study
    folder : path
        Made when absent.
    format : str
        A name in `FORMATS`.
    options : ExportOptions, optional
    write : callable, optional
        Writes the format in the place of this room's own writer; ``monai-bundle``, which needs torch, has its writer in
        a higher room (`napari_ssl.rounds.model_export`).
    overwrite : bool
        Whether files of the same name are replaced.
    progress : callable, optional
        Called with done, total, case.
    should_stop : callable, optional
        Asked between cases.

    Raises
    ------
    StudyError
        Unknown format; stopped (`ExportStoppedError`).
    StorageError
        A file exists already, cannot be written, or would change the study or one of its images.
    NapariSslError
        What the format says.
    """
    if format not in FORMATS:
        raise StudyError(f"no export format {format!r}; there are {', '.join(FORMATS)}")
    options = options or ExportOptions()
    _check_heeded(format, options)
    if write is None and format not in _WRITERS:
        raise StudyError(f"{format} is written with torch; use 'napari-ssl export … --format {format}'")
    guarded = [study.folder, *(case.image_path for case in study.cases())]
    with exporting_to(folder, overwrite=overwrite, protected=guarded) as target:
        run = ExportRun(study=study, options=options, target=target)
        if progress is not None:
            run.progress = progress
        if should_stop is not None:
            run.should_stop = should_stop
        (write or _WRITERS[format])(run)
    return ExportReport(files=target.files, notes=tuple(dict.fromkeys(run.notes)))


def _check_heeded(format: str, options: ExportOptions) -> None:
    """Refuse what was asked for and the format would not heed."""
    for field in fields(options):
        default = field.default if field.default is not MISSING else field.default_factory()
        value = getattr(options, field.name)
        if field.name not in FORMATS[format].options and value != default:
            raise StudyError(
                f"{format} has no choice of {field.name.replace('_', ' ')} (got {value!r}); leave it out; it heeds "
                f"{', '.join(FORMATS[format].options).replace('_', ' ') or 'nothing'}"
            )
