"""One pair of files on the doctor's table: read once, described by a few numbers. Threads call it side by side."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mseg_studio.datasets.description import DatasetDescription
from mseg_studio.datasets.doctor_findings import Finding, Severity
from mseg_studio.datasets.doctor_numbers import NumberRules
from mseg_studio.datasets.mapping import own_mapping, pixels_by_number
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError, ImageReadError
from mseg_studio.labels.importer import UndeclaredError
from mseg_studio.media.image import decode_image, decode_label_ids, read_image
from mseg_studio.media.image_header import BrokenImage, ImageHeader, channels_and_bits, read_header
from mseg_studio.media.regular_file import read_regular

_WARNINGS = ("only-0-and-255", "all-ignored", "size-differs")
_COUNTED = ("only-0-and-255", "undeclared-id")
"""Findings about numbers with which the declared ones still count."""


@dataclass(slots=True)
class PairFacts:
    """What was found out about a pair. Sizes are (width, height) in pixels."""

    pair: Pair
    split: str
    digest: bytes = b""
    """Hash over the image file's bytes; empty when it cannot be read."""
    image_size: tuple[int, int] | None = None
    image_kind: str = ""
    """Format, channels and bits as stored, in words: `JPEG, 3 channels, 8 bits`."""
    label_size: tuple[int, int] | None = None
    label_kind: str = ""
    pixels: npt.NDArray[np.int64] | None = None
    """Pixels by id in the dataset's taxonomy, 0 at the ignore id; None when the label cannot be read."""
    ignored: int = 0
    """Pixels that are not scored."""
    findings: list[Finding] = field(default_factory=list)


class PairDoctor:
    """Examines pairs of one dataset. Holds nothing that changes."""

    def __init__(self, description: DatasetDescription) -> None:
        self._description = description
        self._rules = NumberRules.of(description)
        self._labels = own_mapping(description)
        taxonomy = description.taxonomy
        table = np.full(65536, taxonomy.ignore_id, np.int32)
        for number, name in description.id_map.items():
            table[number] = taxonomy.ignore_id if name == "ignore" else taxonomy.id_of(name)
        self._class_of = table
        self._num_ids = taxonomy.ignore_id + 1
        self._palette = {info.rgb for info in taxonomy.classes}

    def examine(self, pair: Pair, split: str) -> PairFacts:
        """Read both files of a pair. What is wrong is a finding, never an exception."""
        facts = PairFacts(pair, split)
        stored_size = self._image(facts)
        self._label(facts)
        if facts.image_size and facts.label_size and facts.image_size != facts.label_size:
            self._compare_sizes(facts, stored_size)
        if facts.pixels is not None:
            ignore_id = self._description.taxonomy.ignore_id
            facts.ignored, facts.pixels[ignore_id] = int(facts.pixels[ignore_id]), 0
            if facts.ignored and not facts.pixels.any():
                self._find(facts, "all-ignored", pair.label, "no pixel of it is scored")
        return facts

    def _image(self, facts: PairFacts) -> tuple[int, int] | None:
        """Fill in the facts about the image; gives the size before any rotation that EXIF asks for."""
        path = facts.pair.image
        try:
            data = read_regular(path, ImageReadError)
            header = _header(data)
            facts.digest = hashlib.blake2b(data, digest_size=16).digest()
            pixels_HW3 = decode_image(data, path)
        except ImageReadError as error:
            self._find(facts, "unreadable-image", path, _reason(path, error))
            return None
        facts.image_size = (pixels_HW3.shape[1], pixels_HW3.shape[0])
        facts.image_kind = _kind(data, header)
        return None if header is None else (header.width, header.height)

    def _label(self, facts: PairFacts) -> None:
        path = facts.pair.label
        try:
            data = read_regular(path, ImageReadError)
        except ImageReadError as error:
            self._find(facts, "unreadable-label", path, _reason(path, error))
            return
        header = _header(data)
        facts.label_kind = _kind(data, header)
        if self._description.label_format is None and header is not None and header.format == "JPEG":
            facts.label_size = (header.width, header.height)
            self._find(facts, "jpeg-label", path, "a JPEG: its compression changes ids and colours; expected a PNG")
            return
        if self._description.colour_map or self._description.label_format is not None:
            self._read_meaning(facts)
        elif header is not None and header.format == "PNG" and (channels_and_bits(data, header) or (1, 8))[0] > 1:
            self._colour_label(facts)
        else:
            self._read_numbers(facts, data)

    def _read_numbers(self, facts: PairFacts, data: bytes) -> None:
        path = facts.pair.label
        try:
            stored = decode_label_ids(data, path)
        except ImageReadError as error:
            self._find(facts, "unreadable-label", path, _reason(path, error))
            return
        facts.label_size = (stored.shape[1], stored.shape[0])
        found = pixels_by_number(stored)
        diagnosis = self._rules.diagnose(found)
        if diagnosis is not None:
            self._find(facts, diagnosis.code, path, diagnosis.message)
            if diagnosis.code not in _COUNTED:
                return  # its numbers mean something else
        seen = np.flatnonzero(found)
        known = seen[[int(number) in self._rules.declared for number in seen]]
        facts.pixels = np.bincount(self._class_of[known], weights=found[known], minlength=self._num_ids).astype(
            np.int64
        )

    def _read_meaning(self, facts: PairFacts) -> None:
        """Labels in colour or another format: what the description's own reader says of them."""
        path = facts.pair.label
        try:
            ids = self._labels.labels(facts.pair).ids_HW
        except ImageReadError as error:
            self._find(facts, "unreadable-label", path, _reason(path, error))
        except DatasetError as error:
            if self._description.label_format is None:
                self._find(facts, "undeclared-colour", path, error.reason + self._colour_hint(path))
            elif isinstance(error, UndeclaredError):
                self._find(facts, "undeclared-class", path, error.reason)
            else:
                # What is wrong may be the file of annotations that all labels share.
                other = error.path is not None and Path(error.path) != path
                self._find(facts, "label-format", path, str(error) if other else error.reason)
        else:
            facts.label_size = (ids.shape[1], ids.shape[0])
            facts.pixels = np.bincount(ids.ravel(), minlength=self._num_ids)

    def _colour_hint(self, path: Path) -> str:
        """For an undeclared colour: whether the picture is grey ids, or smoothed and full of colours."""
        if not self._description.colour_map or self._description.label_format is not None:
            return ""
        pixels_HW3 = read_image(path).pixels_HW3
        if (pixels_HW3 == pixels_HW3[..., :1]).all():
            return "; the picture is grey: ids? then use id_map in place of colour_map"
        colours = len(np.unique(_codes(pixels_HW3)))
        expected = len(self._description.colour_map)
        return f"; {colours} colours, expected {expected}: resized or compressed?" if colours > 2 * expected else ""

    def _colour_label(self, facts: PairFacts) -> None:
        path = facts.pair.label
        try:
            pixels_HW3 = read_image(path).pixels_HW3
        except ImageReadError as error:
            self._find(facts, "unreadable-label", path, _reason(path, error))
            return
        facts.label_size = (pixels_HW3.shape[1], pixels_HW3.shape[0])
        if (pixels_HW3 == pixels_HW3[..., :1]).all():
            message = "three equal channels: ids saved as a colour picture, expected one channel"
        else:
            codes = np.unique(_codes(pixels_HW3))
            colours = {(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in codes}
            known = " of the taxonomy's own; give them as colour_map" if colours <= self._palette else ""
            message = f"RGB in place of ids: {len(colours)} colours{known}, expected one channel"
        self._find(facts, "rgb-label", path, message)

    def _compare_sizes(self, facts: PairFacts, stored_size: tuple[int, int] | None) -> None:
        (width, height), (label_width, label_height) = facts.image_size or (0, 0), facts.label_size or (0, 0)
        message = f"labels are {label_width} x {label_height}, the image is {width} x {height}"
        if stored_size == facts.label_size:
            self._find(facts, "rotated", facts.pair.label, f"{message} upright, as its EXIF data asks")
        elif abs(label_height * width / height - label_width) > 1 + 0.01 * label_width:
            self._find(facts, "size-mismatch", facts.pair.label, f"{message}: not the same picture")
        else:
            self._find(facts, "size-differs", facts.pair.label, f"{message}: training needs them equal")

    def _find(self, facts: PairFacts, code: str, path: Path, message: str) -> None:
        severity: Severity = "warning" if code in _WARNINGS else "error"
        facts.findings.append(Finding(code, severity, path, message, facts.split, image=facts.pair.image))


def _header(data: bytes) -> ImageHeader | None:
    try:
        return read_header(data)
    except BrokenImage:
        return None


def _kind(data: bytes, header: ImageHeader | None) -> str:
    if header is None:
        return "another format"
    stored = channels_and_bits(data, header)
    if stored is None:
        return header.format
    return f"{header.format}, {stored[0]} channel{'s' if stored[0] > 1 else ''}, {stored[1]} bits"


def _reason(path: Path, error: ImageReadError) -> str:
    if path.is_symlink() and not path.exists():
        target = path.readlink()
        in_circles = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ELOOP
        return f"a link to {target}, which {'leads back to itself' if in_circles else 'is not there'}"
    return error.reason


def _codes(pixels_HW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    wide = pixels_HW3.astype(np.int32)
    return (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
