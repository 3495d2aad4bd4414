"""How to ask a cluster for a computer: SLURM's queue and account, Kubernetes' namespace and image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from napari_ssl.errors import EngineError

__all__ = ["Kubernetes", "Slurm", "hours_text"]

_WORD = re.compile(r"[\w.@:/=,+-]*")
_DNS = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _check_word(name: str, value: str) -> None:
    """What stands in a job's script must not end its line or begin another command."""
    if not _WORD.fullmatch(value):
        raise EngineError(f"{name} {value!r}: letters, digits and . _ @ : / = , + - are allowed, no blank")


def _check_numbers(place: Slurm | Kubernetes) -> None:
    for name, most in (("cores", 4096), ("memory_gb", 16_000), ("gpus", 64), ("jobs", 32)):
        value = getattr(place, name)
        least = 0 if name == "gpus" else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise EngineError(f"{name} must be {least} to {most:,}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slurm:
    """A SLURM cluster whose ``sbatch`` this computer has.

    Parameters
    ----------
    queue, account : str
        Partition and account; empty: the cluster's own.
    cores, memory_gb, gpus : int
        What a job gets that does not say what it needs.
    hours : float
        Longest time of a job that does not say.
    jobs : int
        Jobs at a time.
    folder : str
        Where jobs keep what they work on, seen by all nodes and this computer. Empty: in the engine's folder.
    interface : str
        Network interface that the nodes reach this computer at, ``ib0``. Empty: the one that leads out.
    python : str
        Python at the nodes; empty: this one's path.
    directives : tuple of str
        Further options of ``sbatch``: ``--constraint=a100``.
    """

    kind: ClassVar[str] = "slurm"

    queue: str = ""
    account: str = ""
    cores: int = 4
    memory_gb: int = 16
    gpus: int = 0
    hours: float = 8.0
    jobs: int = 4
    folder: str = ""
    interface: str = ""
    python: str = ""
    directives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_numbers(self)
        if not 0 < self.hours <= 24 * 365:
            raise EngineError(f"hours must be above 0 and at most a year, got {self.hours!r}")
        object.__setattr__(self, "directives", tuple(self.directives))
        for name in ("queue", "account", "folder", "interface", "python"):
            _check_word(name, getattr(self, name))
        for directive in self.directives:
            _check_word("directive", directive)
            if not directive.startswith("-"):
                raise EngineError(f"directive {directive!r}: expected an option of sbatch, such as --constraint=a100")

    def describe(self) -> str:
        """Return words for people."""
        return "on SLURM" + (f", partition {self.queue}" if self.queue else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """A Kubernetes cluster with Dask's operator, reached through the user's kubeconfig.

    Parameters
    ----------
    image : str
        Container image that holds napari-ssl of this version.
    namespace : str
    cores, memory_gb, gpus : int
        What a job gets that does not say what it needs.
    hours : float
        Longest time of a job that does not say.
    jobs : int
        Jobs at a time.
    volume : str
        PersistentVolumeClaim where jobs keep what they work on. Empty: it is lost with the pod.
    """

    kind: ClassVar[str] = "kubernetes"

    image: str
    namespace: str = "default"
    cores: int = 4
    memory_gb: int = 16
    gpus: int = 0
    hours: float = 24.0
    jobs: int = 4
    volume: str = ""

    def __post_init__(self) -> None:
        _check_numbers(self)
        if not 0 < self.hours <= 24 * 365:
            raise EngineError(f"hours must be above 0 and at most a year, got {self.hours!r}")
        if not self.image or not _WORD.fullmatch(self.image):
            raise EngineError(f"image {self.image!r}: name a container image that holds napari-ssl")
        for name in ("namespace", "volume"):
            value = getattr(self, name)
            if (value or name == "namespace") and not _DNS.fullmatch(value):
                raise EngineError(f"{name} {value!r}: expected a name of Kubernetes (small letters, digits, -)")

    def describe(self) -> str:
        """Return words for people."""
        return f"on Kubernetes, namespace {self.namespace}"


def hours_text(hours: float) -> str:
    """Return a time as SLURM writes it: ``1-02:30:00``."""
    minutes = max(1, round(60 * hours))
    days, rest = divmod(minutes, 24 * 60)
    return (f"{days}-" if days else "") + f"{rest // 60:02d}:{rest % 60:02d}:00"
