from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.datasets.records import Record, Segment, append_records, is_record_file, read_records
from mseg_studio.datasets.records_published import FROM_CLASSES, class_of_name, read_published
from mseg_studio.errors import DatasetError
from mseg_studio.taxonomy.catalog import default_catalog

HEAD = '{"format": 1, "kind": "relabeling"}\n'
GOOD = Record("a/0", Segment(segment_id=7), "table", "desk", who="me", when="2026-11-22T12:00:00Z", note="späť")

whole = st.integers(0, 1000)
segments = st.one_of(
    st.builds(Segment, mask=st.from_regex(r"[a-z]{1,8}(/[a-z ]{1,8})?\.png", fullmatch=True)),
    st.builds(Segment, segment_id=st.integers(0, 2**24)),
    st.builds(Segment, polygon=st.lists(st.tuples(whole, whole), min_size=3, max_size=6).map(tuple)),
    st.builds(Segment, box=st.tuples(whole, whole, st.integers(1, 99), st.integers(1, 99))),
)
words = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() and text.isprintable())
records = st.builds(
    Record, words, segments, words, words, *(st.text(max_size=9).filter(str.isprintable) for _ in range(4))
)


@given(found=st.lists(st.lists(records, min_size=1, max_size=3), min_size=1, max_size=4))
def test_what_is_appended_is_read(tmp_path_factory: pytest.TempPathFactory, found: list[list[Record]]) -> None:
    path = tmp_path_factory.mktemp("records") / "r.jsonl"
    for some in found:
        append_records(path, some)
    assert read_records(path) == tuple(record for some in found for record in some)
    assert is_record_file(path)


def test_the_format_is_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    append_records(path, [GOOD])
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first) == {"format": 1, "kind": "relabeling"}
    assert json.loads(second) == {
        "image": "a/0",
        "segment": {"id": 7},
        "from": "table",
        "to": "desk",
        "who": "me",
        "when": "2026-11-22T12:00:00Z",
        "note": "späť",
    }


def test_file_names_of_stray_bytes_come_back(tmp_path: Path) -> None:
    record = Record("stray\udcff", Segment(segment_id=7), "table", "desk")
    append_records(tmp_path / "r.jsonl", [record])
    assert read_records(tmp_path / "r.jsonl") == (record,)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_a_crash_cut_off_is_none(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    append_records(path, [GOOD])
    append_records(path, [GOOD])
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_records(path) == (GOOD,)
    append_records(path, [GOOD])
    assert read_records(path) == (GOOD, GOOD)


def test_a_file_that_was_only_begun_is_begun_again(tmp_path: Path) -> None:
    for start in ("", HEAD[:10]):
        path = tmp_path / "r.jsonl"
        path.write_text(start)
        append_records(path, [GOOD])
        assert read_records(path) == (GOOD,)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine\n")
    with pytest.raises(DatasetError, match=r"notes\.txt: holds no relabeling records$"):
        append_records(path, [GOOD])
    path.write_text("mine")
    with pytest.raises(DatasetError, match=r"notes\.txt: holds no relabeling records$"):
        append_records(path, [GOOD])
    assert path.read_text() == "mine"
    newer = tmp_path / "r.jsonl"
    newer.write_text(HEAD.replace("1", "2"))
    for act in (lambda: append_records(newer, [GOOD]), lambda: read_records(newer)):
        with pytest.raises(DatasetError, match="format is 2, written by a newer MSeg Studio; this one reads 1"):
            act()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: no JSON"),
        ("[" * 100000, "line 2: no JSON"),
        ("[]", r"line 2: a record is \[\], expected an object"),
        ('{"image": "a"}', "line 2: 'segment' is missing"),
        ('{"imag": "a"}', "line 2: a record has an unknown key 'imag'; did you mean image"),
        ('{"image": 3, "segment": {"id": 1}, "from": "a", "to": "b"}', "line 2: image is 3, expected text"),
        ('{"image": " ", "segment": {"id": 1}, "from": "a", "to": "b"}', "line 2: 'image' is empty"),
        ('{"image": "a", "segment": {"id": 1}, "from": "", "to": "b"}', "line 2: 'from' is empty"),
        ('{"image": "a", "segment": {}, "from": "a", "to": "b"}', "line 2: a segment is one of mask, id, polygon"),
        ('{"image": "a", "segment": {"id": 1, "mask": "b"}, "from": "a", "to": "b"}', "a segment is one of"),
        ('{"image": "a", "segment": {"id": true}, "from": "a", "to": "b"}', "segment id True is no whole number"),
        ('{"image": "a", "segment": {"id": -1}, "from": "a", "to": "b"}', "segment id -1 is no whole number from 0"),
        ('{"image": "a", "segment": {"mask": "../x"}, "from": "a", "to": "b"}', "is no path below the folder of masks"),
        ('{"image": "a", "segment": {"polygon": [[0, 1]]}, "from": "a", "to": "b"}', "at least three corners, got 1"),
        ('{"image": "a", "segment": {"polygon": [[0, 1], 2]}, "from": "a", "to": "b"}', "polygon: 2 is no corner"),
        ('{"image": "a", "segment": {"polygon": [[0,0],[1,1],[1e99,2]]}, "from": "a", "to": "b"}', "far outside"),
        ('{"image": "a", "segment": {"polygon": [[0,0],[1,1],[NaN,2]]}, "from": "a", "to": "b"}', "far outside"),
        ('{"image": "a", "segment": {"box": [0, 0, 1]}, "from": "a", "to": "b"}', r"box is \[0, 0, 1\], expected"),
        ('{"image": "a", "segment": {"box": [0, 0, 0, 5]}, "from": "a", "to": "b"}', "is not left, top, width"),
    ],
)
def test_mistakes_are_one_line_with_their_number(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(HEAD + line + "\n")
    with pytest.raises(DatasetError, match=message) as error:
        read_records(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_no_records_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file of records"):
        read_records(tmp_path / "none.jsonl")
    for content in (b"", b"{}\n", b"\xff\n", b"[]\n", HEAD.replace("1", '"a"').encode()):
        (tmp_path / "r.jsonl").write_bytes(content)
        with pytest.raises(DatasetError, match=r"r\.jsonl: (holds no relabeling records|format is)"):
            read_records(tmp_path / "r.jsonl")
    assert not is_record_file(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        (
            "ade20k_animal/ADE20K_train_ade20k_animal_to_bear.txt",
            "ADE_train_00009778_255.png",
            ("ADE_train_00009778", 255, "animal_other", "bear", "train"),
        ),
        (
            "bdd_person/bdd_val_bdd_person_to_bicyclist.txt",
            "97676d28-00000000_11.jpg",
            ("97676d28-00000000", 11, "person", "bicyclist", "val"),
        ),
        (
            "cityscapes_rider/cityscapes_val_cityscapes_rider_to_motorcyclist.txt",
            "seqfrankfurt_frankfurt_000000_022254_leftImg8bit_80.jpg",
            ("frankfurt/frankfurt_000000_022254_leftImg8bit", 80, "rider_other", "motorcyclist", "val"),
        ),
        (
            "idd_rider/idd_train_idd_rider_to_bag.txt",
            "seq117_295664_leftImg8bit_36.jpg",
            ("117/295664_leftImg8bit", 36, "rider_other", "bag", "train"),
        ),
        (
            "mapillarypublic_groundanimal/mapillaryacademic_val_groundanimal_to_none.txt",
            "mapillary_qiE_wG3-ULCOiN5D8hNduw_256.jpg",
            ("qiE_wG3-ULCOiN5D8hNduw", 256, "dog", "ignore", "val"),
        ),
        (
            "sunrgbd_lamp/sunrgbd_test_sunrgbd_lamp_to_sconce.txt",
            "img-003446_34.jpg",
            ("img-003446", 34, "light_other", "sconce", "val"),
        ),
        (
            "cocop_fence-guardrail/cocopanoptic_guardrail_val.txt",
            "000000414385_9672865.png",
            ("000000414385", 9672865, "fence", "guard_rail", "val"),
        ),
        (
            "ade20k_curtain/2019_10_31_ade20k_showercurtain_valsplit.txt",
            "ADE_val_00000001_3.png",
            ("ADE_val_00000001", 3, "curtain_other", "shower_curtain", "val"),
        ),
    ],
)
def test_published_lists_say_what_they_are(
    tmp_path: Path, name: str, line: str, expected: tuple[str, int, str, str, str]
) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(f"{line}\r\n\r\n{line}")
    first, second = read_published(path)
    assert first == second
    found = (first.image, first.segment.segment_id, first.from_class, first.to_class, first.split)
    assert found == expected


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("cocop_train_cocop_table-merged_to_table-used-as-desk", "desk"),
        ("cocop_train_cocop_chair_to_slowwheeledobject", "slow_wheeled_object"),
        ("cocop_train_cocop_waterother_to_river-lake", "river_lake"),
        ("cocop_val_cocop_tent_to_window", "window"),
        ("cocop_train_cocop_tent_to_windsurfingkite", "kite"),
        ("cocop_train_pavementmerged_to_airport_runway", "runway"),
        ("cocop_train_road_to_pavementsidewalk", "sidewalk_pavement"),
        ("cocop_val_cocop_platform_to_grandstand", "building"),
        ("ade20k_train_ade20k_nonrider_to_person-non-rider", "person"),
        ("ADE20K_train_ade20k_glass_to_wine_glass", "wine_glass"),
        ("ADE20K_train_ade20k_food_to_unlabel", "ignore"),
        ("sunrgbd_train_sunrgbd_chair_to_sofa", "couch"),
        ("sunrgbd_train_sunrgbd_chair_to_None_of_these", "ignore"),
        ("cocopanoptic_cabinetmerged_unlabel_train", "ignore"),
        ("cocopanoptic_dresser_train", "chest_of_drawers"),
        ("cocopanoptic_counter_train", "counter_other"),
        ("cocopanoptic_rug-merged_unlabel-list_val", "ignore"),
        ("floor-carpet_80percent_confidence_cocopanoptic_train", "floor"),
        ("rug-floormat_80percent_confidence_cocopanoptic_val", "rug_floormat"),
        ("2019_08_16_coco_other-curtain_80percent_conf_valsplit", "curtain_other"),
        ("ade20k_guardrail_train", "guard_rail"),
        ("ade20k_mountainhill_val", "mountain_hill"),
        ("what_is_this", None),
        ("a_to_nothing-known", None),
    ],
)
def test_classes_by_a_lists_name(stem: str, name: str | None) -> None:
    assert class_of_name(stem) == name


def test_the_classes_of_all_topics_are_universal() -> None:
    names = default_catalog().taxonomy("universal").names
    assert set(FROM_CLASSES.values()) <= set(names)


def test_a_list_of_ones_own_is_told_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("a_b_12.png\n")
    with pytest.raises(DatasetError, match=r"mine\.txt: its name says not from which class to which"):
        read_published(path)
    (record,) = read_published(path, from_class="table", to_class="desk")
    assert (record.image, record.segment.segment_id, record.from_class, record.to_class) == ("a_b", 12, "table", "desk")
    for content, message in (
        (b"a_12.tif\n", r"line 1: expected `image_segment\.png`, got 'a_12\.tif'"),
        (b"a_12.png\n12.png\n", "line 2: expected"),
        (b"\xff_1.png\n", "byte 0 is not UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=message):
            read_published(path, from_class="table", to_class="desk")
    with pytest.raises(DatasetError, match="no such file of records"):
        read_published(tmp_path / "none.txt", from_class="a", to_class="b")
