"""From Segment to a fine-tuning and back: the dialog on the labels of what is open, then the run in Train."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mseg_studio.ui.main_window import MainWindow


def fine_tune(window: MainWindow) -> None:
    """Ask what to learn from; a run that begins is shown in the Train workspace."""
    from mseg_studio.ui.workspaces.train.fine_tune_dialog import ask_fine_tune
    from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace

    source = window.session.source
    run = ask_fine_tune(window.services, "" if source is None else source.path, window.session.choice.model, window)
    if run is None:
        return
    window.show_workspace("train")
    page = window.page("train")
    if isinstance(page, TrainWorkspace):
        page.show_run(run)
