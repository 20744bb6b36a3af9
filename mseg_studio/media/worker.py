"""The media process: it opens, decodes and shrinks for the window, and may die of a hostile file without harm.

It keeps one source open and the decoder where it stands, so that playing a video never seeks. Every request names its
source: a process that was restarted opens it again by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mseg_studio.errors import VideoReadError
from mseg_studio.media.file_kinds import is_video_path
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.image import read_image, read_thumbnail
from mseg_studio.media.source import Source, open_source
from mseg_studio.media.video import read_first_frame
from mseg_studio.workers.child import Answer, Request, WorkerLink


class MediaService:
    """The handlers of the process."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._path: str | None = None

    def open(self, request: Request) -> Answer:
        """`path`: open it afresh. Answers with the fields of SourceInfo."""
        self._close()
        return Answer({"source": dataclasses.asdict(self._opened(request.fields["path"]).info)})

    def frame(self, request: Request) -> Answer:
        """`index` of `source`, or the image `path`."""
        fields = request.fields
        if fields["path"] is not None:
            image = read_image(fields["path"])
            return _frame_answer(Frame(image.pixels_HW3, FrameRef(Path(fields["path"]), fields["index"])))
        source = self._opened(fields["source"])
        try:
            return _frame_answer(source.frame(fields["index"]))
        except IndexError as error:
            raise VideoReadError(str(error), path=fields["source"]) from error

    def thumbnail(self, request: Request) -> Answer:
        """`path` of an image or video, at most `size_px` on its longest side."""
        path, size_px = request.fields["path"], int(request.fields["size_px"])
        if not is_video_path(path):
            return Answer({"path": path}, {"pixels": read_thumbnail(path, size_px)})
        pixels = read_first_frame(path).pixels_HW3
        height, width = pixels.shape[:2]
        scale = min(1.0, size_px / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return Answer({"path": path}, {"pixels": np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))})

    def close(self, request: Request) -> Answer:
        """Close the source, so that its file can be moved or deleted."""
        self._close()
        return Answer()

    def _opened(self, path: str) -> Source:
        if self._source is None or self._path != path:
            self._close()
            self._source, self._path = open_source(path), path
        return self._source

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._source = self._path = None


def main(link: WorkerLink) -> None:
    """Run the media process."""
    _limit_memory(int(link.arguments["memory_limit_bytes"]))
    cv2.setNumThreads(int(link.arguments["threads"]))
    service = MediaService()
    link.serve({"open": service.open, "frame": service.frame, "thumbnail": service.thumbnail, "close": service.close})


def _frame_answer(frame: Frame) -> Answer:
    ref = frame.ref
    fields: dict[str, Any] = {}
    if ref is not None:
        fields = {"path": str(ref.path), "index": ref.index, "timestamp_s": ref.timestamp_s}
    return Answer(fields, {"pixels": frame.pixels_HW3})


def _limit_memory(limit_bytes: int) -> None:
    """Make a file that asks for absurd amounts fail here instead of taking the machine's memory (POSIX)."""
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
