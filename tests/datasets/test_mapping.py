from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import label_mapping, own_mapping, pixels_by_number
from mseg_studio.datasets.pairing import Pair
from mseg_studio.errors import DatasetError, TaxonomyError
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from tests.datasets.factories import DESCRIPTION, write_dataset
from tests.taxonomy.published import LARGER, PLAIN

MINE = """format: 1
name: mine
ignore_id: 255
classes:
  - {id: 0, name: ground, rgb: [0, 0, 0]}
  - {id: 3, name: mover, rgb: [9, 9, 9]}
from_universal: {road: ground, sidewalk_pavement: ground, car: mover, truck: mover, bicyclist: mover}
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("taxonomies")
    (folder / "mine.yaml").write_text(MINE)
    many = "\n".join(f"  - {{id: {n}, name: class {n}, rgb: [0, 0, 0]}}" for n in range(300))
    links = "from_universal: {road: class 299, car: class 7}"
    (folder / "many.yaml").write_text(f"format: 1\nname: many\nignore_id: 65535\nclasses:\n{many}\n{links}\n")
    return Catalog([resource_folder("taxonomies"), folder])


def describe(folder: Path, taxonomy: str, catalog: Catalog, *more: str) -> DatasetDescription:
    text = f"format: 1\nname: d\ntaxonomy: {taxonomy}\nsplits:\n  val: {{images: images, labels: labels}}\n"
    (folder / "d.yaml").write_text(text + "".join(f"{line}\n" for line in more))
    return load_dataset(folder / "d.yaml", catalog=catalog)


def pair_of(folder: Path, ids: np.ndarray) -> Pair:
    path = folder / "label.png"
    if ids.ndim == 3:
        write_rgb_png(path, ids)
    else:
        write_ids_png(path, ids)
    return Pair(folder / "image.png", path)


@pytest.mark.parametrize(("source", "target"), [*LARGER.items(), *((name, f"{name}-relabeled") for name in PLAIN)])
def test_published_links_are_used_as_they_are(tmp_path: Path, catalog: Catalog, source: str, target: str) -> None:
    mapping = label_mapping(describe(tmp_path, source, catalog), target, catalog)
    assert (mapping.links, mapping.through) == ("exact", None)
    assert dict(mapping.class_links) == dict(catalog.table(source).to[target])


@pytest.mark.parametrize("source", [*PLAIN, *(f"{name}-relabeled" for name in PLAIN)])
def test_the_way_to_universal_is_published(tmp_path: Path, catalog: Catalog, source: str) -> None:
    mapping = label_mapping(describe(tmp_path, source, catalog), "universal", catalog)
    assert (mapping.links, mapping.through) == ("exact", None)
    assert dict(mapping.class_links) == dict(catalog.table(source).to_universal or {})


@pytest.mark.parametrize("name", [f"{name}-relabeled" for name in PLAIN])
@given(seed=st.integers(0, 2**31))
def test_relabeled_classes_go_to_universal_and_back(
    tmp_path_factory: pytest.TempPathFactory, catalog: Catalog, name: str, seed: int
) -> None:
    """Their published links are one to one: there and back is the identity."""
    folder = tmp_path_factory.mktemp("pair")
    own = catalog.taxonomy(name)
    there = label_mapping(describe(folder, name, catalog), "universal", catalog)
    back = label_mapping(describe(folder, "universal", catalog), name, catalog)
    stored = np.random.default_rng(seed).choice(
        np.array([*(info.id for info in own.classes), own.ignore_id], np.uint8), (5, 7)
    )
    middle = there.labels(pair_of(folder, stored))
    assert np.array_equal(back.labels(pair_of(folder, middle.ids_HW)).ids_HW, stored)


def test_without_links_of_its_own_it_goes_through_universal_and_says_so(tmp_path: Path, catalog: Catalog) -> None:
    plain = describe(tmp_path, "cityscapes-19", catalog)
    mapping = label_mapping(plain, "voc2012", catalog)
    assert (mapping.links, mapping.through) == ("approximate", "universal")
    assert mapping.class_links["car"] == "car"
    assert mapping.class_links["rider"] == "person"


def test_the_descriptions_own_links_to_universal_lead_on(tmp_path: Path, catalog: Catalog) -> None:
    """camvid-11 has no published way to universal; a description gives one, and merges are fine."""
    links = "to_universal: {Road: road, Sidewalk: sidewalk_pavement, Car: truck, Bicyclist: bicyclist, Sky: sky}"
    dataset = describe(tmp_path, "camvid-11", catalog, links)
    own = dataset.taxonomy
    mapping = label_mapping(dataset, "mine", catalog)
    assert (mapping.links, mapping.through) == ("approximate", "universal")
    assert dict(mapping.class_links) == {"Road": "ground", "Sidewalk": "ground", "Car": "mover", "Bicyclist": "mover"}
    stored = np.array([[own.id_of(n) for n in ("Road", "Sidewalk", "Car", "Sky")] + [255]], np.uint8)
    assert mapping.labels(pair_of(tmp_path, stored)).ids_HW.tolist() == [[0, 0, 3, 255, 255]]
    assert "Sky" in mapping.unmapped
    assert "Car" not in mapping.unmapped


def test_sixteen_bits_where_the_target_needs_them(tmp_path: Path, catalog: Catalog) -> None:
    dataset = describe(tmp_path, "cityscapes-19", catalog)
    own = dataset.taxonomy
    labels = label_mapping(dataset, "many", catalog).labels(
        pair_of(tmp_path, np.array([[own.id_of("road"), own.id_of("car"), own.id_of("sky"), 255]], np.uint8))
    )
    assert labels.ids_HW.dtype == np.uint16
    assert labels.ids_HW.tolist() == [[299, 7, 65535, 65535]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_number_that_is_not_declared_is_never_a_class(tmp_path: Path, catalog: Catalog, dtype: type) -> None:
    dataset = describe(tmp_path, "cityscapes-19", catalog)
    pair = pair_of(tmp_path, np.array([[0, 19, 19, 200, 255]], dtype))
    expected = r"label\.png: id 19 \(2 pixels\) is not declared in d\.yaml, nor are 1 more ids$"
    for target in ("cityscapes-19", "universal"):
        with pytest.raises(DatasetError, match=expected):
            label_mapping(dataset, target, catalog).labels(pair)
        ignoring = label_mapping(dataset, target, catalog, unknown="ignore")
        assert ignoring.labels(pair).ids_HW.tolist() == [[ignoring.target.id_of("road"), 255, 255, 255, 255]]


@given(numbers=st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_every_number_is_a_declared_class_or_told(
    tmp_path_factory: pytest.TempPathFactory, catalog: Catalog, numbers: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    dataset = describe(folder, "cityscapes-34", catalog)
    pair = pair_of(folder, np.array([numbers], np.uint16))
    mapping = label_mapping(dataset, "cityscapes-19", catalog, unknown="ignore")
    found = mapping.labels(pair).ids_HW[0].tolist()
    for number, class_id in zip(numbers, found, strict=True):
        name = dataset.id_map.get(number, "ignore")
        target = mapping.class_links.get(name)
        assert class_id == (255 if target is None else mapping.target.id_of(target))


def test_colours_become_ids_of_any_taxonomy(tmp_path: Path, catalog: Catalog) -> None:
    colours = "colour_map: {[0, 0, 0]: ignore, [10, 20, 30]: Car, [255, 255, 255]: Road}"
    dataset = describe(tmp_path, "camvid-11", catalog, colours, "to_universal: {Car: car, Road: road}")
    good = np.array([[[10, 20, 30], [0, 0, 0], [255, 255, 255]]], np.uint8)
    pair = pair_of(tmp_path, good)
    own, universal = dataset.taxonomy, catalog.taxonomy("universal")
    assert label_mapping(dataset, "camvid-11", catalog).labels(pair).ids_HW.tolist() == [
        [own.id_of("Car"), 255, own.id_of("Road")]
    ]
    assert label_mapping(dataset, "universal", catalog).labels(pair).ids_HW.tolist() == [
        [universal.id_of("car"), 255, universal.id_of("road")]
    ]
    good[0, 1] = (1, 2, 3)
    pair = pair_of(tmp_path, good)
    with pytest.raises(DatasetError, match=r"label\.png: colour \[1, 2, 3\] \(1 pixel\) is not declared in d\.yaml$"):
        label_mapping(dataset, "universal", catalog).labels(pair)
    ignoring = label_mapping(dataset, "universal", catalog, unknown="ignore")
    assert ignoring.labels(pair).ids_HW[0, 1] == 255


def test_the_same_labels_as_the_description_reads(tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    path.write_text(DESCRIPTION.replace("taxonomy: street", "taxonomy: camvid-11").replace("sky: sky", "Sky: sky"))
    text = path.read_text().replace("0: sky, 1: road, 7: car", "0: Sky, 1: Road, 7: Car")
    path.write_text(text.replace("road: road, car: car", "Road: road, Car: car"))
    dataset = load_dataset(path)
    mapping = label_mapping(dataset, "camvid-11")
    for pair in dataset.pairs("val"):
        assert np.array_equal(mapping.labels(pair).ids_HW, own_mapping(dataset).labels(pair).ids_HW)


def test_what_cannot_be_mapped_is_said(tmp_path: Path, catalog: Catalog) -> None:
    dataset = describe(tmp_path, "camvid-11", catalog)
    with pytest.raises(TaxonomyError, match="unknown taxonomy 'camvid-12'; did you mean"):
        label_mapping(dataset, "camvid-12", catalog)
    with pytest.raises(TaxonomyError, match="no links lead from taxonomy 'camvid-11' to 'universal'"):
        label_mapping(dataset, "universal", catalog)
    with pytest.raises(ValueError, match="unknown is stop or ignore"):
        label_mapping(dataset, "camvid-11", catalog, unknown="zero")  # type: ignore[arg-type]


def test_the_hash_follows_what_decides_a_label(tmp_path: Path, catalog: Catalog) -> None:
    dataset = describe(tmp_path, "cityscapes-34", catalog)
    one = label_mapping(dataset, "cityscapes-19", catalog)
    assert one.sha256 == label_mapping(dataset, "cityscapes-19", catalog).sha256
    others = [
        label_mapping(dataset, "cityscapes-34", catalog),
        label_mapping(dataset, "cityscapes-19", catalog, unknown="ignore"),
        label_mapping(describe(tmp_path, "cityscapes-34", catalog, "ignore_id: 99"), "cityscapes-19", catalog),
        dataclasses.replace(one, class_links={**one.class_links, "road": "car"}),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 5


def test_pixels_are_counted_by_number() -> None:
    small = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    assert np.array_equal(pixels_by_number(small), np.bincount(small.ravel(), minlength=256))
    large = small.astype(np.uint16) * 200
    assert np.array_equal(np.flatnonzero(pixels_by_number(large)), np.unique(large))


def test_camvid_goes_to_universal_and_back(shared: Path, tmp_path: Path) -> None:
    """Eleven classes, one to one by the description's links: real labels come back as they were."""
    dataset = load_dataset(Path(__file__).parents[2] / "examples" / "camvid.yaml")
    there, own = label_mapping(dataset, "universal"), label_mapping(dataset, "camvid-11")
    back = np.full(256, 255, np.uint8)
    for name, target in dataset.to_universal.items():
        back[there.target.id_of(target)] = dataset.taxonomy.id_of(name)
    for pair in dataset.pairs("val")[::20]:
        middle = there.labels(pair).ids_HW
        assert np.array_equal(cv2.LUT(middle, back), own.labels(pair).ids_HW)
        assert np.array_equal(read_label_ids(pair.label) == 11, middle == 255)
