"""The tree of a draft as a model, the order of rows after a drop, and the states one can go back to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.taxonomy.catalog import UNIVERSAL, Catalog, default_catalog
from mseg_studio.taxonomy.draft import Draft
from mseg_studio.ui.workspaces.taxonomy.draft_history import DraftHistory
from mseg_studio.ui.workspaces.taxonomy.draft_model import DraftModel, added_at, moved_together
from mseg_studio.ui.workspaces.taxonomy.draft_starts import by_parent, copy_of, editable, free_name

NAMES = ("road", "sky", "person", "car", "bus")


@pytest.fixture
def catalog() -> Catalog:
    return default_catalog()


def draft_of_five() -> Draft:
    draft = Draft("five")
    for name in NAMES:
        draft = draft.add([name])
    return draft


def order(draft: Draft) -> list[str]:
    return [item.name for item in draft.classes]


def test_the_model_keeps_the_rules_of_qt(catalog: Catalog, qtmodeltester: Any) -> None:
    model = DraftModel(catalog.taxonomy(UNIVERSAL))
    five = draft_of_five().merge((0, 3))
    model.show_draft(five)
    qtmodeltester.check(model, force_py=True)  # and from now on at every change
    model.show_draft(five.rename(0, "way").recolour(1, (1, 2, 3)))
    assert model.data(model.index(0, 0)) == "way"
    model.show_draft(by_parent(catalog))
    assert model.rowCount() == 33
    model.show_draft(None)
    assert model.rowCount() == 0


@given(rows=st.sets(st.integers(0, 4), min_size=1), place=st.integers(0, 5))
def test_rows_that_are_moved_stay_together_before_the_row_they_were_dropped_at(rows: set[int], place: int) -> None:
    chosen = sorted(rows)
    moved = order(moved_together(draft_of_five(), chosen, place))
    before = [NAMES[row] for row in range(place) if row not in rows]
    after = [NAMES[row] for row in range(place, 5) if row not in rows]
    assert moved == [*before, *(NAMES[row] for row in chosen), *after]


@given(taken=st.sets(st.sampled_from(NAMES), min_size=1), place=st.integers(-1, 5))
def test_a_new_class_stands_where_it_was_dropped(taken: set[str], place: int) -> None:
    names = sorted(taken)
    made = order(added_at(draft_of_five(), names, place))
    at = 5 if place < 0 else place
    before = [name for name in NAMES[:at] if name not in taken]
    after = [name for name in NAMES[at:] if name not in taken]
    assert made[: len(before)] == before and made[len(before) + 1 :] == after
    assert len(made) == 6 - len(taken)


def test_what_was_undone_is_forgotten_by_the_next_edit() -> None:
    history, five = DraftHistory(), draft_of_five()
    assert history.draft is None and not history.unsaved and not history.can_undo
    history.begin(five, safe=True)
    assert not history.unsaved
    assert history.push(five.remove(0)) and history.push(five.remove(1))
    assert not history.push(five.remove(1))
    history.undo()
    assert history.draft == five.remove(0) and history.can_redo
    history.push(five.remove(2))
    assert not history.can_redo
    history.undo()
    history.undo()
    assert history.draft == five and not history.unsaved and not history.can_undo
    history.undo()
    history.redo()
    assert history.draft == five.remove(0) and history.unsaved
    history.mark_saved()
    assert not history.unsaved
    history.undo()
    assert history.unsaved


def test_a_draft_without_classes_is_no_work() -> None:
    history = DraftHistory()
    history.begin(Draft("x"), safe=False)
    assert not history.unsaved


def test_only_the_last_states_are_kept() -> None:
    history, draft = DraftHistory(), Draft("x").add(["road"])
    history.begin(draft, safe=True)
    for number in range(600):
        history.push(draft.rename(0, f"road {number}"))
    steps = 0
    while history.can_undo:
        history.undo()
        steps += 1
    assert steps == 499


def test_names_that_are_taken_get_a_number(catalog: Catalog) -> None:
    assert free_name(catalog) == "my-taxonomy"
    assert free_name(catalog, "camvid-11") == "camvid-11-2"
    assert free_name(catalog, "UNIVERSAL") == "UNIVERSAL-2"


def test_every_output_can_be_copied(catalog: Catalog) -> None:
    for choice in catalog.outputs(UNIVERSAL):
        copy = copy_of(catalog, choice.name)
        assert copy.name == f"{choice.name}-copy"
        assert order(copy) == list(catalog.taxonomy(choice.name).names)
    assert editable(catalog) == ()


def test_by_parent_takes_every_class_once(catalog: Catalog) -> None:
    universal = catalog.taxonomy(UNIVERSAL)
    draft = by_parent(catalog)
    assert sorted(name for item in draft.classes for name in item.members) == sorted(universal.names)
    parents = {info.name: info.parent for info in universal.classes}
    for item in draft.classes:
        assert len({parents[name] for name in item.members}) == 1
