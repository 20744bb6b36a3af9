"""Recipes by name: the published numbers, and what a user's datasets, settings and start make of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mseg_studio.errors import ConfigError
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.config_file import load_config, save_config
from mseg_studio.training.recipes import Recipe, load_recipe, recipe_names
from mseg_studio.training.start import find_network
from tests.training.factory import make_dataset

SEVEN = ("ade20k", "bdd", "cityscapes", "coco-panoptic", "idd", "mapillary", "sunrgbd")
PUBLISHED = {
    "mseg-1080-3m": (1080, 713, 35, 3_000_000),
    "mseg-720-3m": (720, 593, 49, 3_000_000),
    "mseg-480-3m": (480, 473, 84, 3_000_000),
    "mseg-1080-1m": (1080, 713, 14, 1_000_000),
    "mseg-1080-3m-unrelabeled": (1080, 713, 35, 3_000_000),
    "mseg-1080-1m-unrelabeled": (1080, 713, 35, 1_000_000),
    "mseg-480-3m-unrelabeled": (480, 473, 84, 3_000_000),
    "mseg-1080-naive": (1080, 713, 28, 1_000_000),
    "mseg-1080-mgda": (1080, 713, 35, 1_000_000),
    "single-universal": (1080, 713, 32, 1_000_000),
    "oracle": (1080, 713, 32, 1_000_000),
}


def _roots(*names: str) -> tuple[DatasetConfig, ...]:
    """What `--dataset NAME=/data/NAME` gives."""
    return tuple(DatasetConfig(name, root=f"/data/{name}", name=name) for name in names)


def _relabeled(folder: Path, name: str) -> DatasetConfig:
    """A description of labels in a relabelled taxonomy."""
    taxonomies = {
        "ade20k": "ade20k-150",
        "cityscapes": "cityscapes-19",
        "coco-panoptic": "coco-panoptic-133",
        "idd": "idd-39",
        "mapillary": "mapillary-public65",
        "sunrgbd": "sunrgbd-37",
    }
    file = folder / f"{name}.yaml"
    file.write_text(
        f"format: 1\nname: {name}\ntaxonomy: {taxonomies.get(name, name)}-relabeled\n"
        "splits:\n  train: {images: i, labels: l}\n  val: {images: i, labels: l}\nid_map: {255: ignore}\n"
    )
    return DatasetConfig(str(file), name=name)


def _any(recipe: Recipe, tmp_path: Path) -> tuple[DatasetConfig, ...]:
    """Datasets that `recipe` takes."""
    if recipe.relabeled:
        return tuple(_relabeled(tmp_path, name) for name in recipe.dataset_names)
    if recipe.dataset_names:
        return _roots(*recipe.dataset_names)
    return (DatasetConfig(str(make_dataset(tmp_path / "data")), name="mine"),)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_a_run_of_its_network(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    config = recipe.config(name="my-run", datasets=_any(recipe, tmp_path), start="random")
    assert (config.name, config.start) == ("my-run", "random")
    spec = find_network(config.network)
    spec.check_crop(config.augment.crop_px)
    spec.check_crop(config.card_crop_px)
    assert recipe.title and 40 < len(recipe.about) < 600 and "\n" not in recipe.about
    save_config(tmp_path / "config.yaml", config)
    loaded = load_config(tmp_path / "config.yaml")
    assert loaded.datasets[0].name == config.datasets[0].name
    assert loaded.augment == config.augment and loaded.optim == config.optim


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name: str, tmp_path: Path) -> None:
    """Steps follow from the crops of one dataset, as the published code counts them (parity.md 2.7)."""
    recipe = load_recipe(name)
    config = recipe.config(name="run", datasets=_any(recipe, tmp_path))
    short_side, crop_px, batch, crops = PUBLISHED[name]
    a, o = config.augment, config.optim
    assert (a.short_side, a.crop_px, config.batch) == (short_side, crop_px, batch)
    assert (config.base_size, config.card_crop_px) == (short_side, crop_px)
    assert config.steps == crops // (batch // len(config.trained))
    assert (a.pipeline, a.scale, a.rotation_degrees) == ("published", (0.5, 2.0), 10.0)
    assert (a.rotation_p, a.flip_p, a.blur_p, a.colour_p, a.rare_p) == (0.5, 0.5, 0.5, 0.0, 0.0)
    assert (o.optimizer, o.lr, o.weight_decay, o.decay_norms, o.schedule) == ("sgd", 0.01, 1e-4, True, "poly")
    assert (config.network, config.head, config.precision) == ("hrnet-w48", "all", "float32")
    assert (config.loss.label_stride, config.loss.class_weight_power, config.loss.auxiliary_weight) == (1, 0.0, 0.4)
    assert config.start == "" and recipe.needs_start
    if len(config.trained) > 1:
        assert tuple(dataset.name for dataset in config.trained) == SEVEN


def test_what_the_baselines_change(tmp_path: Path) -> None:
    naive = load_recipe("mseg-1080-naive").config(name="run", datasets=_roots(*SEVEN))
    assert (naive.taxonomy, naive.combine) == ("naive", "sum")
    mgda = load_recipe("mseg-1080-mgda")
    config = mgda.config(name="run", datasets=_any(mgda, tmp_path))
    assert (config.taxonomy, config.combine) == ("universal", "mgda")


def test_the_oracle_speaks_its_datasets_taxonomy(tmp_path: Path) -> None:
    recipe = load_recipe("oracle")
    assert recipe.config(name="run", datasets=_roots("voc2012")).taxonomy == "voc2012"
    assert recipe.config(name="run", datasets=_any(recipe, tmp_path)).taxonomy == "camvid-11"
    assert (
        recipe.config(name="run", datasets=_roots("voc2012"), settings=["taxonomy=universal"]).taxonomy == "universal"
    )
    with pytest.raises(ConfigError, match="datasets of one taxonomy, these have cityscapes-34, voc2012"):
        recipe.config(name="run", datasets=_roots("voc2012", "cityscapes"))


def test_a_root_is_filled_in_and_the_recipes_description_kept() -> None:
    config = load_recipe("mseg-1080-3m-unrelabeled").config(name="run", datasets=_roots(*reversed(SEVEN)))
    assert [dataset.name for dataset in config.datasets] == list(SEVEN)
    (cityscapes,) = (dataset for dataset in config.datasets if dataset.name == "cityscapes")
    assert (cityscapes.description, cityscapes.root) == ("cityscapes-train-ids", "/data/cityscapes")


def test_a_description_of_ones_own_takes_the_recipes_place(tmp_path: Path) -> None:
    own = DatasetConfig(str(make_dataset(tmp_path)), name="idd", classes={"Sky": "sky"})
    datasets = (*_roots(*(name for name in SEVEN if name != "idd")), own)
    config = load_recipe("mseg-1080-3m-unrelabeled").config(name="run", datasets=datasets)
    (idd,) = (dataset for dataset in config.datasets if dataset.name == "idd")
    assert (idd.description, idd.root, dict(idd.classes)) == (own.description, "", {"Sky": "sky"})


def test_other_datasets_are_added(tmp_path: Path) -> None:
    judged = DatasetConfig(str(make_dataset(tmp_path)), name="mine", train_split="")
    config = load_recipe("mseg-480-3m-unrelabeled").config(name="run", datasets=(*_roots(*SEVEN), judged))
    assert len(config.trained) == 7
    assert [dataset.name for dataset in config.validated] == [*SEVEN, "mine"]
    one_more = (*_roots(*SEVEN), DatasetConfig(judged.description, name="mine"))
    with pytest.raises(ConfigError, match="batch 84 is not divisible by the 8 datasets"):
        load_recipe("mseg-480-3m-unrelabeled").config(name="run", datasets=one_more)
    config = load_recipe("mseg-480-3m-unrelabeled").config(name="run", datasets=one_more, settings=["batch=80"])
    assert len(config.trained) == 8


@pytest.mark.parametrize(
    ("name", "datasets", "words"),
    [
        ("smoke", (), "'smoke' learns from any dataset, and none is given"),
        ("mseg-1080-naive", _roots("ade20k", "bdd"), "cityscapes, coco-panoptic, idd, mapillary, sunrgbd"),
        ("mseg-1080-naive", _roots("ade20k"), "--dataset bdd=/data/bdd"),
        ("mseg-1080-naive", (*_roots("ade20k"), *_roots("ade20k")), "two datasets have the same name"),
        (
            "mseg-1080-3m",
            _roots(*SEVEN),
            "'ade20k' has labels in ade20k-150: make them with `mseg-studio",
        ),
    ],
)
def test_what_is_missing_is_named(name: str, datasets: tuple[DatasetConfig, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_recipe(name).config(name="run", datasets=datasets)


def test_settings_come_last(tmp_path: Path) -> None:
    recipe = load_recipe("laptop")
    settings = ["optim.lr=0.5", "datasets.0.val_split=train", "augment.scale=[1, 1]", "start=street-small"]
    config = recipe.config(name="run", datasets=_any(recipe, tmp_path), settings=settings, start="random")
    assert (config.optim.lr, config.datasets[0].val_split, config.augment.scale) == (0.5, "train", (1.0, 1.0))
    assert config.start == "street-small"
    with pytest.raises(ConfigError, match=r"optim\.lrr.*did you mean lr"):
        recipe.config(name="run", datasets=_any(recipe, tmp_path), settings=["optim.lrr=1"])


def test_recipes_are_not_changed_by_the_runs_made_from_them(tmp_path: Path) -> None:
    recipe = load_recipe("smoke")
    before = recipe.config(name="run", datasets=_any(recipe, tmp_path))
    recipe.config(name="other", datasets=_any(recipe, tmp_path), settings=["optim.lr=9", "augment.crop_px=33"])
    assert recipe.config(name="run", datasets=_any(recipe, tmp_path)) == before


def test_an_unknown_recipe_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'mseg-480-3n'.*mseg-480-3m"):
        load_recipe("mseg-480-3n")


def _own(name: str, text: str) -> None:
    folder = user_folder("recipes")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    _own("mine", "format: 1\nbased_on: smoke\ntitle: Mine\nsteps: 7\noptim: {lr: 0.3}\n")
    recipe = load_recipe("mine")
    config = recipe.config(name="run", datasets=_any(recipe, tmp_path))
    assert "mine" in recipe_names()
    assert (recipe.title, config.steps, config.optim.lr, config.optim.optimizer) == ("Mine", 7, 0.3, "adamw")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("format: 1\nbased_on: smok\n", "no other recipe is called 'smok'; did you mean smoke"),
        ("format: 1\nbased_on: mine\n", "no other recipe is called 'mine'"),
        ("format: 1\nstepps: 3\n", "unknown key 'stepps'; did you mean steps"),
        ("format: 2\n", "newer MSeg Studio"),
        ("format: 1\nlabels: remade\n", "labels is 'remade', expected relabeled"),
        ("- 1\n", "expected `key: value` lines"),
        ("format: 1\ndatasets: [7]\n", "datasets"),
    ],
)
def test_a_broken_recipe_is_refused_by_its_file(text: str, words: str) -> None:
    _own("mine", text)
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        load_recipe("mine")
    assert "mine.yaml" in str(caught.value)


def test_shipped_recipes_keep_their_meaning() -> None:
    _own("smoke", "format: 1\nsteps: 1\n")
    assert load_recipe("smoke").values["steps"] == 20


def test_every_file_of_the_program_is_a_recipe() -> None:
    files = {path.name for path in resource_folder("recipes").iterdir()}
    assert {f"{name}.yaml" for name in recipe_names()} == files


def test_recipes_load_without_torch() -> None:
    code = "import sys; from mseg_studio.training import recipes, start_choice; recipes.load_recipe('smoke'); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
