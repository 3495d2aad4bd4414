"""What the tour says about the workspace, with the keys as they are at present."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ssl.gui import compat
from napari_ssl.gui.tour import TourStep

if TYPE_CHECKING:
    from napari_ssl.gui.workspace import WorkspaceWidget

__all__ = ["workspace_steps"]


def workspace_steps(workspace: WorkspaceWidget) -> list[TourStep]:
    """Return the steps over a workspace that is on screen."""
    key = workspace._keys.shown_key
    tabs, review = workspace.tabs, workspace.review

    def tab(panel):
        return lambda: tabs.setCurrentWidget(panel)

    return [
        TourStep(
            title="The queue",
            text=f"Cases wait here, the ones to look at first on top. {key('next_case')} goes to the next, "
            f"{key('previous_case')} back; type into the filter to find one.",
            target=workspace.queue,
            show=tab(review),
        ),
        TourStep(
            title="The image",
            text=f"What the network drew. {key('previous_frame')} {key('next_frame')} step through the heart beat, "
            f"{key('previous_slice')} {key('next_slice')} through the slices; {key('overlays')} hides everything but "
            f"the image, {key('confidence')} shows where the network was unsure.",
            target=compat.canvas_widget(workspace.viewer),
        ),
        TourStep(
            title="The curves",
            text="Volumes over the beat. A jump tells at once that something is wrong: click there. "
            f"{key('go_ed')} and {key('go_es')} go to end-diastole and end-systole, {key('next_finding')} to what the "
            "rules object to.",
            target=workspace.curves,
        ),
        TourStep(
            title="Decide",
            text=f"{key('accept')} accepts and goes on. {key('reject')} rejects, a digit gives the reason. To correct, "
            f"take the brush ({key('brush')}), paint, and {key('save')} saves. {key('take_back')} takes the last "
            "decision back. Nothing is lost: every stroke is written down.",
            target=review,
            show=tab(review),
        ),
        TourStep(
            title="Only some frames wrong?",
            text=f"{key('wrong_slice')} says that the slice on screen is wrong, {key('wrong_frame')} the whole frame. "
            "Accept the case all the same: those frames stay out of the training.",
            target=review.places,
            show=tab(review),
        ),
        TourStep(
            title="Train",
            text="What you accepted and corrected is learned from. Look at what will enter and start; you can go on "
            "reviewing meanwhile, pause, stop, or close the window.",
            target=tabs,
            show=tab(workspace.training),
        ),
        TourStep(
            title="Compare and promote",
            text="The new model beside the old one on the same cases. Promote it or put it aside, and let the promoted "
            "one label what is still open: the next round begins.",
            target=tabs,
            show=tab(workspace.models),
        ),
        TourStep(
            title="All keys",
            text=f"{key('cheat_sheet')} shows every key and lets you change them. {key('tour')} shows this tour again.",
            target=review.keys_button,
            show=tab(review),
        ),
    ]
