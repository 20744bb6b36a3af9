"""A window on doubles, and the check that closing it leaves nothing behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QTimer
from PySide6.QtWidgets import QApplication

from mseg_studio.settings import AppSettings
from mseg_studio.ui.app import WindowOptions, close_window, make_window
from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.theme import Theme
from tests.ui.fakes import Doubles

OpenWindow = Callable[..., MainWindow]


@pytest.fixture
def doubles() -> Doubles:
    return Doubles()


@pytest.fixture
def open_window(qtbot: Any, doubles: Doubles) -> Iterator[OpenWindow]:
    """A function that shows the window and starts the doubles; at the end all of it must be gone."""
    threads = set(threading.enumerate())
    opened: list[tuple[MainWindow, Theme]] = []

    def show(path: str | Path | None = None, *, settings: AppSettings | None = None, **options: Any) -> MainWindow:
        settings = settings or AppSettings(theme="dark")
        theme = Theme(QApplication.instance(), settings.theme)
        wanted = WindowOptions(path=None if path is None else str(path), size=(1280, 800), **options)
        window = make_window(doubles.services, theme, settings, wanted)
        opened.append((window, theme))
        window.show()
        qtbot.waitExposed(window)
        if len(opened) == 1:
            doubles.media.start()
            doubles.inference.start()
        if path is not None:
            window.open_path(str(path))
            qtbot.waitUntil(lambda: window.session.result is not None, timeout=5000)
        return window

    yield show
    timers = [timer for window, _ in opened for timer in window.findChildren(QTimer)]
    for window, theme in opened:
        close_window(doubles.services, theme, window)
    for _ in range(3):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QCoreApplication.processEvents()
    assert not [window for window, _ in opened if shiboken6.isValid(window)], "the window outlives its closing"
    assert not [timer for timer in timers if shiboken6.isValid(timer) and timer.isActive()], "a timer still runs"
    opened.clear()
    gc.collect()
    left = {thread for thread in threading.enumerate() if thread not in threads and thread.is_alive()}
    assert not {thread.name for thread in left if not isinstance(thread, threading._DummyThread)}, "a thread still runs"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A 96 x 60 picture."""
    return write_picture(tmp_path / "street.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures and a broken one, `b.png`."""
    place = tmp_path / "drive"
    place.mkdir()
    for number, name in enumerate(("a.png", "c.png", "d.png")):
        write_picture(place / name, seed=number)
    (place / "b.png").write_bytes(b"\x89PNG broken")
    return place


def write_picture(path: Path, *, seed: int = 0, width: int = 96, height: int = 60) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return path
