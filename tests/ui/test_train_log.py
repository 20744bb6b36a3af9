"""Logs of ranks: in the order of their times, bounded, followed, searched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train import log_tail
from mseg_studio.ui.workspaces.train.log_card import LogCard
from mseg_studio.ui.workspaces.train.log_tail import LogTail

DAY = "2026-11-22"


@pytest.fixture
def card(qtbot: Any) -> Iterator[LogCard]:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    theme = Theme(application, "dark")
    card = LogCard(theme)
    qtbot.addWidget(card)
    card.resize(700, 200)
    card.show()
    qtbot.waitExposed(card)
    yield card
    theme.close()


def write(folder: Path, name: str, *lines: str) -> None:
    with (folder / name).open("a", encoding="utf-8") as stream:
        stream.write("".join(line + "\n" for line in lines))


def test_lines_of_all_ranks_in_the_order_of_their_times(tmp_path: Path) -> None:
    write(tmp_path, "rank0.txt", f"{DAY} 12:00:01 a", f"{DAY} 12:00:03 c", "Traceback", "  more")
    write(tmp_path, "rank10.txt", f"{DAY} 12:00:02 b")
    write(tmp_path, "rank2.txt", f"{DAY} 12:00:04 d")
    write(tmp_path, "launcher.txt", "torchrun says hello")
    tail = LogTail(tmp_path)
    words = [line.words() for line in tail.poll()]
    assert words == [
        "         launcher torchrun says hello",
        "12:00:01 rank 0 a",
        "12:00:02 rank 10 b",
        "12:00:03 rank 0 c",
        "12:00:03 rank 0 Traceback",
        "12:00:03 rank 0   more",
        "12:00:04 rank 2 d",
    ]
    assert tail.sources == ("rank 0", "rank 2", "rank 10", "launcher")


def test_only_what_is_new_is_read_and_a_torn_line_waits(tmp_path: Path) -> None:
    write(tmp_path, "rank0.txt", f"{DAY} 12:00:01 a")
    tail = LogTail(tmp_path)
    first = tail.poll()
    assert tail.poll() is first
    with (tmp_path / "rank0.txt").open("a") as stream:
        stream.write(f"{DAY} 12:00:0")
    assert [line.text for line in tail.poll()] == ["a"]
    write(tmp_path, "rank0.txt", "2 b")
    assert [line.text for line in tail.poll()] == ["a", "b"]
    (tmp_path / "rank0.txt").write_text(f"{DAY} 13:00:00 new\n")
    assert [line.text for line in tail.poll()] == ["new"], "another file in its place"


def test_of_a_long_file_the_end_is_read_and_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "MOST_LINES", 100)
    monkeypatch.setattr(log_tail, "_AT_ONCE_BYTES", 4000)
    write(tmp_path, "rank0.txt", *(f"{DAY} 12:00:00 line {n}" for n in range(5000)))
    tail = LogTail(tmp_path)
    lines = tail.poll()
    assert len(lines) == 100 and lines[-1].text == "line 4999"
    write(tmp_path, "rank0.txt", *(f"{DAY} 12:00:00 line {n}" for n in range(5000, 20_000)))
    lines = tail.poll()
    assert len(lines) == 100 and lines[-1].text == "line 19999" and lines[0].text == "line 19900"


def test_control_characters_and_progress_bars_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "rank0.txt").write_bytes(b" 10%\r 50%\r100% done\n\x1b[31mred\x00\n\xff\xfe\n" + b"x" * 100_000 + b"\n")
    lines = LogTail(tmp_path).poll()
    assert lines[0].text == "100% done" and lines[1].text == r"\x1b[31mred\x00" and len(lines[3].text) == 2000


def test_one_rank_and_the_search(card: LogCard, tmp_path: Path, qtbot: Any) -> None:
    write(tmp_path, "rank0.txt", f"{DAY} 12:00:01 step 1", f"{DAY} 12:00:03 saved")
    write(tmp_path, "rank1.txt", f"{DAY} 12:00:02 step 1 too")
    tail = LogTail(tmp_path)
    card.show_lines(tail.poll(), tail.sources)
    assert card.text.toPlainText().splitlines()[1] == "12:00:02 rank 1 step 1 too"
    card.rank.setFocus()
    QTest.keyClick(card.rank, Qt.Key.Key_End)
    assert card.rank.currentText() == "rank 1" and card.text.toPlainText() == "12:00:02 rank 1 step 1 too"
    QTest.keyClick(card.rank, Qt.Key.Key_Home)
    QTest.keyClicks(card.search, "SAVED")
    qtbot.waitUntil(lambda: card.text.toPlainText() == "12:00:03 rank 0 saved")
    assert card.note.text() == "1 of 3 lines"
    write(tmp_path, "rank1.txt", f"{DAY} 12:00:04 saved as well", f"{DAY} 12:00:05 step 2")
    card.show_lines(tail.poll(), tail.sources)
    assert card.text.toPlainText().splitlines() == ["12:00:03 rank 0 saved", "12:00:04 rank 1 saved as well"]


def test_it_follows_until_somebody_scrolls_back(card: LogCard, tmp_path: Path) -> None:
    write(tmp_path, "rank0.txt", *(f"{DAY} 12:00:01 line {n}" for n in range(200)))
    tail = LogTail(tmp_path)
    card.show_lines(tail.poll(), tail.sources)
    bar = card.text.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    QTest.mouseClick(
        card.follow, Qt.MouseButton.LeftButton, pos=card.follow.rect().center() - card.follow.rect().center() / 1.3
    )
    assert not card.follow.isChecked()
    bar.setValue(10)
    write(tmp_path, "rank0.txt", f"{DAY} 12:00:02 more")
    card.show_lines(tail.poll(), tail.sources)
    assert bar.value() == 10 and card.text.toPlainText().endswith("more")
    card.follow.click()
    assert bar.value() == bar.maximum()
