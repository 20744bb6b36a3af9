"""Every failure a user can act on.

MSegStudioError
├── ImageReadError      an image file cannot be read
├── VideoReadError      a video cannot be opened or decoded
├── TaxonomyError       unknown taxonomy, broken table, class that does not exist
├── CheckpointError     weights that do not fit, cannot be read or are not trusted
├── ConfigError         a setting, recipe or description with a wrong key or value
├── ExportError         an output cannot be written
├── DatasetError        images and labels on disk do not match their description
├── DeviceMemoryError   the device ran out of memory on every rung of the ladder
├── WorkerDied          a child process ended without being asked to
└── RunFailed           a training run stopped before its end
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os import PathLike, fspath

_MOST_LISTED = 40
"""Names in a message; more of them are no help on one line."""


class MSegStudioError(Exception):
    """A failure with one line a person can act on: what file, what was expected, what came.

    `path` is the file the message is about, put in front of the message when given. Whatever a message quotes from a
    file or a command line, it stays one line: control characters and stray bytes are shown escaped.
    """

    def __init__(self, message: str, *, path: str | PathLike[str] | None = None) -> None:
        self.path = None if path is None else fspath(path)
        self.reason = printable(message)
        super().__init__(self.reason if self.path is None else f"{printable(self.path)}: {self.reason}")

    @property
    def code(self) -> str:
        """Name of the class: the `code` of error messages between processes."""
        return type(self).__name__


class ImageReadError(MSegStudioError):
    """An image file cannot be read."""


class VideoReadError(MSegStudioError):
    """A video cannot be opened or decoded."""


class TaxonomyError(MSegStudioError):
    """Unknown taxonomy, broken table, or a class that does not exist."""


class CheckpointError(MSegStudioError):
    """Weights that do not fit, cannot be read or are not trusted."""


class ConfigError(MSegStudioError):
    """A setting, recipe or description with a wrong key or value."""


class ExportError(MSegStudioError):
    """An output cannot be written."""


class DatasetError(MSegStudioError):
    """Images and labels on disk do not match their description."""


class DeviceMemoryError(MSegStudioError):
    """The device ran out of memory on every rung of the ladder."""


class WorkerDied(MSegStudioError):  # noqa: N818 - the name of contracts and logs
    """A child process ended without being asked to."""


class RunFailed(MSegStudioError):  # noqa: N818 - the name of contracts and logs
    """A training run stopped before its end."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean a, b?` for the known names closest to `name`; when none is close all of them, or their number."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    if len(names) > _MOST_LISTED:
        return f"; none of {len(names)} known names resembles it"
    return f"; known: {', '.join(names)}" if names else ""


def printable(text: str) -> str:
    """`text` on one line: control characters and bytes that are no UTF-8 are shown escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
