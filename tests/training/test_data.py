from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from mseg_studio.errors import ConfigError, DatasetError, MSegStudioError
from mseg_studio.progress import Cancelled, CancelToken
from mseg_studio.training import data_files
from mseg_studio.training.augment import augment
from mseg_studio.training.config import AugmentConfig, DatasetConfig, TrainConfig
from mseg_studio.training.data import TrainData
from mseg_studio.training.data_files import data_sha256, evenly_spread, listed_pairs, read_pair
from mseg_studio.training.head import head_of, resolved
from mseg_studio.training.published_augment import published_augment
from mseg_studio.training.sampler import Draw, draw_index, draw_random
from tests.datasets.camvid_like import make_camvid
from tests.training.factory import CLASSES, make_config, make_dataset, stored_ids, with_dataset


def _open(config: TrainConfig, **options: int) -> TrainData:
    config = resolved(config)
    return TrainData.open(config, head_of(config), **options)


def _still(config: TrainConfig, crop_px: int = 33) -> TrainConfig:
    changes = {"crop_px": crop_px, "scale": (1.0, 1.0), "rotation_p": 0.0, "flip_p": 0.0, "blur_p": 0.0}
    return dataclasses.replace(
        config, augment=dataclasses.replace(config.augment, **changes, colour_p=0.0, rare_p=0.0, rare_classes=())
    )


def test_a_sample_is_rgb_and_rows_of_the_head(tmp_path: Path) -> None:
    """The label files say 0 sky, 3 road, 8 car and 11 nothing; rows are in the universal taxonomy's order."""
    sample = _open(make_config(make_dataset(tmp_path))).splits[0].sample(0)
    stored = stored_ids(tmp_path / "trainannot" / "a_0.png")
    assert sample.name == "tiny/a_0.png"
    assert np.array_equal(sample.pixels_HW3, cv2.imread(str(tmp_path / "train" / "a_0.png"))[..., ::-1])
    assert np.array_equal(sample.labels_HW, np.select([stored == 3, stored == 0, stored == 8], [0, 1, 2], 255))


def test_a_crop_is_the_draws_image_changed_by_the_draws_numbers(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    data = _open(config)
    for n in range(6):
        draw = Draw(slot=n % 2, dataset=0, n=n)
        sample = data.splits[0].sample(draw_index(config.seed, "tiny", n=n, size=3))
        expected = augment(
            sample.pixels_HW3,
            sample.labels_HW,
            config=config.augment,
            rare_ids=(2,),
            random=draw_random(config.seed, "tiny", n=n),
        )
        crop = data.crop(draw)
        assert np.array_equal(crop.pixels_HW3, expected[0])
        assert np.array_equal(crop.labels_HW, expected[1])
        assert crop.name == data.name_of(draw) == sample.name


def test_several_datasets_have_streams_and_images_of_their_own(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name, images=count) for name, count in (("one", 3), ("two", 5)))
    datasets = tuple(DatasetConfig(str(path), name=path.parent.name, classes=CLASSES) for path in (one, two))
    data = _open(make_config(datasets=datasets))
    assert {data.name_of(Draw(0, 0, n)).split("/")[0] for n in range(5)} == {"one"}
    assert len({data.name_of(Draw(0, 1, n)) for n in range(5)}) == 5


def test_labels_of_a_naive_head_say_255_for_ignored(tmp_path: Path) -> None:
    config = _still(make_config(make_dataset(tmp_path), taxonomy="naive", head="all"), crop_px=65)
    data = _open(config)
    crop = data.crop(Draw(0, 0, 0))
    assert crop.labels_HW.dtype == data.label_type == np.uint16
    rows = {head_of(config).taxonomy.id_of(name) for name in ("sky", "road", "car")}
    assert set(np.unique(crop.labels_HW)) == {*rows, 255}, "padding and unlabelled pixels alike"


def test_nothing_is_decoded_that_no_crop_needs(tmp_path: Path) -> None:
    config = _still(make_config(make_dataset(tmp_path)))
    other = tmp_path / "train" / "b_1.png"
    other.write_bytes(b"no picture")
    data = _open(config)
    for n in range(6):
        draw = Draw(0, 0, n)
        if data.name_of(draw) == "tiny/b_1.png":
            with pytest.raises(MSegStudioError, match=r"b_1\.png"):
                data.crop(draw)
        else:
            data.crop(draw)


def test_decoded_samples_are_kept_up_to_a_number_of_bytes(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    whole, none, two = (_open(config, cache_bytes=size) for size in (1 << 20, 0, 2 * 48 * 64 * 4))
    crops = []
    for data in (whole, none, two):
        crops.append([data.crop(Draw(0, 0, n)).pixels_HW3 for n in range(9)])
    assert [len(data.cache) for data in (whole, none, two)] == [3, 0, 2]
    assert two.cache.bytes == 2 * 48 * 64 * 4
    for others in crops[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(crops[0], others, strict=True))
    for path in (tmp_path / "train").iterdir():
        path.unlink()
    whole.crop(Draw(0, 0, 20))
    with pytest.raises(MSegStudioError, match=r"\.png"):
        none.crop(Draw(0, 0, 20))


def test_threads_may_ask_at_once(tmp_path: Path) -> None:
    data = _open(make_config(make_dataset(tmp_path)))
    found: dict[int, np.ndarray] = {}

    def work(first: int) -> None:
        for n in range(first, 40, 4):
            found[n] = data.crop(Draw(0, 0, n)).pixels_HW3

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = _open(make_config(tmp_path / "data.yaml"))
    assert all(np.array_equal(found[n], alone.crop(Draw(0, 0, n)).pixels_HW3) for n in range(40))


def test_the_hash_follows_the_files(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    before = _open(config).sha256
    assert _open(config).sha256 == before
    left_out = _open(with_dataset(config, leave_out=("b_",)))
    assert left_out.sha256 != before
    assert {left_out.name_of(Draw(0, 0, n)) for n in range(2)} == {"tiny/a_0.png", "tiny/a_2.png"}
    changed = tmp_path / "trainannot" / "a_0.png"
    data = bytearray(changed.read_bytes())
    data[-20] ^= 1
    changed.write_bytes(data)
    assert _open(config).sha256 != before, "one bit, at the same size"


def test_an_empty_file_is_found_by_the_hash(tmp_path: Path) -> None:
    data = _open(make_config(make_dataset(tmp_path)))
    (tmp_path / "trainannot" / "b_1.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"trainannot/b_1\.png: is empty"):
        assert data.sha256


def test_data_may_be_copied_elsewhere(tmp_path: Path) -> None:
    make_dataset(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copy)
    os.utime(tmp_path / "there" / "train" / "a_0.png", (1, 1))
    here, there = (_open(make_config(tmp_path / name / "data.yaml")).sha256 for name in ("here", "there"))
    assert here == there


def test_of_large_data_names_and_sizes_and_some_contents_count(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(data_files, "_READ_WHOLE", 10_000)
    monkeypatch.setattr(data_files, "_READ_PAIRS", 2)
    pairs = listed_pairs(make_config(make_dataset(tmp_path, images=4)).datasets[0], "train")
    before = data_sha256([("tiny", pairs)])
    assert [pair.image.name for pair in evenly_spread(pairs, 2)] == ["a_0.png", "b_1.png"]

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[-20] ^= 1
        path.write_bytes(data)

    flip(pairs[1].image)
    assert data_sha256([("tiny", pairs)]) == before, "not one of those that are read"
    flip(pairs[0].image)
    assert data_sha256([("tiny", pairs)]) != before
    flip(pairs[0].image)
    assert data_sha256([("tiny", pairs)]) == before
    with pairs[1].image.open("ab") as stream:
        stream.write(b"x")
    assert data_sha256([("tiny", pairs)]) != before, "every size counts"


def _shrink_label(folder: Path) -> None:
    cv2.imwrite(str(folder / "trainannot" / "a_0.png"), np.zeros((10, 10), np.uint8))


def _write_text(folder: Path) -> None:
    (folder / "train" / "a_0.png").write_text("no picture", encoding="utf-8")


def _undeclared(folder: Path) -> None:
    cv2.imwrite(str(folder / "trainannot" / "a_0.png"), np.full((48, 64), 77, np.uint8))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (_shrink_label, DatasetError, r"a_0\.png: labels are 10x10, the image is 64x48"),
        (_write_text, MSegStudioError, r"a_0\.png"),
        (_undeclared, DatasetError, r"a_0\.png: id 77 \(3072 pixels\) is not declared in data\.yaml$"),
        (lambda folder: (folder / "train" / "a_0.png").unlink(), MSegStudioError, r"a_0\.png"),
    ],
)
def test_a_broken_file_is_named_by_the_crop_that_needs_it(tmp_path: Path, change, kind, message: str) -> None:
    data = _open(make_config(make_dataset(tmp_path)))
    change(tmp_path)
    broken = [n for n in range(3) if data.name_of(Draw(0, 0, n)) == "tiny/a_0.png"]
    assert len(broken) == 1
    with pytest.raises(kind, match=message):
        data.crop(Draw(0, 0, broken[0]))


def test_missing_files_are_found_before_the_first_step(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    (tmp_path / "trainannot" / "b_1.png").unlink()
    with pytest.raises(DatasetError, match=r"b_1\.png: the label of b_1\.png is missing$"):
        _open(config)
    (tmp_path / "train" / "a_0.png").unlink()
    with pytest.raises(DatasetError, match=r"\(1 more file is missing\)$"):
        _open(config)
    with pytest.raises(ConfigError, match="test"):
        _open(with_dataset(config, train_split="test"))


def test_leaving_out_everything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images that are not left out"):
        _open(with_dataset(make_config(make_dataset(tmp_path)), leave_out=("a", "b")))


def test_opening_stops_when_asked(tmp_path: Path) -> None:
    config, cancel = make_config(make_dataset(tmp_path)), CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        TrainData.open(config, head_of(config), cancel=cancel)


def test_a_ready_description_with_the_folder_of_its_data(tmp_path: Path) -> None:
    make_camvid(tmp_path / "c", train=2, val=1)
    dataset = DatasetConfig("camvid-480x360", root=str(tmp_path / "c"), classes={"Sky": "sky", "Road": "road"})
    config = dataclasses.replace(_still(make_config()), datasets=(dataset,))
    data = _open(config)
    stored = stored_ids(tmp_path / "c" / "trainannot" / "train_000.png")
    expected = np.select([stored == 3, stored == 0], [0, 1], 255)
    assert np.array_equal(data.splits[0].sample(0).labels_HW, expected)


def test_the_published_changes(tmp_path: Path) -> None:
    """The short side of larger images is made once: the crops are the same, and less memory is taken."""
    published = AugmentConfig(pipeline="published", crop_px=33, short_side=40)
    config = dataclasses.replace(make_config(make_dataset(tmp_path, size=(80, 120))), augment=published)
    data = _open(config)
    for n in range(6):
        index = draw_index(config.seed, "tiny", n=n, size=3)
        pair = data.splits[0].pairs[index]
        whole = read_pair(pair, data.splits[0].mapping)
        expected = published_augment(*whole, config=published, random=draw_random(config.seed, "tiny", n=n))
        crop = data.crop(Draw(0, 0, n))
        assert np.array_equal(crop.pixels_HW3, expected[0])
        assert np.array_equal(crop.labels_HW, expected[1])
    assert data.splits[0].sample(0).pixels_HW3.shape == (40, 60, 3)
    assert data.cache.bytes == 3 * 40 * 60 * 4


@pytest.mark.parametrize("change", [{"colour_p": 0.5}, {"rare_p": 0.5}])
def test_the_published_changes_know_no_others(tmp_path: Path, change: dict[str, float]) -> None:
    published = AugmentConfig(pipeline="published", crop_px=33, **change)
    with pytest.raises(ConfigError, match="set colour_p and rare_p to 0"):
        _open(dataclasses.replace(make_config(make_dataset(tmp_path)), augment=published))
