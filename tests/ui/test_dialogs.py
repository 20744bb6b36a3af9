from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt

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
    assert set(dialog._boxes) == {"ids", "colour", "overlay", "classes"}, "no labelIds outside Cityscapes' classes"
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


def test_about_says_where_things_come_from(qtbot: Any) -> None:
    dialog = AboutDialog()
    qtbot.addWidget(dialog)
    from PySide6.QtWidgets import QLabel

    assert "CC BY 4.0" in " ".join(label.text() for label in dialog.findChildren(QLabel))
