"""A stack of DICOM slices on its way into a study, without the patient's identity.

What is kept: pixels, geometry, times of the phases, modality, and UIDs replaced by keyed ones (`io.identity`). Names,
identifiers, dates, descriptions and everything else stay behind, unless the user asks for identities to be kept. Sex,
height and weight, which volumes are related to, are kept only where asked for (PS3.15 "Retain Patient Characteristics
Option").
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_ssl.errors import ImageError
from napari_ssl.io.conversion import Body, Converted
from napari_ssl.io.dicom.pixels import read_grid
from napari_ssl.io.dicom.redaction import Redaction
from napari_ssl.io.dicom.stacks import Stack
from napari_ssl.io.identity import Pseudonyms
from napari_ssl.io.reading import ImageHeader

__all__ = ["DicomConversion", "body_of", "conversion_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomConversion:
    """What becomes of one stack; see `io.conversion.Conversion`.

    Parameters
    ----------
    stack : Stack
    pseudonyms : Pseudonyms
    redaction : Redaction
        Keeps names of patients out of messages.
    description : str
        SeriesDescription, for the eyes of who imports; never stored.
    """

    stack: Stack
    pseudonyms: Pseudonyms
    redaction: Redaction
    description: str = ""
    format: str = "dicom"

    @property
    def shown(self) -> str:
        """Number of the series and its folder."""
        first = self.stack.files[0]
        number = "without a number" if first.series_number is None else first.series_number
        return f"{self.redaction.path(first.path.parent)} (DICOM series {number})"

    @property
    def problem(self) -> str:
        """Why it is refused."""
        return f"{self.shown}: {self.redaction.text('; '.join(self.stack.problems))}" if self.stack.problems else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know."""
        return tuple(map(self.redaction.text, self.stack.notes))

    def header(self) -> ImageHeader:
        """Return what the image will be; ImageError where it is refused."""
        grid = self._grid()
        return ImageHeader(
            shape_tzyx=grid.shape_tzyx,
            spacing_zyx_mm=grid.geometry.spacing_zyx_mm,
            frame_interval_ms=grid.geometry.frame_interval_ms,
            geometry=grid.geometry,
        )

    def fingerprint(self) -> str:
        """Return a digest of the replaced UIDs, frame by frame."""
        digest = hashlib.sha256()
        for row in self._grid().pictures:
            for picture in row:
                digest.update(f"{self.pseudonyms.uid(picture.uid)}#{picture.frame};".encode())
        return digest.hexdigest()

    def convert(self, should_stop: Callable[[], bool] | None = None) -> Converted:
        """Decode the pixels; ImageError names the file, StoppedError when `should_stop` says so."""
        grid = self._grid()
        try:
            data = read_grid(grid, {f.path: f.syntax for f in self.stack.files}, should_stop=should_stop)
        except ImageError as error:
            text = str(error)
            for facts in self.stack.files:
                text = text.replace(str(facts.path), self.redaction.path(facts.path))
            raise type(error)(self.redaction.text(text)) from None
        source: dict[str, Any] = {
            "format": self.format,
            "fingerprint": self.fingerprint(),
            "identity": "kept" if self.pseudonyms.keep_identity else f"replaced with key {self.pseudonyms.key_name}",
        }
        if grid.frame_times_ms is not None:
            source["frame_times_ms"] = list(grid.frame_times_ms)
        return Converted(data=data, geometry=grid.geometry, source=source, details=self._details())

    def places(self) -> dict[str, list[tuple[int, int, int]]]:
        """Return where each file's pictures went: ``(t, z, frame in the file)`` by the original SOPInstanceUID."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for t, row in enumerate(self._grid().pictures):
            for z, picture in enumerate(row):
                found.setdefault(picture.uid, []).append((t, z, picture.frame))
        return found

    def _details(self) -> dict[str, Any]:
        grid, files = self._grid(), self.stack.files
        uid = self.pseudonyms.uid
        details = {
            "study_instance_uid": uid(files[0].study),
            "series_instance_uids": sorted({uid(f.series) for f in files}),
            "frame_of_reference_uid": uid(files[0].frame_of_reference) if files[0].frame_of_reference else None,
            "modality": files[0].modality,
            "transfer_syntaxes": dict(Counter(f.syntax for f in files)),
            "sop_instance_uids": [[uid(p.uid) for p in row] for row in grid.pictures],
            "instance_numbers": [[p.instance for p in row] for row in grid.pictures],
            "notes": list(self.notes),
        }
        if any(p.frame for row in grid.pictures for p in row):
            details["frames_in_file"] = [[p.frame for p in row] for row in grid.pictures]
        if grid.frame_times_ms is not None:
            details["trigger_times_ms"] = [[p.trigger_ms for p in row] for row in grid.pictures]
        return details

    def _grid(self) -> Any:
        if self.stack.grid is None:
            raise ImageError(self.problem)
        return self.stack.grid


def conversion_of(stack: Stack, pseudonyms: Pseudonyms, redaction: Redaction) -> DicomConversion:
    """Return the conversion of a stack."""
    return DicomConversion(
        stack=stack, pseudonyms=pseudonyms, redaction=redaction, description=stack.files[0].description
    )


def body_of(stack: Stack, *, keep_identity: bool) -> Body:
    """Return sex, height and weight of a stack's patient, and the year of birth where identities are kept."""
    patient = stack.files[0].patient
    return Body(
        sex=patient.sex or None,
        height_cm=patient.height_cm,
        weight_kg=patient.weight_kg,
        birth_year=patient.birth_year if keep_identity else None,
    )
