"""The browser's models: every published link can be read off them; what is shown, found, sorted and dragged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QAbstractItemModel, QModelIndex, Qt
from PySide6.QtGui import QColor, QIcon
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication

from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.compare import compare
from mseg_studio.taxonomy.master import MasterTable, master_table, search_rows
from mseg_studio.taxonomy.table_export import to_csv
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.browser_model import BLANK, CLASS, FIRST, ID, NAMES, BrowserModel
from mseg_studio.ui.workspaces.taxonomy.drag import names_of
from mseg_studio.ui.workspaces.taxonomy.pair_model import REMARK, SOURCE, TARGET, PairFilter, PairModel
from tests.taxonomy.published import Published

DOWN = Qt.SortOrder.DescendingOrder


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog([resource_folder("taxonomies")])


@pytest.fixture(scope="module")
def table(catalog: Catalog) -> MasterTable:
    return master_table(catalog)


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    theme = Theme(qapp, "dark")
    yield theme
    theme.close()


@pytest.fixture
def model(theme: Theme, table: MasterTable) -> BrowserModel:
    model = BrowserModel(theme)
    model.set_table(table, [column.name for column in table.columns])
    return model


def walk(model: QAbstractItemModel, parent: QModelIndex = QModelIndex()) -> Iterator[QModelIndex]:  # noqa: B008
    """The first cell of every line, parents before what is below them."""
    for row in range(model.rowCount(parent)):
        index = model.index(row, CLASS, parent)
        yield index
        yield from walk(model, index)


def class_lines(model: BrowserModel) -> list[QModelIndex]:
    return [index for index in walk(model) if not model.hasChildren(index)]


def headers(model: BrowserModel) -> list[str]:
    return [model.headerData(n, Qt.Orientation.Horizontal) for n in range(FIRST, model.columnCount())]


def test_every_published_link_can_be_read_off(model: BrowserModel, shared: Path) -> None:
    """MSeg's own table, read by the tests' own rules, against the text on screen; every column, every row."""
    published = Published(shared / "data" / "mseg")
    order, compared = published.universal(), 0
    names = [name for name in headers(model) if name != "naive"]
    assert len(names) == 25
    for column, name in enumerate(headers(model), start=FIRST):
        if name == "naive":
            continue
        cells = published.cells(name)
        for index in class_lines(model):
            universal = index.data()
            cell = index.siblingAtColumn(column)
            assert sorted(cell.data(NAMES)) == sorted(cells[universal]), (name, universal)
            assert cell.data() == (", ".join(cell.data(NAMES)) if cells[universal] else BLANK)
            number = index.siblingAtColumn(ID).data()
            assert number == ("" if universal == "unlabeled" else str(order.index(universal)))
            compared += 1
    assert compared == 25 * 195


def test_the_screen_shows_the_same_as_the_table_and_its_export(model: BrowserModel, table: MasterTable) -> None:
    lines = {index.data(): index for index in class_lines(model)}
    assert len(lines) == 195 and lines.keys() == {"unlabeled", *(row.info.name for row in table.rows)}
    for column, shown in enumerate(table.columns, start=FIRST):
        for row in table.rows:
            assert lines[row.info.name].siblingAtColumn(column).data(NAMES) == row.cells[shown.name]
        assert lines["unlabeled"].siblingAtColumn(column).data(NAMES) == shown.unlabeled
    assert len(to_csv(table, headers(model)).splitlines()) == 1 + len(lines)


def test_classes_stand_below_their_parents(model: BrowserModel, table: MasterTable) -> None:
    parents = {row.info.name: row.info.parent for row in table.rows}
    for index in class_lines(model):
        title = index.parent().data().rsplit("   ", 1)[0]
        expected = parents.get(index.data(), "no universal class") or "without a parent"
        assert title == expected.removesuffix("-parent")
    assert model.rowCount() == len(table.parents) + 2, "classes without a parent, and what leads to no class"


def test_qt_finds_nothing_wrong_with_the_models(
    model: BrowserModel, table: MasterTable, theme: Theme, catalog: Catalog
) -> None:
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.set_found(search_rows(table, "car"))
    model.sort(FIRST + 1, DOWN)
    model.set_found(None)
    model.set_table(table, ["camvid-11"])
    model.sort(CLASS)
    assert tester.model() is model
    pair = PairModel(theme)
    QAbstractItemModelTester(pair, QAbstractItemModelTester.FailureReportingMode.Fatal, pair)
    for source in ("cityscapes-19", "camvid-32"):
        pair.set_report(compare(catalog, source, "camvid-11"))
    pair.set_report(None)


def test_a_merge_is_amber_and_lists_all_in_its_tooltip(model: BrowserModel, theme: Theme) -> None:
    column = FIRST + headers(model).index("mapillary-public65")
    road, snow = (model.index_of(name).siblingAtColumn(column) for name in ("road", "snow"))
    amber = road.data(Qt.ItemDataRole.ForegroundRole).color().name()
    assert amber == theme.tones.warn and len(road.data(NAMES)) == 8
    assert road.data(Qt.ItemDataRole.ToolTipRole).splitlines() == [
        "mapillary-public65: 8 classes merge into road",
        *road.data(NAMES),
    ]
    assert snow.data(Qt.ItemDataRole.ForegroundRole) is None
    blank = model.index_of("gravel").siblingAtColumn(column)
    assert blank.data() == BLANK and blank.data(Qt.ItemDataRole.ForegroundRole).color().name() == theme.tones.dim
    assert blank.data(Qt.ItemDataRole.AccessibleTextRole) == "mapillary-public65: no class"


@pytest.mark.parametrize(
    ("query", "first", "least"),
    [("bicyclist", "bicyclist", 1), ("127", "bicyclist", 1), ("rucksack", "backpack", 1), ("SignSymbol", "", 1)],
)
def test_what_is_found_is_all_that_is_shown(
    model: BrowserModel, table: MasterTable, query: str, first: str, least: int
) -> None:
    found = search_rows(table, query)
    model.set_found(found)
    shown = [index.data() for index in class_lines(model)]
    assert sorted(shown) == sorted(row.info.name for row in found) and len(shown) == model.num_shown >= least
    assert not first or found[0].info.name == first
    model.set_found([])
    assert class_lines(model) == [] and model.rowCount() == 0
    model.set_found(None)
    assert model.num_shown == 194


def test_sorted_by_name_by_id_and_by_a_taxonomy(model: BrowserModel) -> None:
    ids = [index.siblingAtColumn(ID).data() for index in class_lines(model)]
    model.sort(ID, DOWN)
    for number in range(model.rowCount()):
        parent = model.index(number, CLASS)
        below = [model.index(row, ID, parent).data() for row in range(model.rowCount(parent))]
        assert below == sorted(below, reverse=True, key=lambda text: int(text or 0))
    model.sort(CLASS)
    for number in range(model.rowCount() - 1):
        parent = model.index(number, CLASS)
        names = [model.index(row, CLASS, parent).data() for row in range(model.rowCount(parent))]
        assert names == sorted(names, key=str.casefold)
    column = FIRST + headers(model).index("camvid-11")
    for order in (Qt.SortOrder.AscendingOrder, DOWN):
        model.sort(column, order)
        cells = [index.siblingAtColumn(column).data(NAMES) for index in class_lines(model)]
        filled = [cell for cell in cells if cell]
        assert cells[: len(filled)] == filled, "blank cells come last"
        assert filled == sorted(filled, reverse=order == DOWN, key=lambda cell: [name.casefold() for name in cell])
        assert all(not index.parent().isValid() for index in class_lines(model))
    model.sort(ID)
    assert [index.siblingAtColumn(ID).data() for index in class_lines(model)] == ids


def test_a_drag_carries_classes_and_a_parent_all_of_its_own(model: BrowserModel) -> None:
    road, unlabeled = model.index_of("road"), class_lines(model)[-1]
    person = model.index_of("person").parent()
    assert names_of(model.mimeData([road, road.siblingAtColumn(ID), unlabeled])) == ("road",)
    assert names_of(model.mimeData([person])) == ("person", "rider_other", "bicyclist", "motorcyclist")
    assert model.flags(road) & Qt.ItemFlag.ItemIsDragEnabled
    assert not model.flags(unlabeled) & Qt.ItemFlag.ItemIsDragEnabled


def test_a_taxonomy_of_ones_own_is_a_column(theme: Theme) -> None:
    path = user_folder("taxonomies") / "robot.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "format: 1\nname: robot\nignore_id: 255\nclasses:\n- {id: 0, name: way, rgb: [9, 9, 9]}\n"
        "from_universal: {road: way, runway: way}\n"
    )
    table = master_table(Catalog([resource_folder("taxonomies"), path.parent]))
    model = BrowserModel(theme)
    model.set_table(table, ["robot"])
    assert headers(model) == ["robot"] and model.index_of("runway").siblingAtColumn(FIRST).data() == "way"


@pytest.mark.parametrize(
    ("source", "target"),
    [("universal", "wilddash-19"), ("cityscapes-19", "camvid-11"), ("coco-panoptic-133", "universal"),
     ("camvid-32", "camvid-11"), ("scannet-37", "test-nyudepthv2-37")],
)  # fmt: skip
def test_a_pair_shows_every_link_once_and_every_class(catalog: Catalog, theme: Theme, source: str, target: str) -> None:
    report = compare(catalog, source, target)
    model = PairModel(theme)
    model.set_report(report)
    cells = [[model.index(row, column).data() for column in range(4)] for row in range(model.rowCount())]
    links = [(cell[SOURCE], cell[TARGET]) for cell in cells if BLANK not in cell[:2]]
    assert tuple(links) == report.links
    assert tuple(cell[SOURCE] for cell in cells if cell[TARGET] == BLANK) == report.unmapped
    assert tuple(cell[TARGET] for cell in cells if cell[SOURCE] == BLANK) == report.unreached
    merging = {cell[TARGET] for cell in cells if "merges with" in cell[REMARK]}
    assert merging == set(report.merges)
    shown = PairFilter(model)
    shown.show_kind("merge")
    assert shown.rowCount() == sum(len(sources) for sources in report.merges.values())
    shown.show_kind("no target")
    assert shown.rowCount() == len(report.unmapped)
    shown.show_kind("all")
    shown.show_text("BICY")
    texts = [" ".join(shown.index(row, column).data() for column in range(3)) for row in range(shown.rowCount())]
    assert all("bicy" in text.casefold() for text in texts)


def test_the_colour_of_a_class_is_the_same_on_a_selected_line(model: BrowserModel) -> None:
    icon = model.index_of("car").data(Qt.ItemDataRole.DecorationRole)
    plain, selected = (icon.pixmap(12, 12, mode).toImage() for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected))
    assert plain == selected
    assert QColor(selected.pixel(6, 6)).getRgb()[:3] == class_rgb(model, "car")


def class_rgb(model: BrowserModel, name: str) -> tuple[int, int, int]:
    line = model.line(model.index_of(name))
    assert line is not None and line.row is not None
    return line.row.info.rgb
