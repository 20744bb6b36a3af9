"""Writers of every format: ids of the taxonomy `street` to files as the other programs make them."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.labels.importer import LabelReader, importer
from mseg_studio.media.image import write_ids_png, write_rgb_png
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy

Ids = npt.NDArray[np.uint8]
NAMES = ("road", "car", "person", "sky")
COLOURS = ((128, 64, 128), (0, 0, 142), (220, 20, 60), (70, 130, 180))
STREET = Taxonomy("street", tuple(ClassInfo(i, n, c) for i, (n, c) in enumerate(zip(NAMES, COLOURS, strict=True))))
IGNORED = 255


@dataclass(frozen=True)
class Written:
    """A label file, what it was made with, and the taxonomy to read it into."""

    label: Path
    annotations: Path | None = None
    taxonomy: Taxonomy = STREET

    def reader(self, name: str, **options: Any) -> LabelReader:
        return importer(name).open(self.taxonomy, annotations=self.annotations, **options)


def numbers_by_name(taxonomy: str) -> dict[str, int]:
    return {info.name: info.id for info in default_catalog().taxonomy(taxonomy).classes}


def as_numbers(ids: Ids, numbers: dict[str, int], ignored: int) -> Ids:
    table = np.full(256, ignored, np.uint8)
    for class_id, name in enumerate(NAMES):
        table[class_id] = numbers[name]
    return table[ids]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def rectangles(ids: Ids) -> list[tuple[str, int, int, int, int]]:
    """(name, left, top, right, bottom) of runs in each row: exact for any ids."""
    found = []
    for top, row in enumerate(ids):
        edges = [0, *(np.flatnonzero(row[1:] != row[:-1]) + 1).tolist(), len(row)]
        for left, right in itertools.pairwise(edges):
            if row[left] != IGNORED:
                found.append((NAMES[row[left]], left, top, right, top + 1))
    return found


def corners(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def runs_of(mask: npt.NDArray[np.bool_], *, by_column: bool = True) -> list[int]:
    flat = (mask.T if by_column else mask).ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    return np.diff([0, *edges.tolist(), flat.size]).tolist()


def string_of_runs(counts: list[int]) -> str:
    """COCO's string form, bit by bit as its format says."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        while True:
            five, value = value & 31, value >> 5
            more = not ((value == 0 and not five & 16) or (value == -1 and five & 16))
            text += chr(48 + five + (32 if more else 0))
            if not more:
                break
    return text


def ids(folder: Path, ids: Ids) -> Written:
    write_ids_png(folder / "a.png", ids, np.array(COLOURS, np.uint8))
    return Written(folder / "a.png")


def colours(folder: Path, ids: Ids) -> Written:
    table = np.zeros((256, 3), np.uint8)
    table[: len(COLOURS)] = COLOURS
    write_rgb_png(folder / "a.png", table[ids])
    return Written(folder / "a.png")


def cityscapes(folder: Path, ids: Ids) -> Written:
    path = folder / "aachen_000000_000019_gtFine_labelIds.png"
    write_ids_png(path, as_numbers(ids, numbers_by_name("cityscapes-34"), 0), None)
    return Written(path)


def cityscapes_polygons(folder: Path, ids: Ids) -> Written:
    objects = [{"label": n, "polygon": corners(*box)} for n, *box in rectangles(ids)]
    height, width = ids.shape
    file = {"imgHeight": height, "imgWidth": width, "objects": objects}
    return Written(write_json(folder / "a_gtFine_polygons.json", file))


VOC_STREET = Taxonomy(
    "voc-street", tuple(ClassInfo(i, n, (i, i, i)) for i, n in enumerate(("bus", "car", "cat", "cow")))
)


def voc(folder: Path, ids: Ids) -> Written:
    numbers = numbers_by_name("voc2012")
    table = np.full(256, 255, np.uint8)
    for info in VOC_STREET.classes:
        table[info.id] = numbers[info.name]
    write_ids_png(folder / "a.png", table[ids], np.zeros((256, 3), np.uint8))
    return Written(folder / "a.png", taxonomy=VOC_STREET)


def ade20k(folder: Path, ids: Ids) -> Written:
    write_ids_png(folder / "ADE_val_00000001.png", as_numbers(ids, numbers_by_name("ade20k-151"), 0), None)
    return Written(folder / "ADE_val_00000001.png")


def ade20k_full(folder: Path, ids: Ids) -> Written:
    numbers = {"road": 2131, "car": 401, "person": 1831, "sky": 2420}
    table = np.zeros((256, 3), np.uint8)
    for class_id, name in enumerate(NAMES):
        table[class_id] = (numbers[name] // 256 * 10, numbers[name] % 256, 7)
    write_rgb_png(folder / "ADE_train_00000001_seg.png", table[ids])
    objects = [{"id": i, "name_ndx": number, "name": name} for i, (name, number) in enumerate(numbers.items())]
    write_json(folder / "ADE_train_00000001.json", {"annotation": {"object": objects}})
    return Written(folder / "ADE_train_00000001_seg.png")


def mapillary(folder: Path, ids: Ids) -> Written:
    labels = [{"readable": name, "name": f"x--{name}"} for name in ("sky", "Unlabeled", "car", "person", "road")]
    config = write_json(folder / "config.json", {"labels": labels})
    table = np.full(256, 1, np.uint8)
    table[:4] = (4, 2, 3, 0)
    write_ids_png(folder / "a.png", table[ids], None)
    return Written(folder / "a.png", config)


def mapillary_instances(folder: Path, ids: Ids) -> Written:
    one = mapillary(folder, ids)
    stored = cv2.imread(str(one.label), cv2.IMREAD_UNCHANGED).astype(np.uint16) * 256 + 5
    write_ids_png(one.label, stored, None)
    return one


CATEGORIES = [{"id": 3 * i + 1, "name": name, "isthing": 1} for i, name in enumerate(NAMES)]


def coco_panoptic(folder: Path, ids: Ids) -> Written:
    segments = np.zeros(256, np.int64)
    segments[:4] = (7, 300, 70_000, 16_777_215)
    codes = segments[ids]
    write_rgb_png(
        folder / "000000000139.png", np.stack([codes & 255, codes >> 8 & 255, codes >> 16], -1).astype(np.uint8)
    )
    infos = [{"id": int(segments[i]), "category_id": 3 * i + 1} for i in range(4)]
    file = {
        "annotations": [{"file_name": "000000000139.png", "image_id": 139, "segments_info": infos}],
        "categories": CATEGORIES,
    }
    return Written(folder / "000000000139.png", write_json(folder / "panoptic.json", file))


def instances(folder: Path, ids: Ids, annotations: list[dict[str, Any]]) -> Written:
    height, width = ids.shape
    file = {
        "images": [{"id": 4, "file_name": "a.jpg", "height": height, "width": width}],
        "annotations": [{"id": i, "image_id": 4, **one} for i, one in enumerate(annotations)],
        "categories": CATEGORIES,
    }
    return Written(folder / "a.jpg", write_json(folder / "instances.json", file))


def _coco_runs(folder: Path, ids: Ids, form: Callable[[list[int]], Any]) -> Written:
    runs = [form(runs_of(ids == i)) for i in range(4)]
    size = list(ids.shape)
    annotations = [
        {"category_id": 3 * i + 1, "iscrowd": 1, "segmentation": {"size": size, "counts": one}}
        for i, one in enumerate(runs)
    ]
    return instances(folder, ids, annotations)


def coco_instances(folder: Path, ids: Ids) -> Written:
    return _coco_runs(folder, ids, string_of_runs)


def coco_instances_counts(folder: Path, ids: Ids) -> Written:
    return _coco_runs(folder, ids, list)


def coco_instances_polygons(folder: Path, ids: Ids) -> Written:
    annotations = [
        {
            "category_id": 3 * i + 1,
            "segmentation": [
                [float(v) for corner in corners(*box) for v in corner] for n, *box in rectangles(ids) if n == name
            ],
        }
        for i, name in enumerate(NAMES)
    ]
    return instances(folder, ids, annotations)


def labelme(folder: Path, ids: Ids, shapes: list[dict[str, Any]] | None = None) -> Written:
    height, width = ids.shape
    if shapes is None:
        shapes = [{"label": n, "shape_type": "polygon", "points": corners(*box)} for n, *box in rectangles(ids)]
    file = {"version": "5.5.0", "imageHeight": height, "imageWidth": width, "imageData": None, "shapes": shapes}
    return Written(write_json(folder / "a.json", file))


def labelme_masks(folder: Path, ids: Ids) -> Written:
    shapes = []
    for class_id, name in enumerate(NAMES):
        rows, columns = np.nonzero(ids == class_id)
        if len(rows):
            top, bottom, left, right = (int(v) for v in (rows.min(), rows.max(), columns.min(), columns.max()))
            part = (ids[top : bottom + 1, left : right + 1] == class_id).astype(np.uint8)
            png = bytes(cv2.imencode(".png", part)[1])
            shapes.append(
                {
                    "label": name,
                    "shape_type": "mask",
                    "points": [[left, top], [right, bottom]],
                    "mask": base64.b64encode(png).decode(),
                }
            )
    return labelme(folder, ids, shapes)


def cvat_mask(folder: Path, ids: Ids) -> Written:
    lines = [f"{n}:{','.join(map(str, c))}::" for n, c in zip(NAMES, COLOURS, strict=True)]
    (folder / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\n" + "\n".join(lines))
    return Written(colours(folder, ids).label, folder / "labelmap.txt")


def cvat_xml(folder: Path, ids: Ids) -> Written:
    height, width = ids.shape
    shapes = []
    for class_id, name in enumerate(NAMES):
        if (ids == class_id).any():
            rle = ", ".join(map(str, runs_of(ids == class_id, by_column=False)))
            box = f'left="0" top="0" width="{width}" height="{height}"'
            shapes.append(f'<mask label="{name}" z_order="0" rle="{rle}" {box}></mask>')
    image = f'<image id="0" name="clip/a.jpg" width="{width}" height="{height}">{"".join(shapes)}</image>'
    path = folder / "annotations.xml"
    path.write_text(f'<?xml version="1.0"?><annotations><version>1.1</version>{image}</annotations>')
    return Written(folder / "clip" / "a.jpg", path)


def cvat_xml_polygons(folder: Path, ids: Ids) -> Written:
    height, width = ids.shape
    shapes = []
    for name, *box in rectangles(ids):
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners(*box))
        shapes.append(f'<polygon label="{name}" points="{points}" z_order="0"></polygon>')
    image = f'<image id="0" name="a.jpg" width="{width}" height="{height}">{"".join(shapes)}</image>'
    (folder / "annotations.xml").write_text(f"<annotations>{image}</annotations>")
    return Written(folder / "a.jpg", folder / "annotations.xml")


WRITERS: dict[str, tuple[str, Callable[[Path, Ids], Written]]] = {
    "ids": ("ids", ids),
    "colours": ("colours", colours),
    "cityscapes": ("cityscapes", cityscapes),
    "cityscapes polygons": ("cityscapes", cityscapes_polygons),
    "voc": ("voc", voc),
    "ade20k": ("ade20k", ade20k),
    "ade20k full": ("ade20k", ade20k_full),
    "mapillary": ("mapillary", mapillary),
    "mapillary instances": ("mapillary", mapillary_instances),
    "coco-panoptic": ("coco-panoptic", coco_panoptic),
    "coco-instances": ("coco-instances", coco_instances),
    "coco-instances counts": ("coco-instances", coco_instances_counts),
    "coco-instances polygons": ("coco-instances", coco_instances_polygons),
    "labelme": ("labelme", labelme),
    "labelme masks": ("labelme", labelme_masks),
    "cvat-mask": ("cvat-mask", cvat_mask),
    "cvat-xml": ("cvat-xml", cvat_xml),
    "cvat-xml polygons": ("cvat-xml", cvat_xml_polygons),
}
"""What is written, by which importer it is read, and the writer."""
