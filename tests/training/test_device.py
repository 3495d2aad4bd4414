from __future__ import annotations

import pytest
import torch

from napari_ssl.errors import SpecError
from napari_ssl.training import device as room
from napari_ssl.training.device import choose_device, configure_threads, deterministic, device_record, mixed_dtype


@pytest.fixture(autouse=True)
def _threads_restored():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_auto_takes_cuda_only_where_it_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(SpecError, match="sees no CUDA device"):
        choose_device("cuda")
    with pytest.raises(SpecError, match="'tpu'"):
        choose_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_one_core_is_left_free(monkeypatch):
    for variable in ("OMP_NUM_THREADS", "NAPARI_SSL_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    for cores, expected in ((1, 1), (2, 1), (3, 2), (None, 1)):
        monkeypatch.setattr(room.psutil, "cpu_count", lambda logical, cores=cores: cores)
        assert configure_threads() == expected == torch.get_num_threads()


def test_the_environment_decides_threads_where_it_says_so(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert configure_threads() == 2
    monkeypatch.setenv("NAPARI_SSL_THREADS", "1")
    assert configure_threads() == 1
    assert device_record(torch.device("cpu"))["threads"] == 1


def test_mixed_arithmetic_only_where_it_is_fast(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert mixed_dtype("auto", cuda) is torch.float16 and mixed_dtype("float32", cuda) is None
    assert mixed_dtype("auto", cpu) is None
    monkeypatch.setattr(room, "has_fast_bfloat16", lambda: False)
    assert mixed_dtype("mixed", cpu) is None
    monkeypatch.setattr(room, "has_fast_bfloat16", lambda: True)
    assert mixed_dtype("mixed", cpu) is torch.bfloat16


def test_determinism_is_asked_for_inside_the_block_alone():
    with deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory  # a pass over memory for every tensor
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
