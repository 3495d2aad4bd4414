"""Find what is wrong in a study, and count what is in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from napari_ssl.core.case import Case, Split
from napari_ssl.errors import CheckpointError, ImageError, NapariSslError
from napari_ssl.io.documents import read_document
from napari_ssl.io.images import hash_file
from napari_ssl.study.confidence_maps import further_maps
from napari_ssl.study.jobs import SPEC_FILE, JobRoom
from napari_ssl.study.journal import JOURNAL_SUFFIX
from napari_ssl.study.models import CARD_FILE, WEIGHTS_FILE, ModelRoom
from napari_ssl.study.overview import OverviewRoom
from napari_ssl.study.storage import inside

__all__ = ["CheckRoom", "Finding", "Severity"]

Progress = Callable[[int, int, str], None]


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Something is lost or wrong; results cannot be trusted until it is put right."""
    WARNING = "warning"
    """Work goes on, but part of it is missing or unwise."""
    NOTE = "note"
    """Harmless left-overs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong."""

    severity: Severity
    message: str
    remedy: str
    case_id: str | None = None
    path: str | None = None


class CheckRoom(OverviewRoom, ModelRoom, JobRoom):
    """Check and count."""

    def check(self, *, progress: Progress | None = None) -> list[Finding]:
        """Return what is wrong, errors first; reads every image and label file of the study.

        Parameters
        ----------
        progress : callable, optional
            Called with (done, total, what).
        """
        cases = self.cases()
        segmentations = self.segmentations()
        total = len(cases) + len(segmentations)
        findings = [*self._check_database(), *self._check_splits(cases)]
        for done, case in enumerate(cases):
            if progress is not None:
                progress(done, total, case.id)
            findings += self._check_image(case)
        for done, segmentation in enumerate(segmentations, start=len(cases)):
            if progress is not None:
                progress(done, total, segmentation.label_path)
            try:
                self.read_labels(segmentation)
                self.read_confidence(segmentation)
            except NapariSslError as error:
                findings.append(
                    Finding(
                        severity=Severity.ERROR,
                        case_id=segmentation.case_id,
                        path=segmentation.label_path,
                        message=str(error),
                        remedy="restore the file from a backup",
                    )
                )
        findings += [*self._check_models(), *self._check_jobs(), *self._check_leftovers()]
        order = list(Severity)
        return sorted(findings, key=lambda f: order.index(f.severity))

    def status(self) -> dict[str, Any]:
        """Return counts: cases by split and by state of review (all readers together), models, jobs, the round."""
        promoted = self.promoted()
        return {
            "name": self.name,
            "folder": str(self.folder),
            "read_only": not self._database.may_be_written(),
            "label_scheme": self.label_scheme.to_dict(),
            **self.case_counts(),
            "models": [{"id": m.id, "state": m.state.value, "round": m.round} for m in self.models()],
            "promoted": None if promoted is None else promoted.id,
            "jobs_by_state": dict(Counter(job.state.value for job in self.jobs())),
            "round": self.next_round() - 1,
            "next_round": self.next_round(),
        }

    def _check_database(self) -> Iterator[Finding]:
        path = self._database.place
        remedy = self._database.remedy
        for message in self._database.problems():
            yield Finding(severity=Severity.ERROR, path=path, message=message, remedy=remedy)
        missing = self._database.missing_guards()
        if missing:
            message = f"the triggers {', '.join(missing)} that protect decisions and ratings are gone"
            yield Finding(severity=Severity.ERROR, path=path, message=message, remedy=remedy)

    def _check_splits(self, cases: list[Case]) -> Iterator[Finding]:
        by_image: dict[str, list[Case]] = defaultdict(list)
        by_name: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            by_image[case.image_hash].append(case)
            by_name[case.subject_id.casefold()].add(case.subject_id)
        splits = {case.subject_id: case.split for case in cases}
        for twins in by_image.values():
            leak = len({c.split for c in twins}) > 1
            if len(twins) > 1:
                yield Finding(
                    severity=Severity.ERROR if leak else Severity.WARNING,
                    case_id=twins[0].id,
                    path=twins[0].image_path,
                    message=f"the same image is case {', '.join(c.id for c in twins)}"
                    + (f", in splits {', '.join(sorted({c.split for c in twins}))}" if leak else ""),
                    remedy="make a new study with one of them",
                )
        for names in by_name.values():
            if len({splits[n] for n in names}) > 1:
                message = f"subjects {', '.join(sorted(names))} differ by capitals only and are in different splits"
                yield Finding(
                    severity=Severity.WARNING, message=message, remedy="make sure that they are different people"
                )
        present = Counter(case.split for case in cases)
        for split, use in ((Split.VALIDATION, "watch training by"), (Split.TEST, "compare models on")):
            if cases and not present[split]:
                message = f"no case in split {split}: there is nothing to {use}"
                yield Finding(
                    severity=Severity.WARNING, message=message, remedy="import labelled cases of other subjects"
                )
        referenced = {s.case_id for s in self.segmentations()}
        for case in cases:
            if case.split is not Split.TRAIN and case.id not in referenced:
                message = f"case {case.id} is in split {case.split} and has no reference labels"
                remedy = "import it again with its labels"
                yield Finding(severity=Severity.WARNING, case_id=case.id, message=message, remedy=remedy)

    @staticmethod
    def _check_image(case: Case) -> Iterator[Finding]:
        try:
            digest = hash_file(case.image_path)
        except ImageError as error:
            message, remedy = str(error), "bring the image back to this place, or study and images to where they were"
        else:
            if digest == case.image_hash:
                return
            message, remedy = "the image was changed since it was imported", "restore the original file"
        yield Finding(severity=Severity.ERROR, case_id=case.id, path=case.image_path, message=message, remedy=remedy)

    def _check_models(self) -> Iterator[Finding]:
        for model in self.models():
            folder = inside(self.folder, f"models/{model.id}")
            if not (folder / CARD_FILE).is_file():
                yield _lost(folder / CARD_FILE, f"model {model.id}: its card is absent")
            elif read_document(folder / CARD_FILE) is None:
                yield _lost(folder / CARD_FILE, f"model {model.id}: its card is damaged")
            if not (folder / WEIGHTS_FILE).is_file():
                yield _lost(folder / WEIGHTS_FILE, f"model {model.id}: its weights are absent")
            elif hash_file(folder / WEIGHTS_FILE) != self.model_weights_hash(model.id):
                yield _lost(folder / WEIGHTS_FILE, f"model {model.id}: its weights were changed since it was trained")
        for classifier in self.classifiers():
            try:
                self.classifier_card(classifier.id)
            except CheckpointError as error:
                yield _lost(self.folder / f"qc/{classifier.id}", str(error))

    def _check_jobs(self) -> Iterator[Finding]:
        for job in self.jobs():
            spec = inside(self.folder, job.folder) / SPEC_FILE
            if not spec.is_file():
                yield _lost(spec, f"job {job.id} ({job.state}): its order is absent")

    def _check_leftovers(self) -> Iterator[Finding]:
        """Yield files that no row knows: left by killed processes, or put there by hand."""
        known = {path for s in self.segmentations() for path in (s.label_path, s.confidence_path)}
        known |= {path for s in self.segmentations() for path in further_maps(s).values()}
        known |= {f"models/{m.id}/{name}" for m in self.models() for name in (WEIGHTS_FILE, CARD_FILE)}
        known |= {f"qc/{c.id}/{name}" for c in self.classifiers() for name in (WEIGHTS_FILE, CARD_FILE)}
        for part in ("labels", "predictions", "models", "qc", "journal"):
            for path in sorted((self.folder / part).rglob("*")):
                name = path.relative_to(self.folder).as_posix()
                if path.name.startswith(".tmp-"):
                    message, remedy = "temporary file of a process that was killed", "remove it when no job is running"
                elif not path.is_file() or name in known or path.suffix == JOURNAL_SUFFIX:
                    continue
                elif part == "journal" and f"{JOURNAL_SUFFIX}.damaged-" in path.name:
                    message = "journal with a damaged stroke; those after it were not replayed"
                    remedy = "look at the case, paint again what is absent, then remove the file"
                elif part == "journal":
                    message, remedy = "strokes that were painted on other labels and never saved", "remove the file"
                else:
                    message, remedy = "file that the study does not know", "remove it, or leave it: it does no harm"
                yield Finding(severity=Severity.NOTE, path=name, message=message, remedy=remedy)
        jobs = {job.id for job in self.jobs()}
        for path in sorted((self.folder / "runs").glob("*")):
            if path.name not in jobs:
                name = path.relative_to(self.folder).as_posix()
                message = "folder of a job that the study does not know"
                yield Finding(
                    severity=Severity.NOTE, path=name, message=message, remedy="remove it when no job is running"
                )


def _lost(path: Path, message: str) -> Finding:
    return Finding(severity=Severity.ERROR, path=str(path), message=message, remedy="restore the file from a backup")
