"""Everything that opens pictures: dialogs, the menu of what was open last, files that are dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QUrl
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from mseg_studio.errors import printable
from mseg_studio.media.image import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image_path
from mseg_studio.ui.services import Services
from mseg_studio.ui.workspaces.segment.notice import Notice
from mseg_studio.ui.workspaces.segment.session import Session


class Opening(QObject):
    """Opens things in a session; `arrive` is called before, to bring the Segment workspace on screen."""

    def __init__(
        self,
        window: QWidget,
        services: Services,
        session: Session,
        *,
        arrive: Callable[[], object],
        recent: Callable[[], Sequence[str]],
    ) -> None:
        super().__init__(window)
        self._window, self._services, self._session = window, services, session
        self._arrive, self._recent = arrive, recent

    def open_path(self, path: str) -> None:
        """Open an image, a folder, a video or `camera:0`."""
        self._arrive()
        self._session.open(path if path.startswith("camera:") else str(Path(path).absolute()))

    def open_paths(self, paths: Sequence[str]) -> None:
        """Open several images together, or the first of other things."""
        images = tuple(path for path in paths if is_image_path(path))
        if len(images) > 1 and len(images) == len(paths):
            self._arrive()
            self._session.open_images(images)
        elif paths:
            self.open_path(paths[0])
            if len(paths) > 1:
                text = "Several things were given: only images can be opened together, so the first was opened."
                self._session.notice.emit(Notice(text, "warning", "drop"))

    def open_urls(self, urls: Sequence[QUrl]) -> None:
        """Open the files among what was dropped."""
        self.open_paths([url.toLocalFile() for url in urls if url.isLocalFile()])

    def ask_image(self) -> None:
        """Let the person choose images or a video."""
        suffixes = " ".join(f"*{suffix}" for suffix in sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
        kinds = f"Images and videos ({suffixes});;All files (*)"
        paths, _kind = QFileDialog.getOpenFileNames(self._window, "Open", self._last_folder(), kinds)
        self.open_paths(paths)

    def ask_folder(self) -> None:
        """Let the person choose a folder."""
        path = QFileDialog.getExistingDirectory(self._window, "Open a folder of images", self._last_folder())
        self.open_paths([path] if path else [])

    def open_camera(self) -> None:
        """Open the first camera, if there is one."""
        cameras = self._services.cameras()
        if cameras:
            self.open_path(cameras[0])

    def fill_menu(self, menu: QMenu, actions: Sequence[QAction]) -> None:
        """The actions that open something, then what was open last."""
        menu.clear()
        for action in actions:
            menu.addAction(action)
        if self._recent():
            menu.addSeparator()
            for path in self._recent():
                action = menu.addAction(printable(Path(path).name or path))
                action.setToolTip(printable(path))
                action.triggered.connect(lambda _checked=False, path=path: self.open_path(path))

    def _last_folder(self) -> str:
        return str(Path(self._recent()[0]).parent) if self._recent() else ""
