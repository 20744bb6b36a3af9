from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mseg_studio.errors import ConfigError, DatasetError, MSegStudioError
from mseg_studio.networks.hrnet_w18_small import NETWORK
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.training.augment import MEAN_RGB, STD_RGB
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.head import IGNORE, head_of, resolved
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.validation import Validation, validate
from mseg_studio.training.validation_data import ValidationData
from tests.training.factory import CLASSES, make_config, make_dataset, stored_ids
from tests.training.rank_calls import call_in_ranks

CPU = torch.device("cpu")


class _Threshold(nn.Module):
    """Sky where blue is well above red, else road, at a quarter of the size; never a car.

    Differences of bytes between four points are sixteenths, so none is at the threshold, whatever the rounding.
    """

    stride = 4

    def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        assert all(side % 8 == 1 for side in images_NCHW.shape[2:])
        pixels = images_NCHW[:, :, :: self.stride, :: self.stride] * torch.tensor(STD_RGB)[:, None, None]
        red, _, blue = (pixels + torch.tensor(MEAN_RGB)[:, None, None]).unbind(1)
        return torch.stack([red - blue + 60.3, blue - red - 60.3, torch.full_like(red, -100)], dim=1) / 20


def _opened(config: TrainConfig) -> tuple[ValidationData, dict]:
    config = resolved(config)
    head = head_of(config)
    return ValidationData.open(config, head), {"head": head, "precision": "float32", "device": CPU}


def _plain(network: nn.Module, config: TrainConfig, split: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """Truth, prediction and mean loss of all images of one size, by full-size logits."""
    val, _ = _opened(config)
    truths, found, losses = [], [], []
    for index in range(len(val.splits[split].pairs)):
        pixels, labels = val.splits[split].read(index)
        height, width = labels.shape
        images = (torch.from_numpy(pixels.copy()).float() - torch.tensor(MEAN_RGB)) / torch.tensor(STD_RGB)
        images = functional.pad(images.permute(2, 0, 1)[None], (0, -(width - 1) % 8, 0, -(height - 1) % 8))
        with torch.no_grad():
            strided = network.strided_logits(images)
        full = functional.interpolate(strided, images.shape[2:], mode="bilinear", align_corners=True)[0]
        full = full[:, :height, :width]
        truths.append(labels)
        found.append(full.argmax(0).numpy())
        stride = config.loss.label_stride
        flat = functional.cross_entropy(
            full[None, :, ::stride, ::stride],
            torch.from_numpy(labels[None, ::stride, ::stride]).long(),
            ignore_index=IGNORE,
            reduction="none",
        )
        losses.append(flat[torch.from_numpy(labels[None, ::stride, ::stride]) != IGNORE])
    return np.stack(truths), np.stack(found), float(torch.cat(losses).mean())


def test_the_numbers_are_those_of_full_size_logits(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path, size=(50, 67)))
    val, options = _opened(config)
    network = _Threshold()
    result = validate(network, val, **options)
    truth, guess, loss = _plain(network, config)
    guess = np.where(truth == IGNORE, IGNORE, guess)
    for row, name in enumerate(("road", "sky", "car")):
        union = ((truth == row) | (guess == row)).sum()
        assert result.iou[name] == pytest.approx(((truth == row) & (guess == row)).sum() / union)
    assert result.iou["car"] == 0
    assert result.iou["road"] > 0.5
    assert result.miou == pytest.approx(sum(result.iou.values()) / 3)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    assert result.by_dataset == {"tiny": {"miou": result.miou, "loss": result.loss}}
    assert result.images == 3
    assert network.training


def test_several_datasets_by_their_own_classes(tmp_path: Path) -> None:
    one, two = (make_dataset(tmp_path / name, images=count) for name, count in (("one", 2), ("two", 3)))
    datasets = (
        DatasetConfig(str(one), name="one", classes=CLASSES),
        DatasetConfig(str(two), name="two", classes={"Sky": "sky", "Road": "road"}, train_split=""),
    )
    config = make_config(datasets=datasets)
    val, options = _opened(config)
    result = validate(_Threshold(), val, **options)
    assert list(result.by_dataset) == ["one", "two"]
    alone = [validate(_Threshold(), _opened(make_config(datasets=datasets[:1]))[0], **options)]
    alone.append(validate(_Threshold(), dataclasses.replace(val, splits=val.splits[1:]), **options))
    mious = [single.miou for single in alone]
    assert [part["miou"] for part in result.by_dataset.values()] == mious
    assert alone[1].iou.keys() == {"sky", "road"}
    assert mious[1] == pytest.approx(sum(alone[1].iou.values()) / 2), "the car row is not one of its classes"
    assert result.miou == pytest.approx(2 / (1 / mious[0] + 1 / mious[1]))
    assert result.images == 5


def test_the_network_may_see_another_size(tmp_path: Path) -> None:
    """At a short side of its own; labels are compared at the size of their file."""
    config = make_config(make_dataset(tmp_path, size=(120, 160)))
    config = dataclasses.replace(config, augment=dataclasses.replace(config.augment, short_side=61))
    sizes = []

    class Looking(_Threshold):
        def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(images_NCHW.shape[2:]))
            return super().strided_logits(images_NCHW)

    val, options = _opened(config)
    result = validate(Looking(), val, **options)
    assert set(sizes) == {(65, 81)}
    assert result.iou["sky"] > 0.9
    assert result.iou["road"] > 0.7


def test_rows_without_a_class_never_win(tmp_path: Path) -> None:
    """A naive head has a free row; its labels need two bytes."""
    config = make_config(make_dataset(tmp_path), taxonomy="naive", head="all")

    class FreeRow(nn.Module):
        def strided_logits(self, images_NCHW: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(1, 316, *((side - 1) // 4 + 1 for side in images_NCHW.shape[2:]))
            logits[:, 255], logits[:, 300] = 9, 5
            return logits

    val, options = _opened(config)
    result = validate(FreeRow(), val, **options)
    assert result.miou == 0
    assert result.loss == pytest.approx(math.log(314 + math.exp(9) + math.exp(5)), rel=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (9, 8), (33, 41)])
def test_any_size_is_taken(tmp_path: Path, size: tuple[int, int]) -> None:
    config = make_config(make_dataset(tmp_path, images=1))
    blue = np.full((*size, 3), (220, 160, 90), np.uint8)
    cv2.imwrite(str(tmp_path / "val" / "a_0.png"), blue)
    cv2.imwrite(str(tmp_path / "valannot" / "a_0.png"), np.zeros(size, np.uint8))
    val, options = _opened(config)
    assert validate(_Threshold(), val, **options).iou["sky"] > 0.7  # what is padded shows at the edge


def test_a_few_images_are_evenly_spread(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path, images=7), validate_images=3)
    val, options = _opened(config)
    assert [pair.image.name for pair in val.splits[0].pairs] == ["a_0.png", "a_4.png", "b_1.png"]
    assert validate(_Threshold(), val, **options).images == 3


def test_progress_and_a_stop(tmp_path: Path) -> None:
    val, options = _opened(make_config(make_dataset(tmp_path, images=4)))
    seen: list[Progress] = []
    stop = CancelToken()

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 2:
            stop.cancel()

    network = _Threshold()
    with pytest.raises(Cancelled):
        validate(network, val, **options, stop=stop, on_progress=on_progress)
    assert [(progress.done, progress.total) for progress in seen] == [(0, 4), (1, 4), (2, 4)]
    assert network.training
    seen.clear()
    validate(network, val, **options, on_progress=seen.append)
    assert seen[-1].done == 4


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    val, options = _opened(config)
    (tmp_path / "val" / "b_1.png").write_bytes(b"no picture")
    with pytest.raises(MSegStudioError, match=r"b_1\.png"):
        validate(_Threshold(), val, **options)
    cv2.imwrite(str(tmp_path / "valannot" / "a_0.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(DatasetError, match=r"a_0\.png: labels are 9x9"):
        validate(_Threshold(), val, **options)
    (tmp_path / "valannot" / "a_0.png").unlink()
    with pytest.raises(DatasetError, match=r"a_0\.png"):
        _opened(config)


def test_a_dataset_that_could_judge_nothing_is_refused(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path / "one"))
    other = DatasetConfig(
        str(make_dataset(tmp_path / "two")), name="other", train_split="", classes={"Bicyclist": "bicyclist"}
    )
    with pytest.raises(ConfigError, match="'other' has no class that the run learns"):
        _opened(dataclasses.replace(config, datasets=(*config.datasets, other)))


def test_without_a_label_the_loss_is_no_number(tmp_path: Path) -> None:
    config = make_config(make_dataset(tmp_path))
    for path in (tmp_path / "valannot").iterdir():
        cv2.imwrite(str(path), np.full_like(stored_ids(path), 11))
    val, options = _opened(config)
    result = validate(_Threshold(), val, **options)
    assert math.isnan(result.loss)
    assert result.miou == 0


def _validated(folder: Path, ranks: Ranks) -> dict:
    """In a process of its own: two datasets of 4 and 3 images, the real network with weights from a seed."""
    val, options = _opened(_two_datasets(folder))
    torch.manual_seed(3)
    network = NETWORK.build(3)
    result = validate(network, val, **options, rank=ranks.rank, world=ranks.world, reduce=ranks)
    return {
        "loss": result.loss,
        "miou": result.miou,
        "by_dataset": {name: dict(part) for name, part in result.by_dataset.items()},
        "iou": dict(result.iou),
        "images": result.images,
    }


def _stopped(folder: Path, ranks: Ranks) -> str:
    """Only the last process is asked to stop, after its first image."""
    val, options = _opened(_two_datasets(folder))
    stop = CancelToken()

    def on_progress(progress: Progress) -> None:
        if ranks.rank == ranks.world - 1 and progress.done:
            stop.cancel()

    place = {"rank": ranks.rank, "world": ranks.world, "reduce": ranks}
    try:
        validate(_Threshold(), val, **options, **place, stop=stop, on_progress=on_progress)
    except Cancelled:
        return "cancelled"
    return "finished"


def _two_datasets(folder: Path) -> TrainConfig:
    datasets = tuple(
        DatasetConfig(str(folder / name / "data.yaml"), name=name, classes=CLASSES) for name in ("one", "two")
    )
    return make_config(datasets=datasets)


def test_the_same_bits_on_one_two_and_three_processes(tmp_path: Path) -> None:
    for name, images in (("one", 4), ("two", 3)):
        make_dataset(tmp_path / name, images=images, size=(40, 56))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = _validated(tmp_path, Ranks())
    torch.set_num_threads(threads)
    assert alone.keys() == {field.name for field in dataclasses.fields(Validation)}
    assert alone["images"] == 7
    for world in (2, 3):
        assert call_in_ranks(world, _validated, tmp_path) == [alone] * world


def test_all_processes_stop_when_one_is_asked(tmp_path: Path) -> None:
    for name, images in (("one", 4), ("two", 3)):
        make_dataset(tmp_path / name, images=images)
    assert call_in_ranks(3, _stopped, tmp_path) == ["cancelled"] * 3
