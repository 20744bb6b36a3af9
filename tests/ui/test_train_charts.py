"""The cards of a run: what is drawn, what the crosshair says, and that a million points do not hold the window up."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from mseg_studio.training.metrics_curves import Curve
from mseg_studio.training.metrics_table import Metrics
from mseg_studio.training.run_state import RunState
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.train.chart_files import picture_of, save_numbers
from mseg_studio.ui.workspaces.train.charts import Charts
from mseg_studio.ui.workspaces.train.iou_bars import ROW_PX, ClassBar, IouBars
from mseg_studio.ui.workspaces.train.line_chart import LineChart, Series
from mseg_studio.ui.workspaces.train.run_reader import RunLook, RunReader, curves_of, smooth_curve
from tests.ui.train_factory import FakeRun, five_runs

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def theme(qtbot: Any) -> Iterator[Theme]:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    theme = Theme(application, "dark")
    yield theme
    theme.close()


@pytest.fixture
def charts(qtbot: Any, theme: Theme) -> Charts:
    charts = Charts(theme)
    qtbot.addWidget(charts)
    charts.resize(900, 560)
    charts.show()
    qtbot.waitExposed(charts)
    return charts


def looks(*names: str) -> list[RunLook]:
    found = five_runs()
    return [RunReader(found[name].path).look(weight=0.9, whole=False) for name in names]


def many(count: int) -> RunLook:
    random = np.random.default_rng(1)
    step = np.arange(count, dtype=float) * 10
    loss = 0.3 + 3 * np.exp(-step / step[-1] * 5) + 0.05 * random.standard_normal(count)
    columns = {
        "loss": loss,
        "lr": np.linspace(0.01, 0, count),
        "images_per_s": 60 + random.standard_normal(count),
        "data_wait": 0.03 + 0.01 * random.random(count),
    }
    return look_at("long", Metrics(step, columns), weight=0.99)


def look_at(name: str, metrics: Metrics, *, weight: float) -> RunLook:
    curves = curves_of(metrics) | {"smooth": smooth_curve(metrics, weight)}
    return RunLook(Path("/runs") / name, RunState("running"), metrics, curves)


def test_loss_raw_and_smoothed_by_dataset_and_its_rate(charts: Charts) -> None:
    charts.show_looks(looks("fine-tune my street"))
    raw, smooth = charts.loss_chart.series
    assert raw.is_raw and not smooth.is_raw and len(raw.x) == len(smooth.x) == 1240
    assert np.std(np.diff(smooth.y)) < np.std(np.diff(raw.y)) / 3
    assert charts.loss.value.text() == f"{smooth.y[-1]:.3f}"
    QTest.mouseClick(charts.loss.views["dataset"], LEFT)
    assert [one.name for one in charts.loss_chart.series] == ["my labels", "camvid"]
    QTest.mouseClick(charts.loss.views["lr"], LEFT)
    (rate,) = charts.loss_chart.series
    assert rate.y[0] > rate.y[-1] > 0 and not charts.smoothing.isVisible()


def test_the_slider_asks_for_another_weight_and_none_draws_the_loss_as_it_is(charts: Charts, qtbot: Any) -> None:
    charts.show_looks(looks("smoke"))
    before = charts.weight
    charts.smoothing.setFocus()
    with qtbot.waitSignal(charts.weight_changed) as asked:
        QTest.keyClick(charts.smoothing, Qt.Key.Key_End)
    assert 0.99 < asked.args[0] < 1 and asked.args[0] > before
    with qtbot.waitSignal(charts.weight_changed) as asked:
        QTest.keyClick(charts.smoothing, Qt.Key.Key_Home)
    assert asked.args[0] == 0.0


def test_validation_with_the_best(charts: Charts) -> None:
    (look,) = looks("camvid from scratch")
    charts.show_looks([look])
    best = look.metrics.best
    assert best is not None
    assert charts.validation.value.text() == f"{look.metrics.validations[-1].miou:.3f}"
    assert charts.validation.note.text() == f"best {best.miou:.3f} @ {best.step:,}".replace(",", " ")
    QTest.mouseClick(charts.validation.views["loss"], LEFT)
    assert charts.validation_chart.series[0].y[-1] == look.metrics.validations[-1].loss


def test_a_click_on_a_bar_shows_the_history_of_its_class(charts: Charts) -> None:
    (look,) = looks("camvid from scratch")
    charts.show_looks([look])
    assert not charts.validation.views["class"].isVisible()
    names = [bar.name for bar in charts.bars.bars]
    assert names[0] == "road" and sorted(names, key=lambda n: -look.metrics.validations[-1].iou[n]) == names
    QTest.mouseClick(charts.bars, LEFT, pos=charts.bars.row_box(names.index("car")).center())
    assert charts.validation.views["class"].text() == "car" and charts.validation.views["class"].isChecked()
    assert charts.validation_chart.series[0].y.tolist() == [one.iou["car"] for one in look.metrics.validations]
    QTest.mouseClick(charts.classes.views["name"], LEFT)
    assert [bar.name for bar in charts.bars.bars] == sorted(names)
    charts.show_looks(looks("oracle kitti"))
    assert not charts.validation.views["class"].isVisible(), "another run begins with its mIoU"


def test_bars_by_keys(qtbot: Any, theme: Theme) -> None:
    bars = IouBars(theme)
    qtbot.addWidget(bars)
    bars.show_bars((ClassBar("sky", 1, (1, 2, 3), 0.5), ClassBar("road", 0, (3, 2, 1), math.nan)))
    bars.show()
    assert bars.height() >= 2 * ROW_PX and [bar.name for bar in bars.bars] == ["sky", "road"]
    QTest.keyClick(bars, Qt.Key.Key_Down)
    with qtbot.waitSignal(bars.chosen) as chosen:
        QTest.keyClick(bars, Qt.Key.Key_Return)
    assert chosen.args == ["road"]
    bars.sort_by("id")
    assert [bar.name for bar in bars.bars] == ["road", "sky"]
    assert bars.line(bars.bars[0]) == "road, id 0: no pixel of it in the validation"


def test_the_crosshair_follows_the_mouse_and_the_keys(charts: Charts) -> None:
    (look,) = looks("fine-tune my street")
    charts.show_looks([look])
    chart = charts.loss_chart
    view = chart.plot.viewport()
    QTest.mouseMove(view, QPoint(view.width() // 2, view.height() // 2))
    QApplication.processEvents()
    words = chart.readout_text()
    step = int(words.split(" · ")[0].removeprefix("step ").replace(" ", ""))
    assert step % 10 == 0 and 4500 < step < 6500
    value = look.curves["smooth"].y[look.metrics.step.tolist().index(step)]
    assert words.endswith(f"{value:.3f}") and chart.readout.isVisible()
    QTest.keyClick(chart, Qt.Key.Key_Right)
    assert int(chart.readout_text().split(" · ")[0].removeprefix("step ").replace(" ", "")) > step
    QTest.keyClick(chart, Qt.Key.Key_Escape)
    assert not chart.readout.isVisible()


def test_keys_and_wheel_zoom_and_a_double_click_fits(charts: Charts, qtbot: Any) -> None:
    charts.show_looks(looks("fine-tune my street"))
    chart = charts.loss_chart
    whole = chart._box.viewRange()[0]
    assert whole[0] <= 10 and whole[1] >= 12_400
    QTest.keyClick(chart, Qt.Key.Key_Plus)
    low, high = chart._box.viewRange()[0]
    assert low > whole[0] and high < whole[1]
    charts.show_looks([*looks("fine-tune my street")])
    assert chart._box.viewRange()[0] == [low, high], "new numbers leave what somebody looks at"
    QTest.mouseDClick(chart.plot.viewport(), LEFT, pos=QPoint(150, 60))
    assert chart._box.viewRange()[0] == whole
    view = chart.plot.viewport()
    middle = QPoint(view.width() // 2, view.height() // 2)
    wheel = QWheelEvent(
        middle, view.mapToGlobal(middle), QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view, wheel)
    zoomed = chart._box.viewRange()[0]
    assert zoomed[1] - zoomed[0] < whole[1] - whole[0]
    QTest.keyClick(chart, Qt.Key.Key_0)
    assert chart._box.viewRange()[0] == whole


def test_several_runs_in_one_chart_each_with_its_colour(charts: Charts) -> None:
    charts.show_looks(looks("fine-tune my street", "camvid from scratch", "oracle kitti"))
    series = [one for one in charts.loss_chart.series if not one.is_raw]
    assert [one.name for one in series] == ["oracle kitti", "camvid from scratch", "fine-tune my street"]
    assert len({one.colour for one in series}) == 3
    charts.loss_chart.point(5000)
    step, first, *others = charts.loss_chart.readout_text().split(" · ")
    assert step == "step 5 000" and first.endswith(" fine-tune my street")
    assert [words.partition(" ")[2] for words in others] == ["camvid from scratch", "oracle kitti"]


def test_colours_follow_the_scheme(charts: Charts, theme: Theme) -> None:
    charts.show_looks(looks("smoke"))
    dark = charts.loss_chart.series[-1].colour
    back = charts.loss_chart.plot.backgroundBrush().color().name()
    theme.set_scheme("light")
    assert charts.loss_chart.series[-1].colour != dark
    assert charts.loss_chart.plot.backgroundBrush().color().name() != back


def test_a_gap_and_numbers_that_are_missing_are_not_drawn(charts: Charts) -> None:
    step = np.arange(5, dtype=float)
    loss = np.array([1, math.nan, 3, math.nan, 2.0])
    charts.show_looks([look_at("gap", Metrics(step, {"loss": loss}), weight=0)])
    assert charts.speed_chart.series == () and charts.speed_chart.hint.isVisible()
    assert charts.loss.value.text() == "2.000"


def test_a_million_points_are_drawn_and_moved_without_a_pause(charts: Charts, qtbot: Any) -> None:
    look = many(1_000_000)
    began = time.perf_counter()
    charts.show_looks([look])
    charts.grab()
    first = time.perf_counter() - began
    chart, waits = charts.loss_chart, []
    for _ in range(6):
        began = time.perf_counter()
        QTest.keyClick(chart, Qt.Key.Key_Plus)
        chart.grab()
        waits.append(time.perf_counter() - began)
    assert len(chart._curves[0].getData()[0]) < 5000
    assert first < 2 and min(waits) < 0.15, "about 0.2 s and 0.02 s on a calm machine"


def test_peaks_survive(qtbot: Any, theme: Theme) -> None:
    chart = LineChart(theme, name="Loss")
    qtbot.addWidget(chart)
    chart.resize(400, 200)
    chart.show()
    y = np.zeros(200_000)
    y[123_457] = 9.0
    chart.show_series([Series("a", Curve.of(np.arange(200_000, dtype=float), y), "#ffffff")])
    assert chart._curves[0].getData()[1].max() == 9.0


def test_charts_as_files(charts: Charts, tmp_path: Path) -> None:
    found = looks("smoke", "oracle kitti")
    save_numbers(tmp_path / "numbers.csv", found)
    with (tmp_path / "numbers.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    steps = [row for row in rows if row["run"] == "smoke" and row["event"] == "step"]
    assert [float(row["loss"]) for row in steps] == found[0].metrics.column("loss").tolist()
    scored = [row for row in rows if row["event"] == "validation" and row["run"] == "oracle kitti"]
    assert [float(row["iou road"]) for row in scored] == [one.iou["road"] for one in found[1].metrics.validations]
    charts.show_looks(found)
    picture = cv2.imdecode(np.frombuffer(picture_of(charts), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (2 * charts.height(), 2 * charts.width()) and picture.std() > 5


def test_a_run_that_is_continued_drops_what_was_computed_again(charts: Charts) -> None:
    run = FakeRun("again", steps=400)
    run.trained(200, every=1)
    reader = RunReader(run.path)
    charts.show_looks([reader.look(weight=0.5, whole=False)])
    run._log.append({"event": "resume", "step": 150})
    run.step = 150
    run.trained(170, every=1)
    run.close()
    charts.show_looks([reader.look(weight=0.5, whole=False)])
    assert charts.loss_chart.series[0].x.tolist() == list(range(1, 171))


def test_cards_stand_below_one_another_in_a_narrow_window(charts: Charts, qtbot: Any) -> None:
    assert charts.loss.y() == charts.validation.y() and charts.loss.x() < charts.validation.x()
    charts.resize(400, 800)
    qtbot.waitUntil(lambda: charts.validation.y() > charts.loss.geometry().bottom())
    assert charts.loss.x() == charts.validation.x() and charts.loss.width() == 400
    charts.resize(900, 560)
    qtbot.waitUntil(lambda: charts.loss.y() == charts.validation.y())


def test_only_curves_with_room_between_their_points_have_smooth_edges(qtbot: Any, theme: Theme) -> None:
    chart = LineChart(theme, name="Loss")
    qtbot.addWidget(chart)
    chart.resize(600, 300)
    chart.show()
    qtbot.waitExposed(chart)
    for count, smooth in ((100, True), (100_000, False)):
        x = np.arange(1.0, count + 1)
        chart.show_series([Series("run", Curve.of(x, np.random.default_rng(1).random(count)), "#4080ff")])
        assert [item.opts["antialias"] for item in (chart._curves[0].curve, chart._curves[0])] == [smooth] * 2


def test_numbers_of_a_low_chart_do_not_stand_on_one_another(qtbot: Any, theme: Theme) -> None:
    chart = LineChart(theme, name="Wait", unit="wait %", low=0.0, top=10.0)
    qtbot.addWidget(chart)
    chart.resize(300, 80)
    chart.show()
    qtbot.waitExposed(chart)
    x = np.arange(1.0, 40)
    chart.show_series([Series("run", Curve.of(x, x % 7), "#4080ff")])
    axis = chart._left
    for size in (30.0, 45.0, 90.0, 400.0):
        for low, high in ((0.0, 10.6), (0.0, 100.0), (0.127, 0.128), (-3.0, 5e6)):
            spacing = axis.tickSpacing(low, high, size)[0][0]
            count = (high - low) / spacing
            assert 0.8 <= count <= max(2, size / 15), (size, low, high)
