"""The canvas: a picture with its labels, zoomed and panned by hand."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from mseg_studio.ui.canvas.composition import Composition
from mseg_studio.ui.canvas.layers import ColorTable, DifferenceLayer, HeatLayer, LabelLayer, Picture
from mseg_studio.ui.canvas.viewport import Viewport
from mseg_studio.ui.theme import Theme

_STEP = 1.25
"""One notch of the wheel, one press of Ctrl++."""
_FIT_MARGIN = 0


class Canvas(QWidget):
    """Shows a `Picture` with its labels or a measure; says which pixel the mouse is on."""

    hovered = Signal(object)
    """The pixel (column, row) under the mouse, None outside the picture."""
    pinned = Signal(object)
    """The pixel (column, row) that was clicked."""
    zoom_changed = Signal(float)
    """Screen pixels per image pixel."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._composition = Composition()
        self._view = Viewport(1, 1, 1, 1)
        self._fits = True
        self._bare = False
        self._pan_key = False
        self._drag: QPointF | None = None
        self._pressed: QPointF | None = None
        self._cross: tuple[int, int] | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Picture")
        self.setAccessibleDescription("The opened image with its labels. Wheel zooms, Space or middle button pans.")
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        theme.changed.connect(self.update)

    # -- what is shown -------------------------------------------------------------------------------------------

    def set_picture(self, picture: Picture | None) -> None:
        """Show another picture without labels; a picture of the same size keeps zoom and place."""
        old = self.picture
        self._composition.set_picture(picture)
        same = old is not None and picture is not None and (old.width, old.height) == (picture.width, picture.height)
        if picture is not None and not same:
            self._view = Viewport(picture.width, picture.height, self.width(), self.height())
            self.fit()
        if not same:
            self._cross = None
        self.update()

    def set_labels(self, layer: LabelLayer | None) -> None:
        """Show these labels over the picture."""
        self._composition.set_labels(layer)
        self.update()

    def set_heat(self, layer: HeatLayer | DifferenceLayer | None) -> None:
        """Show this measure or difference in place of the labels' colours, None: the labels again."""
        self._composition.set_heat(layer)
        self.update()

    def set_colors(self, table: ColorTable, opacity: float) -> None:
        """Colours of the labels, and how opaque they or the measure are; ids and pixels stay as they are."""
        self._composition.set_colors(table, opacity)
        self.update()

    def show_layers(self, *, labels: bool, contours: bool) -> None:
        """Switch the layers on and off."""
        self._composition.show(labels=labels, contours=contours)
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
        for place in (self._cross, pixel):
            if place is not None:
                self.update(self._cross_box(place))
        self._cross = pixel

    @property
    def picture(self) -> Picture | None:
        """The picture on the canvas."""
        return self._composition.picture

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
        if self.picture is not None:
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
        if self.picture is not None:
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
        if self.picture is None or not event.angleDelta().y():
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
        elif self.picture is not None:
            self.hovered.emit(self._view.pixel_at(event.position().x(), event.position().y()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a pan; a left click pins the pixel under it."""
        if self._drag is not None and event.button() != Qt.MouseButton.RightButton:
            self._drag = None
            self._set_cursor()
        elif self._pressed is not None and event.button() == Qt.MouseButton.LeftButton:
            still = (event.position() - self._pressed).manhattanLength() < 5
            self._pressed = None
            if still and self.picture is not None:
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
        if step is None or self.picture is None:
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
        self._composition.paint(painter, self._view, self.device_scale, bare=self._bare)
        if self._cross is not None and not self._bare and self.picture is not None:
            self._paint_cross(painter, self._cross)

    def _paint_cross(self, painter: QPainter, pixel: tuple[int, int]) -> None:
        x, y = self._view.point_of(pixel[0] + 0.5, pixel[1] + 0.5)
        radius = self._cross_radius
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for color, width in ((QColor(0, 0, 0, 170), 3.5), (QColor(255, 255, 255), 1.6)):
            painter.setPen(QPen(color, width))
            painter.drawEllipse(QPointF(x, y), radius, radius)

    @property
    def _cross_radius(self) -> float:
        return max(6.0, self._view.scale * 0.75)

    def _cross_box(self, pixel: tuple[int, int]) -> QRect:
        """What the cross of a pixel covers, its line included."""
        x, y = self._view.point_of(pixel[0] + 0.5, pixel[1] + 0.5)
        reach = int(self._cross_radius) + 4
        return QRect(round(x) - reach, round(y) - reach, 2 * reach, 2 * reach)
