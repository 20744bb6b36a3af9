"""The window's way to pixels: requests to the media process, answers as events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mseg_studio.errors import printable
from mseg_studio.media.events import (
    FrameReady,
    MediaDied,
    MediaEvent,
    MediaFailed,
    Opened,
    SourceInfo,
    ThumbnailReady,
)
from mseg_studio.media.folder import Skipped
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.workers.client import WorkerClient
from mseg_studio.workers.outcome import Death, Failure, Reply

FRAME_LIMIT_S = 20.0
OPEN_LIMIT_S = 120.0
"""Opening a video reads all of it once to know its frames."""
MEMORY_LIMIT_BYTES = 6 << 30


class MediaClient:
    """Open, frame and thumbnail requests; every answer is one MediaEvent, called in the client's own thread.

    Newest wins: a new `open` or `frame` replaces the one of its kind that still waits, whose id then gets no event; so
    does a cancelled one. Opening goes before frames, frames before thumbnails. Reading stays in the child: a file that
    crashes it or takes too long ends as MediaFailed.
    """

    def __init__(
        self,
        on_event: Callable[[MediaEvent], None],
        *,
        frame_limit_s: float = FRAME_LIMIT_S,
        open_limit_s: float = OPEN_LIMIT_S,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    ) -> None:
        self._on_event = on_event
        self._frame_limit_s, self._open_limit_s = frame_limit_s, open_limit_s
        self._source = ""
        self._items: dict[str, tuple[str, ...]] = {}
        self._worker = WorkerClient(
            "mseg_studio.media.worker",
            name="media",
            on_reply=self._on_reply,
            on_failed=self._on_failed,
            on_died=self._on_died,
            arguments={"memory_limit_bytes": memory_limit_bytes, "threads": 2},
            environment={"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        )

    def start(self) -> None:
        """Start the process in the background."""
        self._worker.start()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return self._worker.pid

    def open(self, path: str | PathLike[str]) -> int:
        """Open an image, folder, video or `camera:N`: answered by Opened. Later `frame` calls are about it."""
        self._source = fspath(path)
        return self._worker.submit(
            "open",
            {"path": self._source},
            lane="open",
            overtake=True,
            priority=2,
            input_key=self._source,
            limit_seconds=self._open_limit_s,
        )

    def frame(self, index: int, *, path: str | PathLike[str] | None = None) -> int:
        """Frame `index` of the source opened last, or the image `path` in its place: answered by FrameReady."""
        text = None if path is None else fspath(path)
        items = self._items.get(self._source, ())
        blamed = text or (items[index] if 0 <= index < len(items) else self._source)
        return self._worker.submit(
            "frame",
            {"source": self._source, "index": index, "path": text},
            lane="frame",
            priority=1,
            input_key=blamed,
            limit_seconds=self._frame_limit_s,
        )

    def thumbnail(self, path: str | PathLike[str], size_px: int) -> int:
        """A small picture of an image or video: answered by ThumbnailReady. All that are asked for are answered."""
        text = fspath(path)
        return self._worker.submit(
            "thumbnail",
            {"path": text, "size_px": size_px},
            input_key=text,
            limit_seconds=self._frame_limit_s,
        )

    def cancel(self, request_id: int | None = None) -> None:
        """Drop one request, or all; no event follows for them."""
        self._worker.cancel(request_id)

    def close_source(self) -> None:
        """Let go of the open file."""
        self._source = ""
        self._items = {}
        self._worker.submit("close", lane="close", priority=2)

    def forgive(self, path: str | PathLike[str]) -> None:
        """Try a file again that was set aside after it ended the process three times."""
        self._worker.forgive(fspath(path))

    def close(self) -> None:
        """End the process; returns when it is gone."""
        self._worker.close()

    # -- in the worker client's thread ------------------------------------------------------------------------------

    def _on_reply(self, reply: Reply) -> None:
        fields = reply.fields
        if "source" in fields:
            source = _source_info(fields["source"])
            self._items = {source.path: source.items}
            self._on_event(Opened(reply.request_id, source))
        elif "pixels" in reply.arrays and "timestamp_s" in fields:
            ref = FrameRef(Path(fields["path"]), fields["index"], fields["timestamp_s"])
            self._on_event(FrameReady(reply.request_id, ref.index, Frame(reply.arrays["pixels"], ref)))
        elif "pixels" in reply.arrays:
            self._on_event(ThumbnailReady(reply.request_id, fields["path"], reply.arrays["pixels"]))

    def _on_failed(self, failure: Failure) -> None:
        if failure.code == "Cancelled":
            return
        message = failure.message
        if failure.file and not message.startswith(printable(failure.file)):
            message = f"{printable(failure.file)}: {message}"
        self._on_event(MediaFailed(failure.request_id, failure.code, message, failure.file))

    def _on_died(self, death: Death) -> None:
        if not death.deliberate:  # a request that took too long has had its MediaFailed
            self._on_event(MediaDied(death.message, death.restart_in_s))


def _source_info(fields: Mapping[str, Any]) -> SourceInfo:
    return SourceInfo(
        kind=fields["kind"],
        path=fields["path"],
        items=tuple(fields["items"]),
        timestamps_s=tuple(fields["timestamps_s"]),
        fps=fields["fps"],
        skipped=tuple(Skipped(entry["path"], entry["reason"]) for entry in fields["skipped"]),
        notes=tuple(fields["notes"]),
    )
