"""Play, step and seek in a video; the timeline marks the frames that have labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from mseg_studio.ui.theme import Theme


class TransportBar(QWidget):
    """Emits what is asked for; shows where the video is."""

    play_clicked = Signal()
    step_asked = Signal(int)
    seek_asked = Signal(int)
    run_all_clicked = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("transport")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._theme = theme
        self._playing = False
        self._timestamps_s: tuple[float, ...] = ()
        self.back = _button("Previous frame (,)")
        self.play = _button("Play (K)")
        self.forward = _button("Next frame (.)")
        self.timeline = Timeline(theme)
        self.time = QLabel()
        self.frame = QLabel()
        self.frame.setObjectName("dim")
        self.run_all = QPushButton("Run all")
        self.run_all.setToolTip("Segment every frame, then it plays with its labels at full speed")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 7, 12, 7)
        row.setSpacing(6)
        for button in (self.back, self.play, self.forward):
            row.addWidget(button)
        row.addSpacing(6)
        row.addWidget(self.timeline, 1)
        row.addSpacing(6)
        row.addWidget(self.time)
        row.addSpacing(6)
        row.addWidget(self.frame)
        row.addSpacing(6)
        row.addWidget(self.run_all)
        self.back.clicked.connect(lambda: self.step_asked.emit(-1))
        self.forward.clicked.connect(lambda: self.step_asked.emit(1))
        self.play.clicked.connect(self.play_clicked)
        self.run_all.clicked.connect(self.run_all_clicked)
        self.timeline.seek_asked.connect(self.seek_asked)
        theme.changed.connect(self._retint)
        self._retint()

    def set_video(self, timestamps_s: tuple[float, ...], is_done: Callable[[int], bool]) -> None:
        """Show another video; `is_done` says whether a frame has labels."""
        self._timestamps_s = timestamps_s
        self.timeline.set_video(len(timestamps_s), is_done)
        last = f"{clock(timestamps_s[-1])} / {clock(timestamps_s[-1])}" if timestamps_s else ""
        self.time.setMinimumWidth(self.time.fontMetrics().horizontalAdvance(last) + 4)
        count = len(timestamps_s)
        self.frame.setMinimumWidth(
            self.frame.fontMetrics().horizontalAdvance(f"frame {count} / {count} · {count} done")
        )

    def show_position(self, index: int) -> None:
        """Say where the video is."""
        if index < len(self._timestamps_s):
            self.timeline.set_position(index)
            self.time.setText(f"{clock(self._timestamps_s[index])} / {clock(self._timestamps_s[-1])}")
            self._count()

    def refresh_done(self) -> None:
        """Any frame may have got labels or lost them."""
        self.timeline.refresh()
        self._count()

    def refresh_one(self, index: int) -> None:
        """One frame may have got labels or lost them."""
        self.timeline.refresh_one(index)
        self._count()

    def _count(self) -> None:
        done = self.timeline.done
        self.frame.setText(f"frame {self.timeline.position + 1} / {len(self._timestamps_s)} · {done} done")

    def show_playing(self, playing: bool) -> None:
        """Turn play into pause and back."""
        self._playing = playing
        self.play.setToolTip("Pause (K)" if playing else "Play (K)")
        self.play.setAccessibleName("Pause" if playing else "Play")
        self._retint()

    def _retint(self) -> None:
        self.back.setIcon(self._theme.icon("step-back"))
        self.forward.setIcon(self._theme.icon("step-forward"))
        self.play.setIcon(self._theme.icon("pause" if self._playing else "play"))


class Timeline(QWidget):
    """A line of frames: done ones are bright; click, drag or the arrow keys seek."""

    seek_asked = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._count = 0
        self._done: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._is_done: Callable[[int], bool] = lambda _index: False
        self.position = 0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Timeline")
        theme.changed.connect(self.update)

    def set_video(self, count: int, is_done: Callable[[int], bool]) -> None:
        """Show another video."""
        self._count, self._is_done, self.position = count, is_done, 0
        self.refresh()

    def set_position(self, index: int) -> None:
        """Move the playhead."""
        self.position = index
        self.setAccessibleDescription(f"frame {index + 1} of {self._count}")
        self.update()

    @property
    def done(self) -> int:
        """Number of frames that have labels."""
        return int(self._done.sum())

    def refresh(self) -> None:
        """Ask again which frames have labels."""
        self._done = np.fromiter((self._is_done(index) for index in range(self._count)), np.bool_, self._count)
        self.update()

    def refresh_one(self, index: int) -> None:
        """Ask again whether one frame has labels."""
        if index < self._count:
            self._done[index] = self._is_done(index)
            self.update()

    def sizeHint(self) -> QSize:
        """As high as a button."""
        return QSize(200, 26)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Track, runs of done frames, playhead."""
        painter = QPainter(self)
        tones = self._theme.tones
        track = self._track()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tones.track))
        painter.drawRoundedRect(track, 3, 3)
        if not self._count:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        step = track.width() / self._count
        painter.setBrush(QColor(tones.accent))
        steps = np.diff(self._done.astype(np.int8), prepend=0, append=0)
        for start, end in zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0), strict=True):
            left, width = track.left() + float(start) * step, float(end - start) * step
            painter.drawRect(QRectF(left, track.top(), width, track.height()))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        head = track.left() + (self.position + 0.5) * step
        painter.setBrush(QColor(tones.text))
        painter.drawRoundedRect(QRectF(head - 2, track.center().y() - 9, 4, 18), 2, 2)
        if self.hasFocus():
            painter.setPen(QColor(tones.accent_hover))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(head - 4.5, track.center().y() - 11.5, 9, 23), 4, 4)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Seek."""
        self._seek(event.position().x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Seek while dragged."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._seek(event.position().x())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right step, Home and End go to the ends."""
        target = {
            Qt.Key.Key_Left: self.position - 1,
            Qt.Key.Key_Right: self.position + 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: self._count - 1,
        }.get(Qt.Key(event.key()))
        if target is None:
            super().keyPressEvent(event)
        elif 0 <= target < self._count:
            self.seek_asked.emit(target)

    def _seek(self, x: float) -> None:
        track = self._track()
        if self._count:
            index = int((x - track.left()) / track.width() * self._count)
            self.seek_asked.emit(min(max(index, 0), self._count - 1))

    def _track(self) -> QRectF:
        return QRectF(4, self.height() / 2 - 3, max(1, self.width() - 8), 6)


def clock(seconds: float) -> str:
    """`00:01.27`: minutes, seconds, hundredths."""
    hundredths = max(0, round(seconds * 100))
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _button(tip: str) -> QToolButton:
    button = QToolButton()
    button.setObjectName("flat")
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    return button
