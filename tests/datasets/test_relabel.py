from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.cli.main import main
from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.mapping import label_mapping
from mseg_studio.datasets.records import Record, Segment, append_records
from mseg_studio.datasets.relabel import Relabeled, relabel, try_relabel
from mseg_studio.datasets.relabel_segments import SegmentSource
from mseg_studio.errors import DatasetError
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from mseg_studio.taxonomy.catalog import default_catalog

RELABELED = default_catalog().taxonomy("coco-panoptic-133-relabeled")
TABLE, DESK, CHAIR, WALL = (RELABELED.id_of(name) for name in ("table", "desk", "chair_other", "wall"))
SHAPE = (4, 6)


def make_set(folder: Path, labels: np.ndarray | None = None, *, taxonomy: str = RELABELED.name) -> Path:
    """Two splits; the image `0` is in both, `a/1` in train alone. Left half table, right half chair."""
    if labels is None:
        labels = np.full(SHAPE, TABLE, np.uint8)
        labels[:, 3:] = CHAIR
    for split, names in (("train", ("0", "a/1")), ("val", ("0",))):
        for name in names:
            for kind in ("images", "labels"):
                (folder / kind / split / name).parent.mkdir(parents=True, exist_ok=True)
            write_rgb_png(folder / "images" / split / f"{name}.png", np.zeros((*SHAPE, 3), np.uint8))
            write_ids_png(folder / "labels" / split / f"{name}.png", labels)
    splits = {name: {"images": f"images/{name}", "labels": f"labels/{name}"} for name in ("train", "val")}
    path = folder / "set.yaml"
    path.write_text(json.dumps({"name": "set", "taxonomy": taxonomy, "splits": splits}))
    return path


def box(left: int, top: int, width: int, height: int) -> Segment:
    return Segment(box=(left, top, width, height))


def run(path: Path, records: Sequence[Record], output: Path, **source: object) -> Relabeled:
    mapping = label_mapping(load_dataset(path), RELABELED.name)
    return relabel(mapping, records, SegmentSource(**source), output)  # type: ignore[arg-type]


def outcomes(result: Relabeled) -> list[tuple[str, int]]:
    return [(one.outcome, one.pixels) for one in result.applied]


def test_only_pixels_of_the_segment_and_the_class_change(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    before = {p: p.read_bytes() for p in (tmp_path / "set").rglob("*.png")}
    result = run(path, [Record("a/1", box(2, 1, 3, 2), "table", "desk")], tmp_path / "out")
    assert outcomes(result) == [("changed", 2)]
    ids = read_label_ids(tmp_path / "out/train/a/1.png")
    expected = np.full(SHAPE, TABLE, np.uint8)
    expected[:, 3:] = CHAIR
    expected[1:3, 2] = DESK
    assert np.array_equal(ids, expected)
    assert {p: p.read_bytes() for p in before} == before, "the source stays as it was"
    assert len(load_dataset(tmp_path / "out/dataset.yaml").pairs("train")) == 2, "all labels are in the copy"


def test_every_kind_of_segment(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    (tmp_path / "masks").mkdir()
    (tmp_path / "segments" / "val").mkdir(parents=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 0] = 255
    write_ids_png(tmp_path / "masks" / "m.png", mask)
    write_ids_png(tmp_path / "masks" / "1_5.png", mask)
    numbers = np.zeros((*SHAPE, 3), np.uint8)
    numbers[3, :] = (1, 2, 3)  # COCO: 1 + 2 * 256 + 3 * 65536
    write_rgb_png(tmp_path / "segments" / "1.png", numbers)
    cases = [
        (Segment(mask="m.png"), 1),
        (Segment(segment_id=5), 1),
        (Segment(segment_id=1 + 512 + 3 * 65536), 3),
        (Segment(polygon=((0, 0), (1, 0), (1, 1), (0, 1))), 4),
        (box(0, 0, 99, 1), 3),
    ]
    for number, (segment, pixels) in enumerate(cases):
        record = Record("a/1", segment, "table", "desk")
        out = tmp_path / f"out{number}"
        result = run(path, [record], out, masks=tmp_path / "masks", segments=tmp_path / "segments")
        assert outcomes(result) == [("changed", pixels)], segment
        assert (read_label_ids(out / "train/a/1.png") == DESK).sum() == pixels


def test_segments_of_mapillary_ade20k_cityscapes_and_bdd(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    folder = tmp_path / "segments"
    folder.mkdir()
    record = Record("a/1", Segment(segment_id=260), "table", "desk")
    numbers = np.full(SHAPE, 260, np.uint16)
    numbers[0] = 3
    write_ids_png(folder / "1.png", numbers)
    assert outcomes(run(path, [record], tmp_path / "o1", segments=folder)) == [("changed", 9)]
    (folder / "1.png").unlink()
    larger = np.zeros((8, 12, 3), np.uint8)
    larger[:4, :, 2] = 7  # ADE20K: instances in blue, at twice the size
    write_rgb_png(folder / "1_seg.png", larger)
    seven = Record("a/1", Segment(segment_id=7), "table", "desk")
    assert outcomes(run(path, [seven], tmp_path / "o2", segments=folder)) == [("changed", 6)]
    (folder / "1_seg.png").unlink()
    objects = [{"label": "x", "polygon": [[0, 0], [0, 1], [1, 0]]}, {"polygon": [[0, 0], [5, 0], [5, 3], [0, 3]]}]
    (folder / "1_gtFine_polygons.json").write_text(json.dumps({"objects": objects}))
    one = Record("a/1", Segment(segment_id=1), "table", "desk")
    assert outcomes(run(path, [one], tmp_path / "o3", segments=folder)) == [("changed", 12)]
    objects[0]["id"] = 260
    (folder / "1_gtFine_polygons.json").write_text(json.dumps({"objects": objects}))
    assert outcomes(run(path, [record], tmp_path / "o4", segments=folder)) == [("changed", 3)]
    by_number = Record("a/1", Segment(segment_id=TABLE), "table", "desk")
    assert outcomes(run(path, [by_number], tmp_path / "o5", in_labels=True)) == [("changed", 12)]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([("table", "desk"), ("table", "desk")], [("changed", 12), ("already", 0)]),
        ([("table", "desk"), ("table", "wall")], [("changed", 12), ("conflict", 12)]),
        ([("table", "table"), ("table", "wall")], [("confirmed", 0), ("conflict", 12)]),
        ([("table", "desk"), ("desk", "wall")], [("changed", 12), ("changed", 12)]),
        ([("wall", "desk")], [("nothing", 0)]),
        ([("wall", "chair_other")], [("already", 0)]),
        ([("table", "ignore")], [("changed", 12)]),
        ([("table", "unlabeled")], [("changed", 12)]),
        ([("ignore", "table")], [("already", 0)]),
    ],
)
def test_what_becomes_of_records(
    tmp_path: Path, records: list[tuple[str, str]], expected: list[tuple[str, int]]
) -> None:
    path = make_set(tmp_path / "set")
    found = [Record("a/1", box(0, 0, 6, 4), before, after) for before, after in records]
    result = run(path, found, tmp_path / "out")
    assert outcomes(result) == expected
    mapping = label_mapping(load_dataset(path), RELABELED.name)
    assert outcomes(try_relabel(mapping, found, SegmentSource())) == expected, "a dry run says the same"
    assert all("\n" not in one.line() for one in result.applied)


def test_the_first_of_a_conflict_stays(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    found = [Record("a/1", box(0, 0, 2, 4), "table", "desk"), Record("a/1", box(1, 0, 2, 4), "table", "wall")]
    assert outcomes(run(path, found, tmp_path / "out")) == [("changed", 8), ("conflict", 4)]
    assert read_label_ids(tmp_path / "out/train/a/1.png")[0, :3].tolist() == [DESK, DESK, WALL]


classes = st.sampled_from(("table", "desk", "chair_other", "wall", "ignore"))
boxes = st.builds(box, st.integers(0, 5), st.integers(0, 3), st.integers(1, 6), st.integers(1, 4))


@settings(deadline=None, max_examples=30)  # three label files are written twice
@given(found=st.lists(st.builds(Record, st.just("a/1"), boxes, classes, classes), min_size=1, max_size=6))
def test_applied_again_nothing_changes(tmp_path_factory: pytest.TempPathFactory, found: list[Record]) -> None:
    """Where no record goes on from another's result, the result is a fixed point; a pixel has its own or a to class."""
    folder = tmp_path_factory.mktemp("again")
    afters = {record.to_class for record in found if record.to_class != record.from_class}
    plain = [record for record in found if record.from_class not in afters]
    path = make_set(folder / "set")
    run(path, plain, folder / "one")
    run(folder / "one" / "dataset.yaml", plain, folder / "two")
    first, second = (read_label_ids(folder / name / "train/a/1.png") for name in ("one", "two"))
    assert np.array_equal(first, second)
    ids = {RELABELED.ignore_id if r.to_class == "ignore" else RELABELED.id_of(r.to_class) for r in plain}
    assert set(np.unique(first).tolist()) <= ids | {TABLE, CHAIR}


def test_images_are_found_by_the_end_of_their_path(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    names = ["a/1", "1", "1.png", "train/a/1", "b/1", "2", "0", "train/0", "/", "val/0.png"]
    result = run(path, [Record(name, box(0, 0, 1, 1), "table", "table") for name in names], tmp_path / "out")
    known = ["confirmed"] * 4 + ["no image"] * 3 + ["confirmed", "no image", "confirmed"]
    assert [one.outcome for one in result.applied] == known
    assert result.applied[6].detail == "2 images have this name"
    for split in ("train", "validation"):
        record = Record("0", box(0, 0, 1, 1), "table", "desk", split=split)
        run(path, [record], tmp_path / split)
        changed = tmp_path / split / ("train" if split == "train" else "val") / "0.png"
        assert read_label_ids(changed)[0, 0] == DESK


def test_missing_and_unfitting_segments_are_told(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    masks = tmp_path / "masks"
    masks.mkdir()
    write_ids_png(masks / "small.png", np.ones((2, 2), np.uint8))
    (masks / "broken.png").write_bytes(b"no picture")
    (masks / "1_gtFine_polygons.json").write_text('{"objects": [{"polygon": 3}]}')
    cases = [
        (Segment(mask="none.png"), "none.png: no such mask"),
        (Segment(mask="small.png"), "small.png: segments are 2 x 2, the labels are 6 x 4"),
        (Segment(mask="broken.png"), "broken.png: "),
        (Segment(segment_id=3), "1_gtFine_polygons.json: no polygons as Cityscapes and IDD have them"),
    ]
    records = [Record("a/1", segment, "table", "desk") for segment, _ in cases]
    result = run(path, records, tmp_path / "out", masks=masks, segments=masks)
    for one, (_, message) in zip(result.applied, cases, strict=True):
        assert one.outcome == "no segment"
        assert message in one.detail
    for source, message in ((SegmentSource(), "without --masks or --segments"), (SegmentSource(masks=masks), "in ")):
        found = try_relabel(label_mapping(load_dataset(path), RELABELED.name), records[3:], source)
        assert message in found.applied[0].detail
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        run(path, records, tmp_path / "out", segments=tmp_path / "nowhere")


def test_a_class_of_another_taxonomy_stops_before_any_work(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    with pytest.raises(DatasetError, match=r"a record names 'tabel': .* has no class 'tabel'; did you mean table"):
        run(path, [Record("a/1", box(0, 0, 1, 1), "tabel", "desk")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_new_records_make_only_their_images_again(tmp_path: Path) -> None:
    path = make_set(tmp_path / "set")
    records = [Record("a/1", box(0, 0, 1, 1), "table", "desk")]
    assert run(path, records, tmp_path / "out").labels.done == 3  # type: ignore[union-attr]
    again = run(path, records, tmp_path / "out").labels
    assert again is not None
    assert (again.done, again.skipped) == (0, 3)
    records.append(Record("val/0", box(0, 0, 1, 1), "table", "desk"))
    more = run(path, records, tmp_path / "out").labels
    assert more is not None
    assert (more.done, more.skipped) == (1, 2)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = make_set(tmp_path / "set"), tmp_path / "out"
    records = tmp_path / "r.jsonl"
    append_records(
        records, [Record("a/1", box(0, 0, 1, 1), "table", "desk"), Record("9", box(0, 0, 1, 1), "table", "desk")]
    )
    command = ["dataset", "relabel", str(path), "--records", str(records)]
    assert main([*command, "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "mseg-studio: records: 1 changed, 1 no image" in captured.err
    assert not out.exists()
    assert main([*command, "--output", str(out), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["status"] for line in lines if "status" in line] == ["done"] * 3
    assert [(line["outcome"], line["pixels"]) for line in lines if "record" in line] == [
        ("changed", 1),
        ("no image", 0),
    ]
    assert lines[-2:] == [
        {"description": str(out / "dataset.yaml")},
        {"summary": {"done": 3, "skipped": 0, "failed": 0}},
    ]
    append_records(records, [Record("a/1", box(0, 0, 1, 1), "table", "wall")])
    assert main([*command, "--output", str(out)]) == 1, "a conflict is a failure"
    assert "mseg-studio: a/1 segment [0, 0, 1, 1]: table -> wall: conflict, 1 pixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "arguments are required: --records"),
        (["--records", "none.jsonl"], 2, "--output (or --dry-run)"),
        (["--records", "none.jsonl", "--dry-run"], 1, "none.jsonl: no such file of records"),
        (["--records", "none.txt", "--dry-run"], 1, "none.txt: its name says not from which class to which"),
        (["--records", "none.jsonl", "--dry-run", "--masks", "nowhere"], 2, "nowhere: no such folder"),
        (["--records", "none.jsonl", "--dry-run", "--to", "what"], 2, "unknown taxonomy 'what'"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    path = make_set(tmp_path / "set")
    assert main(["dataset", "relabel", str(path), *arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if message in line]
    assert len(lines) == 1


def test_the_published_relabeling_of_a_coco_image(shared: Path, tmp_path: Path) -> None:
    """MSeg's own picture before and after: one record, table -> counter_other over the table's segment."""
    place = shared / "data" / "samples" / "relabeled_gt"
    before = read_label_ids(place / "000000025986-unrelabeled-gt.png")
    expected = read_label_ids(place / "000000025986-relabeled-gt.png")
    for kind in ("images/val2017", "labels/val2017", "panoptic"):
        (tmp_path / kind).mkdir(parents=True)
    write_rgb_png(tmp_path / "images/val2017/000000025986.png", np.zeros((*before.shape, 3), np.uint8))
    write_ids_png(tmp_path / "labels/val2017/000000025986.png", before)
    coco = default_catalog().taxonomy("coco-panoptic-133")
    numbers = np.zeros((*before.shape, 3), np.uint8)
    numbers[before == coco.id_of("table-merged")] = (86, 52, 18)
    write_rgb_png(tmp_path / "panoptic" / "000000025986.png", numbers)
    (tmp_path / "coco.yaml").write_text(
        "name: coco\ntaxonomy: coco-panoptic-133\nsplits: {val: {images: images/val2017, labels: labels/val2017}}\n"
    )
    records = tmp_path / "cocop_table-merged" / "cocop_val_cocop_table-merged_to_counterother.txt"
    records.parent.mkdir()
    records.write_text(f"000000025986_{86 + 52 * 256 + 18 * 65536}.png\n")
    command = ["dataset", "relabel", str(tmp_path / "coco.yaml"), "--to", RELABELED.name, "--records", str(records)]
    assert main([*command, "--segments", str(tmp_path / "panoptic"), "--output", str(tmp_path / "out")]) == 0
    found = load_dataset(tmp_path / "out" / "dataset.yaml")
    assert np.array_equal(read_label_ids(found.pairs("val")[0].label), expected)
