"""Installed models: one broken folder never hides the others, and nothing outside the folder is touched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mseg_studio.errors import CheckpointError, ConfigError
from mseg_studio.networks import catalog
from mseg_studio.networks.card import CARD_FILE, ModelCard, write_card
from mseg_studio.networks.catalog import (
    BrokenModel,
    InstalledModel,
    UnknownModelError,
    check_free_name,
    find_model,
    installed_models,
    models_folder,
    remove_model,
    scan_models,
)

CARD = ModelCard("x", "hrnet-w48", 194, "universal", 473, 480, "ab" * 32)


def make_model(parent: Path, name: str) -> Path:
    """A model folder that the catalog accepts (the weights are only looked at when loaded)."""
    folder = parent / name
    folder.mkdir(parents=True)
    write_card(folder / CARD_FILE, replace(CARD, name=name))
    (folder / CARD.weights).write_bytes(b"weights")
    return folder


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    make_model(folder, "street-small")
    monkeypatch.setattr(catalog, "resource_folder", lambda _name: folder)
    return folder


def test_shipped_models_come_first() -> None:
    make_model(models_folder(), "b")
    make_model(models_folder(), "A")
    assert [(model.name, model.bundled) for model in installed_models()] == [
        ("street-small", True),
        ("A", False),
        ("b", False),
    ]
    assert find_model("b").weights_file == models_folder() / "b" / "weights.safetensors"


def test_no_folder_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_name: str) -> Path:
        raise ConfigError("no resources")

    monkeypatch.setattr(catalog, "resource_folder", damaged)
    assert scan_models() == ()
    with pytest.raises(UnknownModelError, match="none is installed"):
        find_model("x")


def test_broken_folders_are_listed_with_the_reason() -> None:
    own = models_folder()
    make_model(own, "good")
    (own / "no-card").mkdir()
    (make_model(own, "no-weights") / CARD.weights).unlink()
    (make_model(own, "bad-card") / CARD_FILE).write_text("name: [")
    make_model(own, "other").rename(own / "renamed")
    (make_model(own, "old") / CARD_FILE).write_text("format: 9\n")
    make_model(own, "Street-Small")
    (own / "mseg-3m-480p.pth").write_bytes(b"x")
    (own / "notes.txt").write_text("ignored")
    (own / ".mseg-part-012345").mkdir()
    found = scan_models()
    assert [model.name for model in found if isinstance(model, InstalledModel)] == ["street-small", "good"]
    reasons = {model.name: model.reason for model in found if isinstance(model, BrokenModel)}
    assert set(reasons) == {
        "no-card",
        "no-weights",
        "bad-card",
        "renamed",
        "old",
        "Street-Small",
        "mseg-3m-480p.pth",
    }
    assert "no card.yaml" in reasons["no-card"]
    assert "weights" in reasons["no-weights"]
    assert "model card" in reasons["bad-card"]
    assert "its folder is called 'renamed'" in reasons["renamed"]
    assert "newer MSeg Studio" in reasons["old"]
    assert "shipped has this name" in reasons["Street-Small"]
    assert "models import" in reasons["mseg-3m-480p.pth"]
    with pytest.raises(CheckpointError, match=r"'no-card' is broken: no card\.yaml"):
        find_model("no-card")


def test_unknown_names_bring_the_nearest() -> None:
    make_model(models_folder(), "mseg-3m-480p")
    with pytest.raises(UnknownModelError, match="did you mean mseg-3m-480p"):
        find_model("mseg-480p")
    with pytest.raises(UnknownModelError, match="did you mean street-small"):
        find_model("street_small")
    with pytest.raises(UnknownModelError) as caught:
        find_model("../../etc\n" + "x" * 1000)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_remove_deletes_one_model_only() -> None:
    keep, gone = make_model(models_folder(), "keep"), make_model(models_folder(), "gone")
    remove_model("gone")
    assert not gone.exists() and keep.is_dir()
    assert [path.name for path in models_folder().iterdir()] == ["keep"]
    with pytest.raises(UnknownModelError, match="known: keep"):
        remove_model("gone")


def test_remove_takes_broken_folders_too() -> None:
    (models_folder() / "half").mkdir(parents=True)
    remove_model("half")
    assert not (models_folder() / "half").exists()


def test_remove_refuses_shipped_models_and_paths(tmp_path: Path, shipped: Path) -> None:
    victim = make_model(tmp_path / "elsewhere", "victim")
    with pytest.raises(CheckpointError, match="shipped with the program and stays"):
        remove_model("street-small")
    for name in ("../elsewhere/victim", str(victim), ".", "..", "", "models"):
        with pytest.raises(UnknownModelError):
            remove_model(name)
    assert victim.is_dir() and (shipped / "street-small").is_dir()


def test_remove_follows_no_link_and_deletes_no_stray_file(tmp_path: Path) -> None:
    target = make_model(tmp_path / "elsewhere", "linked")
    models_folder().mkdir(parents=True)
    (models_folder() / "linked").symlink_to(target, target_is_directory=True)
    stray = models_folder() / "mine.pth"
    stray.write_bytes(b"x")
    remove_model("linked")
    assert target.is_dir() and not (models_folder() / "linked").exists()
    with pytest.raises(CheckpointError, match="is no model folder"):
        remove_model("mine.pth")
    assert stray.is_file()


@pytest.mark.parametrize(
    ("name", "message"),
    [("Mine", "'mine' is there already; remove it"), ("STREET-small", "choose another"), ("a/b", "cannot be the name")],
)
def test_a_name_is_given_once(name: str, message: str) -> None:
    make_model(models_folder(), "mine")
    with pytest.raises((CheckpointError, ConfigError), match=message):
        check_free_name(name)


def test_an_unreadable_models_folder_does_not_hide_the_shipped() -> None:
    models_folder().parent.mkdir(parents=True, exist_ok=True)
    models_folder().write_bytes(b"a file where the folder should be")
    found = scan_models()
    assert [model.name for model in found] == ["street-small", "models"]
    assert isinstance(found[1], BrokenModel) and "cannot be listed" in found[1].reason


def test_cards_and_catalog_need_no_torch() -> None:
    code = "import sys, mseg_studio.networks.catalog, mseg_studio.cli.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
