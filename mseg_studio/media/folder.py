"""The images of a folder and its subfolders, in the order people expect, and what was left out and why."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from os import PathLike, fspath

from mseg_studio.media.file_kinds import HEIF_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES
from mseg_studio.media.regular_file import reason_of

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in a folder that is not taken as an image, and the reason in words."""

    path: str
    reason: str


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts frame2 before frame10 and ignores case."""
    parts = _DIGITS.split(name.casefold())
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def list_images(folder: str | PathLike[str]) -> tuple[tuple[str, ...], tuple[Skipped, ...]]:
    """Paths of the images below `folder`, naturally sorted, a folder's own before its subfolders'; and what is skipped.

    Hidden entries, unreadable folders, things that are no plain file and videos are skipped with a reason; files that
    are no media at all silently. A folder reached twice by links is listed once. Raises OSError for `folder` itself.
    """
    root = fspath(folder)
    images: list[str] = []
    skipped: list[Skipped] = []
    status = os.stat(root)  # noqa: PTH116 - strings throughout: 100,000 Path objects are slow
    seen = {(status.st_dev, status.st_ino)}
    waiting = [root]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                found = sorted(entries, key=lambda entry: natural_key(entry.name))
        except OSError as error:
            if current == root:
                raise
            skipped.append(Skipped(current, f"the folder cannot be read: {reason_of(error)}"))
            continue
        subfolders: list[str] = []
        for entry in found:
            reason = _sort_entry(entry, images, subfolders, seen)
            if reason:
                skipped.append(Skipped(entry.path, reason))
        waiting.extend(reversed(subfolders))
    return tuple(images), tuple(skipped)


def _sort_entry(
    entry: os.DirEntry[str], images: list[str], subfolders: list[str], seen: set[tuple[int, int]]
) -> str | None:
    """Put an entry where it belongs, or say why it is skipped (None for what nobody expects to be opened)."""
    suffix = entry.name[entry.name.rfind(".") :].lower() if "." in entry.name else ""
    is_media = suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES or suffix in HEIF_SUFFIXES
    try:
        if entry.is_dir():
            if entry.name.startswith("."):
                return "hidden folder"
            # A link can lead back up; only a link or mount needs the check, but it is cheap.
            status = os.stat(entry.path)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                return "a link to a folder that is already listed"
            seen.add((status.st_dev, status.st_ino))
            subfolders.append(entry.path)
            return None
        if not is_media:
            return None
        if entry.name.startswith("."):
            return "hidden file"
        if not entry.is_file():
            return "a broken link" if entry.is_symlink() else "not a plain file"
    except OSError as error:
        return reason_of(error)
    if suffix in VIDEO_SUFFIXES:
        return "a video; open it by itself"
    if suffix in HEIF_SUFFIXES:
        return "HEIC pictures cannot be read; save it as JPEG or PNG"
    images.append(entry.path)
    return None
