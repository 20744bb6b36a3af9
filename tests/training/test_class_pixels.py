from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mseg_studio.errors import DatasetError
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.settings import user_folder
from mseg_studio.training.class_pixels import class_histogram, drawn_pixels, histogram
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.head import head_of, resolved
from tests.training.factory import make_config, make_dataset, stored_ids, with_dataset


def _stored(folder: Path) -> dict[int, int]:
    found = np.bincount(
        np.concatenate([stored_ids(path).ravel() for path in (folder / "trainannot").iterdir()]), minlength=12
    )
    return {number: int(count) for number, count in enumerate(found)}


def test_pixels_after_mapping(tmp_path: Path) -> None:
    config, stored = make_config(make_dataset(tmp_path)), _stored(tmp_path)
    found = histogram(config)
    assert dict(found.classes) == {"road": stored[3], "sky": stored[0], "car": stored[8]}
    assert found.ignored_pixels == stored[11]
    assert found.images == 3
    assert class_histogram(config) == dict(found.classes)


def test_classes_that_are_not_trained_do_not_count(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    stored = _stored(tmp_path)
    config = _without_rare(config)
    config = with_dataset(config, classes={"Sky": "building", "Car": "building", "Pedestrian": "person"})
    found = histogram(config)
    assert dict(found.classes) == {"building": stored[0] + stored[8], "person": 0}
    assert found.ignored_pixels == stored[11] + stored[3]


def _without_rare(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, augment=dataclasses.replace(config.augment, rare_classes=(), rare_p=0.0))


def test_weights_count_datasets_alike_whatever_their_size(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name, images=count) for name, count in (("one", 1), ("two", 4)))
    datasets = (
        DatasetConfig(str(one), name="one", classes={"Sky": "sky", "Car": "car"}),
        DatasetConfig(str(two), name="two", classes={"Road": "road", "Car": "car"}),
    )
    config = make_config(datasets=datasets)
    found = drawn_pixels(config, head_of(config))
    small, large = _stored(tmp_path / "one"), _stored(tmp_path / "two")
    larger = large[3] + large[8]
    factor = larger / (small[0] + small[8])
    assert head_of(config).rows == ("road", "sky", "car")
    assert found.tolist() == [large[3], round(small[0] * factor), round(small[8] * factor + large[8])]
    assert found.dtype == np.int64
    assert class_histogram(config)["car"] == small[8] + large[8], "people see what is there"


def test_counts_are_kept_until_a_label_file_changes(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    first = histogram(config)
    (kept,) = (user_folder("cache") / "class-pixels").iterdir()
    seen: list[Progress] = []
    assert histogram(config, on_progress=seen.append) == first
    assert seen == [], "from the cache"
    other_classes = with_dataset(_without_rare(config), classes={"Sky": "sky", "Road": "road"})
    histogram(other_classes, on_progress=seen.append)
    assert seen == [], "one count serves every choice of classes"
    kept.write_text("{damaged")
    assert histogram(config, on_progress=seen.append) == first
    assert [progress.done for progress in seen] == [1, 2, 3]
    changed = tmp_path / "trainannot" / "a_0.png"
    cv2.imwrite(str(changed), np.zeros((48, 64), np.uint8))
    assert histogram(config).classes["sky"] > first.classes["sky"]


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    user_folder("cache").parent.mkdir(parents=True, exist_ok=True)
    user_folder("cache").write_text("a file where the folder should be")
    assert histogram(config).images == 3


def test_counting_stops_when_asked(tmp_path: Path) -> None:
    cancel = CancelToken()
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        cancel.cancel()

    with pytest.raises(Cancelled):
        histogram(make_config(make_dataset(tmp_path, images=40)), cancel=cancel, on_progress=on_progress)
    assert len(seen) < 40
    assert not (user_folder("cache") / "class-pixels").exists()


def test_a_broken_label_is_named(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    cv2.imwrite(str(tmp_path / "trainannot" / "b_1.png"), np.full((48, 64), 77, np.uint8))
    with pytest.raises(DatasetError, match=r"b_1\.png: id 77"):
        histogram(config)


def test_classes_are_found_by_the_links(tmp_path: Path) -> None:
    config = with_dataset(_without_rare(make_config(make_dataset(tmp_path), taxonomy="camvid-11")), classes={})
    stored = _stored(tmp_path)
    found = class_histogram(config)
    assert found == {"Sky": stored[0], "Road": stored[3], "Car": stored[8]}
    assert tuple(found) == head_of(resolved(config)).rows


def test_all_of_it_without_torch() -> None:
    """The window asks for it."""
    modules = "class_pixels, data, data_files, head, loader, sampler, sample_index, validation_data"
    code = f"import sys; from mseg_studio.training import {modules}; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "False"
