"""Every error that napari-ssl raises on purpose.

Each message names the thing at fault (case, file, value), the limit that it broke and the remedy::

    NapariSslError
     ├─ ImageError             an image or label file that cannot be read, or holds what no image may hold
     │   └─ GeometryError      spacing, orientation or shape that do not fit together
     ├─ LabelError             a label map that does not fit its image or its label scheme
     ├─ SchemeError            a label scheme that contradicts itself
     ├─ StudyError             a study folder that is absent, damaged or in use
     │   ├─ StudyVersionError  written by a newer version of napari-ssl
     │   ├─ StudyReadOnlyError the folder or its database cannot be written
     │   └─ UnknownCaseError   no such case, segmentation or model in the study
     ├─ StorageError           a file could not be written whole (disk full, no permission); the old one is intact
     ├─ DecisionError          a review decision that is not allowed in the present state
     ├─ CatalogueError         no strategy, network, parameter, policy or preset of that name
     ├─ SpecError              a training or prediction order that contradicts itself
     ├─ CheckpointError        a checkpoint or weights file that is damaged or belongs to another run
     ├─ JobError               a background job that failed, was lost or cannot be controlled
     │   └─ EngineError        the background engine cannot be started or reached
     └─ MissingDependencyError a library that this action needs is not installed
"""

from __future__ import annotations

__all__ = [
    "CatalogueError",
    "CheckpointError",
    "DecisionError",
    "EngineError",
    "GeometryError",
    "ImageError",
    "JobError",
    "LabelError",
    "MissingDependencyError",
    "NapariSslError",
    "SchemeError",
    "SpecError",
    "StorageError",
    "StudyError",
    "StudyReadOnlyError",
    "StudyVersionError",
    "UnknownCaseError",
]


class NapariSslError(Exception):
    """Base of all errors that are meant to be read by a user."""


class ImageError(NapariSslError):
    """An image file cannot be read, or holds what no image may hold."""


class GeometryError(ImageError):
    """Spacing, orientation or shape do not fit together."""


class LabelError(NapariSslError):
    """A label map does not fit its image or its label scheme."""


class SchemeError(NapariSslError):
    """A label scheme contradicts itself."""


class StudyError(NapariSslError):
    """A study folder is absent, damaged or in use."""


class StudyVersionError(StudyError):
    """The study was written by a newer version of napari-ssl."""


class StudyReadOnlyError(StudyError):
    """The study folder or its database cannot be written."""


class UnknownCaseError(StudyError):
    """No such case, segmentation or model in the study."""


class StorageError(NapariSslError):
    """A file could not be written whole; what was there before is intact."""


class DecisionError(NapariSslError):
    """A review decision is not allowed in the present state."""


class CatalogueError(NapariSslError):
    """No strategy, network, parameter, policy or preset of that name."""


class SpecError(NapariSslError):
    """A training or prediction order contradicts itself."""


class CheckpointError(NapariSslError):
    """A checkpoint or weights file is damaged or belongs to another run."""


class JobError(NapariSslError):
    """A background job failed, was lost or cannot be controlled."""


class EngineError(JobError):
    """The background engine cannot be started or reached."""


class MissingDependencyError(NapariSslError):
    """A library that this action needs is not installed."""
