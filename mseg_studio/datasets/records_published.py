"""The record lists that MSeg published with its relabeled datasets: one `image_segment.png` a line.

What a list says is in its name: `mseg/relabeled_data/<topic>/<list>.txt` of mseg-api (2bd00ae), where a topic is a
dataset and the class that was looked at, and a list is a split and the class that people saw. Classes are universal
ones, so they apply to labels in a `-relabeled` or the universal taxonomy. Lines name the image and the number of a
segment in the dataset's own files; endings differ (`.png`, `.jpg`) and mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mseg_studio.datasets.description import IGNORE
from mseg_studio.datasets.records import Record, Segment, read_file
from mseg_studio.errors import DatasetError
from mseg_studio.taxonomy.catalog import UNIVERSAL, default_catalog

WHO = "MSeg (Lambert et al. 2020)"
MAX_BYTES = 1 << 26

FROM_CLASSES = {
    "ade20k_animal": "animal_other",
    "ade20k_chest_of_drawers": "chest_of_drawers",
    "ade20k_curtain": "curtain_other",
    "ade20k_fence_guardrail": "fence",
    "ade20k_food": "food_other",
    "ade20k_glass": "wine_glass",
    "ade20k_motorcyclist_bicyclist": "person",
    "ade20k_nonrider": "person",
    "ade20k_plaything": "plaything_other",
    "ade20k_snow-mountain-hill": "mountain_hill",
    "ade20k_table": "table",
    "bdd_person": "person",
    "bdd_rider": "rider_other",
    "cityscapes_rider": "rider_other",
    "cocop_bridge": "bridge",
    "cocop_cabinet-merged": "cabinet",
    "cocop_chair": "chair_other",
    "cocop_cocop_counter": "counter_other",
    "cocop_curtain": "curtain_other",
    "cocop_diningtable": "table",
    "cocop_fence-guardrail": "fence",
    "cocop_light": "light_other",
    "cocop_platform": "platform",
    "cocop_rug-merged": "rug_floormat",
    "cocop_runway_pavement": "sidewalk_pavement",
    "cocop_runway_road": "road",
    "cocop_table-merged": "table",
    "cocop_tent": "tent",
    "cocop_waterother": "water_other",
    "cocopanoptic_cocop_motorcyclist_bicyclist": "person",
    "cocopanoptic_cocop_nonrider": "person",
    "idd_rider": "rider_other",
    "mapillarypublic_groundanimal": "dog",
    "mapillarypublic_water": "water_other",
    "sunrgbd_chair": "chair_other",
    "sunrgbd_counter": "counter_other",
    "sunrgbd_lamp": "light_other",
}
"""Topic to the universal class that its segments had."""

_TO_WORDS = {
    **dict.fromkeys(("noneofthese", "none", "unlabel"), IGNORE),
    "personnonrider": "person",
    "sofa": "couch",
    "cabinetmerged": "cabinet",
    **dict.fromkeys(("pavementmerged", "pavementsidewalk"), "sidewalk_pavement"),
    "airportrunway": "runway",
    **dict.fromkeys(("grandstand", "house"), "building"),
    "signboard": "billboard",
    "windsurfingkite": "kite",
    "plaything": "plaything_other",
    **dict.fromkeys(("deskandtable", "tableusedasdesk"), "desk"),
}
"""What follows `_to_` in a list's name, letters only, where it is not the universal name."""

_PLAIN_WORDS = {
    "unlabel": IGNORE,
    "showercurtain": "shower_curtain",
    "othercurtain": "curtain_other",
    "guardrail": "guard_rail",
    "mountainhill": "mountain_hill",
    "snow": "snow",
    "floorcarpet": "floor",
    "rugfloormat": "rug_floormat",
    "bookshelf": "bookshelf",
    "nightstand": "nightstand",
    "wardrobe": "wardrobe",
    "dresser": "chest_of_drawers",
    "counter": "counter_other",
    "desk": "desk",
    "cabinet": "cabinet",
    "fence": "fence",
}
"""Names without `_to_`: the first of these words that is in them."""

_SPLITS = {"train": "train", "val": "val", "test": "val"}
"""SUN RGB-D's test images are what MSeg validates on."""


def read_published(
    path: Path, *, from_class: str | None = None, to_class: str | None = None, split: str | None = None
) -> tuple[Record, ...]:
    """The records of a published list; what is given takes the place of what its name says.

    Raises DatasetError: a name that says no classes, a line that is no `image_segment`, a file that cannot be read.
    """
    topic = path.resolve().parent.name
    before = from_class or FROM_CLASSES.get(topic)
    after = to_class or class_of_name(path.stem)
    if before is None or after is None:
        raise DatasetError(
            "its name says not from which class to which; keep MSeg's names and folders, or give both classes",
            path=path,
        )
    found = re.search(r"(?:^|_)(train|val|test)(?:_|split|$)", path.stem)
    chosen = split if split is not None else _SPLITS[found[1]] if found else ""
    image_of = _image_reader(topic)
    records = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(.+)_(\d{1,9})\.(?:png|jpg)", line.strip())
        image = image_of(match[1]) if match else None
        if match is None or not image:
            raise DatasetError(f"line {number}: expected `image_segment.png`, got {line!r:.80}", path=path)
        records.append(Record(image, Segment(segment_id=int(match[2])), before, after, chosen, WHO))
    return tuple(records)


def class_of_name(stem: str) -> str | None:
    """The class that people saw, by a list's name without its ending; None where it does not say."""
    _, separator, word = stem.rpartition("_to_")
    if not separator:
        letters = _letters(stem)
        return next((name for key, name in _PLAIN_WORDS.items() if key in letters), None)
    letters = _letters(word)
    if letters in _TO_WORDS:
        return _TO_WORDS[letters]
    names = {_letters(name): name for name in default_catalog().taxonomy(UNIVERSAL).names}
    return names.get(letters)


def _image_reader(topic: str) -> Callable[[str], str | None]:
    """How a topic's lines name an image; None for a line that does not."""
    if topic.startswith(("cityscapes", "idd")):
        return _below_sequence
    if topic.startswith("mapillary"):
        return lambda name: name.removeprefix("mapillary_")
    return lambda name: name


def _below_sequence(name: str) -> str | None:
    """`seqfrankfurt_frankfurt_000000_000294_leftImg8bit` is `frankfurt/frankfurt_000000_000294_leftImg8bit`."""
    sequence, _, image = name.partition("_")
    return f"{sequence.removeprefix('seq')}/{image}" if sequence.startswith("seq") and image else None


def _lines(path: Path) -> list[str]:
    try:
        return read_file(path, "a list of segments", most_bytes=MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"byte {error.start} is not UTF-8, expected a list of segments", path=path) from error


def _letters(text: str) -> str:
    return re.sub("[^a-z]", "", text.lower())
