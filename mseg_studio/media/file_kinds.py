"""What a file is, by its name. Light: the window imports it and decodes nothing."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

_IMAGES = "avif bmp dib gif jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
_VIDEOS = "3gp avi flv m2ts m4v mjpeg mkv mov mp4 mpeg mpg mts ogv ts webm wmv y4m"
IMAGE_SUFFIXES = frozenset(f".{name}" for name in _IMAGES.split())
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _VIDEOS.split())
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
"""Pictures of telephones that nothing here can decode; they are named rather than passed over."""


def is_image_path(path: str | PathLike[str]) -> bool:
    """Whether the name ends like a picture that can be read."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def is_video_path(path: str | PathLike[str]) -> bool:
    """Whether the name ends like a video that can be read."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES
