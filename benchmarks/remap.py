"""Labels of 480x360 a second that `dataset remap` writes, against a plain loop over cv2: `python -m benchmarks.remap`.

CamVid's labels where they are at hand, else made ones. Both go to universal; the plain loop has one thread, checks
nothing and could not go on after a stop. Prints one JSON line; the ratio is remap's rate to the plain one.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.rounds import in_turns
from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import LabelMapping, label_mapping
from mseg_studio.datasets.remap import Remapped, remap
from mseg_studio.media.image import write_ids_png, write_rgb_png
from mseg_studio.settings import available_cores

_CAMVID = Path(__file__).parents[2] / "shared" / "data" / "camvid"
_IDS = "{0: Sky, 1: Building, 2: Column_Pole, 3: Road, 4: Sidewalk, 5: Tree, 6: SignSymbol, 7: Fence, 8: Car"
_LINKS = "{Sky: sky, Building: building, Column_Pole: pole, Road: road, Sidewalk: sidewalk_pavement, Tree: vegetation"
_ROUNDS = 3
_MADE = 200


def measure(rounds: int = _ROUNDS, *, made: int = _MADE) -> dict[str, object]:
    """Rates in labels a second, each a median over rounds in turns, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = _dataset(place, made=made)
        mapping = label_mapping(source, "universal")
        counter = iter(range(1000))

        def studio() -> Remapped:
            return remap(mapping, place / f"studio{next(counter)}")

        timed = in_turns({"remap": studio, "plain": lambda: _plain(mapping, place / "plain")}, rounds=rounds + 1)
        labels = timed["remap"].answer.done
        start = time.process_time()
        studio()
        cpu_s = time.process_time() - start
        # The first round fills the cache of the file system, and is not counted.
        for one in timed.values():
            one.seconds.pop(0)
        rates = {name: labels / one.median for name, one in timed.items()}
        return {
            "labels_per_s": rates["remap"],
            "plain_labels_per_s": rates["plain"],
            "cpu_ms_per_label": 1000 * cpu_s / labels,
            "ratio": rates["remap"] / rates["plain"],
            "labels": labels,
            "cores": available_cores(),
            "source": "CamVid" if _CAMVID.is_dir() else "made",
        }


def _dataset(place: Path, *, made: int) -> DatasetDescription:
    root = _CAMVID
    if not root.is_dir():
        root = place / "made"
        random = np.random.default_rng(0)
        for split in ("train", "val"):
            for kind in (split, f"{split}annot"):
                (root / kind).mkdir(parents=True)
            for number in range(made // 2):
                few = random.integers(0, 9, (36, 48), np.uint8)
                write_ids_png(root / f"{split}annot" / f"{number}.png", cv2.resize(few, (480, 360), interpolation=0))
                write_rgb_png(root / split / f"{number}.png", np.zeros((1, 1, 3), np.uint8))
    splits = [f"  {name}: {{images: {root / name}, labels: {root / name}annot}}\n" for name in ("train", "val")]
    ids = _IDS + ", 9: Pedestrian, 10: Bicyclist, 11: ignore}"
    links = _LINKS + ", SignSymbol: traffic_sign, Fence: fence, Car: car, Pedestrian: person, Bicyclist: bicyclist}"
    text = f"name: camvid\ntaxonomy: camvid-11\nsplits:\n{''.join(splits)}id_map: {ids}\nto_universal: {links}\n"
    (place / "camvid.yaml").write_text(text, encoding="utf-8")
    return load_dataset(place / "camvid.yaml")


def _plain(mapping: LabelMapping, output: Path) -> None:
    """What one writes in five lines: read, look up, write."""
    output.mkdir(exist_ok=True)
    table = np.zeros(256, np.uint8)
    for number, name in mapping.description.id_map.items():
        target = mapping.class_links.get(name)
        table[number] = 255 if target is None else mapping.target.id_of(target)
    for split in mapping.description.splits:
        for pair in mapping.description.pairs(split):
            ids = cv2.imread(str(pair.label), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(output / f"{split}-{pair.label.name}"), cv2.LUT(ids, table))


if __name__ == "__main__":
    print(json.dumps(measure()))
