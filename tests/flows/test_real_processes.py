"""The window with the real worker processes and the shipped model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from mseg_studio.inference.loaded_model import load_model
from mseg_studio.labels.comparison import Comparison
from mseg_studio.media.image import read_image
from mseg_studio.networks.catalog import find_model
from mseg_studio.settings import AppSettings, user_folder
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.taxonomy.projection import Projection
from mseg_studio.ui.app import WindowOptions, close_window, make_window
from mseg_studio.ui.dialogs.export import ExportDialog
from mseg_studio.ui.real_services import real_services
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.segment.items import ItemState
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts
from tests.factories import make_pixels
from tests.flows.test_difference_journey import write_taxonomy
from tests.ui.conftest import write_picture

pytestmark = pytest.mark.timeout(240)


def street(path: Path) -> Path:
    """Sky over road: something that the shipped model knows."""
    pixels = np.zeros((120, 160, 3), np.uint8)
    pixels[:60] = (235, 200, 170)
    pixels[60:] = (95, 90, 90)
    cv2.imwrite(str(path), pixels)
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mseg_studio", "gui", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )


def test_what_the_window_imports_leaves_torch_out() -> None:
    code = (
        "import sys, mseg_studio.ui.app, mseg_studio.ui.real_services;"
        "print([m for m in sys.modules if m.split('.')[0] == 'torch'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_open_switch_probe_and_recover_from_a_kill(qtbot: Any, tmp_path: Path) -> None:
    picture = street(tmp_path / "street.png")
    settings = AppSettings(theme="dark", threads=1)
    theme, services = Theme(QApplication.instance(), "dark"), real_services(settings)
    window = make_window(services, theme, settings, WindowOptions(size=(1280, 800)))
    session = window.session
    try:
        window.show()
        services.media.client.start()
        services.inference.client.start()
        window.open_path(str(picture))
        qtbot.waitUntil(lambda: session.result is not None, timeout=90_000)
        assert session.result.labels.ids_HW.shape == (120, 160) and session.result.network_ran
        session.choose(target="cityscapes-19")
        qtbot.waitUntil(lambda: session.result.labels.taxonomy.name == "cityscapes-19", timeout=10_000)
        assert not session.result.network_ran
        road, sky = (session.result.labels.taxonomy.id_of(name) for name in ("road", "sky"))
        session.choose(only=(road, sky), min_confidence=0.6)
        session.show_measure("confidence")
        qtbot.waitUntil(lambda: session.result.measure == "confidence", timeout=10_000)
        ids, measure = session.result.labels.ids_HW, session.result.measure_HW
        assert set(np.unique(ids)) <= {road, sky, 255} and not session.result.network_ran
        assert measure[ids == 255].max(initial=0) <= 153 <= measure[ids != 255].min(), "0.6 of 255"
        session.choose(only=(), min_confidence=0.0)
        session.show_measure(None)
        window.workspace.pointing.pin((80, 100))
        qtbot.waitUntil(lambda: "universal" in window.workspace.probe.words, timeout=10_000)
        pid = services.inference.client.pid
        os.kill(pid, 9)
        qtbot.waitUntil(lambda: bool(window.workspace.messages.texts), timeout=5_000)
        qtbot.waitUntil(lambda: services.inference.client.pid not in (None, pid), timeout=30_000)
        session.run()
        qtbot.waitUntil(lambda: session.result.network_ran and not session.running, timeout=90_000)
    finally:
        close_window(services, theme, window)


def test_the_difference_in_the_window_is_that_of_a_headless_computation(qtbot: Any, tmp_path: Path) -> None:
    picture = tmp_path / "blobs.png"
    cv2.imwrite(str(picture), make_pixels(120, 160))
    merged = ("road", "building", "vegetation", "sidewalk_pavement", "fence", "pole")
    write_taxonomy(user_folder("taxonomies") / "mine.yaml", {"who": ("person", "bicyclist", "car"), "where": merged})
    theme, settings = Theme(QApplication.instance(), "dark"), AppSettings(theme="dark", threads=1)
    services = real_services(settings)
    window = make_window(services, theme, settings, WindowOptions(size=(1280, 800)))
    session, comparison = window.session, window.workspace.comparison
    found: dict[str, tuple[Comparison, ImageFacts]] = {}
    try:
        window.show()
        services.media.client.start()
        services.inference.client.start()
        window.open_path(str(picture))
        qtbot.waitUntil(lambda: session.result is not None, timeout=90_000)
        session.choose(target="cityscapes-19")
        window.workspace.show_difference()
        for target in ("cityscapes-19", "mine"):
            session.choose(target=target)
            qtbot.waitUntil(lambda target=target: comparison.facts is not None and comparison.facts.target == target)
            found[target] = comparison.current, comparison.facts
        assert window.workspace.display.differences.isVisible()
        recipe, model = session.choice.full_recipe("auto"), find_model("street-small")
    finally:
        close_window(services, theme, window)
    dense = load_model(model).predictor(recipe).predict(read_image(picture).pixels_HW3)
    full = np.array([[dense.probe(x, y) for x in range(160)] for y in range(120)])
    for target, (seen, facts) in found.items():
        is_that_of(full, default_catalog().projection("universal", target), seen, facts)
    assert found["mine"][1].differing_share > 0.02 and found["mine"][1].no_target_share > 0.02


def is_that_of(full_HWC: np.ndarray, projection: Projection, seen: Comparison, facts: ImageFacts) -> None:
    """Whether a comparison is what plain numpy makes of the probabilities, but for ties."""
    sums = full_HWC @ projection.weights[list(projection.class_ids)].T
    best, own = np.sort(sums, axis=-1), np.sort(full_HWC, axis=-1)
    clear = (best[..., -1] - best[..., -2] > 1e-3) & (own[..., -1] - own[..., -2] > 1e-3)
    ties = 1 - clear.mean()
    assert ties < 0.05
    projected = np.array(projection.class_ids)[sums.argmax(axis=-1)]
    mapped = projection.lookup[full_HWC.argmax(axis=-1)]
    mapped[mapped > 254] = 255
    np.testing.assert_array_equal(seen.projected.ids_HW[clear], projected[clear])
    np.testing.assert_array_equal(seen.mapped.ids_HW[clear], mapped[clear])
    lost = full_HWC[..., list(projection.unmapped)].sum(axis=-1)
    assert np.abs(seen.no_target_HW / 255 - lost).max() <= 0.51 / 255 + 1e-3
    assert facts.differing_share == pytest.approx((projected != mapped).mean(), abs=ties + 1e-9)
    assert facts.no_target_share == pytest.approx(lost.mean(), abs=1e-4)
    winners = np.bincount(full_HWC.argmax(axis=-1).ravel(), minlength=194) / lost.size
    for info in projection.source.classes:
        assert facts.shares.get(info.name, 0) == pytest.approx(winners[info.id], abs=ties + 1e-9)


def test_the_screenshot_command(tmp_path: Path) -> None:
    picture, shot = street(tmp_path / "street.png"), tmp_path / "shot.png"
    done = run(
        str(picture), "--taxonomy", "camvid-11", "--theme", "light", "--size", "1000x640", "--screenshot", str(shot)
    )
    assert (done.returncode, done.stderr) == (0, "")
    image = cv2.imread(str(shot))
    assert image is not None and image.shape == (640, 1000, 3)
    assert image[300, 300].tolist() != image[5, 700].tolist()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.png"], 2, "no such file"),
        (["--taxonomy", "cityscape-19"], 2, "cityscapes-19"),
        (["--model", "street-smal"], 2, "street-small"),
        (["--size", "big"], 2, "two numbers"),
        (["broken.png"], 1, "broken.png"),
        (["whole.png", "--frame", "9"], 1, "there is no frame 9, it has 1"),
        (["whole.png", "--probe", "9999,2"], 1, "there is no pixel 9999,2"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    (tmp_path / "broken.png").write_bytes(write_picture(tmp_path / "whole.png").read_bytes()[:200])
    shot = tmp_path / "shot.png"
    places = [str(tmp_path / name) if name.endswith(".png") else name for name in arguments]
    done = run(*places, "--screenshot", str(shot))
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not shot.exists()


def test_a_folder_is_exported_by_the_command_line_behind_the_dialog(
    qtbot: Any, open_window: Any, tmp_path: Path
) -> None:
    place = tmp_path / "drive"
    place.mkdir()
    street(place / "a.png")
    street(place / "b.png")
    (place / "c.png").write_bytes(b"\x89PNG broken")
    window = open_window(place)
    window.session.choose(only=(0, 1), min_confidence=0.25)
    qtbot.waitUntil(lambda: window.session.result.choice.only == (0, 1))
    dialog = ExportDialog(window.session, window)
    dialog.show()
    dialog.all.setChecked(True)
    dialog.tick("ids", "margin")
    dialog.folder.setText(str(tmp_path / "out"))
    qtbot.mouseClick(dialog.write, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dialog._child is None, timeout=120_000)
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert names == ["a.png", "a_margin.png", "b.png", "b_margin.png"]
    told = json.loads((tmp_path / "out" / "a.json").read_text())["readout"]
    assert [entry["id"] for entry in told["only"]] == [0, 1] and told["min_confidence"] == 0.25
    assert "c.png" in dialog.message.text() and "2 done" in dialog.message.text()
    assert window.session.state_of(1)[0] is ItemState.EXPORTED
    dialog.reject()
