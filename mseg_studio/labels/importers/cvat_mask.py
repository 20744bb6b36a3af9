"""CVAT's export "Segmentation mask 1.1": a labelmap.txt and SegmentationClass/*.png in its colours.

Source: CVAT documentation, formats "Segmentation mask" and "PASCAL VOC": lines `name:r,g,b:parts:actions`, `#` starts a
comment; `background` is what nobody labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mseg_studio.errors import DatasetError
from mseg_studio.labels.import_colours import Colours
from mseg_studio.labels.importer import BACKGROUND, Importer, ImportOptions, Painted
from mseg_studio.media.regular_file import read_regular


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    path = options.annotations
    if path is None:
        raise ValueError("opened without the annotations it needs")
    meanings = {}
    for rgb, name in _labelmap(path).items():
        resolve = options.class_id_or_ignored if name == BACKGROUND else options.class_id
        meanings[rgb] = (name, resolve(name))
    return Colours(meanings).paint


def _labelmap(path: Path) -> dict[tuple[int, int, int], str]:
    try:
        lines = read_regular(path, DatasetError).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"byte {error.start} is not UTF-8, expected a labelmap", path=path) from error
    found: dict[tuple[int, int, int], str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *cells = line.split(":")
        values = cells[0].split(",") if cells else []
        if len(values) != 3 or not all(v.strip().isdecimal() and len(v) < 6 and int(v) < 256 for v in values):
            raise DatasetError(f"line {number}: expected `name:red,green,blue::`, got {line!r:.60}", path=path)
        red, green, blue = (int(value) for value in values)
        if (red, green, blue) in found:
            first = found[red, green, blue]
            raise DatasetError(f"line {number}: '{name}' has the colour of '{first}'", path=path)
        found[red, green, blue] = name.strip()
    if not found:
        raise DatasetError("a labelmap without a label", path=path)
    return found


IMPORTER = Importer(
    "cvat-mask",
    "CVAT segmentation mask 1.1 (PNG and labelmap.txt)",
    (".png",),
    _make,
    annotations="its labelmap.txt",
    needs_annotations=True,
)
