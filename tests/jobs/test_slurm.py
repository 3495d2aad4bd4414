"""SLURM: what is asked for, and the whole way with programs that stand for SLURM's and start real processes."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from fake_slurm import install

from napari_ssl.cli import main
from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError, MissingDependencyError
from napari_ssl.jobs import place
from napari_ssl.jobs.cluster_settings import Slurm, hours_text
from napari_ssl.jobs.connection import ENGINE_FOLDER_VARIABLE
from napari_ssl.jobs.control import Request, RequestKind, write_request
from napari_ssl.jobs.events import read_events
from napari_ssl.jobs.supervise import supervise

pytest.importorskip("dask_jobqueue")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SLURM is for POSIX")


@pytest.fixture
def slurm(jobs_environment, tmp_path, monkeypatch, eventually):
    """Have programs of SLURM's on the PATH and an engine folder of this test's own."""
    folder = install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(ENGINE_FOLDER_VARIABLE, str(tmp_path / "home"))
    yield folder
    for path in folder.glob("*.pid"):
        eventually(lambda path=path: _has_ended(int(path.read_text())))


def _has_ended(pid: int) -> bool:
    """A job that nobody waits for stays a zombie where there is no init that takes it."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def settings(**values) -> Slurm:
    return Slurm(cores=1, memory_gb=1, interface="lo", **values)


def test_a_job_script_asks_for_what_the_job_needs_with_certificates_of_its_own(tmp_path):
    from dask_jobqueue import SLURMCluster
    from distributed.security import Security

    from napari_ssl.jobs.slurm import cluster_arguments

    asked = Slurm(queue="gpu", account="heart", directives=("--constraint=a100",), interface="lo")
    needs = Resources(gpus=2, memory_mb=32_000, cores=8, hours=1.5)
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o700)
    arguments = cluster_arguments(asked, needs, "train1", folder, Security.temporary())
    with SLURMCluster(**arguments) as cluster:
        script = cluster.job_script()
        files = list(folder.glob(".dask-jobqueue.worker.*"))
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600} and len(files) == 3
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
    for line in (
        "#SBATCH -J napari-ssl-train1", "#SBATCH -p gpu", "#SBATCH -A heart", "#SBATCH --cpus-per-task=8",
        "#SBATCH -t 01:30:00", "#SBATCH --gres=gpu:2", "#SBATCH --constraint=a100",
    ):  # fmt: skip
        assert line in script.splitlines(), line
    memory = next(line for line in script.splitlines() if "--mem=" in line)
    assert memory.endswith("30G")  # 32,000 MB
    worker = script.splitlines()[-1]
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key", "--protocol tls://", "GPU=2,MEMORY=32000"):
        assert option in worker
    assert "BEGIN" not in script  # the key is in a private file, not in the script


def test_what_a_job_does_not_say_is_what_the_user_chose_for_the_cluster(tmp_path):
    from napari_ssl.jobs.slurm import cluster_arguments

    asked = cluster_arguments(Slurm(gpus=1, hours=30), Resources(), "a", tmp_path, None)
    assert (asked["cores"], asked["memory"], asked["walltime"]) == (4, "16000MB", "1-06:00:00")
    assert asked["job_extra_directives"] == ["--gres=gpu:1"] and asked["queue"] is None
    none = cluster_arguments(Slurm(gpus=1), Resources(gpus=0), "a", tmp_path, None)
    assert none["job_extra_directives"] == []


@pytest.mark.parametrize(("hours", "text"), [(0.001, "00:01:00"), (1.5, "01:30:00"), (24, "1-00:00:00")])
def test_times_are_written_as_slurm_reads_them(hours, text):
    assert hours_text(hours) == text


@pytest.mark.parametrize(
    "wrong",
    [{"queue": "a;b"}, {"account": "a b"}, {"directives": ("--x\n#SBATCH -p all",)}, {"directives": ("x",)},
     {"cores": 0}, {"hours": 0}, {"jobs": 1000}, {"python": "$(rm)"}],
)  # fmt: skip
def test_a_setting_that_could_become_a_command_is_refused(wrong):
    with pytest.raises(EngineError, match=str(next(iter(wrong))).rstrip("s")):
        Slurm(**wrong)


def test_a_job_runs_in_slurm_and_nothing_is_sent_where_the_disk_is_shared(slurm, study, order, tmp_path):
    image = tmp_path / "image.nii.gz"
    image.write_bytes(b"voxels" * 1000)
    spec = order(count=3, step_s=0, reads=True)
    item = dataclasses.replace(spec.items[0], image_path=str(image))
    place.use_cluster(settings())
    needs = Resources(memory_mb=2000, hours=0.5)
    job = study.create_job("predict", dataclasses.replace(spec, items=(item,), resources=needs).to_dict())
    assert supervise(str(study.folder), job.id) == "done", study.job(job.id).message
    run_folder = study.job_folder(job.id)
    assert (run_folder / "output" / "read.bin").read_bytes() == image.read_bytes()
    script = (slurm / "job1.sh").read_text()
    assert "#SBATCH -t 00:30:00" in script and "--mem=2G" in script
    folder = tmp_path / "home" / "cluster"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not list((folder / "store").iterdir())  # SLURM's nodes see the image by themselves
    assert (folder / "runs" / job.id / "count.json").is_file()  # it was computed there
    assert {path.name for path in folder.iterdir()} == {"store", "runs", "logs"}  # certificates end with the job
    assert [e.kind.value for e in read_events(run_folder)].count("result") == 1


def test_a_job_waits_in_the_queue_with_words_and_can_be_stopped_there(slurm, study, order, eventually):
    from threading import Thread

    (slurm / "full").touch()
    place.use_cluster(settings())
    job = study.create_job("predict", order().to_dict())
    thread = Thread(target=supervise, args=(str(study.folder), job.id))
    thread.start()
    eventually(lambda: "queue of SLURM (job 1: PENDING Resources)" in study.job(job.id).message, 60)
    write_request(study.job_folder(job.id), Request(kind=RequestKind.CANCEL))
    thread.join(60)
    assert study.job(job.id).state == "cancelled"


def test_a_job_that_slurm_ends_at_its_time_limit_goes_on_as_often_as_it_gets_further(slurm, study, order, monkeypatch):
    monkeypatch.setattr("napari_ssl.jobs.remote_child._UNREACHABLE_S", 1.0)
    monkeypatch.setattr("napari_ssl.jobs.supervise._RESTART_AFTER_S", 0.0)
    place.use_cluster(settings())
    job = study.create_job("predict", order(count=4, step_s=0, allocation_ends_after=[1, 2, 3]).to_dict())
    assert supervise(str(study.folder), job.id) == "done", study.job(job.id).message
    assert study.job(job.id).attempts == 4
    steps = [e.data["iteration"] for e in read_events(study.job_folder(job.id)) if e.kind.value == "checkpoint"]
    assert steps == [1, 2, 3, 4]  # each allocation went on at the checkpoint of the one before
    assert (slurm / "job4.sh").is_file()


def test_what_slurm_refuses_is_told_in_its_words(slurm, study, order):
    place.use_cluster(settings(queue="forbidden"))
    job = study.create_job("predict", order().to_dict())
    assert supervise(str(study.folder), job.id) == "failed"
    assert "invalid partition specified: forbidden" in study.job(job.id).message


def test_the_command_chooses_slurm_and_says_what_is_lacking(slurm, monkeypatch):
    words = ["engine", "use", "slurm", "--queue", "gpu", "--gpus", "1", "--hours", "2", "--directive", "--qos=high"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert place.place_in_use() == Slurm(queue="gpu", gpus=1, hours=2, directives=("--qos=high",))
    told = json.loads(CliRunner().invoke(main, ["engine", "status", "--json"]).stdout)
    assert (told["place"], told["queue"], told["gpus"]) == ("slurm", "gpu", 1)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert "has no sbatch" in CliRunner().invoke(main, words).stderr
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    from napari_ssl.jobs.slurm import check_slurm

    with pytest.raises(MissingDependencyError, match=r"napari-ssl\[cluster\]"):
        check_slurm()
