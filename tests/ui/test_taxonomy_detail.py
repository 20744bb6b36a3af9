"""The panel as a whole: a class, its links, a pair, and how one leads to the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QApplication, QLineEdit

from mseg_studio.taxonomy.catalog import Catalog, default_catalog
from mseg_studio.taxonomy.class_links import class_links
from mseg_studio.taxonomy.compare import compare
from mseg_studio.ui.theme import Theme
from mseg_studio.ui.workspaces.taxonomy.class_facts import about, count_words
from mseg_studio.ui.workspaces.taxonomy.detail import DetailPanel
from mseg_studio.ui.workspaces.taxonomy.image_facts import ImageFacts, percent
from mseg_studio.ui.workspaces.taxonomy.pair_summary import rows_of


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    theme = Theme(qapp, "dark")
    yield theme
    theme.close()


@pytest.fixture
def catalog() -> Catalog:
    return default_catalog()


@pytest.fixture
def panel(qtbot: Any, catalog: Catalog, theme: Theme) -> DetailPanel:
    panel = DetailPanel(catalog, theme)
    panel.resize(390, 780)
    panel.clock = itertools.count(0.0, 10.0).__next__  # people look at every class for ten seconds
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


def test_a_class_shows_what_is_known_of_it(panel: DetailPanel, catalog: Catalog) -> None:
    panel.show_class("universal", "bicyclist")
    assert panel.shown == ("universal", "bicyclist")
    assert panel.facts.heading.text() == "bicyclist · universal 127"
    assert panel.facts.about.text() == "parent person · WordNet bicyclist.n.01 · also cyclist"
    links = class_links(catalog, "universal", "bicyclist")
    assert panel.facts.counts.text() == count_words(links)
    shown = [(box.link.taxonomy, box.link.class_name) for box in panel.graph.boxes]
    assert shown == [(link.taxonomy, link.class_name) for link in (*links.incoming, *links.outgoing)]


def test_a_click_walks_and_the_way_back_is_kept(panel: DetailPanel, qtbot: Any) -> None:
    seen: list[tuple[str, str]] = []
    panel.walked.connect(lambda taxonomy, name: seen.append((taxonomy, name)))
    panel.show_class("universal", "bicyclist")
    assert panel.facts.back.isHidden()
    box = next(box for box in panel.graph.outgoing if box.link.taxonomy == "wilddash-19")
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    assert seen == [("wilddash-19", "rider")] and panel.shown == ("wilddash-19", "rider")
    assert panel.facts.back.text() == "← bicyclist"
    sources = [box.link.class_name for box in panel.graph.incoming]
    assert sources[:3] == ["rider_other", "bicyclist", "motorcyclist"]
    qtbot.mouseClick(panel.facts.back, Qt.MouseButton.LeftButton)
    assert seen[-1] == ("universal", "bicyclist") == panel.shown
    assert panel.facts.back.isHidden()
    panel.back()
    assert len(seen) == 2


def test_alt_left_goes_back(panel: DetailPanel, qtbot: Any) -> None:
    panel.show_class("universal", "road")
    panel.show_class("universal", "sky")
    panel.activateWindow()
    qtbot.waitUntil(panel.isActiveWindow)
    panel.graph.boxes[0].setFocus()
    qtbot.keyClick(panel.graph.boxes[0], Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert panel.shown == ("universal", "road")


def test_showing_the_same_class_again_is_no_step(panel: DetailPanel) -> None:
    panel.show_class("universal", "road")
    panel.show_class("universal", "road")
    assert panel.facts.back.isHidden()


def test_classes_that_pass_by_are_no_steps(panel: DetailPanel) -> None:
    """Typing a search shows the best of every letter."""
    panel.show_class("universal", "road")
    box = panel.graph.boxes[0]
    box.click()
    walked = panel.shown
    panel.clock = itertools.count(100.0, 0.2).__next__
    for name in ("bird", "bicycle", "bicyclist"):
        panel.show_class("universal", name)
    assert panel.shown == ("universal", "bicyclist")
    panel.back()
    assert panel.shown == walked
    panel.back()
    assert panel.shown == ("universal", "road") and panel.facts.back.isHidden()


def test_an_unknown_class_is_one_line(panel: DetailPanel) -> None:
    panel.show_class("universal", "unicorn")
    assert "has no class 'unicorn'" in panel.facts.about.text()
    assert panel.graph.boxes == []


def test_a_column_with_links_only_can_be_walked_to(panel: DetailPanel) -> None:
    panel.show_class("universal", "bed")
    box = next(box for box in panel.graph.boxes if box.link.taxonomy == "nyudepthv2-37")
    box.click()
    assert panel.shown is not None and panel.shown[0] == "nyudepthv2-37"
    assert panel.facts.about.text() == "Only its links are published, no order of classes."
    assert ("universal", "bed") in [(box.link.taxonomy, box.link.class_name) for box in panel.graph.boxes]


def test_the_box_of_a_missing_target_shows_what_else_is_missing_there(panel: DetailPanel, qtbot: Any) -> None:
    panel.show_class("universal", "bicyclist")
    box = next(box for box in panel.graph.outgoing if box.link.taxonomy == "scannet-20")
    assert box.text() == "no target" and box.link.class_name is None
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton)
    assert panel.shown == ("universal", "bicyclist")
    assert panel.pair.title.words == "universal → scannet-20"


def test_a_pair_says_what_is_merged_and_lost(panel: DetailPanel, catalog: Catalog) -> None:
    panel.show_pair("universal", "wilddash-19")
    report = compare(catalog, "universal", "wilddash-19")
    assert panel.pair.coverage.text() == f"{len(report.links)} of 194 classes have a target"
    assert panel.pair.badge.text() == "exact"
    lines = [panel.pair.list.item(row).text() for row in range(panel.pair.list.count())]
    assert "merge rider ← rider_other, bicyclist, motorcyclist" in lines
    assert len(lines) == len(rows_of(report)) == 3 + 194 - len(report.links)


def test_a_composed_pair_says_so(panel: DetailPanel) -> None:
    panel.show_pair("ade20k-150", "voc2012")
    assert panel.pair.badge.text() == "approximate"
    assert panel.pair.coverage.text().endswith(" of 150 classes have a target, through universal")


def test_lines_of_a_pair(catalog: Catalog) -> None:
    composed = compare(catalog, "ade20k-150", "camvid-11")
    lines = {(row.kind, row.text) for row in rows_of(composed)}
    assert ("merge", "Building ← booth, building, grandstand, house, hovel, skyscraper, tower") in lines
    assert ("no target", "airplane → universal airplane, no further") in lines
    kinds = [row.kind for row in rows_of(compare(catalog, "universal", "pascal-context-60"))]
    assert list(dict.fromkeys(kinds)) == ["merge", "no source"]


def test_a_pair_without_links_is_one_line(panel: DetailPanel) -> None:
    panel.show_pair("voc2012", "ade20k-150")
    assert "no links lead" in panel.pair.coverage.text()
    assert panel.pair.badge.isHidden() and panel.pair.list.count() == 0


def test_long_names_do_not_widen_the_panel(panel: DetailPanel) -> None:
    panel.resize(360, 700)
    source, target = "coco-panoptic-133-relabeled", "mapillary-public65-relabeled"
    panel.set_image(ImageFacts(target, {}, 1.0, 1.0, source=source))
    panel.show_class("sunrgbd-37-relabeled", "mirror")
    panel.show_class("coco-panoptic-133-relabeled", "traffic_light")
    panel.add_classes(["traffic_sign", "counter_other"])
    panel.editor.apply(lambda draft: draft.rename(0, "a very long name of a class that nobody can read in one go"))
    QApplication.processEvents()
    assert panel.minimumSizeHint().width() <= 360 == panel.width()
    assert "…" in panel.pair.title.text() and target in panel.pair.title.toolTip()


def test_a_line_of_a_pair_leads_to_its_class(panel: DetailPanel) -> None:
    panel.show_pair("universal", "wilddash-19")
    item = next(i for i in map(panel.pair.list.item, range(9)) if i.text().startswith("merge rider"))
    panel.pair.list.itemActivated.emit(item)
    assert panel.shown == ("wilddash-19", "rider")


def test_a_target_is_chosen_from_the_menu(panel: DetailPanel, catalog: Catalog) -> None:
    names = [action.text() for action in panel.pair.menu.actions()]
    assert names == list(catalog.names())
    chosen: list[tuple[str, str]] = []
    panel.pair_chosen.connect(lambda source, target: chosen.append((source, target)))
    next(action for action in panel.pair.menu.actions() if action.text() == "kitti-19").trigger()
    assert chosen == [("universal", "kitti-19")]
    assert panel.pair.title.words == "universal → kitti-19"


def test_the_open_image_adds_its_shares(panel: DetailPanel, qtbot: Any) -> None:
    panel.show_class("universal", "bicyclist")
    assert panel.facts.pixels.isHidden() and panel.pair.paint.isHidden()
    panel.set_image(ImageFacts("camvid-11", {"bicyclist": 0.019}, 0.013, 0.0004))
    assert panel.facts.image.text() == "on this image <b>1.9 %</b>"
    assert panel.pair.title.words == "universal → camvid-11"
    assert panel.pair.lost.text() == "on this image <b>&lt;0.1 %</b> of probability has no target"
    assert panel.pair.differing.text() == "project and map differ on <b>1.3 %</b> of pixels"
    with qtbot.waitSignal(panel.difference_asked):
        qtbot.mouseClick(panel.pair.paint, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(panel.pixels_asked) as asked:
        qtbot.mouseClick(panel.facts.pixels, Qt.MouseButton.LeftButton)
    assert asked.args == ["bicyclist"]
    panel.show_class("universal", "road")
    assert panel.facts.image.text() == "not on this image" and panel.facts.pixels.isHidden()
    panel.show_class("camvid-11", "Bicyclist")
    assert panel.facts.image.isHidden() and not panel.facts.pixels.isHidden()


def test_a_pair_that_was_chosen_stays_while_the_image_changes(panel: DetailPanel) -> None:
    panel.set_image(ImageFacts("camvid-11", {}, 0.0, 0.0))
    panel.show_pair("universal", "kitti-19")
    panel.set_image(ImageFacts("camvid-11", {"road": 0.5}, 0.1, 0.0))
    assert panel.pair.title.words == "universal → kitti-19"
    assert panel.pair.lost.isHidden() and panel.pair.differing.isHidden()
    panel.show_pair("universal", "camvid-11")
    assert not panel.pair.lost.isHidden()
    panel.set_image(None)
    assert panel.pair.lost.isHidden()


@pytest.mark.parametrize(("share", "words"), [(0.0, "0 %"), (0.0001, "<0.1 %"), (0.0194, "1.9 %"), (1.0, "100.0 %")])
def test_shares_in_words(share: float, words: str) -> None:
    assert percent(share) == words


def test_a_class_of_which_nothing_is_known_says_that(catalog: Catalog) -> None:
    info = catalog.taxonomy("voc2012").get(0)
    assert about(info) == "no parent, WordNet id or alias"


def test_every_class_of_every_taxonomy_can_be_shown(catalog: Catalog, qtbot: Any, theme: Theme) -> None:
    panel = DetailPanel(catalog, theme)
    qtbot.addWidget(panel)
    for name in catalog.names():
        info = catalog.taxonomy(name).classes[0]
        panel.show_class(name, info.name)
        assert panel.facts.heading.text() == f"{info.name} · {name} {info.id}"


def test_every_control_has_a_name_and_tab_reaches_it(panel: DetailPanel) -> None:
    panel.show_class("universal", "person")
    panel.show_class("universal", "bicyclist")
    panel.set_image(ImageFacts("wilddash-19", {"bicyclist": 0.1}, 0.1, 0.1))
    panel.add_classes(["road", "sky"])
    panel.editor.left_out.toggle.setChecked(True)
    kinds = (QAbstractButton, QAbstractItemView, QLineEdit)
    found = [w for kind in kinds for w in panel.findChildren(kind) if w.isVisible()]
    assert len(found) > 40
    for widget in found:
        text = widget.text() if isinstance(widget, QAbstractButton) else ""
        assert widget.accessibleName() or text.strip(), f"{type(widget).__name__} has no name"
    reached, widget = set(), panel.facts.back
    for _ in range(300):
        reached.add(widget)
        widget = widget.nextInFocusChain()
    missing = [w.accessibleName() for w in found if w.isEnabled() and w not in reached]
    unfocusable = [w.accessibleName() for w in found if not w.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert (missing, unfocusable) == ([], [])


def test_the_heights_of_the_parts_stay_while_one_walks(panel: DetailPanel, qtbot: Any) -> None:
    def tops() -> list[int]:
        QApplication.processEvents()
        return [panel.pair.y(), panel.editor.y(), panel.graph.y(), panel.pair.list.y()]

    panel.show_class("universal", "road")
    before = tops()
    for name, kind in (("universal", "bicyclist"), ("voc2012", "background"), ("ade20k-150", "airplane")):
        panel.show_class(name, kind)
        assert tops() == before
    panel.add_classes(["road", "sky"])
    panel.editor.save()
    panel.editor.left_out.toggle.setChecked(True)
    assert tops() == before


def test_a_member_of_the_draft_leads_to_its_class(panel: DetailPanel) -> None:
    panel.add_classes(["road", "sky"])
    tree = panel.editor.tree
    tree.activated.emit(tree.classes.index(1, 0, tree.classes.index(0, 0)))
    assert panel.shown == ("universal", "sky")


def test_a_saved_taxonomy_is_a_target_at_once(panel: DetailPanel, qtbot: Any) -> None:
    panel.add_classes(["road", "sky"])
    panel.editor.save()
    panel.editor.question.field.setText("mine")
    with qtbot.waitSignal(panel.taxonomy_saved) as saved:
        qtbot.keyClick(panel.editor.question.field, Qt.Key.Key_Return)
    assert saved.args == ["mine"] and not panel.unsaved
    assert "mine" in [action.text() for action in panel.pair.menu.actions()]
    panel.show_pair("universal", "mine")
    assert panel.pair.coverage.text() == "2 of 194 classes have a target"


def test_an_image_in_its_own_taxonomy_shows_a_pair_worth_reading(panel: DetailPanel) -> None:
    panel.set_image(ImageFacts("camvid-11", {}, 0.0, 0.0))
    panel.set_image(ImageFacts("universal", {"road": 0.5}, 0.0, 0.0))
    assert panel.pair.title.words == "universal → wilddash-19"
    assert panel.pair.lost.isHidden() and panel.pair.differing.isHidden()


@pytest.mark.parametrize("pair", [("universal", "universal"), ("universal", "camvid-11"), ("voc2012", "kitti-19")])
def test_a_title_that_has_room_is_whole(panel: DetailPanel, qtbot: Any, pair: tuple[str, str]) -> None:
    panel.pair.show_problem(*pair, "")
    qtbot.waitUntil(lambda: panel.pair.title.text() == f"{pair[0]} → {pair[1]} ▾".upper())


def test_counts_of_links_in_words(catalog: Catalog) -> None:
    words = count_words(class_links(catalog, "universal", "car"))
    assert words == "21 sources, 11 merged · 19 targets, 4 split"
