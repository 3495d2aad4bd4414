"""What can be submitted, and that describing it needs neither torch nor Qt."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest

from napari_ssl.core.job import JobKind
from napari_ssl.errors import JobError, SpecError, StudyError
from napari_ssl.jobs.control import (
    Request,
    RequestKind,
    clear_request,
    lease,
    read_request,
    write_request,
)
from napari_ssl.jobs.failures import describe, failure_data
from napari_ssl.jobs.spec import KINDS, kind_of, read_spec


def test_every_kind_of_job_has_a_program():
    assert set(KINDS) == set(JobKind)


def test_only_orders_are_submitted():
    with pytest.raises(SpecError, match="got function"):
        kind_of(test_only_orders_are_submitted)


def test_an_order_is_read_back_from_its_run(tmp_path, order):
    (tmp_path / "spec.json").write_text(json.dumps(order().to_dict()))
    assert read_spec(tmp_path) == order()
    assert kind_of(read_spec(tmp_path)) is JobKind.PREDICT


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "shell"}'])
def test_a_damaged_order_is_refused(tmp_path, content):
    (tmp_path / "spec.json").write_text(content)
    with pytest.raises(SpecError):
        read_spec(tmp_path)


def test_requests_are_kept_until_cleared(tmp_path):
    assert read_request(tmp_path) is None
    write_request(tmp_path, Request(kind=RequestKind.PAUSE))
    write_request(tmp_path, Request(kind=RequestKind.CANCEL, force=True))
    assert read_request(tmp_path) == Request(kind=RequestKind.CANCEL, force=True)
    clear_request(tmp_path)
    assert read_request(tmp_path) is None


def test_a_run_has_one_holder(tmp_path):
    with lease(tmp_path), pytest.raises(JobError, match="another process"), lease(tmp_path):
        pass
    with lease(tmp_path):
        pass


def test_errors_are_described_for_people():
    assert describe(StudyError("case p1: no image; import it")) == "case p1: no image; import it"
    assert "ran out of memory" in describe(MemoryError())
    assert "disk is full" in describe(OSError(errno.ENOSPC, "No space left on device", "/study"))
    assert "ValueError: odd" in describe(ValueError("odd"))
    assert failure_data(ValueError("odd"))["error"] == "ValueError"


def test_the_runner_imports_neither_torch_nor_qt_nor_the_engine():
    code = "import sys, napari_ssl.jobs.runner; print({'torch', 'qtpy', 'napari', 'distributed'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
