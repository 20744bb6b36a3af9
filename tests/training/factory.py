"""Small data and small configurations for the tests of training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mseg_studio.training.config import (
    AugmentConfig,
    DatasetConfig,
    LossConfig,
    OptimConfig,
    TrainConfig,
)

CLASSES = {"Sky": "sky", "Road": "road", "Car": "car"}


def make_dataset(folder: Path, *, images: int = 3, size: tuple[int, int] = (48, 64)) -> Path:
    """A dataset of sky over road with a car, in camvid-11, as image and label folders; returns its description."""
    random = np.random.default_rng(0)
    height, width = size
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for n in range(images):
            ids = np.zeros(size, np.uint8)
            ids[height // 2 :] = 3
            top, left = int(random.integers(height // 2)) + height // 4, int(random.integers(width - 16))
            ids[top : top + 12, left : left + 16] = 8
            ids[0, :] = 11
            colours = np.zeros((12, 3), np.uint8)
            colours[[0, 3, 8]] = (220, 160, 90), (80, 80, 80), (30, 40, 200)
            noise = random.integers(0, 40, (*size, 3))
            pixels = np.clip(colours[ids].astype(int) + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / split / f"{'ab'[n % 2]}_{n}.png"), pixels)
            cv2.imwrite(str(folder / f"{split}annot" / f"{'ab'[n % 2]}_{n}.png"), ids)
    description = folder / "data.yaml"
    description.write_text(
        "format: 1\nname: tiny\ntaxonomy: camvid-11\nignore_id: 255\nsplits:\n"
        "  train: {images: train, labels: trainannot, image_suffix: .png, label_suffix: .png}\n"
        "  val: {images: val, labels: valannot, image_suffix: .png, label_suffix: .png}\n"
        "id_map: {0: Sky, 3: Road, 8: Car, 11: ignore}\n",
        encoding="utf-8",
    )
    return description


def make_config(description: Path | str = "data.yaml", **changes: Any) -> TrainConfig:
    """A run of a few quick steps that uses every part of the loop."""
    config = TrainConfig(
        name="tiny",
        datasets=(DatasetConfig(str(description), name="tiny", classes=CLASSES),),
        start="random",
        steps=11,
        batch=2,
        augment=AugmentConfig(
            crop_px=33, scale=(0.8, 1.5), colour_p=0.5, rare_p=0.5, rare_classes=("Car",), rotation_p=0.5
        ),
        loss=LossConfig(label_stride=2, class_weight_power=0.5, lovasz_weight=0.5),
        optim=OptimConfig(
            optimizer="adamw",
            lr=2e-3,
            weight_decay=0.01,
            decay_norms=False,
            schedule="plateau",
            warmup_steps=3,
            clip_norm=5.0,
            norm_momentum=0.1,
            average_decay=0.9,
        ),
        threads=1,
        log_every=5,
        validate_every=5,
        save_every=5,
        card_crop_px=33,
        base_size=48,
    )
    return dataclasses.replace(config, **changes)


def make_datasets(folder: Path, *, sizes: tuple[int, ...] = (3, 5)) -> tuple[DatasetConfig, ...]:
    """Datasets of so many training images each, called data0, data1 and so on; the second one has no car."""
    return tuple(
        DatasetConfig(
            str(make_dataset(folder / f"data{n}", images=images)),
            name=f"data{n}",
            classes={source: target for source, target in CLASSES.items() if n != 1 or target != "car"},
        )
        for n, images in enumerate(sizes)
    )


def with_dataset(config: TrainConfig, **changes: Any) -> TrainConfig:
    """The configuration with other fields of its first dataset."""
    first, *others = config.datasets
    return dataclasses.replace(config, datasets=(dataclasses.replace(first, **changes), *others))


def stored_ids(path: Path) -> np.ndarray:
    """The numbers in a label file, as they are."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
