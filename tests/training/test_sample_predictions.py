from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.training import sample_index
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.head import head_of
from mseg_studio.training.sample_index import SampleIndex, read_index
from mseg_studio.training.sample_predictions import chosen_images, write_samples
from mseg_studio.training.validation_data import ValidationData
from tests.training.factory import CLASSES, make_config, make_dataset, stored_ids


class _Fixed(nn.Module):
    """One row everywhere."""

    def __init__(self, row: int, rows: int = 3) -> None:
        super().__init__()
        self._row, self._rows = row, rows

    def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(1, self._rows, *((side - 1) // 4 + 1 for side in images_NCHW.shape[2:]))
        logits[:, self._row] = 5
        return logits


def _write(folder: Path, config: TrainConfig, network: nn.Module, step: int) -> list[str]:
    head = head_of(config)
    val = ValidationData.open(config, head)
    images = chosen_images(config, val)
    return write_samples(
        folder, images, network, val, step=step, head=head, precision="float32", device=torch.device("cpu")
    )


def test_the_first_image_of_every_validation_split(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name, size=(50, 67)) for name in ("one", "two"))
    datasets = tuple(DatasetConfig(str(path), name=path.parent.name, classes=CLASSES) for path in (one, two))
    config = make_config(datasets=datasets)
    network = _Fixed(1)
    network.train()
    assert _write(tmp_path / "samples", config, network, 100) == []
    assert network.training
    index = read_index(tmp_path / "samples")
    assert (index.taxonomy, index.steps) == ("universal", (100,))
    assert [(image.image, image.dataset, image.has_truth) for image in index.images] == [
        (tmp_path / name / "val" / "a_0.png", name, True) for name in ("one", "two")
    ]
    taxonomy = head_of(config).taxonomy
    ids = read_label_ids(tmp_path / "samples" / "100" / "0.png")
    assert ids.shape == (50, 67)
    assert set(np.unique(ids)) == {taxonomy.id_of("sky")}
    colours = read_image(tmp_path / "samples" / "100" / "0.png").pixels_HW3
    assert tuple(colours[0, 0]) == taxonomy.classes[taxonomy.id_of("sky")].rgb
    stored = stored_ids(tmp_path / "one" / "valannot" / "a_0.png")
    expected = np.select([stored == n for n in (3, 0, 8)], [taxonomy.id_of(n) for n in ("road", "sky", "car")], 255)
    assert np.array_equal(read_label_ids(tmp_path / "samples" / "truth" / "0.png"), expected)


def test_images_that_people_chose(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "data"))
    free = tmp_path / "mine.jpg"
    cv2.imwrite(str(free), np.full((41, 30, 3), 90, np.uint8))
    inside, gone = tmp_path / "data" / "val" / "a_2.png", tmp_path / "gone.jpg"
    config = dataclasses.replace(config, samples=(str(free), str(inside), str(gone)))
    (complaint,) = _write(tmp_path / "samples", config, _Fixed(0), 5)
    assert complaint.startswith(str(gone))
    index = read_index(tmp_path / "samples")
    assert [(image.dataset, image.has_truth) for image in index.images] == [("", False), ("tiny", True), ("", False)]
    assert read_label_ids(tmp_path / "samples" / "5" / "0.png").shape == (41, 30)
    assert (tmp_path / "samples" / "5" / "1.png").is_file()
    assert not (tmp_path / "samples" / "5" / "2.png").exists()


def test_the_newest_steps_are_kept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sample_index, "MOST_STEPS", 3)
    config = make_config(make_dataset(tmp_path / "data"))
    samples = tmp_path / "samples"
    for step in (5, 10, 15, 20):
        _write(samples, config, _Fixed(0), step)
    assert read_index(samples).steps == (10, 15, 20)
    assert sorted(path.name for path in samples.iterdir()) == ["10", "15", "20", "index.json", "truth"]


def test_a_run_that_went_back_drops_what_came_later(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "data"))
    samples = tmp_path / "samples"
    for step in (5, 10, 15):
        _write(samples, config, _Fixed(0), step)
    _write(samples, config, _Fixed(1), 10)
    assert read_index(samples).steps == (5, 10)
    assert not (samples / "15").exists()
    assert set(np.unique(read_label_ids(samples / "10" / "0.png"))) == {head_of(config).taxonomy.id_of("sky")}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"taxonomy": "x"}'])
def test_an_index_that_is_not_there_is_empty(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    assert read_index(tmp_path) == SampleIndex("", (), ())


def test_a_naive_head_needs_two_bytes(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "data"), taxonomy="naive", head="all")
    _write(tmp_path / "samples", config, _Fixed(300, rows=316), 1)
    ids = read_label_ids(tmp_path / "samples" / "1" / "0.png")
    assert ids.dtype == np.uint16
    assert set(np.unique(ids)) == {300}
