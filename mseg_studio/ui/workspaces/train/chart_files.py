"""Charts as files: the numbers as CSV, the page as PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtWidgets import QWidget

from mseg_studio.storage import write_atomic
from mseg_studio.training.metrics_table import BY_DATASET, Metrics
from mseg_studio.ui.workspaces.train.run_reader import RunLook

_SCALE = 2.0
"""Pixels of the picture to a pixel of the screen: it goes into papers."""


def save_numbers(path: Path, looks: Sequence[RunLook]) -> None:
    """One line an event of every run: steps with their numbers, validations with mIoU and the IoU of every class.

    Raises OSError.
    """
    names = list(dict.fromkeys(name for look in looks for name in look.metrics.columns))
    classes = list(dict.fromkeys(name for look in looks for one in look.metrics.validations for name in one.iou))
    datasets = list(dict.fromkeys(n for look in looks for one in look.metrics.validations for n in one.miou_by_dataset))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [name if not name.startswith(BY_DATASET) else f"loss {name.removeprefix(BY_DATASET)}" for name in names]
    scores = ["validation loss", "miou", *(f"miou {name}" for name in datasets), *(f"iou {name}" for name in classes)]
    writer.writerow(["run", "event", "step", *heads, *scores])
    for look in looks:
        for line in _steps(look.metrics, names):
            writer.writerow([look.name, "step", *line, *[""] * len(scores)])
        for one in look.metrics.validations:
            time = [_text(one.time) if name == "time" else "" for name in names]
            by_dataset = [_text(one.miou_by_dataset.get(name)) for name in datasets]
            by_class = [_text(one.iou.get(name)) for name in classes]
            scored = [_text(one.loss), _text(one.miou), *by_dataset, *by_class]
            writer.writerow([look.name, "validation", one.step, *time, *scored])
    write_atomic(path, text.getvalue().encode())


def picture_of(page: QWidget) -> bytes:
    """PNG of a widget as it is on screen, at twice its size. The window's thread only."""
    from PySide6.QtGui import QPixmap

    pixmap = QPixmap(page.size() * _SCALE)
    pixmap.setDevicePixelRatio(_SCALE)
    pixmap.fill(page.palette().window().color())
    page.render(pixmap)
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    pixmap.save(buffer, "PNG")
    return bytes(data.data())


def _steps(metrics: Metrics, names: Sequence[str]) -> list[list[str]]:
    columns = [metrics.step, *(metrics.column(name) for name in names)]
    return [[_text(value) for value in line] for line in zip(*(column.tolist() for column in columns), strict=True)]


def _text(value: float | None) -> str:
    if value is None or value != value:
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
