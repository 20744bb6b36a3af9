"""Pairs a second that `dataset check` reads, against a plain loop over cv2: `python -m benchmarks.doctor`.

CamVid at 480 x 360 where it is at hand, else made pictures of that size. The plain loop reads image and label with one
thread and counts the pixels of labels; it finds nothing. Prints a JSON line; the ratio is the doctor to the plain loop.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.rounds import in_turns
from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.doctor import check

_CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"
_ROUNDS = 3
_MADE = 200


def measure(rounds: int = _ROUNDS, *, made: int = _MADE) -> dict[str, object]:
    """Rates in pairs a second, each a median over rounds in turns, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        root = _CAMVID if _CAMVID.is_dir() else _make(Path(folder), made)
        source = load_dataset("camvid-480x360", root=root)
        timed = in_turns(
            {"doctor": lambda: check(source, splits=["train", "val"]).pairs, "plain": lambda: _plain(source)},
            rounds=rounds + 1,
        )
        pairs = int(timed["doctor"].answer)
        # The first round fills the cache of the file system, and is not counted.
        for one in timed.values():
            one.seconds.pop(0)
        rates = {name: pairs / one.median for name, one in timed.items()}
        return {
            "pairs_per_s": rates["doctor"],
            "plain_pairs_per_s": rates["plain"],
            "ratio": rates["doctor"] / rates["plain"],
            "pairs": pairs,
            "source": "CamVid" if root == _CAMVID else "made",
        }


def _plain(source: DatasetDescription) -> int:
    total, pairs = np.zeros(256, np.int64), 0
    for split in ("train", "val"):
        for pair in source.pairs(split):
            cv2.imread(str(pair.image))
            total += np.bincount(np.asarray(cv2.imread(str(pair.label), cv2.IMREAD_UNCHANGED)).ravel(), minlength=256)
            pairs += 1
    return pairs


def _make(root: Path, count: int) -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            (root / kind).mkdir(parents=True)
        for number in range(count // 2):
            few = random.integers(0, 256, (36, 48, 3), np.uint8)
            cv2.imwrite(str(root / split / f"{number}.jpg"), cv2.resize(few, (480, 360)))
            ids = cv2.resize(few[..., 0] % 12, (480, 360), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(root / f"{split}annot" / f"{number}.png"), ids)
    return root


if __name__ == "__main__":
    print(json.dumps(measure()))
