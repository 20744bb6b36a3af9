from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt

from mseg_studio.settings import AppSettings
from mseg_studio.ui.dialogs.about import AboutDialog
from mseg_studio.ui.dialogs.export import ExportDialog
from mseg_studio.ui.dialogs.import_model import ImportModelDialog
from mseg_studio.ui.dialogs.settings import SettingsDialog


def test_settings_come_back_as_the_form_has_them(qtbot: Any) -> None:
    old = AppSettings(recent=("a.png",), model="gone")
    dialog = SettingsDialog(old, ["street-small"])
    qtbot.addWidget(dialog)
    assert dialog.settings() == old, "what is not touched stays, even a model that is gone"
    dialog.theme.setCurrentText("Light")
    dialog.device.setCurrentText("Processor")
    dialog.engine.setCurrentText("OpenVINO")
    dialog.precision.setCurrentIndex(3)
    dialog.recipe.setCurrentText("Live (approximate)")
    dialog.threads.setCurrentIndex(1)
    dialog.model.setCurrentText("street-small")
    new = dialog.settings()
    assert (new.theme, new.device, new.threads, new.model) == ("light", "cpu", 1, "street-small")
    assert (new.engine, new.precision, new.recipe) == ("openvino", "int8", "live")
    assert new.recent == old.recent


def test_the_import_names_the_model_after_its_file(qtbot: Any) -> None:
    dialog = ImportModelDialog()
    qtbot.addWidget(dialog)
    assert not dialog.go.isEnabled()
    qtbot.keyClicks(dialog.file, "/data/mseg 3m.pth")
    assert dialog.name.text() == "mseg-3m" and dialog.go.isEnabled()
    dialog.crop.setCurrentText("713 pixels")
    dialog.taxonomy.setText("universal")
    assert dialog.arguments() == [
        "models", "import", "/data/mseg 3m.pth", "--name", "mseg-3m", "--taxonomy", "universal", "--crop", "713",
    ]  # fmt: skip
    dialog.name.selectAll()
    qtbot.keyClicks(dialog.name, "mine")
    qtbot.keyClicks(dialog.file, "x")
    assert dialog.name.text() == "mine", "a name that was typed stays"


@pytest.mark.timeout(120)
def test_a_file_that_is_no_checkpoint_is_refused_in_words(qtbot: Any, tmp_path: Path) -> None:
    (tmp_path / "fake.pth").write_text("no weights")
    dialog = ImportModelDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    dialog.file.setText(str(tmp_path / "fake.pth"))
    qtbot.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "fake.pth" in dialog.message.text(), timeout=60_000)
    assert dialog.isVisible() and dialog.imported == "" and dialog.go.isEnabled()


def test_export_offers_what_fits(open_window: Any, picture: Path, folder: Path, qtbot: Any) -> None:
    window = open_window(picture)
    dialog = ExportDialog(window.session, window)
    kinds = {"ids", "colour", "overlay", "classes", "confidence", "margin", "entropy"}
    assert set(dialog._boxes) == kinds, "no labelIds outside Cityscapes' classes"
    assert not dialog._can_export_all
    dialog.tick()
    assert not dialog.write.isEnabled()
    window.open_path(str(folder))
    qtbot.waitUntil(lambda: window.session.source.kind == "folder" and window.session.result is not None)
    dialog = ExportDialog(window.session, window)
    dialog.all.setChecked(True)
    dialog.tick("ids", "scores")
    dialog.folder.setText("/data/out")
    assert dialog.arguments() == [
        "segment", str(folder), "--output", "/data/out", "--model", "street-small", "--taxonomy", "universal",
        "--recipe", "balanced", "--device", "auto", "--save", "ids,scores", "--json",
    ]  # fmt: skip
    dialog.one.setChecked(True)
    assert dialog.names() == ["ids"], "scores are written of all only"


def test_export_carries_what_is_chosen_in_the_window(open_window: Any, picture: Path, qtbot: Any) -> None:
    window = open_window(picture)
    plain = ExportDialog(window.session, window)
    assert plain._readout_words() == ""
    window.session.choose(only=(3, 5), min_confidence=0.25, engine="openvino", precision="half")
    dialog = ExportDialog(window.session, window)
    assert dialog._readout_words() == (
        "As on screen: only 2 classes take part, labels below 25 % confidence are unlabeled."
    )
    dialog.tick("ids", "confidence")
    dialog.folder.setText("/data/out")
    assert dialog.arguments() == [
        "segment", str(picture), "--output", "/data/out", "--model", "street-small", "--taxonomy", "universal",
        "--recipe", "balanced", "--device", "auto", "--engine", "openvino", "--precision", "half", "--only", "3,5",
        "--min-confidence", "0.25", "--save", "ids,confidence", "--json",
    ]  # fmt: skip


def test_a_video_can_be_smoothed_and_measured_as_a_whole(open_window: Any, qtbot: Any) -> None:
    window = open_window("clip.mp4")
    dialog = ExportDialog(window.session, window)
    dialog.show()
    assert not dialog.smooth.isEnabled() and not dialog._boxes["confidence"].isEnabled()
    for button in (dialog.all, dialog.smooth):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(8, button.height() // 2))
    dialog.tick("ids", "entropy")
    assert dialog.smooth.isChecked()
    words = dialog.arguments()
    assert words[words.index("--smooth") + 1] == "0.6" and words[words.index("--save") + 1] == "ids,entropy"
    qtbot.mouseClick(dialog.one, Qt.MouseButton.LeftButton, pos=QPoint(8, dialog.one.height() // 2))
    assert "--smooth" not in dialog.arguments() and dialog.names() == ["ids"]
    dialog.reject()


def test_about_says_where_things_come_from(qtbot: Any) -> None:
    dialog = AboutDialog()
    qtbot.addWidget(dialog)
    from PySide6.QtWidgets import QLabel

    assert "CC BY 4.0" in " ".join(label.text() for label in dialog.findChildren(QLabel))
