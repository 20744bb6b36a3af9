"""Image, folder, video and camera as one sequence of frames."""

from __future__ import annotations

import dataclasses
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from mseg_studio.errors import ImageReadError, MSegStudioError, VideoReadError
from mseg_studio.media.events import SourceInfo
from mseg_studio.media.file_kinds import is_image_path, is_video_path
from mseg_studio.media.folder import list_images
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.image import read_image
from mseg_studio.media.image_header import BrokenImage, is_heif, read_header
from mseg_studio.media.regular_file import check_regular, reason_of
from mseg_studio.media.video import open_video

_CAMERA = re.compile(r"camera:(\d{1,3})")


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One frame that is not read yet: `load()` raises MSegStudioError when it cannot be, and the next item is tried."""

    ref: FrameRef
    load: Callable[[], Frame]


class Source(ABC):
    """A sequence of frames; a context manager that closes it."""

    @property
    @abstractmethod
    def info(self) -> SourceInfo:
        """What the source is."""

    @abstractmethod
    def frame(self, index: int) -> Frame:
        """Frame `index`. Raises IndexError outside the source, ImageReadError or VideoReadError."""

    @abstractmethod
    def refs(self) -> Iterator[FrameRef]:
        """Where each frame comes from, in order. Endless for a camera."""

    def items(self) -> Iterator[SourceItem]:
        """All frames, each to be loaded by itself, so that one broken file does not end the sequence."""
        for ref in self.refs():
            yield SourceItem(ref, partial(self.frame, ref.index))

    def __iter__(self) -> Iterator[Frame]:
        """All frames that can be read; broken ones are left out."""
        for item in self.items():
            try:
                frame = item.load()
            except MSegStudioError:
                if self.info.kind == "camera":
                    raise
                continue
            yield frame

    def close(self) -> None:
        """Close files and devices. Frames already given stay valid."""
        return

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ImagesSource(Source):
    """One image, or the images of a folder; `ref.index` is the place in `info.items`."""

    def __init__(self, info: SourceInfo) -> None:
        self._info = info

    @property
    def info(self) -> SourceInfo:
        """See `Source.info`."""
        return self._info

    def frame(self, index: int) -> Frame:
        """See `Source.frame`."""
        _check_index(index, len(self._info.items))
        path = self._info.items[index]
        return Frame(read_image(path).pixels_HW3, FrameRef(Path(path), index))

    def refs(self) -> Iterator[FrameRef]:
        """See `Source.refs`."""
        return (FrameRef(Path(path), index) for index, path in enumerate(self._info.items))


class VideoSource(Source):
    """The frames of a video, by number in the order they are shown."""

    def __init__(self, path: str) -> None:
        self._video = open_video(path)
        self._info = SourceInfo("video", path, (), self._video.timestamps_s, float(self._video.fps))

    @property
    def info(self) -> SourceInfo:
        """What is known of the video; its notes grow while frames are read."""
        return dataclasses.replace(self._info, notes=self._video.notes)

    def frame(self, index: int) -> Frame:
        """See `Source.frame`."""
        _check_index(index, len(self._video))
        return self._video.frame(index)

    def refs(self) -> Iterator[FrameRef]:
        """See `Source.refs`."""
        path = Path(self._info.path)
        return (FrameRef(path, index, seconds) for index, seconds in enumerate(self._info.timestamps_s))

    def close(self) -> None:
        """See `Source.close`."""
        self._video.close()


class CameraSource(Source):
    """A camera: every call of `frame` gives the next picture, whatever its number."""

    def __init__(self, number: int) -> None:
        self._path = f"camera:{number}"
        self._camera: Any = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            self._camera.release()
            raise VideoReadError("there is no such camera, or another program uses it", path=self._path)
        self._start_s = time.monotonic()
        rate = float(self._camera.get(cv2.CAP_PROP_FPS))
        self._info = SourceInfo("camera", self._path, (), (), rate if 0 < rate < 1000 else 0.0)

    @property
    def info(self) -> SourceInfo:
        """See `Source.info`."""
        return self._info

    def frame(self, index: int) -> Frame:
        """See `Source.frame`."""
        done, bgr = self._camera.read()
        if not done or bgr is None:
            raise VideoReadError("the camera gives no picture any more", path=self._path)
        rgb = cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB)
        return Frame(rgb, FrameRef(Path(self._path), index, time.monotonic() - self._start_s))

    def refs(self) -> Iterator[FrameRef]:
        """See `Source.refs`."""
        index = 0
        while True:
            yield FrameRef(Path(self._path), index, time.monotonic() - self._start_s)
            index += 1

    def close(self) -> None:
        """See `Source.close`."""
        self._camera.release()


def open_source(path: str | PathLike[str] | int) -> Source:
    """Open an image, a folder of images, a video, or a camera (its number, or `camera:0`).

    Raises ImageReadError or VideoReadError, one line, naming what cannot be opened.
    """
    if isinstance(path, int):
        return CameraSource(path)
    text = fspath(path)
    if not text:
        raise ImageReadError("no file name was given")
    camera = _CAMERA.fullmatch(text)
    if camera and not _exists(text):
        return CameraSource(int(camera[1]))
    if _is_folder(text):
        return _open_folder(text)
    if _is_video(text):
        return VideoSource(text)
    check_regular(text, ImageReadError)
    return ImagesSource(SourceInfo("image", text, (text,)))


def _open_folder(path: str) -> Source:
    try:
        images, skipped = list_images(path)
    except OSError as error:
        raise ImageReadError(f"the folder cannot be read: {reason_of(error)}", path=path) from error
    if not images:
        hint = f" ({len(skipped)} entries were skipped)" if skipped else ""
        raise ImageReadError(f"the folder holds no images{hint}", path=path)
    return ImagesSource(SourceInfo("folder", path, images, skipped=skipped))


def _is_video(path: str) -> bool:
    """By the name; where the name says nothing, by whether the content is a known picture format."""
    if is_image_path(path) or is_video_path(path):
        return is_video_path(path)
    check_regular(path, ImageReadError)
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(65_536)
        # FFmpeg opens HEIC too, and would show one tile of it for the picture.
        return read_header(start) is None and not is_heif(start)
    except BrokenImage:
        return False
    except OSError as error:
        raise ImageReadError(reason_of(error), path=path) from error


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def _check_index(index: int, count: int) -> None:
    if not 0 <= index < count:
        raise IndexError(f"frame {index} of {count}")
