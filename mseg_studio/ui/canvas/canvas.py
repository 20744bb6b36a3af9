"""The canvas: a picture with its labels, zoomed and panned by hand."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from mseg_studio.ui.bridges import in_background
from mseg_studio.ui.canvas.layers import ColorTable, LabelLayer, Picture
from mseg_studio.ui.canvas.viewport import Viewport
from mseg_studio.ui.theme import Theme

_STEP = 1.25
"""One notch of the wheel, one press of Ctrl++."""
_FIT_MARGIN = 0


class Canvas(QWidget):
    """Shows a `Picture` and a `LabelLayer`; says which pixel the mouse is on."""

    hovered = Signal(object)
    """The pixel (column, row) under the mouse, None outside the picture."""
    pinned = Signal(object)
    """The pixel (column, row) that was clicked."""
    zoom_changed = Signal(float)
    """Screen pixels per image pixel."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._picture: Picture | None = None
        self._labels: LabelLayer | None = None
        self._view = Viewport(1, 1, 1, 1)
        self._fits = True
        self._show_labels = self._show_contours = True
        self._bare = False
        self._pan_key = False
        self._drag: QPointF | None = None
        self._pressed: QPointF | None = None
        self._cross: tuple[int, int] | None = None
        self._waits_for_contours = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Picture")
        self.setAccessibleDescription("The opened image with its labels. Wheel zooms, Space or middle button pans.")
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        theme.changed.connect(self.update)

    # -- what is shown -------------------------------------------------------------------------------------------

    def set_picture(self, picture: Picture | None) -> None:
        """Show another picture without labels; a picture of the same size keeps zoom and place."""
        old, self._picture, self._labels = self._picture, picture, None
        same = old is not None and picture is not None and (old.width, old.height) == (picture.width, picture.height)
        if picture is not None and not same:
            self._view = Viewport(picture.width, picture.height, self.width(), self.height())
            self.fit()
        if not same:
            self._cross = None
        self.update()

    def set_labels(self, layer: LabelLayer | None) -> None:
        """Show these labels over the picture."""
        self._labels = layer
        self.update()

    def set_colors(self, table: ColorTable, opacity: float) -> None:
        """Colours of the labels; ids and pixels stay as they are."""
        if self._labels is not None:
            self._labels.set_colors(table, opacity)
            self.update()

    def show_layers(self, *, labels: bool, contours: bool) -> None:
        """Switch the layers on and off."""
        self._show_labels, self._show_contours = labels, contours
        self.update()

    def set_bare(self, bare: bool) -> None:
        """While set, only the image is drawn."""
        if bare != self._bare:
            self._bare = bare
            self.update()

    def set_pan_key(self, held: bool) -> None:
        """While set, a left drag pans."""
        self._pan_key = held
        self._set_cursor()

    def set_cross(self, pixel: tuple[int, int] | None) -> None:
        """Mark the pinned pixel."""
        self._cross = pixel
        self.update()

    @property
    def picture(self) -> Picture | None:
        """The picture on the canvas."""
        return self._picture

    @property
    def viewport(self) -> Viewport:
        """Where the picture is."""
        return self._view

    @property
    def device_scale(self) -> float:
        """Screen pixels per image pixel: 1 is 100 %."""
        return self._view.scale * self.devicePixelRatioF()

    # -- zoom and pan --------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Show the whole picture, and keep showing it while the window changes its size."""
        if self._picture is not None:
            self._fits = True
            self._move(self._view.fitted(margin=_FIT_MARGIN))

    def actual_size(self) -> None:
        """One image pixel is one screen pixel."""
        self._zoom(lambda view: view.scaled_to(1 / self.devicePixelRatioF()))

    def zoom_in(self) -> None:
        """One step nearer."""
        self._zoom(lambda view: view.scaled_to(view.scale * _STEP))

    def zoom_out(self) -> None:
        """One step farther."""
        self._zoom(lambda view: view.scaled_to(view.scale / _STEP))

    def _zoom(self, change: Callable[[Viewport], Viewport]) -> None:
        if self._picture is not None:
            self._fits = False
            self._move(change(self._view))

    def _move(self, view: Viewport) -> None:
        self._view = view
        self.zoom_changed.emit(self.device_scale)
        self.update()

    # -- events --------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """Room to look at something."""
        return QSize(640, 480)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the picture fitted, or its centre where it was."""
        size = event.size()
        self._view = self._view.resized(size.width(), size.height())
        if self._fits:
            self.fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the cursor."""
        if self._picture is None or not event.angleDelta().y():
            event.ignore()
            return
        at = event.position()
        factor = _STEP ** (event.angleDelta().y() / 120)
        self._zoom(lambda view: view.zoomed(factor, x=at.x(), y=at.y()))
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start a pan (middle button, or left with Space held) or a click."""
        left = event.button() == Qt.MouseButton.LeftButton
        if event.button() == Qt.MouseButton.MiddleButton or (left and self._pan_key):
            self._drag = event.position()
            self._set_cursor()
        elif left:
            self._pressed = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pan, or say which pixel the mouse is on."""
        if self._drag is not None:
            moved = event.position() - self._drag
            self._drag = event.position()
            self._zoom(lambda view: view.panned(moved.x(), moved.y()))
        elif self._picture is not None:
            self.hovered.emit(self._view.pixel_at(event.position().x(), event.position().y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a pan; a left click pins the pixel under it."""
        if self._drag is not None and event.button() != Qt.MouseButton.RightButton:
            self._drag = None
            self._set_cursor()
        elif self._pressed is not None and event.button() == Qt.MouseButton.LeftButton:
            still = (event.position() - self._pressed).manhattanLength() < 5
            self._pressed = None
            if still and self._picture is not None:
                self.pinned.emit(self._view.pixel_at(event.position().x(), event.position().y()))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """The second press of a double click is a press like the first."""
        self.mousePressEvent(event)

    def leaveEvent(self, event: object) -> None:
        """The mouse is on no pixel any more."""
        self.hovered.emit(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys pan."""
        step = {
            Qt.Key.Key_Left: (64, 0),
            Qt.Key.Key_Right: (-64, 0),
            Qt.Key.Key_Up: (0, 64),
            Qt.Key.Key_Down: (0, -64),
        }.get(Qt.Key(event.key()))
        if step is None or self._picture is None:
            super().keyPressEvent(event)
        else:
            self._zoom(lambda view: view.panned(*step))

    def _set_cursor(self) -> None:
        if self._drag is not None:
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif self._pan_key:
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        else:
            self.unsetCursor()

    # -- painting ------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Background, picture, labels, contours, cross."""
        painter = QPainter(self)
        painter.fillRect(event.rect(), QColor(self._theme.tones.canvas))
        if self._picture is None:
            return
        view = self._view
        target = QRectF(view.left, view.top, view.image_w * view.scale, view.image_h * view.scale)
        self._picture.paint(painter, target, self.device_scale)
        if self._labels is not None and not self._bare:
            if self._show_labels:
                self._labels.paint(painter, target)
            if self._show_contours:
                if self._labels.has_contours(self.device_scale):
                    self._labels.paint_contours(painter, target, self.device_scale, QRectF(self.rect()))
                else:
                    self._ask_for_contours(self._labels)
        if self._cross is not None and not self._bare:
            self._paint_cross(painter, self._cross)

    def _ask_for_contours(self, layer: LabelLayer) -> None:
        if self._waits_for_contours:
            return
        self._waits_for_contours = True
        scale = self.device_scale
        in_background(self, lambda: layer.contours(scale), lambda found: self._take_contours(layer, found))

    def _take_contours(self, layer: LabelLayer, found: object) -> None:
        self._waits_for_contours = False
        if isinstance(found, tuple):
            layer.set_contours(*found)
        self.update()

    def _paint_cross(self, painter: QPainter, pixel: tuple[int, int]) -> None:
        x, y = self._view.point_of(pixel[0] + 0.5, pixel[1] + 0.5)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        radius = max(6.0, self._view.scale * 0.75)
        for color, width in ((QColor(0, 0, 0, 170), 3.5), (QColor(255, 255, 255), 1.6)):
            painter.setPen(QPen(color, width))
            painter.drawEllipse(QPointF(x, y), radius, radius)
