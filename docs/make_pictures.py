"""Make the pictures of the README from the sample study, on a virtual screen of 1280×800.

    xvfb-run -a -s "-screen 0 1280x800x24" python docs/make_pictures.py [--study FOLDER] [--case ID] [--only NAME …]

Without ``--study`` a demo study is made first (some minutes). The study is copied; a retraining is started in the copy
and stopped when its picture is taken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PICTURES = Path(__file__).resolve().parent / "pictures"
SIZE = (1280, 800)
NAMES = ("review", "rating", "training", "models")


def wait(condition: Callable[[], bool], seconds: float) -> None:
    """Let Qt work until the condition holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        QApplication.processEvents()
        time.sleep(0.02)


def pause(seconds: float) -> None:
    wait(lambda: False, seconds)


def grab(name: str) -> None:
    from qtpy.QtWidgets import QApplication

    PICTURES.mkdir(exist_ok=True)
    QApplication.primaryScreen().grabWindow(0).save(str(PICTURES / f"{name}.png"))


def take(study: Path, case_id: str | None, only: set[str]) -> None:
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_ssl.gui.workspace import add_workspace
    from napari_ssl.jobs.connection import stop_engine
    from napari_ssl.study.study import Study

    viewer = napari.Viewer(title="napari-ssl")
    workspace = add_workspace(viewer, "A. Reader")
    workspace.set_study(Study.open(study))
    window = viewer.window._qt_window
    window.showNormal()
    window.resize(*SIZE)
    window.move(0, 0)
    wait_for_case(workspace)
    if case_id:
        workspace.queue.case_chosen.emit(case_id)
        wait_for_case(workspace, case_id)
    workspace.arrange()
    pause(2)
    if "review" in only:
        grab("review")
    if "rating" in only:
        take_rating(workspace)
    if "training" in only:
        take_training(workspace)
    if "models" in only:
        workspace.tabs.setCurrentWidget(workspace.models)
        pause(3)
        grab("models")
    viewer.close()
    QApplication.processEvents()
    stop_engine()


def wait_for_case(workspace, case_id: str | None = None) -> None:
    """Let a case come up, with the findings of the rules, however busy the machine is."""

    def is_there() -> bool:
        loaded = workspace.reviewer.session.loaded
        return loaded is not None and case_id in (None, loaded.case.id) and loaded.rule_flags is not None

    wait(is_there, 60)
    pause(4)


def take_rating(workspace) -> None:
    """Rate one curve, as a reader does, and show the next."""
    rating = workspace.rating
    workspace.toggle_rating()
    wait(lambda: workspace.is_rating and rating.buttons[4].isEnabled(), 20)
    pause(3)
    workspace.rate(4)
    wait(lambda: rating.buttons[4].isEnabled(), 20)
    pause(2)
    grab("rating")
    workspace.toggle_rating()
    pause(3)


def take_training(workspace) -> None:
    """Start a training, show it when its curves are there, and stop it."""
    training = workspace.training
    workspace.tabs.setCurrentWidget(training)
    pause(2)
    training.start_training()
    wait(lambda: training.run.job is not None and training.run.job.progress > 0.4, 400)
    grab("training")
    if training.run.job is not None:
        training.run.stop_requested.emit(False)
    pause(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a demo study that is there already")
    parser.add_argument("--case", help="the case in the picture of the review")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="take these pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        os.environ |= {
            "NAPARI_CONFIG": str(home / "napari.yaml"),
            "NAPARI_SSL_HOME": str(home / "home"),
            "NAPARI_SSL_ENGINE_DIR": str(home / "engine"),
        }
        if options.study is None:
            from napari_ssl import demo

            demo.run(home / "demo", headless=False, seed=0, say=print)
            study = home / "demo" / "study"
        else:
            study = home / "study"
            shutil.copytree(options.study, study)
        take(study, options.case, set(options.only))


if __name__ == "__main__":
    main()
