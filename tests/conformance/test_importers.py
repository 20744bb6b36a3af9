"""What every importer must do, over whatever is discovered."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.errors import DatasetError, ImageReadError, MSegStudioError
from mseg_studio.labels.importer import Importer, importer, importers
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from tests.labels.importers.writers import IGNORED, STREET, WRITERS

EVERY = sorted(importers())
CASES = sorted(WRITERS)
FEW = Taxonomy("few", (ClassInfo(0, "road", (128, 64, 128)), ClassInfo(9, "bus", (1, 2, 3))))


def make_ids(height: int = 17, width: int = 23, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([0, 1, 2, 3, IGNORED], np.uint8), (height, width))


def test_the_expected_ones_are_found_and_all_have_a_writer() -> None:
    expected = {"ids", "colours", "cityscapes", "coco-panoptic", "coco-instances", "voc", "ade20k", "mapillary"}
    assert expected | {"labelme", "cvat-mask", "cvat-xml"} <= set(EVERY)
    assert {name for name, _ in WRITERS.values()} == set(EVERY)
    assert all(isinstance(one, Importer) and one.name == name and one.title for name, one in importers().items())
    assert all(one.label_suffixes and all(s[0] in "._" for s in one.label_suffixes) for one in importers().values())


def test_unknown_formats_offer_names() -> None:
    with pytest.raises(DatasetError, match="unknown label format 'coco-panotic'; did you mean coco-panoptic"):
        importer("coco-panotic")


@pytest.mark.parametrize("size", [(17, 23), (1, 1), (1, 90), (70, 1)])
@pytest.mark.parametrize("case", CASES)
def test_known_ids_come_back_equal(case: str, size: tuple[int, int], tmp_path: Path) -> None:
    name, write = WRITERS[case]
    ids = make_ids(*size)
    written = write(tmp_path, ids)
    assert written.label.name.endswith(importer(name).label_suffixes)
    reading = written.reader(name).reading(written.label)
    np.testing.assert_array_equal(reading.labels.ids_HW, ids)
    assert reading.labels.taxonomy is written.taxonomy
    assert reading.labels.mapping == "hard"
    assert reading.unknown == {}


@pytest.mark.parametrize("case", CASES)
def test_a_class_that_the_taxonomy_lacks_stops_or_is_counted(case: str, tmp_path: Path) -> None:
    name, write = WRITERS[case]
    ids = make_ids()
    written = write(tmp_path, ids)
    kept = written.taxonomy.classes[0]
    only = Taxonomy("only", (kept,))
    with pytest.raises(DatasetError, match=r"is not declared for only") as caught:
        importer(name).open(only, annotations=written.annotations).read(written.label)
    assert str(caught.value).startswith(str(written.label))
    assert "\n" not in str(caught.value)
    reading = importer(name).open(only, annotations=written.annotations, unknown="ignore").reading(written.label)
    others = (ids != 0) & (ids != IGNORED)
    if name in ("colours", "ids"):
        others = others if name == "ids" else np.isin(ids, [1, 2, 3])
    np.testing.assert_array_equal(reading.labels.ids_HW, np.where(ids == 0, 0, IGNORED))
    assert sum(reading.unknown.values()) == int(others.sum())


@pytest.mark.parametrize("name", EVERY)
def test_annotations_are_asked_for_where_there_are_any(name: str, tmp_path: Path) -> None:
    one = importer(name)
    if one.needs_annotations:
        with pytest.raises(DatasetError, match=f"labels of the format {name} need its"):
            one.open(STREET)
        with pytest.raises(DatasetError, match=r"none\.json: no such file"):
            one.open(STREET, annotations=tmp_path / "none.json")
    elif not one.annotations:
        with pytest.raises(DatasetError, match="have no annotation file"):
            one.open(STREET, annotations=tmp_path / "none.json")


DEEP = b'{"a":' * 100_000
HOSTILE = {
    "empty": b"",
    "nonsense": b"\x00\x01\xff nonsense",
    "deep": DEEP,
    "brackets": b"[" * 200_000,
    "deep xml": b"<a>" * 100_000,
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "nan": b'{"imageHeight": NaN, "imageWidth": 3, "shapes": []}',
    "digits": b'{"imageHeight": ' + b"9" * 5000 + b"}",
    "cut": b'{"annotations": [{"file_name": "a"',
    "doctype": b'<!DOCTYPE x [<!ENTITY a "b">]><annotations/>',
    "wrong types": b'{"annotations": {}, "images": 3, "categories": "x", "labels": 4, "shapes": 1, "objects": null}',
    "lists of wrong": b'{"annotations": [3], "images": [null], "categories": [[]], "labels": ["x"], "shapes": [7]}',
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
@pytest.mark.parametrize("case", CASES)
def test_hostile_files_end_in_one_line(case: str, what: str, tmp_path: Path) -> None:
    name, write = WRITERS[case]
    written = write(tmp_path, make_ids())
    written.label.parent.mkdir(exist_ok=True)
    for path in {written.annotations or written.label, written.label}:
        kept = path.read_bytes() if path.exists() else None
        path.write_bytes(HOSTILE[what])
        if path != written.annotations and importer(name).by_image:
            continue  # the image itself is not opened
        with pytest.raises((DatasetError, ImageReadError)) as caught:
            written.reader(name).read(written.label)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400 + len(str(path))
        if kept is not None:
            path.write_bytes(kept)


@pytest.mark.parametrize("case", CASES)
def test_a_missing_file_and_a_folder_are_named(case: str, tmp_path: Path) -> None:
    name, write = WRITERS[case]
    written = write(tmp_path, make_ids())
    reader = written.reader(name)
    missing = tmp_path / "sub" / f"none{importer(name).label_suffixes[0]}"
    with pytest.raises(MSegStudioError, match=r"none"):
        reader.read(missing)
    missing.mkdir(parents=True)
    with pytest.raises(MSegStudioError, match=r"none"):
        reader.read(missing)


@pytest.mark.parametrize("case", CASES)
def test_threads_share_a_reader(case: str, tmp_path: Path) -> None:
    name, write = WRITERS[case]
    ids = make_ids(40, 60)
    written = write(tmp_path, ids)
    reader = written.reader(name)
    with ThreadPoolExecutor(4) as pool:
        for labels in pool.map(reader.read, [written.label] * 12):
            np.testing.assert_array_equal(labels.ids_HW, ids)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_block(case: str, tmp_path: Path) -> None:
    name, write = WRITERS[case]
    written = write(tmp_path, make_ids())
    path = written.annotations or written.label
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MSegStudioError, match="a named pipe"):
        written.reader(name).read(written.label)
