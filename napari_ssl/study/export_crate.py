"""Everything that a round of learning consisted of, described so that other programs understand it.

RO-Crate 1.1 (Soiland-Reyes et al., Data Science 5:97, 2022; https://w3id.org/ro/crate/1.1): a folder with
``ro-crate-metadata.json``, JSON-LD in the words of schema.org. Training is a CreateAction from labels to weights,
a reader's verdict a ReviewAction on a label file, a promotion an ActivateAction on a model.

Original images stay where they are: the crate names them by case and SHA-256, never by a path.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_ssl import __version__
from napari_ssl.core.decision import Verdict
from napari_ssl.core.model import Model
from napari_ssl.core.segmentation import Segmentation
from napari_ssl.errors import StudyError
from napari_ssl.study.base import now
from napari_ssl.study.export_audit import audit_files
from napari_ssl.study.export_run import ExportRun
from napari_ssl.study.models import CARD_FILE, CONFIDENCE_FILE, WEIGHTS_FILE
from napari_ssl.study.study import Study

__all__ = ["METADATA_FILE", "export_crate"]

METADATA_FILE = "ro-crate-metadata.json"
_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_SOFTWARE = "#napari-ssl"
_LICENCE = "#licence"
_TYPES = {
    ".jsonl": "application/jsonl",
    ".json": "application/json",
    ".gz": "application/gzip",
    ".safetensors": "application/octet-stream",
}


def export_crate(run: ExportRun) -> None:
    """Write labels, models, decisions and their description for one round; by default for the newest."""
    study, models = run.study, _models(run)
    crate = _Crate(run)
    labels = _labels(study, models)
    for done, ((case_id, _hash), version) in enumerate(labels.items()):
        run.check_stop()
        run.progress(done, len(labels) + len(models), case_id)
        crate.add_label(version)
    for done, model in enumerate(models, start=len(labels)):
        run.check_stop()
        run.progress(done, len(labels) + len(models), model.id)
        crate.add_model(model, labels)
    for name, content in {"study.json": _study_document(study), **audit_files(study)}.items():
        run.target.write(name, content)
        crate.describe(name, _FILE_TITLES[name])
    crate.add_reviews(labels)
    number = run.options.round or max((m.round for m in models), default=0)
    document = crate.document(f"{study.name}, round {number}" if models else study.name, models)
    run.target.write(METADATA_FILE, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


_FILE_TITLES = {
    "study.json": "Label scheme, preprocessing and cases of the study",
    "decisions.jsonl": "Decisions of readers",
    "place_verdicts.jsonl": "Verdicts of readers on frames and slices",
    "ratings.jsonl": "Ratings of volume curves",
    "models.jsonl": "What became of models",
    "label_versions.jsonl": "Versions of labels, with the hash of their image",
}


def _models(run: ExportRun) -> list[Model]:
    models = run.study.models()
    number = run.options.round
    if number is None:
        number = max((m.round for m in models), default=0)
    found = [m for m in models if m.round == number]
    if not found and run.options.round is not None:
        rounds = ", ".join(str(r) for r in sorted({m.round for m in models})) or "none"
        raise StudyError(f"study {run.study.name!r} has no round {number}; it has {rounds}")
    return found


def _labels(study: Study, models: Sequence[Model]) -> dict[tuple[str, str], Segmentation]:
    """Return the label versions that models learned from, by case and hash."""
    found = {}
    versions = {(s.case_id, s.label_hash): s for s in study.segmentations()}
    for model in models:
        for case_id, _role, label_hash in _training_cases(study, model):
            version = versions.get((case_id, label_hash))
            if version is not None:
                found[case_id, label_hash] = version
    return found


def _training_cases(study: Study, model: Model) -> list[tuple[str, str, str]]:
    rows = study.model_card(model.id).get("training_cases", ())
    return [(str(case_id), str(role), str(label_hash)) for case_id, role, label_hash, *_ in rows]


def _study_document(study: Study) -> str:
    """Say what the study is; nothing in it is a path."""
    cases = [
        {
            "id": case.id,
            "subject": case.subject_id,
            "split": case.split.value,
            "image_sha256": case.image_hash,
            "shape_tzyx": case.shape_tzyx,
            "spacing_zyx_mm": case.spacing_zyx_mm,
            "frame_interval_ms": case.frame_interval_ms,
            "ed_frame": case.ed_frame,
            "es_frame": case.es_frame,
            "group": case.group,
        }
        for case in study.cases()
    ]
    document = {
        "name": study.name,
        "label_scheme": study.label_scheme.to_dict(),
        "preprocessing": asdict(study.preprocessing),
        "cases": cases,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


class _Crate:
    """Collects what describes the crate."""

    def __init__(self, run: ExportRun) -> None:
        self._run = run
        self._parts: list[str] = []
        self._entities: dict[str, dict[str, Any]] = {}
        self._files: dict[tuple[str, str], str] = {}

    def describe(self, name: str, title: str, **more: Any) -> None:
        """Add the description of a file that was written."""
        path = self._run.target.staged(name)
        content = path.read_bytes()
        self._parts.append(name)
        self._add(
            name,
            "File",
            name=title,
            contentSize=str(len(content)),
            sha256=hashlib.sha256(content).hexdigest(),
            encodingFormat=_TYPES.get(Path(name).suffix, "application/octet-stream"),
            **more,
        )

    def add_label(self, version: Segmentation) -> None:
        """Copy a label file; what it is of is named by the hash of the image."""
        study = self._run.study
        case = study.case(version.case_id)
        name = f"labels/{version.case_id}_{version.source.value}_v{version.version}.nii.gz"
        self._run.target.copy(study.label_file(version), name)
        image = f"#image-{case.id}"
        self._add(image, "CreativeWork", name=f"Image of case {case.id}", identifier=f"sha256:{case.image_hash}")
        more: dict[str, Any] = {"isBasedOn": {"@id": image}, "dateCreated": _time(version.created_at)}
        if version.reader:
            more["creator"] = self._person(version.reader)
        title = f"Labels of case {case.id}: {version.source.value}, version {version.version}"
        self.describe(name, title, identifier=f"labels-sha256:{version.label_hash}", **more)
        self._files[version.case_id, version.label_hash] = name

    def add_model(self, model: Model, labels: dict[tuple[str, str], Segmentation]) -> None:
        """Copy weights and card; say what it was trained from, and who promoted it."""
        study = self._run.study
        weights = study.model_weights(model.id)
        names = [f"models/{model.id}/{n}" for n in (WEIGHTS_FILE, CARD_FILE, CONFIDENCE_FILE)]
        for name in names:
            source = weights.with_name(Path(name).name)
            if source.is_file():
                self._run.target.copy(source, name)
                self.describe(name, f"Model {model.id}: {source.name}")
        used = [self._files[c, h] for c, _role, h in _training_cases(study, model) if (c, h) in labels]
        self._add(
            f"#training-{model.id}",
            "CreateAction",
            name=f"Training of {model.id} by the strategy {model.strategy}, network {model.network}",
            instrument={"@id": _SOFTWARE},
            object=[{"@id": name} for name in dict.fromkeys(used)],
            result=[{"@id": name} for name in names if name in self._entities],
            endTime=_time(model.created_at),
        )
        for number, event in enumerate(study.model_events(model.id)):
            if event["event"] in ("promoted", "rolled_back"):
                self._add(
                    f"#{event['event']}-{model.id}-{number}",
                    "ActivateAction",
                    name=event["event"],
                    agent=self._person(event["by"]),
                    object={"@id": names[0]},
                    endTime=_time(event["at"]),
                )

    def add_reviews(self, labels: dict[tuple[str, str], Segmentation]) -> None:
        """Add readers' verdicts on the labels that are in the crate."""
        for decision in self._run.study.decisions():
            key = (decision.case_id, decision.label_hash)
            if key in labels and decision.verdict is not Verdict.TAKE_BACK:
                self._add(
                    f"#decision-{decision.id}",
                    "ReviewAction",
                    name=decision.verdict.value,
                    agent=self._person(decision.reader),
                    object={"@id": self._files[key]},
                    endTime=_time(decision.decided_at),
                    **({"description": decision.reason} if decision.reason else {}),
                )

    def document(self, name: str, models: Sequence[Model]) -> dict[str, Any]:
        """Return the JSON-LD of all that was added."""
        root = {
            "@id": "./",
            "@type": "Dataset",
            "name": name,
            "description": "Labels, models and decisions of a round in which readers vetted what a network proposed; "
            f"models: {', '.join(m.id for m in models) or 'none yet'}.",
            "datePublished": _time(now()),
            "license": {"@id": _LICENCE},
            "hasPart": [{"@id": part} for part in self._parts],
            "mentions": [{"@id": i} for i, e in self._entities.items() if str(e["@type"]).endswith("Action")],
        }
        software = {
            "@id": _SOFTWARE,
            "@type": "SoftwareApplication",
            "name": "napari-ssl",
            "version": __version__,
            "softwareVersion": __version__,
        }
        licence = {
            "@id": _LICENCE,
            "@type": "CreativeWork",
            "name": "No licence stated",
            "description": "Ask the owner of the study before you use or pass on its data.",
        }
        descriptor = {
            "@id": METADATA_FILE,
            "@type": "CreativeWork",
            "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            "about": {"@id": "./"},
        }
        return {"@context": _CONTEXT, "@graph": [descriptor, root, software, licence, *self._entities.values()]}

    def _add(self, entity: str, kind: str, **values: Any) -> None:
        self._entities[entity] = {"@id": entity, "@type": kind, **values}

    def _person(self, name: str) -> dict[str, str]:
        identifier = f"#person-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        self._add(identifier, "Person", name=name)
        return {"@id": identifier}


def _time(moment: datetime) -> str:
    return moment.isoformat()
