"""Kubernetes: what is asked of it, and the whole way with a stand-in that starts the containers' programs here."""

from __future__ import annotations

import dataclasses
import time

import pytest
from click.testing import CliRunner

from napari_ssl.cli import main
from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError
from napari_ssl.jobs import place
from napari_ssl.jobs.cluster_settings import Kubernetes
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE

pytest.importorskip("dask_kubernetes")
from fake_kubernetes import FakeKubernetes

from napari_ssl.jobs.cluster_child import ClusterChild
from napari_ssl.jobs.kubernetes import KubernetesAllocation, cluster_spec, open_kubernetes, secret_spec

IMAGE = "registry.lab/napari-ssl:1"


@pytest.fixture
def child_at(study, order, tmp_path):
    """Begin an attempt at a stand-in for Kubernetes."""
    made = []

    def begin(api, spec=None):
        job = study.create_job("predict", (spec or order(count=2, step_s=0)).to_dict())
        run_folder = study.job_folder(job.id)

        def allocate():
            allocation = KubernetesAllocation(Kubernetes(image=IMAGE), Resources(), api)
            allocation.folder = str(tmp_path / "pod")  # the pod's own disk
            return allocation

        child = ClusterChild(allocate, run_folder, 1, Resources())
        made.append(child)
        return child, run_folder

    yield begin
    for child in made:
        child.kill()
        child.close()


def test_a_job_asks_for_what_it_needs_and_scheduler_and_worker_demand_certificates():
    needs = Resources(gpus=1, memory_mb=24_000, cores=6, hours=2)
    spec = cluster_spec(Kubernetes(image=IMAGE, namespace="heart", volume="files"), needs, "napari-ssl-x")
    assert (spec["kind"], spec["apiVersion"]) == ("DaskCluster", "kubernetes.dask.org/v1")
    worker, scheduler = (spec["spec"][role]["spec"]["containers"][0] for role in ("worker", "scheduler"))
    amounts = {"cpu": "6", "memory": "24000M", "nvidia.com/gpu": "1"}
    assert worker["resources"] == {"limits": amounts, "requests": amounts}
    assert spec["spec"]["worker"]["replicas"] == 1 and worker["image"] == scheduler["image"] == IMAGE
    for container in (worker, scheduler):
        words = " ".join(container["args"])
        assert "--protocol tls --tls-ca-file /napari-ssl-tls/ca.pem" in words
        assert {"name": "tls", "mountPath": "/napari-ssl-tls", "readOnly": True} in container["volumeMounts"]
    assert "--lifetime 7200s" in " ".join(worker["args"]) and "--dashboard" not in worker["args"]
    told = {entry["name"]: entry["value"] for entry in worker["env"]}
    assert told["DASK_SCHEDULER_ADDRESS"] == "tls://napari-ssl-x-scheduler.heart.svc.cluster.local:8786"
    (claim,) = (v for v in spec["spec"]["worker"]["spec"]["volumes"] if v["name"] == "files")
    assert claim["persistentVolumeClaim"] == {"claimName": "files"}


def test_keys_are_in_a_secret_and_nowhere_else():
    from distributed.security import Security

    security = Security.temporary()
    assert security.tls_scheduler_key in secret_spec("n", security)["stringData"].values()
    assert "BEGIN" not in repr(cluster_spec(Kubernetes(image=IMAGE), Resources(), "n"))


def test_a_job_runs_in_a_pod_its_files_are_sent_and_come_back(child_at, order, tmp_path):
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"voxels" * 1000)
    spec = order(count=3, step_s=0, reads=True)
    spec = dataclasses.replace(spec, items=(dataclasses.replace(spec.items[0], image_path=str(image)),))
    api = FakeKubernetes(tmp_path / "tls")
    child, run_folder = child_at(api, spec)
    until = time.monotonic() + 120
    while child.poll() is None:
        assert time.monotonic() < until, child.waiting_for
        time.sleep(0.05)
    assert child.returncode == 0
    assert (run_folder / "output" / "read.bin").read_bytes() == image.read_bytes()
    child.close()
    assert not api.documents  # scheduler, worker and certificates are removed
    assert all(process.returncode is not None for process in api.processes)


def test_a_pod_that_cannot_be_placed_is_told_in_the_words_of_kubernetes_and_can_be_stopped(
    child_at, eventually, tmp_path
):
    child, _ = child_at(FakeKubernetes(tmp_path / "tls", is_full=True))
    eventually(lambda: "3 Insufficient nvidia.com/gpu" in child.waiting_for, 60)
    child.ask_to_stop()
    assert child.poll() == 0


def test_a_cluster_that_cannot_be_reached_is_told_in_words():
    class Refusing(FakeKubernetes):
        def create(self, document):
            raise OSError("connection refused")

        def __init__(self):
            self.documents, self.processes = {}, []

    with pytest.raises(EngineError, match=r"connection refused.*kubeconfig"):
        open_kubernetes(Kubernetes(image=IMAGE), Resources(), "job1", Refusing())


@pytest.mark.parametrize("wrong", [{"image": ""}, {"image": "a b"}, {"namespace": "Heart"}, {"volume": "../x"}])
def test_a_name_that_kubernetes_does_not_know_is_refused(wrong):
    with pytest.raises(EngineError, match=next(iter(wrong))):
        Kubernetes(**{"image": IMAGE, **wrong})


def test_the_command_chooses_kubernetes(tmp_path, monkeypatch):
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    done = CliRunner().invoke(main, ["engine", "use", "kubernetes", "--image", IMAGE, "--gpus", "1", "--volume", "v"])
    assert done.exit_code == 0
    assert place.place_in_use() == Kubernetes(image=IMAGE, gpus=1, volume="v")
