"""ADE20K: the scene parsing benchmark (8-bit PNG) and the full release (`_seg.png` in colour).

Sources: the benchmark's `objectInfo150.txt` (sceneparsing, Zhou et al. 2017): 0 is "other", 1 to 150 its classes. The
full release (groups.csail.mit.edu/vision/datasets/ADE20K and its `loadAde20K`): a pixel's class is R / 10 * 256 + G, in
whole numbers; the JSON beside the label (from 2020 on) lists each object's `name_ndx` and `name`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mseg_studio.errors import DatasetError, nearest
from mseg_studio.labels.import_json import read_json, value_of
from mseg_studio.labels.importer import UNDECLARED, Importer, ImportOptions, Painted, table_of
from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.media.regular_file import read_regular
from mseg_studio.taxonomy.catalog import default_catalog

_FULL = "_seg.png"
_MOST = 65535


def _make(options: ImportOptions) -> Callable[[Path], Painted]:
    benchmark = {info.id: info.name for info in default_catalog().taxonomy("ade20k-151").classes}
    listed = _object_info(options.annotations, benchmark) if options.annotations else {}
    numbers = table_of({n: options.class_id(name) for n, name in benchmark.items()} | {0: _other(options)})

    def word(number: int) -> str:
        return f"class '{benchmark[number]}'" if number in benchmark else f"id {number}"

    def paint(label: Path) -> Painted:
        if label.name.endswith(_FULL):
            return _full(label, options, listed)
        return Painted(read_label_ids(label), numbers, word)

    return paint


def _other(options: ImportOptions) -> int:
    return options.class_id_or_ignored("unlabeled")


def _full(label: Path, options: ImportOptions, listed: Mapping[str, str]) -> Painted:
    pixels = read_image(label).pixels_HW3
    numbers = (pixels[..., 0] // 10).astype(np.uint16) * 256 + pixels[..., 1]
    if options.id_map:
        names = dict(options.id_map)
        class_ids = {number: options.declared(name) for number, name in names.items()}
    else:
        names = _objects(label.with_name(label.name.removesuffix(_FULL) + ".json"))
        class_ids = {number: _class_id(name, options, listed) for number, name in names.items()}
    class_ids[0] = _other(options)

    def word(number: int) -> str:
        return f"class '{names[number]}'" if number in names else f"object number {number}"

    return Painted(
        numbers, table_of(class_ids), word, lambda n: nearest(names[n], options.taxonomy.names) if n in names else ""
    )


def _class_id(name: str, options: ImportOptions, listed: Mapping[str, str]) -> int:
    """With the benchmark's list, what is not in it is "other", as in the benchmark; without it the name must fit."""
    found = options.class_id(name)
    if found != UNDECLARED or not listed:
        return found
    return options.class_id(listed[name]) if name in listed else options.taxonomy.ignore_id


def _objects(path: Path) -> dict[int, str]:
    """Name of every object number in an image's JSON."""
    where = "annotation"
    annotation = value_of(read_json(path, encodings=("utf-8", "latin-1")), where, dict, "the file", path)
    names: dict[int, str] = {}
    for place, item in enumerate(value_of(annotation, "object", list, where, path)):
        at = f"object[{place}]"
        number, name = value_of(item, "name_ndx", int, at, path), value_of(item, "name", str, at, path)
        if not 0 <= number <= _MOST:
            raise DatasetError(f"{at}: 'name_ndx' is {number}, expected 0 to {_MOST}", path=path)
        if names.setdefault(number, name) != name:
            raise DatasetError(f"{at}: number {number} is '{name}' and '{names[number]}'", path=path)
    return names


def _object_info(path: Path, benchmark: Mapping[int, str]) -> dict[str, str]:
    """Whole name of the full release to the benchmark's class, from objectInfo150 (.txt with tabs, .csv)."""
    try:
        lines = read_regular(path, DatasetError).decode("utf-8-sig").splitlines()
        table = list(csv.DictReader(lines, delimiter="\t" if "\t" in lines[0] else ",", strict=True))
    except (UnicodeDecodeError, csv.Error, IndexError) as error:
        raise DatasetError(f"expected the benchmark's list of objects: {error}", path=path) from error
    found = {}
    for number, row in enumerate(table, start=2):
        cells = {str(key).strip(): str(value).strip() for key, value in row.items() if key is not None}
        index, name = cells.get("Idx", ""), cells.get("Name", "").strip('"').replace(";", ", ")
        if not (index.isdecimal() and len(index) < 4 and int(index) in benchmark and name):
            raise DatasetError(f"line {number}: expected columns Idx (1 to 150) and Name", path=path)
        found[name] = benchmark[int(index)]
    return found


IMPORTER = Importer(
    "ade20k",
    "ADE20K: benchmark of 150 classes (8-bit PNG) or full release (_seg.png)",
    (".png",),
    _make,
    annotations="the benchmark's objectInfo150.txt, to name the objects of the full release",
)
