"""Handing a queued job to the engine, with what it needs; words where nobody could ever serve it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari_ssl.core.resources import Resources
from napari_ssl.errors import EngineError, JobError
from napari_ssl.jobs.connection import AWAY, engine_folder, read_credentials, submit_job
from napari_ssl.jobs.offers import Offer, lacking, needs_of, offer_from_dict, offer_here, resolved
from napari_ssl.jobs.place import Place, Servers, place_in_use
from napari_ssl.jobs.spec import read_spec

__all__ = ["NoWorkerError", "hand_over", "why_waiting"]


class NoWorkerError(JobError):
    """No worker of the engine has what a job needs; it waits."""


def hand_over(study_folder: Path, run_folder: Path) -> str:
    """Hand a job to the engine, started when needed; return the engine's address when it has the job.

    Raises
    ------
    NoWorkerError
        No worker can serve it; it is to be tried again when that has changed.
    EngineError
        The engine cannot be started or reached.
    """
    place, needs = place_in_use(), needs_of(read_spec(run_folder))
    if words := why_waiting(place, needs):
        raise NoWorkerError(
            f"Waits: {words}. Choose another place (Jobs and engine in the window, or napari-ssl engine use), or stop "
            "the job and order it with less"
        )
    if place is not None:
        n_at_once = AWAY if isinstance(place, Servers) else place.jobs  # servers say themselves when they are full
        return submit_job(study_folder, run_folder.name, {"AWAY": AWAY / n_at_once}, away=True)
    wanted = resolved(needs, _offer_of_engine())
    taken = {"HERE": 1, "GPU": wanted.gpus or 0, "MEMORY": wanted.memory_mb}
    return submit_job(study_folder, run_folder.name, {name: n for name, n in taken.items() if n}, away=False)


def why_waiting(place: Place, needs: Resources) -> str:
    """Return why no worker of a place can ever serve such a job, an empty text when one can or nobody knows."""
    if place is None:
        offers = {"this computer": _offer_of_engine()}
    elif isinstance(place, Servers):
        offers = _offers_of(place)
    else:
        return ""  # the cluster's own queue knows
    return lacking(needs, offers) if offers else ""


def _offer_of_engine() -> Offer:
    """What the engine's worker announces, or would if it were running."""
    credentials = read_credentials(engine_folder())
    return offer_from_dict(credentials.offer) if credentials and credentials.offer else offer_here()


def _offers_of(place: Servers) -> dict[str, Offer]:
    from napari_ssl.jobs.children import ask_servers

    with suppress(EngineError):  # none answers: the attempt tells so
        return {server.address: offer for server, (offer, _) in ask_servers(place.servers).items()}
    return {}
