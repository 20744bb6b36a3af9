"""What the run makes of its fixed images, over the photo, through its validations."""

from __future__ import annotations

import time

import cv2
import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QSlider, QToolButton, QWidget

from mseg_studio.errors import printable
from mseg_studio.media.events import MediaFailed, ThumbnailReady
from mseg_studio.ui.bridges import MediaBridge
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.widgets import ElidedLabel
from mseg_studio.ui.workspaces.train.config_panel import Section
from mseg_studio.ui.workspaces.train.fixed_samples import FixedSample
from mseg_studio.ui.workspaces.train.words import grouped

_SIDE_PX = 640
_MOST_KEPT = 64
_OPACITY = 0.5
_AGAIN_S = 5.0

_Pixels = npt.NDArray[np.uint8]


class FixedImages(Section):
    """One picture; arrows choose the image, the slider the validation, a click the labels of the dataset."""

    def __init__(self, theme: Theme, media: MediaBridge) -> None:
        super().__init__("Fixed images")
        self._media = media
        self._samples: tuple[FixedSample, ...] = ()
        self._at = 0
        self._newest = True
        self._kept: dict[str, _Pixels | None] = {}
        self._asked: dict[str, float] = {}
        """When each picture was asked for: who opens another source in Segment drops what waits."""
        self.picture = _Picture()
        self.words = ElidedLabel()
        self.words.setObjectName("small")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Validation whose prediction is shown")
        self.slider.setToolTip("Earlier validations at the left")
        self.slider.valueChanged.connect(lambda _value: self._on_slid())
        self.before = self._arrow("step-back", "Image before", -1, theme)
        self.after = self._arrow("step-forward", "Next image", 1, theme)
        self.truth = QToolButton()
        self.truth.setText("Labels")
        self.truth.setCheckable(True)
        self.truth.setToolTip("Show the labels of the dataset instead of the prediction")
        self.truth.toggled.connect(lambda _on: self._show())
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.words, 1)
        for button in (self.truth, self.before, self.after):
            row.addWidget(button)
        self.column.addWidget(self.picture)
        self.column.addWidget(self.slider)
        self.column.addLayout(row)
        media.happened.connect(self._on_media)
        self._show()

    def show_samples(self, samples: tuple[FixedSample, ...]) -> None:
        """Take what there is now; the newest validation stays shown while somebody looks at it."""
        if samples is self._samples:
            if self._asked:
                self._show()
            return
        self._samples = samples
        self._at = min(self._at, max(0, len(samples) - 1))
        self._offer()

    @property
    def shown_step(self) -> int | None:
        """Step of the prediction that is shown."""
        one = self._current()
        return None if one is None else one.predictions[min(self.slider.value(), len(one.predictions) - 1)][0]

    def _current(self) -> FixedSample | None:
        return self._samples[self._at] if self._samples else None

    def _arrow(self, icon: str, name: str, by: int, theme: Theme) -> QToolButton:
        button = QToolButton()
        button.setObjectName("flat")
        button.setIcon(theme.icon(icon))
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.clicked.connect(lambda: self._step(by))
        theme.changed.connect(lambda: button.setIcon(theme.icon(icon)))
        return button

    def _step(self, by: int) -> None:
        if self._samples:
            self._at = (self._at + by) % len(self._samples)
            self._offer()

    def _offer(self) -> None:
        one = self._current()
        last = len(one.predictions) - 1 if one is not None else 0
        self.slider.blockSignals(True)
        place = last if self._newest else min(self.slider.value(), last)
        self.slider.setRange(0, max(0, last))
        self.slider.setValue(place)
        self.slider.blockSignals(False)
        self._show()

    def _on_slid(self) -> None:
        self._newest = self.slider.value() == self.slider.maximum()
        self._show()

    def _show(self) -> None:
        one = self._current()
        several = len(self._samples) > 1
        self.before.setVisible(several)
        self.after.setVisible(several)
        self.truth.setVisible(one is not None and bool(one.truth))
        self.slider.setVisible(one is not None and len(one.predictions) > 1)
        if one is None:
            self.picture.show_picture(None)
            self.words.setText("come with the first validation")
            return
        step, path = one.predictions[min(self.slider.value(), len(one.predictions) - 1)]
        labels = one.truth if self.truth.isChecked() and one.truth else path
        what = "labels of the dataset" if labels == one.truth and one.truth else f"step {grouped(step)}"
        self.words.setText(printable(f"{what} · {one.name}"))
        self.picture.setAccessibleName(f"Prediction over {printable(one.name)}, {what}")
        photo, over = self._pixels(one.image), self._pixels(labels)
        if photo is None and over is None:
            return  # the one before stays until these come
        self.picture.show_picture(_blended(photo, over))

    def _pixels(self, path: str) -> _Pixels | None:
        if path not in self._kept and time.monotonic() - self._asked.get(path, -_AGAIN_S) >= _AGAIN_S:
            self._asked[path] = time.monotonic()
            self._media.client.thumbnail(path, _SIDE_PX)
        return self._kept.get(path)

    def _on_media(self, event: object) -> None:
        if isinstance(event, ThumbnailReady) and event.path in self._asked:
            self._keep(event.path, event.pixels_HW3)
        elif isinstance(event, MediaFailed) and event.file in self._asked:
            self._keep(event.file, None)

    def _keep(self, path: str, pixels: _Pixels | None) -> None:
        self._asked.pop(path, None)
        self._kept[path] = pixels
        while len(self._kept) > _MOST_KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._show()


class _Picture(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._pixmap: QPixmap | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(0)

    def show_picture(self, pixels: _Pixels | None) -> None:
        """Draw (H, W, 3) as wide as there is room; None for nothing."""
        if pixels is None:
            self._pixmap = None
        else:
            height, width = pixels.shape[:2]
            image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._pixmap = QPixmap.fromImage(image)  # a copy: the buffer may go
        self._fit()
        self.update()

    def resizeEvent(self, event: object) -> None:
        """Keep the proportions."""
        self._fit()

    def sizeHint(self) -> QSize:
        """As high as the picture is for the width there is."""
        return QSize(200, self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw it."""
        if self._pixmap is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(self.rect(), self._pixmap)
        painter.end()

    def _fit(self) -> None:
        wanted = (
            0 if self._pixmap is None else round(self.width() * self._pixmap.height() / max(1, self._pixmap.width()))
        )
        if wanted != self.height():
            self.setFixedHeight(wanted)


def _blended(photo: _Pixels | None, labels: _Pixels | None) -> _Pixels | None:
    """Labels over the photo, (H, W, 3); one of them alone where the other cannot be read."""
    if photo is None or labels is None:
        return labels if photo is None else photo
    if labels.shape != photo.shape:
        size = (photo.shape[1], photo.shape[0])
        labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    mixed = cv2.addWeighted(photo, 1 - _OPACITY, labels, _OPACITY, 0)
    return np.ascontiguousarray(mixed, np.uint8)
