"""Frames of a video by number and time, exactly: also with B-frames, variable frame rate and damage."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from fractions import Fraction
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.errors import VideoReadError
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.video_index import build_index, decoded, open_container, video_stream


def open_video(path: str | PathLike[str]) -> Video:
    """Open and index a video. Raises VideoReadError, one line, naming the file."""
    return Video(path)


def read_first_frame(path: str | PathLike[str]) -> Frame:
    """The first frame of a video without indexing it, for thumbnails. Raises VideoReadError."""
    with open_container(path) as container:
        for frame in decoded(container, video_stream(container, path)):
            if frame is not None:
                return Frame(_upright_rgb(frame, path), FrameRef(Path(path)))
    raise VideoReadError("none of its frames can be decoded", path=path)


class Video:
    """An open video. All frames have the size of the first, upright. Not for use by two threads at once.

    The frames are numbered in the order they are shown. Asking for the next one never seeks.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._index = build_index(path)
        self.fps: Fraction = self._index.fps
        """Average frames a second, as the file says."""
        self.timestamps_s: tuple[float, ...] = self._index.timestamps_s
        """When each frame is shown, in seconds since the first."""
        self._numbers = {pts: number for number, pts in enumerate(self._index.pts)}
        self._container: Any = None
        self._stream: Any = None
        self._frames: Iterator[Any] = iter(())
        self._position = -1
        """Number of the frame that was taken from the decoder last."""
        self._ahead: tuple[int, Any] | None = None
        """A frame that came where a missing one was expected."""
        self._latest: Frame | None = None
        self._damaged = self._index.damaged
        self._undecodable: set[int] = set()
        self._size_changes = False
        self.width, self.height = self._first_size()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about the file; grows while frames are read."""
        notes = []
        lost = self._lost()
        if lost:
            notes.append(lost)
        if self._size_changes:
            notes.append("the picture size changes within the file: later frames are resized to the first")
        return tuple(notes)

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def frames(self) -> Iterator[Frame]:
        """All frames that can be decoded, in order; `ref.index` jumps where one cannot."""
        found = False
        for number in range(len(self)):
            try:
                frame = self.frame(number)
            except VideoReadError:
                continue
            found = True
            yield frame
        if not found:
            raise VideoReadError("none of its frames can be decoded", path=self.path)

    def frame(self, index: int) -> Frame:
        """Frame `index`. Raises IndexError outside the video, VideoReadError when it cannot be decoded."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of a video of {len(self)} frames")
        if self._latest is not None and self._latest.ref is not None and self._latest.ref.index == index:
            return self._latest
        pixels = _upright_rgb(self._decode(index), self.path)
        if pixels.shape[:2] != (self.height, self.width):
            self._size_changes = True
            pixels = np.asarray(cv2.resize(pixels, (self.width, self.height)), dtype=np.uint8)
        self._latest = Frame(pixels, FrameRef(self.path, index, self.timestamps_s[index]))
        return self._latest

    def close(self) -> None:
        """Close the file. Frames already given stay valid."""
        self._frames = iter(())
        self._ahead = None
        self._position = -1
        if self._container is not None:
            self._container.close()
            self._container = self._stream = None

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- decoding -----------------------------------------------------------------------------------------------------

    def _decode(self, index: int) -> Any:
        """PyAV's frame `index`: decode on when that is the shortest way, seek otherwise."""
        reached = self._position if self._ahead is None else self._ahead[0] - 1
        if self._container is None or index <= reached or self._key_before(index) > reached + 1:
            self._seek(index)
        while (taken := self._take()) is not None:
            number, frame = taken
            if number == index:
                return frame
            if number > index:
                self._ahead = taken
                break
        self._undecodable.add(index)
        raise VideoReadError(f"frame {index} cannot be decoded", path=self.path)

    def _lost(self) -> str:
        """What is known of frames that were recorded and cannot be read; empty when all are there."""
        readable = len(self) - len(self._undecodable)
        expected = max(self._index.expected, len(self))
        if not self._damaged and expected == readable:
            return ""
        words = "damaged" if self._damaged else "incomplete"
        rest = f", about {expected} expected" if expected > readable else "; some may be missing"
        return f"{words}; {readable} {'frame' if readable == 1 else 'frames'} could be read{rest}"

    def _take(self) -> tuple[int, Any] | None:
        """Number and next frame of the decoder; None at the end."""
        if self._ahead is not None:
            (number, frame), self._ahead = self._ahead, None
            return number, frame
        for frame in self._frames:
            if frame is None:
                self._damaged = True
                continue
            number = self._number(frame)
            if number > self._position:
                self._position = number
                return number, frame
        return None

    def _number(self, frame: Any) -> int:
        if not self._index.pts:
            return self._position + 1
        exact = self._numbers.get(frame.pts)
        if exact is not None:
            return exact
        if frame.pts is None:
            return self._position + 1
        after = bisect.bisect_left(self._index.pts, frame.pts)
        around = range(max(0, after - 1), min(len(self), after + 1))
        return min(around, key=lambda number: abs(self._index.pts[number] - frame.pts))

    def _key_before(self, index: int) -> int:
        keys = self._index.keys
        place = bisect.bisect_right(keys, index)
        return keys[place - 1] if place else 0

    def _seek(self, index: int) -> None:
        """Let the decoder start at or before frame `index`.

        A container may land later than it was asked to (its own index is by decoding time), so the landing is checked
        and an earlier key frame tried, at last the beginning of the file.
        """
        keys = self._index.keys
        place = bisect.bisect_right(keys, index)
        for key in (keys[max(0, place - 1 - back)] for back in (0, 1, 2) if place - 1 - back > 0):
            if self._index.pts and self._land(key, index):
                return
        self._reopen()

    def _land(self, key: int, index: int) -> bool:
        if self._container is None:
            self._reopen()
        try:
            self._container.seek(self._index.pts[key], stream=self._stream, backward=True)
        except (av.error.FFmpegError, OSError, ValueError):
            return False
        self._frames = decoded(self._container, self._stream, starts=self._index.starts)
        self._position, self._ahead = -1, None
        self._ahead = self._take()
        return self._ahead is not None and self._ahead[0] <= index

    def _reopen(self) -> None:
        self.close()
        self._container = open_container(self.path)
        self._stream = video_stream(self._container, self.path)
        self._frames = decoded(self._container, self._stream)

    def _first_size(self) -> tuple[int, int]:
        self._reopen()
        first = self._take()
        if first is None:
            self.close()
            raise VideoReadError("none of its frames can be decoded", path=self.path)
        self._ahead = first
        height, width = _upright_rgb(first[1], self.path).shape[:2]
        return width, height


def _upright_rgb(frame: Any, path: str | PathLike[str]) -> npt.NDArray[np.uint8]:
    """RGB (H, W, 3) of PyAV's frame."""
    try:
        pixels: npt.NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoReadError(f"a frame cannot be converted to RGB: {error}", path=path) from error
    # The display matrix turns the picture counter-clockwise by this angle (phones record sideways).
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
