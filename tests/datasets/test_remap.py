from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.mapping import label_mapping, own_mapping
from mseg_studio.datasets.remap import RemapOptions, Remapped, remap
from mseg_studio.datasets.remap_state import STATE_FILE
from mseg_studio.errors import ConfigError, DatasetError, ExportError, ImageReadError
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from mseg_studio.progress import Cancelled, CancelToken

CITY = """format: 1
name: city
taxonomy: cityscapes-34
splits:
  train: {images: left/train, labels: gt/train, image_suffix: _left.png, label_suffix: _ids.png}
  val: {images: left/val, labels: gt/val, image_suffix: _left.png, label_suffix: _ids.png}
  few: {list: few.txt, part_of: train}
"""


def make_city(folder: Path, *, images: int = 4, size: tuple[int, int] = (6, 8)) -> Path:
    """Two folder splits with a tree and a list of one of their labels, in cityscapes-34."""
    rng = np.random.default_rng(1)
    for split in ("train", "val"):
        for number in range(images):
            name = f"{'ab'[number % 2]}/{number}"
            for kind in ("left", "gt"):
                (folder / kind / split / name).parent.mkdir(parents=True, exist_ok=True)
            write_rgb_png(folder / "left" / split / f"{name}_left.png", rng.integers(0, 256, (*size, 3), np.uint8))
            ids = rng.choice(np.array([0, 7, 8, 11, 26, 33, 255], np.uint8), size)
            write_ids_png(folder / "gt" / split / f"{name}_ids.png", ids)
    (folder / "few.txt").write_text("left/train/a/0_left.png gt/train/a/0_ids.png\n")
    (folder / "city.yaml").write_text(CITY)
    return folder / "city.yaml"


def run(description: Path, output: Path, to: str = "cityscapes-19", **options: object) -> Remapped:
    unknown = options.pop("unknown", "stop")
    mapping = label_mapping(load_dataset(description), to, unknown=unknown)  # type: ignore[arg-type]
    return remap(mapping, output, **options)  # type: ignore[arg-type]


def pictures(folder: Path) -> dict[str, bytes]:
    """All files but the record of what is done."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != STATE_FILE)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_result_is_a_dataset_of_the_same_tree(tmp_path: Path) -> None:
    source = load_dataset(make_city(tmp_path / "city"))
    done = run(source.path, tmp_path / "out")
    assert (done.done, done.skipped) == (8, 0), "the label in two splits is made once"
    assert (tmp_path / "out" / "gt" / "train" / "a" / "0_ids.png").is_file()
    found = load_dataset(done.description)
    assert found.taxonomy.name == "cityscapes-19"
    assert dict(found.overlaps) == {"few": "train"}
    mapping = label_mapping(source, "cityscapes-19")
    for split in ("train", "val", "few"):
        old, new = source.pairs(split), found.pairs(split)
        assert [pair.image.resolve() for pair in old] == [pair.image.resolve() for pair in new]
        for before, after in zip(old, new, strict=True):
            assert np.array_equal(own_mapping(found).labels(after).ids_HW, mapping.labels(before).ids_HW)


def test_images_are_found_from_far_away_and_from_near(tmp_path: Path) -> None:
    description = make_city(tmp_path / "deep" / "er" / "city")
    near = run(description, tmp_path / "deep" / "er" / "out")
    assert (near.description.parent / "train.txt").read_text().startswith("../city/left/train/a/0_left.png\t")
    shutil.move(tmp_path / "deep", tmp_path / "moved")
    moved = load_dataset(tmp_path / "moved" / "er" / "out" / "dataset.yaml")
    assert len(moved.pairs("train")) == 4


def test_what_is_done_is_not_made_again(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    run(description, out)
    first = pictures(out)
    again = run(description, out)
    assert (again.done, again.skipped) == (0, 8)
    assert pictures(out) == first
    write_ids_png(tmp_path / "city/gt/val/a/0_ids.png", np.full((6, 8), 26, np.uint8))
    (out / "gt/val/b/1_ids.png").write_bytes(b"")
    (out / "gt/val/a/2_ids.png").unlink()
    assert run(description, out).done == 3
    assert set(read_label_ids(out / "gt/val/a/0_ids.png").ravel()) == {13}
    assert (out / "gt/val/b/1_ids.png").read_bytes() == first["gt/val/b/1_ids.png"]
    other = run(description, out, "universal")
    assert (other.done, other.skipped) == (8, 0), "another mapping makes all of them again"
    assert load_dataset(other.description).taxonomy.name == "universal"
    assert run(description, out, "universal", options=RemapOptions(force=True)).done == 8


def test_a_file_that_a_power_cut_emptied_is_made_again(tmp_path: Path) -> None:
    """Size and time may survive when the content does not: a checksum tells."""
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    run(description, out)
    lost = out / "gt/val/a/0_ids.png"
    whole, status = lost.read_bytes(), lost.stat()
    lost.write_bytes(bytes(len(whole)))
    os.utime(lost, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(description, out).done == 1
    assert lost.read_bytes() == whole


def test_splits_one_after_the_other_come_together(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    assert run(description, out, splits=["val"]).done == 4
    assert list(load_dataset(out / "dataset.yaml").splits) == ["val"]
    assert run(description, out, splits=["train"]).done == 4
    assert list(load_dataset(out / "dataset.yaml").splits) == ["train", "val", "few"]
    run(description, out, "universal", splits=["val"])
    assert list(load_dataset(out / "dataset.yaml").splits) == ["val"], "no labels of another taxonomy"
    with pytest.raises(ConfigError, match="has no split 'vol'"):
        run(description, out, splits=["vol"])


def test_palette_and_threads_do_not_change_ids(tmp_path: Path) -> None:
    description = make_city(tmp_path / "city")
    run(description, tmp_path / "a")
    run(description, tmp_path / "b", options=RemapOptions(threads=1, palette=False))
    for path in (tmp_path / "a").rglob("*_ids.png"):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert np.array_equal(read_label_ids(path), read_label_ids(other))
        assert (path.read_bytes()[25], other.read_bytes()[25]) == (3, 0)


def test_undeclared_ids_stop_or_are_ignored(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    bad = tmp_path / "city/gt/val/a/0_ids.png"
    write_ids_png(bad, np.array([[7, 77, 77]], np.uint8))
    with pytest.raises(DatasetError, match=r"val/a/0_ids\.png: id 77 \(2 pixels\) is not declared in city\.yaml$"):
        run(description, out)
    assert not (out / "dataset.yaml").exists(), "a dataset that is not complete is none"
    done = run(description, out, unknown="ignore")
    assert done.done == 8, "the mapping is another one"
    assert read_label_ids(out / "gt/val/a/0_ids.png").tolist() == [[0, 255, 255]]


def test_colour_labels_and_odd_endings_become_png(tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "set"
    (folder / "labels").mkdir(parents=True)
    write_rgb_png(folder / "a.png", np.zeros((1, 2, 3), np.uint8))
    cv2.imwrite(str(folder / "labels" / "a.bmp"), np.array([[[0, 0, 255], [0, 255, 0]]], np.uint8))
    (folder / "d.yaml").write_text(
        "name: d\ntaxonomy: camvid-11\nsplits:\n  val: {list: l.txt}\n"
        "colour_map: {[255, 0, 0]: Car, [0, 255, 0]: Road}\nto_universal: {Car: car, Road: road}\n"
    )
    (folder / "l.txt").write_text("a.png labels/a.bmp\n")
    done = run(folder / "d.yaml", tmp_path / "out", "camvid-11")
    found = load_dataset(done.description)
    own = found.taxonomy
    assert read_label_ids(tmp_path / "out/labels/a.png").tolist() == [[own.id_of("Car"), own.id_of("Road")]]
    assert dict(found.to_universal) == {"Car": "car", "Road": "road"}, "what was said of its classes stays"


def test_two_sources_for_one_output_are_refused(tmp_path: Path) -> None:
    description = make_city(tmp_path / "city")
    shutil.copy(tmp_path / "city/gt/train/a/0_ids.png", tmp_path / "city/gt/train/a/0_ids.bmp")
    with (tmp_path / "city/few.txt").open("a") as stream:
        stream.write("left/train/a/0_left.png gt/train/a/0_ids.bmp\n")
    with pytest.raises(ExportError, match=r"0_ids\.png and .*0_ids\.bmp would both be written here"):
        run(description, tmp_path / "out")


@pytest.mark.parametrize("place", ["city/gt", "city", "city/gt/val", "city/gt/val/new", "city/left/train"])
def test_sources_are_never_written_over(tmp_path: Path, place: str) -> None:
    description = make_city(tmp_path / "city")
    before = pictures(tmp_path)
    try:
        run(description, tmp_path / place)
    except ExportError as error:
        assert "\n" not in str(error)
    after = pictures(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(load_dataset(description).pairs("val")) == 4


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    (out / "gt" / "val" / "a").mkdir(parents=True)
    (out / "gt/val/a/0_ids.png").write_bytes(b"mine")
    with pytest.raises(ExportError, match=r"val/a/0_ids\.png: is there already"):
        run(description, out)
    assert (out / "gt/val/a/0_ids.png").read_bytes() == b"mine"
    assert run(description, out, options=RemapOptions(force=True)).done == 8


def test_a_stop_keeps_what_is_done(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city", images=30), tmp_path / "out"
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        run(description, out, cancel=cancel, on_label=lambda *_: cancel.cancel(), options=RemapOptions(threads=2))
    assert not (out / "dataset.yaml").exists()
    there = sum(path.suffix == ".png" for path in out.rglob("*"))
    assert 0 < there < 60
    rest = run(description, out)
    assert (rest.done, rest.skipped) == (60 - there, there)
    run(description, tmp_path / "clean")
    assert pictures(out) == pictures(tmp_path / "clean")


def test_progress_counts_every_label(tmp_path: Path) -> None:
    seen = []
    run(make_city(tmp_path / "city"), tmp_path / "out", on_progress=seen.append)
    assert [(p.done, p.total) for p in seen] == [(n, 8) for n in range(1, 9)]
    assert seen[0].seconds_left is not None


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_sigkill_in_the_middle_and_a_second_run_give_the_same_bytes(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city", images=70, size=(300, 400)), tmp_path / "out"
    command = [sys.executable, "-m", "mseg_studio", "dataset", "remap", str(description)]
    arguments = [*command, "--to", "cityscapes-19", "--threads", "1", "--output", str(out)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        while sum(1 for _ in out.rglob("*_ids.png")) < 20:
            assert child.poll() is None, "it must be under way when it is killed"
            time.sleep(0.001)
        child.send_signal(signal.SIGKILL)
    there = list(out.rglob("*_ids.png"))
    assert len(there) < 140
    assert all(read_label_ids(path).shape == (300, 400) for path in there), "no half files"
    (out / "gt" / "val" / "a").mkdir(parents=True, exist_ok=True)
    (out / "gt" / "val" / "a" / ".mseg-part-0.png").write_bytes(b"half")
    with (out / STATE_FILE).open("ab") as stream:
        stream.write(b'{"output": "train/a/0_ids.p')
    rest = run(description, out)
    assert rest.skipped >= len(there) - 2
    run(description, tmp_path / "clean")
    assert pictures(out) == pictures(tmp_path / "clean")
    assert run(description, out).done == 0, "the torn line of the record did no harm"


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    run(description, out)
    (out / STATE_FILE).write_text('{"format": 2}\n')
    with pytest.raises(DatasetError, match=r"remap-state\.jsonl: format is 2, written by a newer MSeg Studio$"):
        run(description, out)
    (out / STATE_FILE).write_text("what?\n[]\n")
    assert run(description, out).done == 8, "a record that is none: everything once more"


def test_broken_files_are_named(tmp_path: Path) -> None:
    description, out = make_city(tmp_path / "city"), tmp_path / "out"
    label = tmp_path / "city/gt/val/b/3_ids.png"
    label.write_bytes(label.read_bytes()[:40])
    with pytest.raises(ImageReadError, match=r"b/3_ids\.png"):
        run(description, out)
    label.unlink()
    with pytest.raises(DatasetError, match=r"b/3_ids\.png: the label of 3_left\.png is missing"):
        run(description, out)


def test_names_that_a_list_would_misread(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for kind in ("#images", "labels"):
        (folder / kind).mkdir(parents=True)
    write_rgb_png(folder / "#images" / "a b.png", np.zeros((1, 1, 3), np.uint8))
    write_ids_png(folder / "labels" / "a b.png", np.zeros((1, 1), np.uint8))
    text = {"name": "d", "taxonomy": "camvid-11", "splits": {"x/y": {"images": "#images", "labels": "labels"}}}
    (folder / "d.yaml").write_text(yaml.safe_dump(text))
    done = run(folder / "d.yaml", folder / "out", "camvid-11")
    assert len(load_dataset(done.description).pairs("x/y")) == 1


def test_camvid_comes_back_as_it_was(shared: Path, tmp_path: Path) -> None:
    """Real labels to universal, and from there with the description's links turned round: pixel for pixel."""
    camvid = load_dataset(Path(__file__).parents[2] / "examples" / "camvid.yaml")
    own = camvid.taxonomy
    there = remap(label_mapping(camvid, "universal"), tmp_path / "u", splits=["val"])
    text = there.description.read_text().replace("taxonomy: universal", "taxonomy: camvid-11")
    universal = label_mapping(camvid, "universal").target
    numbers = {universal.id_of(target): name for name, target in camvid.to_universal.items()} | {255: "ignore"}
    (tmp_path / "u" / "back.yaml").write_text(text + yaml.safe_dump({"id_map": numbers}))
    back = remap(label_mapping(load_dataset(tmp_path / "u" / "back.yaml"), "camvid-11"), tmp_path / "b")
    pairs = load_dataset(back.description).pairs("val")
    assert len(pairs) == 101
    for before, after in zip(camvid.pairs("val"), pairs, strict=True):
        assert np.array_equal(own_mapping(camvid).labels(before).ids_HW, read_label_ids(after.label))
        assert own.ignore_id == 255


def test_splits_that_were_not_downloaded_are_left_out(tmp_path: Path) -> None:
    description = make_city(tmp_path / "city")
    shutil.rmtree(tmp_path / "city" / "gt" / "val")
    done = run(description, tmp_path / "out")
    assert done.done == 4 and list(load_dataset(done.description).splits) == ["train", "few"]
    with pytest.raises(DatasetError, match="no such folder"):
        run(description, tmp_path / "out", splits=["val"])
    shutil.rmtree(tmp_path / "city" / "gt")
    (tmp_path / "city" / "few.txt").unlink()
    with pytest.raises(DatasetError, match="no such folder"):
        run(description, tmp_path / "more")


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_a_name_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    description = make_city(tmp_path / "city")
    for kind, end in (("left", b"_left.png"), ("gt", b"_ids.png")):
        folder = tmp_path / "city" / kind / "train" / "a"
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff" + end)).write_bytes(
            (folder / f"0{os.fsdecode(end)}").read_bytes()
        )
    with pytest.raises(ExportError, match="not UTF-8; rename the file") as error:
        run(description, tmp_path / "out")
    assert str(error.value).isprintable()
