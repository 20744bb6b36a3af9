"""One table of everything a person can do: menus, shortcuts, the command palette and the F1 sheet are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar, QWidget

from mseg_studio.ui.theme import Theme


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One thing to do."""

    id: str
    text: str
    menu: str
    """Menu it stands in; a leading `-` before the text of the next group is made by `group`."""
    keys: tuple[str, ...] = ()
    icon: str = ""
    group: int = 0
    """Actions of another group in one menu are set apart by a line."""
    checkable: bool = False
    needs: str = ""
    """What must be there: source, frame, labels, list, video, running; segment: that workspace, on screen."""


ACTIONS: tuple[ActionSpec, ...] = (
    ActionSpec("open_image", "Open image or video…", "File", ("Ctrl+O",), "image"),
    ActionSpec("open_folder", "Open folder…", "File", ("Ctrl+Shift+O",), "folder"),
    ActionSpec("open_camera", "Open camera", "File", (), "camera", needs="camera"),
    ActionSpec("export", "Export…", "File", ("Ctrl+E",), "export", 1, needs="labels"),
    ActionSpec("import_model", "Import a model…", "File", (), "", 2),
    ActionSpec("settings", "Settings…", "File", ("Ctrl+,",), "settings", 3),
    ActionSpec("quit", "Quit", "File", ("Ctrl+Q",), "", 3),
    ActionSpec("run", "Run", "Run", ("Ctrl+R",), "run", needs="frame"),
    ActionSpec("run_all", "Run all", "Run", ("Ctrl+Shift+R",), "", needs="list"),
    ActionSpec("cancel", "Cancel", "Run", ("Esc",), "", needs="running"),
    ActionSpec("live", "Live", "Run", (), "", 1, checkable=True, needs="segment"),
    ActionSpec("fast", "Fast", "Run", (), "", 1, checkable=True, needs="segment"),
    ActionSpec("balanced", "Balanced", "Run", (), "", 1, checkable=True, needs="segment"),
    ActionSpec("paper", "Paper", "Run", (), "", 1, checkable=True, needs="segment"),
    ActionSpec("fine_tune", "Fine-tune on these labels…", "Run", (), "train", 2),
    ActionSpec("next", "Next item", "Go", ("D", "PgDown"), "", needs="list"),
    ActionSpec("previous", "Previous item", "Go", ("A", "PgUp"), "", needs="list"),
    ActionSpec("play", "Play or pause", "Go", ("K",), "play", 1, needs="video"),
    ActionSpec("step_forward", "Next frame", "Go", (".",), "step-forward", 1, needs="video"),
    ActionSpec("step_back", "Previous frame", "Go", (",",), "step-back", 1, needs="video"),
    ActionSpec("fit", "Fit", "View", ("Ctrl+0",), "fit", needs="frame"),
    ActionSpec("actual_size", "100 %", "View", ("Ctrl+1",), "", needs="frame"),
    ActionSpec("zoom_in", "Zoom in", "View", ("Ctrl++", "Ctrl+="), "", needs="frame"),
    ActionSpec("zoom_out", "Zoom out", "View", ("Ctrl+-",), "", needs="frame"),
    ActionSpec("labels", "Labels", "View", ("T",), "labels", 1, checkable=True, needs="segment"),
    ActionSpec("contours", "Contours", "View", ("C",), "", 1, checkable=True, needs="segment"),
    ActionSpec("confidence", "Confidence", "View", (), "", 1, checkable=True, needs="labels"),
    ActionSpec("margin", "Margin", "View", (), "", 1, checkable=True, needs="labels"),
    ActionSpec("entropy", "Entropy", "View", (), "", 1, checkable=True, needs="labels"),
    ActionSpec("difference", "Difference", "View", (), "", 1, checkable=True, needs="labels"),
    ActionSpec("no_target", "No target", "View", (), "", 1, checkable=True, needs="labels"),
    ActionSpec("opacity_up", "More opaque", "View", ("O",), "", 1, needs="segment"),
    ActionSpec("opacity_down", "Less opaque", "View", ("Shift+O",), "", 1, needs="segment"),
    ActionSpec("show_all_classes", "Show all classes", "View", ("Shift+H",), "eye", 1, needs="labels"),
    ActionSpec("find_class", "Find a class…", "View", ("Ctrl+K",), "search", 2),
    ActionSpec("show_workspace_segment", "Segment", "View", ("Alt+1",), "segment", 3),
    ActionSpec("show_workspace_taxonomy", "Taxonomy", "View", ("Alt+2",), "taxonomy", 3),
    ActionSpec("show_workspace_datasets", "Datasets", "View", ("Alt+3",), "datasets", 3),
    ActionSpec("show_workspace_train", "Train", "View", ("Alt+4",), "train", 3),
    ActionSpec("full_screen", "Full screen", "View", ("F11",), "", 4, checkable=True),
    ActionSpec("palette", "Command palette…", "Help", ("Ctrl+Shift+P",), ""),
    ActionSpec("keys", "Keys", "Help", ("F1",), "help"),
    ActionSpec("about", "About MSeg Studio", "Help", (), "info"),
)

MENUS = ("File", "Run", "Go", "View", "Help")


class Actions(QObject):
    """The table's actions, alive: each calls its handler, knows whether it can be done, and carries its keys."""

    def __init__(
        self, window: QWidget, theme: Theme, handlers: Mapping[str, Callable[[], object]], *, without: frozenset[str]
    ) -> None:
        """`handlers` by action id (KeyError names a missing one); `without` are ids of no use on this machine."""
        super().__init__(window)
        self._theme = theme
        self.specs = tuple(spec for spec in ACTIONS if spec.id not in without)
        self.by_id: dict[str, QAction] = {}
        for spec in self.specs:
            action = QAction(spec.text, window)
            action.setShortcuts([QKeySequence(key) for key in spec.keys])
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            action.setCheckable(spec.checkable)
            handler = handlers[spec.id]
            action.triggered.connect(lambda _checked=False, handler=handler: handler())
            window.addAction(action)
            self.by_id[spec.id] = action
        theme.changed.connect(self._retint)
        self._retint()

    def __getitem__(self, action_id: str) -> QAction:
        return self.by_id[action_id]

    def fill(self, bar: QMenuBar, extra: Mapping[str, Callable[[QMenu], None]]) -> None:
        """Build the menus; `extra` adds to a menu after the table's actions."""
        for title in MENUS:
            menu = bar.addMenu(title)
            self.add_to(menu, [spec for spec in self.specs if spec.menu == title])
            if title in extra:
                extra[title](menu)

    def add_to(self, menu: QMenu, specs: list[ActionSpec]) -> None:
        """Add actions to a menu, groups set apart."""
        group = None
        for spec in specs:
            if group is not None and spec.group != group:
                menu.addSeparator()
            group = spec.group
            menu.addAction(self.by_id[spec.id])

    def set_available(self, there: frozenset[str]) -> None:
        """Enable what can be done while `there` (`ActionSpec.needs`) is there."""
        for spec in self.specs:
            self.by_id[spec.id].setEnabled(not spec.needs or spec.needs in there)

    def _retint(self) -> None:
        for spec in self.specs:
            if spec.icon:
                self.by_id[spec.id].setIcon(self._theme.icon(spec.icon))


def key_of(action_id: str) -> str:
    """The first key of an action as the platform writes it; empty for none."""
    keys = next(spec.keys for spec in ACTIONS if spec.id == action_id)
    return QKeySequence(keys[0]).toString(QKeySequence.SequenceFormat.NativeText) if keys else ""


def conflicts() -> list[str]:
    """Keys that two actions claim; empty in a sound table."""
    owners: dict[str, list[str]] = {}
    for spec in ACTIONS:
        for key in spec.keys:
            owners.setdefault(QKeySequence(key).toString(), []).append(spec.id)
    return [f"{key}: {', '.join(ids)}" for key, ids in owners.items() if len(ids) > 1]
