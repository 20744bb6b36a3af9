"""The Datasets workspace with mouse and keys; the doctor runs as the child process that it is."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from mseg_studio.ui.main_window import MainWindow
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.datasets.workspace import DatasetsWorkspace
from tests.datasets.camvid_like import FAULTS, make_camvid
from tests.ui.fakes import Doubles

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 60_000


@pytest.fixture
def page(qtbot: Any, doubles: Doubles) -> Iterator[DatasetsWorkspace]:
    theme = Theme(QApplication.instance(), "dark")
    page = DatasetsWorkspace(doubles.services, theme)
    qtbot.addWidget(page)
    page.resize(1200, 760)
    page.show()
    qtbot.waitUntil(lambda: page.datasets.list.count() > 0, timeout=WAIT_MS)
    yield page
    page.checker.close()
    theme.close()


def click_dataset(qtbot: Any, page: DatasetsWorkspace, name: str) -> None:
    (item,) = page.datasets.list.findItems(name, Qt.MatchFlag.MatchExactly)
    page.datasets.list.scrollToItem(item)
    place = page.datasets.list.visualItemRect(item).center()
    qtbot.mouseClick(page.datasets.list.viewport(), LEFT, pos=place)


def check(qtbot: Any, page: DatasetsWorkspace, folder: Path) -> None:
    click_dataset(qtbot, page, "camvid-480x360")
    page.bar.folder.setFocus()
    page.bar.folder.clear()
    qtbot.keyClicks(page.bar.folder, str(folder))
    qtbot.mouseClick(page.bar.go, LEFT)
    assert page.checker.running and page.bar.stop.isVisible()
    qtbot.waitUntil(lambda: not page.checker.running, timeout=WAIT_MS)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    root = make_camvid(tmp_path / "c", train=12, val=2)
    for number, name in enumerate(("mask", "shifted", "colours", "grey in three channels", "nothing scored")):
        FAULTS[name][1](root / "train" / f"train_{number:03}.jpg", root / "trainannot" / f"train_{number:03}.png")
    return root


def test_ready_descriptions_say_what_they_need(qtbot: Any, page: DatasetsWorkspace) -> None:
    click_dataset(qtbot, page, "kitti")
    assert "Unpack data_semantics.zip" in page.datasets.words.text()
    assert "Taxonomy: kitti-34" in page.datasets.words.text() and "Terms: CC BY-NC-SA 3.0" in page.datasets.words.text()
    assert [page.bar.split.itemText(n) for n in range(page.bar.split.count())] == ["all splits", "train"]
    assert page.facts() == ["kitti", "kitti-34"]


def test_findings_are_listed_sorted_filtered_and_opened(qtbot: Any, page: DatasetsWorkspace, faulty: Path) -> None:
    check(qtbot, page, faulty)
    view = page.report_view
    assert page.report is not None and page.report["codes"]["rgb-label"] == 2
    assert view.isVisible() and view.filtered.rowCount() == 6
    assert page.facts()[-1] == "14 pairs: 4 errors, 2 warnings"
    kinds = [view.filtered.index(row, 0).data() for row in range(6)]
    assert kinds == ["error"] * 4 + ["warning"] * 2
    header = view.table.horizontalHeader()
    file_column = QPoint(header.sectionViewportPosition(3) + 20, header.height() // 2)
    qtbot.mouseClick(header.viewport(), LEFT, pos=file_column)
    files = [view.filtered.index(row, 3).data() for row in range(6)]
    assert files == sorted(files) and "trainannot/train_000.png" in files
    view.code.setCurrentIndex(view.code.findText("rgb-label (2)"))
    assert view.filtered.rowCount() == 2
    qtbot.keyClicks(view.search, "train_003")
    assert view.filtered.rowCount() == 1
    opened: list[str] = []
    page.open_asked.connect(opened.append)
    cell = view.table.visualRect(view.filtered.index(0, 3)).center()
    qtbot.mouseClick(view.table.viewport(), LEFT, pos=cell)
    qtbot.mouseDClick(view.table.viewport(), LEFT, pos=cell)
    assert opened == [str(faulty / "train" / "train_003.jpg")]
    assert "Road" in view.bars.lines()[0] or any("Road" in line for line in view.bars.lines())
    assert view.splits.text().startswith("train: 12 pairs")


def test_the_report_is_copied_and_saved(qtbot: Any, page: DatasetsWorkspace, faulty: Path, tmp_path: Path) -> None:
    check(qtbot, page, faulty)
    qtbot.mouseClick(page.report_view.copy, LEFT)
    text = QGuiApplication.clipboard().text()
    assert text.startswith("camvid-480x360 (camvid-11): 14 pairs: 4 errors, 2 warnings\n")
    assert "off-by-one" in text and "train_001.png: 1 to 12, expected 0 to 11" in text
    page.save_report(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == page.report
    page.save_report(tmp_path / "report.txt")
    assert (tmp_path / "report.txt").read_text() == text + "\n"


def test_nothing_lies_over_another_thing_in_a_small_window(qtbot: Any, page: DatasetsWorkspace, faulty: Path) -> None:
    check(qtbot, page, faulty)
    page.resize(832, 506)
    view = page.report_view
    qtbot.waitUntil(lambda: page.width() == 832, timeout=WAIT_MS)
    row = (view.verdict, view.code, view.search, view.copy, view.save)
    for left, right in itertools.pairwise(row):
        assert left.geometry().right() < right.geometry().left(), (left, right)
    assert view.save.geometry().right() <= view.width()


def test_a_healthy_dataset(qtbot: Any, page: DatasetsWorkspace, tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "c", train=3, val=2)
    click_dataset(qtbot, page, "camvid-480x360")
    page.bar.split.setCurrentText("val")
    page.bar.folder.setText(str(root))
    qtbot.keyClick(page.bar.folder, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: not page.checker.running, timeout=WAIT_MS)
    assert page.report_view.verdict.text() == "2 pairs, nothing wrong"
    click_dataset(qtbot, page, "kitti")
    assert page.report is None and not page.report_view.isVisible()
    click_dataset(qtbot, page, "camvid-480x360")
    assert page.report is not None and page.bar.folder.text() == str(root), "what was found is kept while it is open"


def test_a_folder_that_is_not_there_is_told_in_words(qtbot: Any, page: DatasetsWorkspace, tmp_path: Path) -> None:
    check(qtbot, page, tmp_path / "nowhere")
    assert page.report is not None and page.report["codes"] == {"no-split": 3}
    click_dataset(qtbot, page, "kitti")
    page.bar.folder.clear()
    qtbot.mouseClick(page.bar.go, LEFT)
    qtbot.waitUntil(lambda: not page.checker.running, timeout=WAIT_MS)
    assert page.hint.text().startswith("it is not known where 'kitti' lies")


def test_a_check_is_cancelled(qtbot: Any, page: DatasetsWorkspace, tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "c", train=1, val=1)
    for number in range(4000):
        for kind, end in (("train", "jpg"), ("trainannot", "png")):
            os.link(root / kind / f"train_000.{end}", root / kind / f"{number}.{end}")
    click_dataset(qtbot, page, "camvid-480x360")
    page.bar.folder.setText(str(root))
    qtbot.mouseClick(page.bar.go, LEFT)
    qtbot.waitUntil(lambda: page.bar.bar.value() > 0, timeout=WAIT_MS)
    assert "of 4002 pairs" in page.bar.words.text()
    qtbot.mouseClick(page.bar.stop, LEFT)
    qtbot.waitUntil(lambda: not page.checker.running, timeout=WAIT_MS)
    assert page.report is None and page.bar.go.isVisible() and page.datasets.list.isEnabled()


def test_a_description_of_ones_own(qtbot: Any, page: DatasetsWorkspace, tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "c", train=2, val=1)
    path = root / "mine.yaml"
    path.write_text("based_on: camvid-480x360\nname: mine\nroot: .\n")
    page.open_description(str(path))
    assert page.datasets.current is not None and page.datasets.current.name == "mine"
    assert page.bar.folder.text() == str(root)
    path.write_text("based_on: nothing\n")
    page.open_description(str(path))
    assert "no dataset description is called 'nothing'" in page.datasets.words.text()
    assert not page.bar.go.isEnabled()


def test_the_end_of_the_window_ends_the_check(qtbot: Any, page: DatasetsWorkspace, tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "c", train=2, val=1)
    click_dataset(qtbot, page, "camvid-480x360")
    page.bar.folder.setText(str(root))
    qtbot.mouseClick(page.bar.go, LEFT)
    assert page.checker.running
    page.close()
    assert not page.checker.running


def test_the_window_has_it_as_a_workspace_and_opens_what_it_names(
    qtbot: Any, open_window: Callable[..., MainWindow], picture: Path
) -> None:
    window = open_window()
    window.show_workspace("datasets")
    page = window.findChild(DatasetsWorkspace)
    assert page is not None and page.isVisible()
    qtbot.waitUntil(lambda: page.datasets.list.count() > 0, timeout=WAIT_MS)
    page.open_asked.emit(str(picture))
    qtbot.waitUntil(lambda: window.current == "segment" and window.session.result is not None, timeout=WAIT_MS)
