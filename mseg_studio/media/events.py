"""What the media process tells the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mseg_studio.media.folder import Skipped
from mseg_studio.media.frame import Frame

Kind = Literal["image", "folder", "video", "camera"]


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """An opened source. Folders list their images' paths; videos their frames' timestamps in seconds."""

    kind: Kind
    path: str
    items: tuple[str, ...]
    """Paths of the images: one for an image, all for a folder, empty for video and camera."""
    timestamps_s: tuple[float, ...] = ()
    """Presentation time of every frame of a video, in order."""
    fps: float = 0.0
    skipped: tuple[Skipped, ...] = ()
    """What a folder holds besides its images, with the reason it is left out."""
    notes: tuple[str, ...] = ()
    """What a person should know: the file is damaged, its picture size changes."""

    @property
    def count(self) -> int:
        """Number of frames: images of a folder, frames of a video."""
        return len(self.items) or len(self.timestamps_s)


@dataclass(frozen=True, slots=True)
class Opened:
    """Answer to `open`."""

    request_id: int
    source: SourceInfo


@dataclass(frozen=True, slots=True)
class FrameReady:
    """Answer to `frame`: `frame.pixels_HW3` is the receiver's own copy."""

    request_id: int
    index: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class ThumbnailReady:
    """Answer to `thumbnail`: RGB uint8 (h, w, 3), longest side as asked."""

    request_id: int
    path: str
    pixels_HW3: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """A request ended in an error a person can read; `file` is what it was about."""

    request_id: int
    code: str
    message: str
    file: str


@dataclass(frozen=True, slots=True)
class MediaDied:
    """The process ended without being asked to."""

    message: str
    restart_in_s: float | None
    """Seconds until it comes back by itself; None when it could not be started and waits for the next request."""


MediaEvent = Opened | FrameReady | ThumbnailReady | MediaFailed | MediaDied
