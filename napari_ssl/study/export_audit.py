"""Who decided what, when, about which version of which labels: JSON Lines, one event a line, oldest first."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from napari_ssl import __version__
from napari_ssl.study.base import plain_json
from napari_ssl.study.export_run import ExportRun
from napari_ssl.study.study import Study

__all__ = ["audit_files", "export_audit"]


def export_audit(run: ExportRun) -> None:
    """Write what was decided, judged and rated, what became of models, and which label versions there are."""
    for name, content in audit_files(run.study).items():
        run.check_stop()
        run.target.write(name, content)


def audit_files(study: Study) -> dict[str, str]:
    """Return the files of the audit by name.

    Images are named by the study's case and by the hash of their file, never by a path: paths may hold names.
    """
    with_hash = {case.id: case.image_hash for case in study.cases()}
    return {
        "decisions.jsonl": _lines("decision", map(_plain, study.decisions())),
        "place_verdicts.jsonl": _lines("place verdict", map(_plain, study.place_verdicts(standing=False))),
        "ratings.jsonl": _lines("rating", map(_plain, study.ratings())),
        "models.jsonl": _lines("model event", study.model_events()),
        "label_versions.jsonl": _lines(
            "label version",
            (
                {**_plain(version), "image_sha256": with_hash[case_id]}
                for case_id in with_hash
                for version in study.segmentations(case_id)
            ),
        ),
    }


def _plain(event: Any) -> dict[str, Any]:
    return dataclasses.asdict(event)


def _lines(kind: str, events: Iterable[Mapping[str, Any]]) -> str:
    head = {"kind": "header", "of": kind, "format": 1, "software": f"napari-ssl {__version__}"}
    rows = [head, *({"kind": kind, **_as_json(event)} for event in events)]
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def _as_json(event: Mapping[str, Any]) -> dict[str, Any]:
    times = {k: v.isoformat() for k, v in event.items() if hasattr(v, "isoformat")}
    return plain_json({**event, **times})
