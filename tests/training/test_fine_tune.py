"""From labels at hand to a run that is ready to start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mseg_studio.datasets.description import load_dataset
from mseg_studio.errors import CheckpointError, ConfigError, DatasetError, TaxonomyError
from mseg_studio.labels.export import ExportRequest, write_outputs
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.output_layout import OutputPaths
from mseg_studio.labels.sidecar import SourceStamp, build
from mseg_studio.media.image import write_ids_png
from mseg_studio.networks.catalog import find_model
from mseg_studio.settings import user_folder
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.training.config_file import load_config
from mseg_studio.training.fine_tune import (
    FineTuneWishes,
    begin,
    free_name,
    is_fine_tuning,
    plan_fine_tune,
    split,
)
from mseg_studio.training.fine_tune_source import find_labels
from mseg_studio.training.head import head_of, resolved
from tests.flows.test_difference_journey import write_taxonomy
from tests.training.factory import make_dataset

MODEL = "street-small"


def ids_of(names: dict[str, slice], taxonomy: str, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    """Label map (H, W): rows of every class, the ignore id elsewhere."""
    known = default_catalog().taxonomy(taxonomy)
    ids = np.full(size, known.ignore_id, known.id_dtype)
    for name, rows in names.items():
        ids[rows] = known.id_of(name)
    return ids


STREET = {"sky": slice(0, 8), "road": slice(8, 20)}


def export(folder: Path, images: Path, count: int, *, taxonomy: str = "universal", names: Any = None) -> list[Path]:
    """What Export writes for `count` images: a PNG of ids and a sidecar each."""
    images.mkdir(parents=True, exist_ok=True)
    card = find_model(MODEL).card
    known = {
        "model": {"name": MODEL, "network": card.network, "sha256": card.weights_sha256},
        "recipe": {},
        "recipe_hash": "0" * 64,
    }
    written = []
    for number in range(count):
        image = images / f"street_{number}.jpg"
        cv2.imwrite(str(image), np.full((24, 32, 3), 40 * (number % 6), np.uint8))
        labels = LabelMap(ids_of(names or STREET, taxonomy), default_catalog().taxonomy(taxonomy))
        sidecar = build(labels, known, source=SourceStamp.of(image))
        written += write_outputs(OutputPaths(folder / image.stem), ["ids"], ExportRequest(labels), sidecar)[:1]
    return written


def edit(label: Path, names: dict[str, slice], taxonomy: str = "universal") -> None:
    write_ids_png(label, ids_of(names, taxonomy))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Ten exported label maps that a person has corrected."""
    for label in export(tmp_path / "labels", tmp_path / "photos", 10):
        edit(label, STREET | {"car": slice(18, 24)})
    return tmp_path / "labels"


def test_exported_labels_become_a_run(labels: Path, tmp_path: Path) -> None:
    plan = plan_fine_tune(labels, MODEL, FineTuneWishes(settings=("steps=7", "optim.lr=0.003")))
    assert (len(plan.train), len(plan.held_out)) == (8, 2)
    assert plan.classes == {"sky": "sky", "road": "road", "car": "car"}
    config = plan.config
    assert (config.network, config.taxonomy, config.head, config.start) == (
        "hrnet-w18-small",
        "universal",
        "all",
        MODEL,
    )
    assert (config.steps, config.optim.lr, config.base_size, config.augment.short_side) == (7, 0.003, 360, 360)
    assert config.augment.crop_px <= config.card_crop_px == 361
    folder = begin(plan, tmp_path / "run")
    assert is_fine_tuning(folder.path)
    kept = load_config(folder.config_file)
    dataset = load_dataset(kept.datasets[0].description)
    assert [len(dataset.pairs(name)) for name in ("train", "held-out")] == [8, 2]
    assert not {p.image for p in dataset.pairs("train")} & {p.image for p in dataset.pairs("held-out")}
    assert head_of(resolved(kept)).trained == ("car", "road", "sky") or set(head_of(kept).trained) == set(plan.classes)
    with pytest.raises(ConfigError, match="a run in this folder"):
        begin(plan, tmp_path / "run")


def test_the_held_out_part_is_the_same_everywhere_and_nearly_so_with_more_images(tmp_path: Path) -> None:
    export(tmp_path / "a", tmp_path / "photos a", 20)
    export(tmp_path / "b", tmp_path / "photos b", 21)
    kept = [{pair.image.stem for pair in split(find_labels(tmp_path / name), 0.2)[1]} for name in ("a", "b")]
    again = {pair.image.stem for pair in split(find_labels(tmp_path / "a"), 0.2)[1]}
    assert kept[0] == again and len(kept[0]) == 4
    assert len(kept[0] & kept[1]) >= 3
    two = find_labels(tmp_path / "a")
    assert [len(part) for part in split(two, 0.001)] == [19, 1]
    assert [len(part) for part in split(two, 0.999)] == [1, 19]


def test_labels_nobody_changed_are_told_and_can_be_left_out(tmp_path: Path) -> None:
    first, second, *_ = export(tmp_path / "labels", tmp_path / "photos", 8)
    plan = plan_fine_tune(tmp_path / "labels", MODEL)
    assert any("nothing in them to learn" in text for text in plan.warnings)
    edit(first, STREET | {"car": slice(20, 24)})
    edit(second, STREET | {"car": slice(20, 24)})
    plan = plan_fine_tune(tmp_path / "labels", MODEL)
    assert any("6 of 8 labels are street-small's own answers" in text for text in plan.warnings)
    plan = plan_fine_tune(tmp_path / "labels", MODEL, FineTuneWishes(only_changed=True))
    assert {pair.label for pair in (*plan.train, *plan.held_out)} == {first.resolve(), second.resolve()}
    assert not any("answers" in text for text in plan.warnings)
    assert any("only 1 image to learn from" in text for text in plan.warnings)
    assert any("only 1 image held out" in text for text in plan.warnings)


def test_all_labels_unchanged_and_only_changed_ones_asked_for(tmp_path: Path) -> None:
    export(tmp_path / "labels", tmp_path / "photos", 4)
    with pytest.raises(DatasetError, match="nothing was changed"):
        plan_fine_tune(tmp_path / "labels", MODEL, FineTuneWishes(only_changed=True))


def test_images_that_moved_are_found_beside_the_labels_or_where_one_says(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=r"10 labels without image, the first of .*street_0.jpg; say where"):
        find_labels(labels)
    assert len(find_labels(labels, images=tmp_path / "elsewhere").pairs) == 10


def test_classes_that_the_model_does_not_know_or_have(tmp_path: Path) -> None:
    names = STREET | {"dog": slice(20, 24)}
    for label in export(tmp_path / "labels", tmp_path / "photos", 12, names=names):
        edit(label, names | {"car": slice(18, 20)})
    plan = plan_fine_tune(tmp_path / "labels", MODEL)
    assert any("street-small does not know dog" in text for text in plan.warnings)
    assert not any("images to learn" in text for text in plan.warnings)


def test_labels_in_another_taxonomy_go_by_its_links_and_lost_classes_are_named(tmp_path: Path) -> None:
    names = {"sky": slice(0, 8), "road": slice(8, 12), "dynamic": slice(12, 24)}
    for label in export(tmp_path / "labels", tmp_path / "photos", 3, taxonomy="cityscapes-34", names=names):
        edit(label, names, "cityscapes-34")
    plan = plan_fine_tune(tmp_path / "labels", MODEL)
    assert plan.classes == {"sky": "sky", "road": "road"}
    (lost,) = [text for text in plan.warnings if "have no class in universal" in text]
    assert "50 %" in lost and "dynamic" in lost
    for label in (tmp_path / "labels").glob("*.png"):
        edit(label, {"dynamic": slice(0, 24)}, "cityscapes-34")
    with pytest.raises(DatasetError, match="none of the labelled classes has one in universal"):
        plan_fine_tune(tmp_path / "labels", MODEL)


def test_labels_in_a_taxonomy_of_ones_own_go_back_to_the_one_class_the_model_knows(tmp_path: Path) -> None:
    write_taxonomy(
        user_folder("taxonomies") / "mine.yaml",
        {"green": ("vegetation", "terrain"), "way": ("road", "sidewalk_pavement"), "above": ("sky",)},
    )
    names = {"above": slice(0, 8), "green": slice(8, 16), "way": slice(16, 24)}
    export(tmp_path / "labels", tmp_path / "photos", 3, taxonomy="mine", names=names)
    plan = plan_fine_tune(tmp_path / "labels", MODEL)
    # street-small knows both classes that are a way, and of those that are green only vegetation.
    assert plan.classes == {"above": "sky", "green": "vegetation"}
    assert any("way" in text and "are ignored" in text for text in plan.warnings)


def test_no_links_at_all(tmp_path: Path) -> None:
    text = "format: 1\nname: lone\nignore_id: 255\nsource: me\nclasses:\n- {id: 0, name: thing, rgb: [1, 2, 3]}\n"
    place = user_folder("taxonomies")
    place.mkdir(parents=True)
    (place / "lone.yaml").write_text(text)
    export(tmp_path / "labels", tmp_path / "photos", 3, taxonomy="lone", names={"thing": slice(0, 9)})
    with pytest.raises(TaxonomyError, match="no links lead from taxonomy 'lone'"):
        plan_fine_tune(tmp_path / "labels", MODEL)


def test_a_dataset_with_its_own_splits_keeps_them(tmp_path: Path) -> None:
    description = make_dataset(tmp_path / "data", images=4)
    plan = plan_fine_tune(str(description), MODEL)
    assert (len(plan.train), len(plan.held_out)) == (4, 4)
    assert plan.classes == {"Sky": "sky", "Road": "road", "Car": "car"}
    begin(plan, tmp_path / "run")
    dataset = load_dataset(tmp_path / "run" / "fine-tune" / "labels.yaml")
    assert dataset.id_map == load_dataset(description).id_map
    assert dataset.pairs("held-out") == load_dataset(description).pairs("val")


def test_a_split_of_a_dataset_is_parted(tmp_path: Path) -> None:
    description = make_dataset(tmp_path / "data", images=10)
    plan = plan_fine_tune(find_labels(description, splits=("train", "")), MODEL, FineTuneWishes(held_out=0.3))
    assert (len(plan.train), len(plan.held_out)) == (7, 3)


def test_label_maps_beside_their_images_need_a_taxonomy(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    for number in range(3):
        cv2.imwrite(str(place / f"{number}.jpg"), np.zeros((24, 32, 3), np.uint8))
        write_ids_png(place / f"{number}.png", ids_of(STREET, "universal"))
    with pytest.raises(ConfigError, match="no labels of MSeg Studio in this folder"):
        plan_fine_tune(place, MODEL)
    plan = plan_fine_tune(find_labels(place, taxonomy="universal"), MODEL)
    assert len(plan.train) == 2 and {pair.image.suffix for pair in plan.train} == {".jpg"}


@pytest.mark.parametrize(
    ("count", "words"), [(0, "no labels of MSeg Studio"), (1, "1 labelled image: at least 2 are needed")]
)
def test_too_few_labels(tmp_path: Path, count: int, words: str) -> None:
    (tmp_path / "labels").mkdir()
    export(tmp_path / "labels", tmp_path / "photos", count)
    with pytest.raises((ConfigError, DatasetError), match=words):
        plan_fine_tune(tmp_path / "labels", MODEL)


def test_labels_of_another_size_than_the_image(labels: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photos" / "street_3.jpg"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"street_3.png: labels are 32 x 24, the image is 64 x 48"):
        plan_fine_tune(labels, MODEL)


def test_images_of_many_sizes_are_welcome(tmp_path: Path) -> None:
    first, *_ = export(tmp_path / "labels", tmp_path / "photos", 3)
    cv2.imwrite(str(tmp_path / "photos" / "street_0.jpg"), np.zeros((50, 40, 3), np.uint8))
    write_ids_png(first, ids_of(STREET, "universal", (50, 40)))
    assert len(plan_fine_tune(tmp_path / "labels", MODEL).train) == 2


def test_labels_in_two_taxonomies_must_be_chosen(tmp_path: Path) -> None:
    export(tmp_path / "labels" / "a", tmp_path / "photos", 2)
    export(tmp_path / "labels" / "b", tmp_path / "photos", 3, taxonomy="camvid-11", names={"Sky": slice(0, 9)})
    with pytest.raises(ConfigError, match=r"several taxonomies: camvid-11 \(3\), universal \(2\)"):
        find_labels(tmp_path / "labels")
    assert len(find_labels(tmp_path / "labels", taxonomy="universal").pairs) == 2


def test_no_label_at_all(tmp_path: Path) -> None:
    for label in export(tmp_path / "labels", tmp_path / "photos", 3):
        edit(label, {})
    with pytest.raises(DatasetError, match="no pixel is labelled"):
        plan_fine_tune(tmp_path / "labels", MODEL)


def test_what_a_video_gave_is_left_out(labels: Path) -> None:
    values = json.loads((labels / "street_0.json").read_text())
    (labels / "drive.json").write_text(json.dumps(values | {"frames": 3, "timestamps_s": [0, 1, 2]}))
    (labels / "street_9.png").unlink()
    (labels / "other.json").write_text('{"shapes": []}')
    found = find_labels(labels)
    assert len(found.pairs) == 9
    assert "1 video left out" in found.notes[0] and "1 image left out" in found.notes[1]


def test_wrong_wishes(labels: Path) -> None:
    with pytest.raises(CheckpointError, match="street-small"):
        plan_fine_tune(labels, "street-smal")
    with pytest.raises(ConfigError, match="held-out share is 1"):
        plan_fine_tune(labels, MODEL, FineTuneWishes(held_out=1.0))
    with pytest.raises(ConfigError, match="unknown key 'stepz'; did you mean steps"):
        plan_fine_tune(labels, MODEL, FineTuneWishes(settings=("stepz=3",)))


def test_names() -> None:
    assert free_name("street-small-my photos (2)", []) == "street-small-my-photos-2"
    assert free_name("a", ["A", "a-2"]) == "a-3"
    assert free_name("写真", []) == "fine-tuned"
