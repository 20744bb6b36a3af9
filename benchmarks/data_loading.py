"""Crops a second that training gets from its loader, and from a plain loop: `python -m benchmarks.data_loading`.

CamVid where it is at hand, else made pictures of its size. `crops_per_s`: crop 321 with the random changes of the
recipe street-small, all threads, samples decoded before. `first_epoch_crops_per_s`: the same while every image is
decoded. `plain_crops_per_s`: one thread that reads and decodes with OpenCV and makes the same crops.
`published_crops_per_s`: the steps of the published code, at short side 360 and crop 321. Prints one JSON line.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.rounds import in_turns
from mseg_studio.settings import available_cores
from mseg_studio.training.augment import augment
from mseg_studio.training.config import DatasetConfig, TrainConfig
from mseg_studio.training.data import TrainData
from mseg_studio.training.head import Head, head_mapping, head_of, open_dataset, resolved
from mseg_studio.training.loader import CropLoader
from mseg_studio.training.recipes import load_recipe
from mseg_studio.training.sampler import draw_index, draw_random

_CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"
_STEPS = 100
"""Of 8 crops."""
_PUBLISHED_STEPS = 30
_PLAIN_CROPS = 80
_PUBLISHED = (
    *("pipeline=published", "short_side=360", "scale=[0.5, 2.0]", "rotation_degrees=10", "rotation_p=0.5"),
    *("blur_p=0.5", "flip_p=0.5", "colour_p=0", "rare_p=0"),
)


def measure(rounds: int = 3, *, made: int = 60) -> dict[str, object]:
    """Rates, each a median over rounds in turns, and the ratio of the loader's to the plain one's."""
    with tempfile.TemporaryDirectory() as folder:
        root = _CAMVID if _CAMVID.is_dir() else _made(Path(folder), made)
        config = _config(root)
        published = _config(root, *(f"augment.{setting}" for setting in _PUBLISHED))
        head = head_of(config)
        data, published_data = (TrainData.open(one, head) for one in (config, published))
        pairs = len(data.splits[0].pairs)
        start = time.perf_counter()
        _load(data, config, steps=-(-pairs // config.batch))
        first_s = time.perf_counter() - start
        _load(published_data, published, steps=-(-pairs // config.batch))
        runs: dict[str, Callable[[], int]] = {
            "loader": lambda: _load(data, config, steps=_STEPS),
            "published": lambda: _load(published_data, published, steps=_PUBLISHED_STEPS),
            "plain": lambda: _plain(config, head, crops=_PLAIN_CROPS),
        }
        timed = in_turns(runs, rounds=rounds)
        rates = {name: one.answer / one.median for name, one in timed.items()}
        return {
            "crops_per_s": rates["loader"],
            "ratio": rates["loader"] / rates["plain"],
            "plain_crops_per_s": rates["plain"],
            "first_epoch_crops_per_s": -(-pairs // config.batch) * config.batch / first_s,
            "published_crops_per_s": rates["published"],
            "cores": available_cores(),
            "source": "CamVid" if _CAMVID.is_dir() else "made",
        }


def _config(root: Path, *settings: str) -> TrainConfig:
    dataset = DatasetConfig("camvid-480x360", root=str(root), name="camvid")
    return resolved(load_recipe("street-small").config(name="x", datasets=(dataset,), settings=settings))


def _load(data: TrainData, config: TrainConfig, *, steps: int) -> int:
    """Crops that the loader gave in so many steps, among them none that was made before."""
    with CropLoader(data, config) as loader:
        return sum(len(part.pixels_NHW3) for _ in range(steps) for part in loader.next().parts)


def _plain(config: TrainConfig, head: Head, *, crops: int) -> int:
    """What one writes in ten lines: read, look up, change, stack."""
    dataset = config.trained[0]
    description = open_dataset(dataset)
    pairs = description.pairs(dataset.train_split)
    mapping = head_mapping(description, dataset, head)
    table = np.full(256, 255, np.uint8)
    for number, name in description.id_map.items():
        target = mapping.class_links.get(name)
        table[number] = 255 if target is None else mapping.target.id_of(target)
    rare = [head.rows.index(dataset.classes[name]) for name in config.augment.rare_classes]
    made = []
    for n in range(crops):
        pair = pairs[draw_index(config.seed, dataset.name, n=n, size=len(pairs))]
        pixels = cv2.cvtColor(cv2.imread(str(pair.image)), cv2.COLOR_BGR2RGB)
        labels = cv2.LUT(cv2.imread(str(pair.label), cv2.IMREAD_UNCHANGED), table)
        random = draw_random(config.seed, dataset.name, n=n)
        made.append(augment(pixels, labels, config=config.augment, rare_ids=rare, random=random))
        if len(made) == config.batch:
            np.stack([crop[0] for crop in made]), np.stack([crop[1] for crop in made])
            made.clear()
    return crops


def _made(root: Path, count: int) -> Path:
    """Pictures of CamVid's size with smooth colours and labels."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            (root / kind).mkdir(parents=True)
        for number in range(count if split == "train" else 2):
            few = random.integers(0, 256, (24, 32, 3), np.uint8)
            cv2.imwrite(str(root / split / f"{number:03d}.jpg"), cv2.resize(few, (480, 360)))
            ids = cv2.resize(random.integers(0, 12, (36, 48), np.uint8), (480, 360), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(root / f"{split}annot" / f"{number:03d}.png"), ids)
    return root


if __name__ == "__main__":
    print(json.dumps(measure()))
