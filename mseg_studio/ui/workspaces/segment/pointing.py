"""The pixel under the mouse, or the one that was pinned: its class at once, its probabilities from the kept scores."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer

from mseg_studio.inference.events import ProbeReady
from mseg_studio.ui.canvas.canvas import Canvas
from mseg_studio.ui.services import ModelChoice
from mseg_studio.ui.workspaces.segment.display import Display
from mseg_studio.ui.workspaces.segment.probe_panel import ProbePanel
from mseg_studio.ui.workspaces.segment.session import Session

_PROBE_MS = 40
"""Time between two questions about the pixel under a moving mouse."""

Pixel = tuple[int, int]


class Pointing(QObject):
    """Follows mouse and clicks on the canvas; tells the probe panel."""

    def __init__(
        self,
        session: Session,
        canvas: Canvas,
        display: Display,
        panel: ProbePanel,
        model: Callable[[], ModelChoice | None],
    ) -> None:
        super().__init__(session)
        self._session, self._canvas, self._display, self._panel = session, canvas, display, panel
        self._model = model
        self._hovered: Pixel | None = None
        self._pinned: Pixel | None = None
        self._timer = QTimer(self, interval=_PROBE_MS, singleShot=True)
        self._timer.timeout.connect(self._ask)
        canvas.hovered.connect(self._on_hover)
        canvas.pinned.connect(self.pin)
        session.runs.probed.connect(self._on_probed)

    def forget_pin(self) -> None:
        """Another source is open."""
        self._pinned = None

    def pin(self, pixel: Pixel | None) -> None:
        """Keep showing this pixel, until a click outside, on it, or another picture."""
        self._pinned = None if pixel == self._pinned else pixel
        self._hovered = pixel
        self._canvas.set_cross(self._pinned)
        self.show()

    def show(self) -> None:
        """Tell the panel about the pixel and ask for its probabilities."""
        result, model, pixel = self._session.result, self._model(), self._hovered or self._pinned
        if pixel is None or result is None or model is None:
            self._panel.clear()
            return
        height, width = result.labels.ids_HW.shape
        if pixel[0] >= width or pixel[1] >= height:
            return
        taxonomy = result.labels.taxonomy
        info = taxonomy.get(int(result.labels.ids_HW[pixel[1], pixel[0]]))
        hint = "" if self._session.has_scores() else "Press Run to see the probabilities of this picture."
        measured = self._display.value_at(*pixel)
        self._panel.show_pixel(pixel, info, taxonomy, model.taxonomy, hint=hint, measured=measured)
        if not self._timer.isActive():
            self._timer.start()

    def _on_hover(self, pixel: Pixel | None) -> None:
        self._hovered = pixel
        self.show()

    def _ask(self) -> None:
        pixel = self._hovered or self._pinned
        if pixel is not None:
            self._session.probe(*pixel)

    def _on_probed(self, answer: ProbeReady) -> None:
        self._panel.show_answer(answer)
        pixel = self._hovered or self._pinned
        if pixel is not None and pixel != (answer.x, answer.y):
            self._timer.start()
