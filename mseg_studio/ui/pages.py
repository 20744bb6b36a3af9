"""The table of workspaces: the bar at the left, the keys and what makes each are read from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mseg_studio.ui.layout_store import layout_store

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from mseg_studio.ui.main_window import MainWindow

SEGMENT = "segment"
"""The workspace that is always there; the others are made when they are first visited."""


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """One row of the table."""

    name: str
    title: str
    icon: str
    action: str
    """Action that shows it; its key stands in the tooltip."""
    make: Callable[[MainWindow], QWidget] | None = None
    """Makes the page and connects it to the window; None only for Segment, which the window itself is made of."""


def _taxonomy(window: MainWindow) -> QWidget:
    from mseg_studio.ui.workspaces.taxonomy.workspace import TaxonomyWorkspace

    page = TaxonomyWorkspace(window.services, window.theme, layout_store() if window.remember else None)
    segment = window.workspace
    page.pixels_asked.connect(window.show_pixels)
    page.difference_asked.connect(window.show_difference)
    page.output_chosen.connect(window.show_output)
    page.taxonomies_changed.connect(segment.refresh_targets)
    # While the page is away nothing is computed for it.
    page.on_screen.connect(segment.comparison.watch)
    segment.comparison.changed.connect(page.detail.set_image)
    return page


def _datasets(window: MainWindow) -> QWidget:
    from mseg_studio.ui.workspaces.datasets.workspace import DatasetsWorkspace

    page = DatasetsWorkspace(window.services, window.theme)
    page.open_asked.connect(window.open_path)
    return page


def _train(window: MainWindow) -> QWidget:
    from mseg_studio.ui.workspaces.train.workspace import TrainWorkspace

    page = TrainWorkspace(window.services, window.theme, layout_store() if window.remember else None)

    def use(name: str) -> None:
        window.workspace.refresh_models()
        window.session.choose(model=name)

    page.model_installed.connect(use)
    return page


WORKSPACES: tuple[WorkspaceSpec, ...] = (
    WorkspaceSpec(SEGMENT, "Segment", "segment", "show_workspace_segment"),
    WorkspaceSpec("taxonomy", "Taxonomy", "taxonomy", "show_workspace_taxonomy", _taxonomy),
    WorkspaceSpec("datasets", "Datasets", "datasets", "show_workspace_datasets", _datasets),
    WorkspaceSpec("train", "Train", "train", "show_workspace_train", _train),
)
