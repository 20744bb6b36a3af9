"""Label pictures in colour: every colour must be declared, and an undeclared one is told with what lies nearest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.errors import ImageReadError
from mseg_studio.labels.importer import UNDECLARED, Painted, listed
from mseg_studio.media.image import decode_image
from mseg_studio.media.image_header import BrokenImage, read_header
from mseg_studio.media.regular_file import read_regular

Rgb = tuple[int, int, int]
_LOSSY = frozenset({"JPEG", "WebP"})
_BORDER_SHARE = 0.95
"""Share of undeclared pixels beside declared ones from which they are taken for borders."""
_BORDER_PX = 2


def read_codes(path: Path) -> npt.NDArray[np.int32]:
    """Pixels (H, W) as red * 65536 + green * 256 + blue. Raises ImageReadError, also for lossy formats."""
    data = read_regular(path, ImageReadError)
    try:
        header = read_header(data)
    except BrokenImage as error:
        raise ImageReadError(str(error), path=path) from error
    if header is not None and header.format in _LOSSY:
        raise ImageReadError(f"colours of classes do not survive {header.format}; expected a PNG", path=path)
    pixels = decode_image(data, path)
    codes = pixels[..., 0].astype(np.int32)
    for channel in (1, 2):
        codes <<= 8
        codes |= pixels[..., channel]
    return codes


class Colours:
    """Declared colours with a class name (for messages) and its id each."""

    def __init__(self, meanings: Mapping[Rgb, tuple[str, int]]) -> None:
        self._meanings = dict(meanings)
        self._numbers = np.zeros(1 << 24, np.uint16)  # number 0: undeclared
        for number, (red, green, blue) in enumerate(self._meanings, start=1):
            self._numbers[red << 16 | green << 8 | blue] = number
        self._names = [name for name, _ in self._meanings.values()]
        self._class_ids = np.array([UNDECLARED, *(class_id for _, class_id in self._meanings.values())], np.int32)

    def paint(self, path: Path) -> Painted:
        """The picture at `path` by the numbers of its colours. Raises ImageReadError."""
        codes = read_codes(path)
        numbers = self._numbers[codes]
        strange = numbers == 0
        if not strange.any():
            return Painted(numbers, self._class_ids, self._word, strangers=None)
        found, pixels = np.unique(codes[strange], return_counts=True)
        order = np.argsort(-pixels, kind="stable")
        words = {f"colour {list(_rgb(int(found[at])))}": int(pixels[at]) for at in order}
        undeclared = np.bincount(numbers.ravel(), minlength=len(self._class_ids))
        words |= {
            self._word(int(number)): int(undeclared[number])
            for number in np.flatnonzero(self._class_ids == UNDECLARED)
            if number and undeclared[number]
        }
        advice = self._nearest(_rgb(int(found[order[0]])))
        if len(found) > 1 and _beside_declared(strange) >= _BORDER_SHARE:
            advice += "; such pixels lie only on borders: the picture was scaled or drawn with anti-aliasing"
        return Painted(numbers, self._class_ids, self._word, lambda number: advice, strangers=listed(words))

    def _word(self, number: int) -> str:
        return f"class '{self._names[number - 1]}'" if number else "a colour"

    def _nearest(self, rgb: Rgb) -> str:
        away, near = min((max(abs(a - b) for a, b in zip(rgb, known, strict=True)), known) for known in self._meanings)
        return f"; nearest is '{self._meanings[near][0]}' {list(near)}, {away} away"


def _rgb(code: int) -> Rgb:
    return code >> 16, code >> 8 & 255, code & 255


def _beside_declared(strange_HW: npt.NDArray[np.bool_]) -> float:
    """Share of the strange pixels with a declared one within `_BORDER_PX`."""
    declared = (~strange_HW).astype(np.uint8)
    size = 2 * _BORDER_PX + 1
    around = cv2.dilate(declared, np.ones((size, size), np.uint8)).astype(np.bool_)
    return float(around[strange_HW].mean())
