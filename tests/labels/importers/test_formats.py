"""What is particular to each format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import DatasetError, ImageReadError, TaxonomyError
from mseg_studio.labels.importer import importer
from mseg_studio.media.image import write_ids_png, write_rgb_png
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from tests.labels.importers import writers
from tests.labels.importers.writers import STREET, Written, corners, labelme, write_json

BLANK = np.full((8, 8), 255, np.uint8)


def published(name: str) -> Taxonomy:
    return default_catalog().taxonomy(name)


def png(path: Path, *rows: list[int], dtype: type = np.uint8) -> Path:
    write_ids_png(path, np.array(rows, dtype), None)
    return path


# ids and colours


def test_an_id_map_says_what_numbers_mean(tmp_path: Path) -> None:
    label = png(tmp_path / "a.png", [7, 40000, 0], dtype=np.uint16)
    reader = importer("ids").open(STREET, id_map={7: "sky", 40000: "car", 0: "ignore"})
    assert reader.read(label).ids_HW.tolist() == [[3, 1, 255]]
    with pytest.raises(DatasetError, match=r"a\.png: id 8 \(2 pixels\) is not declared for street, and 1 more$"):
        reader.read(png(tmp_path / "a.png", [8, 8, 9, 7]))
    with pytest.raises(TaxonomyError, match="did you mean sky"):
        importer("ids").open(STREET, id_map={7: "skye"})


def test_names_in_files_may_be_given_another_meaning(tmp_path: Path) -> None:
    shapes = [
        {"label": "auto", "points": corners(0, 0, 4, 8)},
        {"label": "vehicle", "points": corners(4, 0, 6, 8)},
        {"label": "ignore", "points": corners(6, 0, 8, 8)},
    ]
    written = labelme(tmp_path, BLANK, shapes)
    with pytest.raises(DatasetError, match=r"class 'auto' \(32 pixels\) is not declared for street, and 2 more"):
        written.reader("labelme").read(written.label)
    names = {"auto": "car", "vehicle": "ignore", "ignore": "sky"}
    row = written.reader("labelme", names=names).read(written.label).ids_HW[0]
    assert row.tolist() == [1, 1, 1, 1, 255, 255, 3, 3]


def test_an_undeclared_colour_is_told_with_the_nearest(tmp_path: Path) -> None:
    pixels = np.full((9, 9, 3), STREET.classes[3].rgb, np.uint8)
    pixels[2:8, 2:8] = (0, 1, 140)
    write_rgb_png(tmp_path / "a.png", pixels)
    with pytest.raises(DatasetError) as caught:
        importer("colours").open(STREET).read(tmp_path / "a.png")
    assert str(caught.value).endswith(
        "a.png: colour [0, 1, 140] (36 pixels) is not declared for street; nearest is 'car' [0, 0, 142], 2 away"
    )


def test_borders_that_were_smoothed_are_named_as_such(tmp_path: Path) -> None:
    pixels = np.full((9, 40, 3), STREET.classes[3].rgb, np.uint8)
    pixels[:, 20:] = STREET.classes[0].rgb
    pixels[:, 19], pixels[:, 20] = (80, 120, 160), (100, 90, 140)
    write_rgb_png(tmp_path / "a.png", pixels)
    reader = importer("colours").open(STREET)
    with pytest.raises(DatasetError, match="scaled or drawn with anti-aliasing"):
        reader.read(tmp_path / "a.png")
    reading = importer("colours").open(STREET, unknown="ignore").reading(tmp_path / "a.png")
    assert reading.unknown == {"colour [80, 120, 160]": 9, "colour [100, 90, 140]": 9}
    assert reading.labels.ids_HW[0, 18:22].tolist() == [3, 255, 255, 0]


def test_thousands_of_undeclared_colours_are_listed_shortly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_rgb_png(tmp_path / "a.png", rng.integers(1, 250, (64, 64, 3), np.uint8))
    reading = importer("colours").open(STREET, unknown="ignore").reading(tmp_path / "a.png")
    assert len(reading.unknown) == 21
    assert sum(reading.unknown.values()) == 64 * 64


def test_colours_need_to_tell_classes_apart_and_to_be_lossless(tmp_path: Path) -> None:
    twins = Taxonomy("twins", (ClassInfo(0, "a", (1, 1, 1)), ClassInfo(1, "b", (1, 1, 1))))
    with pytest.raises(DatasetError, match="'a' and 'b' of twins have one colour"):
        importer("colours").open(twins)
    (tmp_path / "a.png").write_bytes(b"\xff\xd8\xff\xc0\x00\x11\x08\x00\x08\x00\x08" + b"\0" * 20)
    with pytest.raises(ImageReadError, match="do not survive JPEG"):
        importer("colours").open(STREET).read(tmp_path / "a.png")


# Cityscapes


def test_train_ids_and_instance_ids(tmp_path: Path) -> None:
    reader = importer("cityscapes").open(published("cityscapes-19"))
    assert reader.read(png(tmp_path / "a_gtFine_labelTrainIds.png", [0, 18, 255])).ids_HW.tolist() == [[0, 18, 255]]
    with pytest.raises(DatasetError, match="id 19 "):
        reader.read(png(tmp_path / "a_gtFine_labelTrainIds.png", [19]))
    instances = png(tmp_path / "a_gtFine_instanceIds.png", [7, 26005, 24000, 4], dtype=np.uint16)
    assert reader.read(instances).ids_HW.tolist() == [[0, 13, 11, 255]]
    with pytest.raises(DatasetError, match=r"expected a name ending in _labelIds\.png"):
        reader.read(png(tmp_path / "a.png", [7]))


def test_every_cityscapes_id_is_its_class_or_what_the_benchmark_ignores(tmp_path: Path) -> None:
    label = png(tmp_path / "a_labelIds.png", list(range(34)))
    full = importer("cityscapes").open(published("cityscapes-34")).read(label)
    assert full.ids_HW.tolist() == [list(range(34))]
    row = importer("cityscapes").open(published("cityscapes-19")).read(label).ids_HW[0].tolist()
    trained = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert [row[number] for number in trained] == list(range(19))
    assert {row[number] for number in range(34) if number not in trained} == {255}


def test_cityscapes_polygons_have_groups_deleted_ones_and_plates(tmp_path: Path) -> None:
    objects = [
        {"label": "road", "polygon": corners(0, 0, 8, 8)},
        {"label": "cargroup", "polygon": corners(0, 0, 4, 4)},
        {"label": "license plate", "polygon": corners(1, 1, 2, 2)},
        {"label": "sky", "polygon": corners(0, 0, 8, 8), "deleted": 1},
    ]
    path = write_json(tmp_path / "a_polygons.json", {"imgHeight": 8, "imgWidth": 9, "objects": objects})
    reading = importer("cityscapes").open(STREET).reading(path)
    assert reading.labels.ids_HW[0].tolist() == [1] * 4 + [0] * 4 + [255]
    assert reading.notes == ("1 license plates left out: they have no id", "1 deleted polygons left out")
    full = importer("cityscapes").open(published("cityscapes-34")).read(path)
    assert full.ids_HW[0, 8] == 0, "unlabeled"


# VOC, ADE20K, Mapillary


def test_voc_and_the_benchmark_of_ade20k_in_their_own_taxonomies(tmp_path: Path) -> None:
    voc = importer("voc").open(published("voc2012"))
    assert voc.read(png(tmp_path / "a.png", [0, 1, 20, 255])).ids_HW.tolist() == [[0, 1, 20, 255]]
    with pytest.raises(DatasetError, match="id 21 "):
        voc.read(png(tmp_path / "a.png", [21]))
    label = png(tmp_path / "a.png", list(range(151)))
    assert importer("ade20k").open(published("ade20k-151")).read(label).ids_HW.tolist() == [list(range(151))]
    row = importer("ade20k").open(published("ade20k-150")).read(label).ids_HW[0]
    assert row[0] == 255
    names = published("ade20k-150").names
    assert [names[i] for i in row[1:]] == list(published("ade20k-151").names[1:])


INFO = "Idx\tRatio\tTrain\tVal\tName\n21\t0.01\t1\t1\tcar, auto, automobile\n3\t0.1\t1\t1\tsky\n"


def ade_full(folder: Path, objects: list[dict[str, Any]]) -> Path:
    write_rgb_png(folder / "b_seg.png", np.array([[[10, 4, 1], [20, 5, 1], [0, 0, 0], [250, 255, 9]]], np.uint8))
    (folder / "b.json").write_bytes(
        json.dumps({"annotation": {"object": objects}}, ensure_ascii=False).encode("latin-1")
    )
    return folder / "b_seg.png"


def test_objects_of_the_full_release_by_the_benchmarks_list(tmp_path: Path) -> None:
    objects = [
        {"name_ndx": 260, "name": "car, auto, automobile"},
        {"name_ndx": 517, "name": "sky"},
        {"name_ndx": 6655, "name": "caf\u00e9"},
    ]
    label = ade_full(tmp_path, objects)
    (tmp_path / "objectInfo150.txt").write_text(INFO)
    reader = importer("ade20k").open(STREET, annotations=tmp_path / "objectInfo150.txt")
    assert reader.read(label).ids_HW.tolist() == [[1, 3, 255, 255]]
    with pytest.raises(DatasetError, match=r"class 'car, auto, automobile' \(1 pixel\) is not declared .* 1 more"):
        importer("ade20k").open(STREET).read(label)
    by_number = importer("ade20k").open(STREET, id_map={260: "car", 517: "road", 6655: "ignore"})
    assert by_number.read(label).ids_HW.tolist() == [[1, 0, 255, 255]]
    ade_full(tmp_path, objects[:2])
    with pytest.raises(DatasetError, match="object number 6655 "):
        reader.read(label)
    (tmp_path / "b.json").unlink()
    with pytest.raises(DatasetError, match=r"b\.json: no such file"):
        reader.read(label)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("a\tb\n1\t2\n", "line 2: expected columns Idx"), ("Idx\tName\n999\tx\n", "line 2"), ("x\n", "x")],
)
def test_a_list_of_objects_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "info.txt").write_text(text)
    if text == "x\n":
        importer("ade20k").open(STREET, annotations=tmp_path / "info.txt")
        return
    with pytest.raises(DatasetError, match=rf"info\.txt: .*{message}"):
        importer("ade20k").open(STREET, annotations=tmp_path / "info.txt")


def test_mapillary_without_its_configuration_is_version_1_2(tmp_path: Path) -> None:
    label = png(tmp_path / "a.png", list(range(66)))
    assert importer("mapillary").open(published("mapillary-public66")).read(label).ids_HW.tolist() == [list(range(66))]
    row = importer("mapillary").open(published("mapillary-public65")).read(label).ids_HW[0]
    assert row.tolist() == [*range(65), 255]
    with pytest.raises(DatasetError, match="id 66 "):
        importer("mapillary").open(published("mapillary-public66")).read(png(tmp_path / "a.png", [66]))


# COCO


@settings(max_examples=40)
@given(st.lists(st.integers(1, (1 << 24) - 1), min_size=1, max_size=12, unique=True), st.integers(0, 99))
def test_any_segment_ids(tmp_path_factory: pytest.TempPathFactory, segments: list[int], seed: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    rng = np.random.default_rng(seed)
    codes = rng.choice(np.array([0, *segments]), (6, 7))
    write_rgb_png(folder / "p.png", np.stack([codes & 255, codes >> 8 & 255, codes >> 16], -1).astype(np.uint8))
    infos = [{"id": one, "category_id": place % 4} for place, one in enumerate(segments)]
    categories = [{"id": i, "name": name} for i, name in enumerate(STREET.names)]
    file = {"categories": categories, "annotations": [{"file_name": "p.png", "segments_info": infos}]}
    reader = importer("coco-panoptic").open(STREET, annotations=write_json(folder / "p.json", file))
    ids = reader.read(folder / "p.png").ids_HW
    assert (ids[codes == 0] == 255).all()
    for place, one in enumerate(segments):
        assert (ids[codes == one] == place % 4).all()


def panoptic(folder: Path, **changed: Any) -> Written:
    written = writers.coco_panoptic(folder, np.array([[0, 1, 2, 3, 255]], np.uint8))
    assert written.annotations is not None
    file = json.loads(written.annotations.read_text())
    write_json(written.annotations, file | changed)
    return written


def test_a_segment_that_the_json_lacks_is_reported(tmp_path: Path) -> None:
    infos = [{"id": 7, "category_id": 1}, {"id": 300, "category_id": 4}, {"id": 5, "category_id": 4}]
    annotations = [{"file_name": "000000000139.png", "segments_info": infos}]
    written = panoptic(tmp_path, annotations=annotations)
    with pytest.raises(DatasetError, match=r"139\.png: segment 70000 without an entry in its JSON \(1 pixel\)"):
        written.reader("coco-panoptic").read(written.label)
    reading = written.reader("coco-panoptic", unknown="ignore").reading(written.label)
    assert reading.labels.ids_HW.tolist() == [[0, 1, 255, 255, 255]]
    assert list(reading.unknown.values()) == [1, 1]
    assert reading.notes == ("1 listed segments without a pixel",)


def test_categories_by_name_or_by_number(tmp_path: Path) -> None:
    written = panoptic(tmp_path, categories=[])
    with pytest.raises(DatasetError, match="category 1, which the JSON does not list"):
        written.reader("coco-panoptic").read(written.label)
    reader = written.reader("coco-panoptic", id_map={1: "sky", 4: "car", 7: "ignore", 10: "road"})
    assert reader.read(written.label).ids_HW.tolist() == [[3, 1, 255, 0, 255]]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([{"id": 0, "category_id": 1}], r"annotations\[0\]\.segments_info\[0\]: segment 0, expected 1 to 16777215"),
        ([{"id": 1 << 24, "category_id": 1}], "expected 1 to 16777215"),
        ([{"id": 1, "category_id": -1}], "category -1"),
        ([{"id": 1, "category_id": 1}] * 2, "segment 1 is listed twice"),
        ([{"id": 1.5, "category_id": 1}], "'id' is 1.5"),
        ([3], "expected an object"),
    ],
)
def test_wrong_segments(tmp_path: Path, segments: list[Any], message: str) -> None:
    written = panoptic(tmp_path, annotations=[{"file_name": "a.png", "segments_info": segments}])
    with pytest.raises(DatasetError, match=rf"panoptic\.json: .*{message}"):
        written.reader("coco-panoptic")


def instances(folder: Path, *annotations: dict[str, Any]) -> Written:
    return writers.instances(folder, BLANK, list(annotations))


def flat(*box: int) -> list[float]:
    return [value for corner in corners(*box) for value in corner]


def test_small_things_lie_on_top_and_crowds_beneath(tmp_path: Path) -> None:
    crowd = writers.runs_of(np.pad(np.ones((2, 2), np.bool_), ((0, 6), (0, 6))))
    written = instances(
        tmp_path,
        {"category_id": 4, "segmentation": [flat(1, 1, 3, 3)]},
        {"category_id": 1, "segmentation": [flat(0, 0, 8, 4), flat(6, 6, 8, 8)]},
        {"category_id": 10, "iscrowd": 1, "segmentation": {"size": [8, 8], "counts": crowd}},
    )
    ids = written.reader("coco-instances").read(written.label).ids_HW
    assert ids[1, 1] == 1
    assert ids[0, 0] == 0, "the crowd lies under the larger object"
    assert ids[7, 7] == 0
    assert ids[5, 5] == 255


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"category_id": 1, "segmentation": [[0, 0, 1, 1]]}, "a polygon of 2 points"),
        ({"category_id": 1, "segmentation": [[0, 0, 1, None, 3, 3]]}, "no place in a picture|pairs of numbers"),
        ({"category_id": 1, "segmentation": [flat(20, 20, 30, 30)]}, "outside the image of 8 x 8"),
        ({"category_id": 1, "segmentation": {"counts": [3]}}, "of 3 pixels, expected 8 x 8"),
        ({"category_id": 1, "segmentation": {"counts": "\x01"}}, "a character that is none of theirs"),
        ({"category_id": 1, "segmentation": {"counts": 5}}, "neither text nor a list"),
        (
            {"category_id": 1, "segmentation": {"size": [4, 16], "counts": [64]}},
            r"size is \[4, 16\], that of the image",
        ),
        ({"category_id": 1, "image_id": 9, "segmentation": []}, "no image 9 is listed"),
        ({"category_id": 1, "segmentation": None}, "neither polygons nor run lengths"),
        ({"category_id": "x", "segmentation": []}, "'category_id' is text 'x'|'category_id' is 'x'"),
    ],
)
def test_wrong_objects_are_named_by_their_place(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    good = {"category_id": 1, "segmentation": [flat(0, 0, 2, 2)]}
    written = instances(tmp_path, good, annotation)
    with pytest.raises(DatasetError, match=rf"instances\.json: annotations\[1\]: .*({message})"):
        written.reader("coco-instances").read(written.label)


def test_two_images_with_one_number(tmp_path: Path) -> None:
    images = [{"id": 4, "file_name": name, "height": 8, "width": 8} for name in ("a.jpg", "b.jpg")]
    path = write_json(tmp_path / "i.json", {"images": images, "annotations": [], "categories": []})
    with pytest.raises(DatasetError, match=r"images\[1\]: image 4 is listed twice"):
        importer("coco-instances").open(STREET, annotations=path)


@pytest.mark.parametrize(("height", "width"), [(60000, 60000), (0, 5), (-4, 5)])
def test_sizes_that_are_none(tmp_path: Path, height: int, width: int) -> None:
    message = rf"said to be {width} x {height} pixels"
    file = {
        "images": [{"id": 4, "file_name": "a.jpg", "height": height, "width": width}],
        "annotations": [],
        "categories": [],
    }
    written = Written(tmp_path / "a.jpg", write_json(tmp_path / "i.json", file))
    with pytest.raises(DatasetError, match=message):
        written.reader("coco-instances").read(written.label)
    label = write_json(tmp_path / "a.json", {"imageHeight": height, "imageWidth": width, "shapes": []})
    with pytest.raises(DatasetError, match=message):
        importer("labelme").open(STREET).read(label)


# labelme


def test_shapes_of_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "road", "shape_type": "rectangle", "points": [[8, 8], [0, 0]], "group_id": 3},
        {"label": "car", "shape_type": "circle", "points": [[4, 4], [4, 6]], "group_id": 3},
        {"label": "sky", "points": [[0, 0], [2, 0], [2, 1], [0, 1]], "flags": {}},
        {"label": "pole", "shape_type": "linestrip", "points": [[0, 0], [8, 8]]},
        {"label": "pole", "shape_type": "linestrip", "points": [[0, 0], [8, 8]]},
        {"label": "x", "shape_type": "point", "points": [[0, 0]]},
        {"label": "__ignore__", "points": corners(6, 6, 8, 8)},
        {"label": "_background_", "points": corners(6, 0, 8, 1)},
    ]
    written = labelme(tmp_path, BLANK, shapes)
    reading = written.reader("labelme").reading(written.label)
    ids = reading.labels.ids_HW
    assert ids[0].tolist() == [3, 3, 0, 0, 0, 0, 255, 255]
    assert ids[4].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert ids[7, 7] == 255
    assert reading.notes == (
        "2 linestrip shapes left out: they have no area",
        "1 point shapes left out: they have no area",
    )


def test_what_nobody_labelled_is_the_background_where_there_is_one(tmp_path: Path) -> None:
    written = labelme(tmp_path, BLANK, [])
    assert (written.reader("labelme").read(written.label).ids_HW == 255).all()
    assert (written.reader("labelme", names={"background": "road"}).read(written.label).ids_HW == 0).all()
    assert (importer("labelme").open(published("voc2012")).read(written.label).ids_HW == 0).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "car", "points": [[0, 0]]}, " 'car': a polygon of 1 points"),
        ({"label": "car", "shape_type": "star", "points": corners(0, 0, 1, 1)}, "shape_type 'star' is none of polygon"),
        ({"label": "car", "shape_type": ["x"], "points": corners(0, 0, 1, 1)}, "shape_type"),
        ({"label": "car", "shape_type": "mask", "points": [[0, 0], [1, 1]]}, "'mask' is no text"),
        ({"label": "car", "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "?"}, "not base64"),
        ({"label": "car", "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "AAAA"}, "its mask: not a picture"),
        ({"label": "car", "shape_type": "mask", "points": [[0.5, 0], [1, 1]], "mask": ""}, "whole pixels"),
        ({"label": "car", "points": "x"}, "'points' is text 'x'|'points' is 'x'"),
        ({"points": []}, "'label' is nothing"),
        ({"label": "car", "points": corners(50, 50, 60, 60)}, "outside the image of 8 x 8"),
    ],
)
def test_wrong_shapes(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    written = labelme(tmp_path, BLANK, [shape])
    with pytest.raises(DatasetError, match=rf"a\.json: shapes\[0\].*({message})"):
        written.reader("labelme").read(written.label)


def test_a_mask_of_another_size_or_place(tmp_path: Path) -> None:
    ids = BLANK.copy()
    ids[2:4, 2:5] = 1
    written = writers.labelme_masks(tmp_path, ids)
    file = json.loads(written.label.read_text())
    for points, message in (([[2, 2], [5, 3]], "its points say 4 x 2"), ([[6, 2], [8, 3]], "lies outside the image")):
        file["shapes"][0]["points"] = points
        write_json(written.label, file)
        with pytest.raises(DatasetError, match=message):
            written.reader("labelme").read(written.label)


# CVAT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "a labelmap without a label"),
        ("road\n", "line 1: expected `name:red,green,blue::`"),
        ("road:1,2,300::\n", "line 1: expected"),
        ("road:1,2,-3::\n", "line 1: expected"),
        ("road:1,2,3::\ncar:1,2,3::\n", "line 2: 'car' has the colour of 'road'"),
    ],
)
def test_wrong_labelmaps(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(DatasetError, match=rf"labelmap\.txt: {message}"):
        importer("cvat-mask").open(STREET, annotations=tmp_path / "labelmap.txt")


def xml(folder: Path, *shapes: str, size: str = 'width="8" height="8"') -> Written:
    text = f'<annotations><image name="a.jpg" {size}>{"".join(shapes)}</image></annotations>'
    (folder / "annotations.xml").write_text(text)
    return Written(folder / "a.jpg", folder / "annotations.xml")


def test_boxes_order_and_what_is_left_out(tmp_path: Path) -> None:
    written = xml(
        tmp_path,
        '<box label="car" xtl="0" ytl="0" xbr="2" ybr="2" z_order="3"/>',
        '<box label="road" xtl="0" ytl="0" xbr="8" ybr="4" z_order="-1"/>',
        '<polyline label="pole" points="0,0;8,8"/>',
        '<box label="sky" xtl="3" ytl="5" xbr="5" ybr="9" rotation="90" z_order="0"/>',
    )
    reading = written.reader("cvat-xml").reading(written.label)
    ids = reading.labels.ids_HW
    assert ids[0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert ids[7].tolist() == [255, 255, 3, 3, 3, 3, 255, 255]
    assert ids[5].tolist() == [255] * 8, "turned by a quarter"
    assert reading.notes == ("1 polyline shapes left out",)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<polygon label="car" points="0,0;1"/>', "pairs of numbers"),
        ('<polygon label="car"/>', "'points' is missing"),
        ('<polygon points="0,0;1,1;2,0"/>', "'label' is missing"),
        ('<polygon label="car" points="0,0;nan,1;2,0"/>', "no place in a picture"),
        ('<ellipse label="car" cx="1" cy="1" rx="1" ry="1"/>', "the kind ellipse is not read"),
        ('<box label="car" xtl="0" ytl="0" xbr="2" ybr="2" rotation="x"/>', "'rotation' is 'x'"),
        ('<box label="car" xtl="0" ytl="0" xbr="2" ybr="2" z_order="x"/>', "z_order is no whole number"),
        ('<mask label="car" left="0" top="0" width="2" height="2" rle="3"/>', "of 3 pixels, expected 2 x 2"),
        ('<mask label="car" left="0" top="0" width="2" height="2" rle="a"/>', "'rle' is no list"),
        ('<mask label="car" left="7" top="0" width="2" height="2" rle="4"/>', "outside the image"),
        ('<mask label="car" left="-1" top="0" width="2" height="2" rle="4"/>', "'left' is '-1'"),
    ],
)
def test_wrong_elements(tmp_path: Path, shape: str, message: str) -> None:
    written = xml(tmp_path, shape)
    with pytest.raises(DatasetError, match=rf"annotations\.xml: \w+ 0 of 'a\.jpg': .*{message}"):
        written.reader("cvat-xml").read(written.label)


def test_videos_doctypes_and_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    for text, message in (
        ("<annotations><track/></annotations>", "CVAT for video"),
        ("<annotations/>", "no <image> in it"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "a document type"),
        ("<annotations>", "not XML: no element found"),
        ('<annotations><image name="a" width="x" height="1"/></annotations>', "width: 'x' is no whole number"),
    ):
        path.write_text(text)
        with pytest.raises(DatasetError, match=message):
            importer("cvat-xml").open(STREET, annotations=path)
    written = xml(tmp_path, size='width="60000" height="60000"')
    with pytest.raises(DatasetError, match="said to be 60000 x 60000"):
        written.reader("cvat-xml").read(written.label)


def test_the_palette_of_a_mask_gives_its_colours(tmp_path: Path) -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[7], palette[9] = STREET.classes[1].rgb, STREET.classes[2].rgb
    write_ids_png(tmp_path / "a.png", np.array([[7, 9, 0]], np.uint8), palette)
    assert importer("colours").open(STREET).read(tmp_path / "a.png").ids_HW.tolist() == [[1, 2, 255]]
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ncar:0,0,142::\nperson:220,20,60::\n")
    reader = importer("cvat-mask").open(STREET, annotations=tmp_path / "labelmap.txt")
    assert reader.read(tmp_path / "a.png").ids_HW.tolist() == [[1, 2, 255]]


def test_coco_in_its_own_taxonomies(tmp_path: Path) -> None:
    """Category ids are the class ids of coco-panoptic-201, by name."""
    wide = published("coco-panoptic-201")
    named = [info for info in wide.classes if info.name != "unlabeled"]
    codes = np.arange(1, len(named) + 1)
    write_rgb_png(tmp_path / "p.png", np.stack([codes, codes * 0, codes * 0], -1)[None].astype(np.uint8))
    infos = [{"id": int(code), "category_id": info.id} for code, info in zip(codes, named, strict=True)]
    categories = [{"id": info.id, "name": info.name} for info in named]
    file = {"categories": categories, "annotations": [{"file_name": "p.png", "segments_info": infos}]}
    path = write_json(tmp_path / "p.json", file)
    row = importer("coco-panoptic").open(wide, annotations=path).read(tmp_path / "p.png").ids_HW[0]
    assert row.tolist() == [info.id for info in named]
    narrow = published("coco-panoptic-133")
    row = importer("coco-panoptic").open(narrow, annotations=path).read(tmp_path / "p.png").ids_HW[0]
    assert [narrow.names[i] for i in row] == [info.name for info in named]
    assert len(named) == len(narrow)
