"""What is carried when universal classes are dragged: their names, as lines of UTF-8."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QByteArray, QMimeData

CLASSES_MIME = "application/x-mseg-classes"
"""Names of universal classes, one a line, in the order they were chosen."""


def to_mime(names: Sequence[str]) -> QMimeData:
    """What a drag of these universal classes carries; as plain text it can be dropped into any text field."""
    mime = QMimeData()
    lines = "\n".join(names)
    mime.setData(CLASSES_MIME, QByteArray(lines.encode()))
    mime.setText(lines)
    return mime


def names_of(mime: QMimeData) -> tuple[str, ...]:
    """The universal classes in a drag, each once; empty for a drag of anything else."""
    if not mime.hasFormat(CLASSES_MIME):
        return ()
    lines = bytes(mime.data(CLASSES_MIME).data()).decode(errors="replace").splitlines()
    return tuple(dict.fromkeys(line for line in lines if line))
