"""The graph of one class's links: where boxes are, how they are reached, what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from mseg_studio.taxonomy.class_links import ClassLinks, Link
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.link_graph import LinkBox, LinkGraph


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    theme = Theme(qapp, "dark")
    yield theme
    theme.close()


@pytest.fixture
def graph(qtbot: Any, theme: Theme) -> LinkGraph:
    graph = LinkGraph(theme)
    graph.resize(360, 200)
    qtbot.addWidget(graph)
    graph.show()
    qtbot.waitExposed(graph)
    graph.activateWindow()
    qtbot.waitUntil(graph.isActiveWindow)
    return graph


def links(incoming: int, outgoing: int) -> ClassLinks:
    return ClassLinks(
        "universal",
        "bicyclist",
        tuple(Link(f"source-{n}", f"class {n}", "split" if n % 2 else "one", "exact") for n in range(incoming)),
        tuple(
            Link(f"target-{n}", f"class {n}", "merge" if n % 2 else "one", "approximate" if n == 1 else "exact")
            for n in range(outgoing)
        ),
    )


def seen(graph: LinkGraph, box: LinkBox) -> QRect:
    """Where a box is in what is in sight."""
    return QRect(box.mapTo(graph.viewport(), QPoint(0, 0)), box.size())


def whole(graph: LinkGraph, box: LinkBox) -> bool:
    return graph.viewport().rect().contains(seen(graph, box))


def test_few_boxes_stand_in_the_middle(graph: LinkGraph) -> None:
    graph.show_links(links(1, 2))
    assert graph.verticalScrollBar().maximum() == 0
    box = seen(graph, graph.incoming[0])
    assert abs(box.center().y() - graph.viewport().height() // 2) <= 2
    assert box.right() < seen(graph, graph.outgoing[0]).left()


@pytest.mark.parametrize(("incoming", "outgoing"), [(16, 3), (3, 22), (167, 0), (11, 22)])
def test_both_columns_begin_and_end_together(graph: LinkGraph, incoming: int, outgoing: int) -> None:
    graph.show_links(links(incoming, outgoing))
    columns = [column for column in (graph.incoming, graph.outgoing) if column]
    assert all(whole(graph, column[0]) for column in columns)
    graph.verticalScrollBar().setValue(graph.verticalScrollBar().maximum())
    assert all(whole(graph, column[-1]) for column in columns)


def test_boxes_of_a_narrow_and_a_wide_panel_do_not_overlap(graph: LinkGraph, qtbot: Any) -> None:
    graph.show_links(links(4, 4))
    for width in (300, 360, 900):
        graph.resize(width, 200)
        qtbot.waitUntil(lambda width=width: graph.width() == width)
        left, right = seen(graph, graph.incoming[0]), seen(graph, graph.outgoing[0])
        assert left.left() >= 0 and right.right() <= graph.viewport().width()
        assert right.left() - left.right() > left.width() + 40


def test_arrows_walk_all_boxes_and_bring_them_into_sight(graph: LinkGraph, qtbot: Any) -> None:
    graph.show_links(links(16, 5))
    graph.incoming[0].setFocus()
    for n in range(1, 16):
        qtbot.keyClick(graph.focusWidget(), Qt.Key.Key_Down)
        assert graph.incoming[n].hasFocus() and whole(graph, graph.incoming[n])
    qtbot.keyClick(graph.incoming[15], Qt.Key.Key_Down)
    assert graph.incoming[15].hasFocus()
    qtbot.keyClick(graph.incoming[15], Qt.Key.Key_Right)
    assert graph.outgoing[-1].hasFocus()
    qtbot.keyClick(graph.outgoing[-1], Qt.Key.Key_Right)
    assert graph.outgoing[-1].hasFocus()
    qtbot.keyClick(graph.outgoing[-1], Qt.Key.Key_Left)
    assert graph.incoming[15].hasFocus()
    qtbot.keyClick(graph.incoming[15], Qt.Key.Key_Home)
    assert graph.incoming[0].hasFocus() and whole(graph, graph.incoming[0])


def test_tab_goes_from_box_to_box(graph: LinkGraph, qtbot: Any) -> None:
    graph.show_links(links(2, 2))
    graph.boxes[0].setFocus()
    for box in graph.boxes[1:]:
        qtbot.keyClick(graph.focusWidget(), Qt.Key.Key_Tab)
        assert box.hasFocus()


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space])
def test_a_key_walks_and_the_keys_stay_in_the_graph(graph: LinkGraph, qtbot: Any, key: Qt.Key) -> None:
    graph.show_links(links(2, 2))
    graph.walked.connect(lambda _taxonomy, _name: graph.show_links(links(3, 1)))
    graph.outgoing[1].setFocus()
    with qtbot.waitSignal(graph.walked) as walked:
        qtbot.keyClick(graph.outgoing[1], key)
    assert walked.args == ["target-1", "class 1"]
    assert len(graph.boxes) == 4 and graph.boxes[0].hasFocus()


def test_boxes_say_what_they_are(graph: LinkGraph) -> None:
    graph.show_links(links(2, 2))
    missing = ClassLinks("universal", "x", (), (Link("scannet-20", None, "none", "exact"),))
    assert [box.accessibleName() for box in graph.boxes] == [
        "comes from class 0 of source-0",
        "comes from class 1 of source-1, split over several",
        "becomes class 0 of target-0",
        "becomes class 1 of target-1, merged with others, approximate",
    ]
    assert graph.boxes[3].toolTip() == "class 1\ntarget-1, merged with others, approximate"
    graph.show_links(missing)
    assert graph.boxes[0].accessibleName() == "becomes no target of scannet-20"


def test_curves_have_the_colour_of_their_kind(graph: LinkGraph, theme: Theme) -> None:
    """Between the class and a box there is amber for a merge or split, the link colour for one to one, else nothing."""
    tones = theme.tones
    for kind, color, name in (("one", tones.link, "a"), ("split", tones.warn, "a"), ("none", None, None)):
        graph.show_links(ClassLinks("universal", "x", (), (Link("t", name, kind, "exact"),)))
        image = graph.grab().toImage()
        box = seen(graph, graph.outgoing[0])
        column = [image.pixelColor(box.left() - 8, y) for y in range(image.height())]
        drawn = [at for at in column if at != QColor(tones.panel)]
        if color is None:
            assert not drawn
        else:
            near = min(drawn, key=lambda at: distance(at, QColor(color)))
            assert distance(near, QColor(color)) < 40


def distance(one: QColor, other: QColor) -> int:
    return abs(one.red() - other.red()) + abs(one.green() - other.green()) + abs(one.blue() - other.blue())


def test_nothing_is_left_of_the_class_before(graph: LinkGraph) -> None:
    graph.show_links(links(3, 3))
    graph.show_links(None)
    assert graph.boxes == [] and not [box for box in graph.findChildren(LinkBox) if box.isVisible()]
