"""Custom taxonomies: every edit keeps a draft valid, and what is saved is what was made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.catalog import Catalog, default_catalog
from mseg_studio.taxonomy.draft import Draft, DraftClass, draft_of, save_draft, subset
from mseg_studio.taxonomy.table import read_table

UNIVERSAL = default_catalog().taxonomy("universal")
RIDERS = ("rider_other", "bicyclist", "motorcyclist")


@pytest.fixture
def own(tmp_path: Path) -> Catalog:
    return Catalog([resource_folder("taxonomies"), tmp_path])


def mine() -> Draft:
    return Draft("mine").add(["person"]).add(["road", "gravel"], name="drivable").add(["car", "bus", "truck"])


def shape(draft: Draft) -> dict[str, tuple[str, ...]]:
    return {item.name: item.members for item in draft.classes}


def test_adding_names_and_colours_by_the_members() -> None:
    draft = mine()
    assert shape(draft) == {
        "person": ("person",),
        "drivable": ("road", "gravel"),
        "vehicle": ("car", "bus", "truck"),
    }
    colours = {info.name: info.rgb for info in UNIVERSAL.classes}
    assert [item.rgb for item in draft.classes] == [colours["person"], colours["road"], colours["car"]]
    assert len({item.rgb for item in draft.add(["bicycle"]).classes}) == 4


def test_a_name_or_colour_that_is_taken_is_not_given_again() -> None:
    draft = mine().recolour(0, next(info.rgb for info in UNIVERSAL.classes if info.name == "sky")).rename(0, "sky")
    again = draft.add(["sky"])
    assert [item.name for item in again.classes] == ["sky", "drivable", "vehicle", "sky 2"]
    assert again.classes[3].rgb not in {item.rgb for item in draft.classes}


def test_a_member_moves_and_an_emptied_class_goes() -> None:
    assert shape(mine().add(["bus", "person"], name="both")) == {
        "drivable": ("road", "gravel"),
        "vehicle": ("car", "truck"),
        "both": ("bus", "person"),
    }
    assert shape(mine().into(2, ["person", "bus"])) == {
        "drivable": ("road", "gravel"),
        "vehicle": ("car", "bus", "truck", "person"),
    }
    assert shape(mine().without(["person", "car"])) == {"drivable": ("road", "gravel"), "vehicle": ("bus", "truck")}


def test_merge_keeps_the_first_given() -> None:
    draft = mine()
    merged = draft.merge([2, 0])
    assert shape(merged) == {"drivable": ("road", "gravel"), "vehicle": ("car", "bus", "truck", "person")}
    assert merged.classes[1].rgb == draft.classes[2].rgb


def test_order_removal_and_what_is_left_out() -> None:
    draft = mine()
    assert list(shape(draft.moved(2, 0))) == ["vehicle", "person", "drivable"]
    assert list(shape(draft.moved(0, 2))) == ["drivable", "vehicle", "person"]
    assert list(shape(draft.remove(1))) == ["person", "vehicle"]
    left = draft.left_out(UNIVERSAL)
    assert len(left) == 194 - 6
    assert "road" not in left
    assert draft.named("yours").classes == draft.classes
    assert draft == mine(), "an edit changes nothing it is made from"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.add(["persn"]), "taxonomy 'universal' has no class 'persn'; did you mean person"),
        (lambda d: d.add([]), "a class without universal classes needs a name"),
        (lambda d: d.add(["sky"], name="person"), "taxonomy 'mine' names class 'person' twice"),
        (lambda d: d.rename(0, "drivable"), "taxonomy 'mine' names class 'drivable' twice"),
        (lambda d: d.rename(0, " x"), "class 0 is called ' x', expected a name without outer white space"),
        (lambda d: d.rename(0, ""), "class 0 is called '', expected a name without outer white space"),
        (lambda d: d.rename(0, "x" * 201), "class 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...' has a name of 201 "),
        (
            lambda d: d.recolour(0, (0, 0, 256)),
            "class 'person' has colour (0, 0, 256), expected three numbers",
        ),
        (lambda d: d.remove(3), "taxonomy 'mine' has no class 3, expected 0 to 2"),
        (lambda d: d.moved(0, -1), "taxonomy 'mine' has no class -1, expected 0 to 2"),
        (lambda d: d.merge([1]), "merging needs two classes or more"),
        (lambda d: d.named(""), "a taxonomy cannot be called '': expected a name"),
        (lambda d: d.named("a/b"), "a taxonomy cannot be called 'a/b': it is a file name, without /"),
        (lambda d: d.named("..\\b"), "a taxonomy cannot be called '..\\b': it is a file name, without \\"),
        (lambda d: d.named(".mine"), "a taxonomy cannot be called '.mine': expected no dot or hyphen at the start"),
        (lambda d: d.named("--mine"), "a taxonomy cannot be called '--mine': expected no dot or hyphen at the start"),
        (lambda d: d.named("mine."), "a taxonomy cannot be called 'mine.': expected no dot or hyphen at the start"),
        (lambda d: d.named("Aux.v2"), "a taxonomy cannot be called 'Aux.v2': Windows keeps this name for a device"),
        (lambda d: d.named("mine "), "a taxonomy cannot be called 'mine ': expected one line without outer"),
        (lambda d: d.named("a\nb"), "a taxonomy cannot be called 'a\\nb': expected one line without outer"),
        (lambda d: d.named("x" * 101), f"a taxonomy cannot be called '{'x' * 100}': expected at most 100 letters"),
    ],
)
def test_what_cannot_be_done(edit, message: str) -> None:
    with pytest.raises(TaxonomyError) as caught:
        edit(mine())
    assert str(caught.value).startswith(message)


def test_a_universal_class_in_two_classes_is_refused() -> None:
    with pytest.raises(TaxonomyError, match="universal class 'sky' is in 'a' and 'b'"):
        Draft("mine", (DraftClass("a", (0, 0, 0), ("sky",)), DraftClass("b", (0, 0, 0), ("sky",))))


def test_a_saved_draft_is_a_taxonomy_at_once(own: Catalog, tmp_path: Path) -> None:
    path = save_draft(mine(), own, tmp_path)
    assert path == tmp_path / "mine.yaml"
    assert own.problems() == ()
    assert "mine" in [choice.name for choice in own.outputs("universal")]
    assert next(choice.links for choice in own.outputs("universal") if choice.name == "mine") == "exact"
    projection = own.projection("universal", "mine")
    assert [len(group) for group in projection.groups] == [1, 2, 3]
    back = own.projection("mine", "universal")
    assert back.unmapped == (1, 2), "labels of a merged class have no universal class"
    table = own.table("mine")
    assert table.taxonomy.classes[0].aliases == UNIVERSAL.classes[UNIVERSAL.id_of("person")].aliases
    assert draft_of(table) == mine()


def test_the_users_folder_is_the_default() -> None:
    catalog = default_catalog()
    path = save_draft(mine(), catalog)
    assert path.parent == user_folder("taxonomies")
    assert catalog.taxonomy("mine").names == ("person", "drivable", "vehicle")
    assert [entry.name for entry in path.parent.iterdir()] == ["mine.yaml"]


def test_saving_again_needs_replace(own: Catalog, tmp_path: Path) -> None:
    path = save_draft(mine(), own, tmp_path)
    with pytest.raises(TaxonomyError, match="is there already; choose another name, or ask to replace it"):
        save_draft(mine().remove(0), own, tmp_path)
    assert draft_of(own.table("mine")) == mine()
    save_draft(mine().remove(0), own, tmp_path, replace=True)
    assert draft_of(own.table("mine")) == mine().remove(0)
    assert path.exists()


@pytest.mark.parametrize("name", ["universal", "camvid-11", "CamVid-11"])
def test_never_over_a_shipped_name(own: Catalog, tmp_path: Path, name: str) -> None:
    with pytest.raises(TaxonomyError, match=f"'{name}' cannot be saved: there is a taxonomy '{name.lower()}' already"):
        save_draft(mine().named(name), own, tmp_path, replace=True)
    assert not list(tmp_path.iterdir())


def test_a_name_that_differs_by_case_only_is_refused(own: Catalog, tmp_path: Path) -> None:
    save_draft(mine(), own, tmp_path)
    with pytest.raises(TaxonomyError, match="there is a taxonomy 'mine' already"):
        save_draft(mine().named("Mine"), own, tmp_path, replace=True)


def test_empty_drafts_are_not_saved(own: Catalog, tmp_path: Path) -> None:
    with pytest.raises(TaxonomyError, match="taxonomy 'mine' has no classes"):
        save_draft(Draft("mine"), own, tmp_path)
    with pytest.raises(TaxonomyError, match="taxonomy 'mine': no universal class leads to any of its classes"):
        save_draft(Draft("mine").add([], name="x"), own, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(own: Catalog, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TaxonomyError, match=r"file/mine.yaml: cannot be written: "):
        save_draft(mine(), own, tmp_path / "file")


WRITTEN = """\
format: 1
name: mine
ignore_id: 255
classes:
- {id: 0, name: person, rgb: [1, 2, 3]}
- {id: 1, name: ground, rgb: [4, 5, 6]}
from_universal:
  person: person
  road: ground
  gravel: ground
"""


def test_a_file_written_by_hand_is_edited(own: Catalog, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WRITTEN)
    draft = draft_of(own.table("mine")).rename(0, "people")
    save_draft(draft, own, tmp_path, replace=True)
    assert draft_of(own.table("mine")) == draft


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: person,", "name: person, aliases: [somebody],"),
        ("name: person,", "name: person, parent: people,"),
        ("name: ground,", "name: ground, wordnet: land.n.04,"),
        ("{id: 1,", "{id: 7,"),
        ("from_universal:", "to_universal: {ground: road}\nfrom_universal:"),
        ("from_universal:", "to: {camvid-11: {person: Pedestrian}}\nfrom_universal:"),
        ("from_universal:\n  person: person\n  road: ground\n  gravel: ground\n", "to_universal: {person: person}\n"),
    ],
)
def test_a_file_that_says_more_is_not_replaced(own: Catalog, tmp_path: Path, old: str, new: str) -> None:
    path, text = tmp_path / "mine.yaml", WRITTEN.replace(old, new)
    assert text != WRITTEN
    path.write_text(text)
    read_table(path)
    with pytest.raises(TaxonomyError, match=r"mine.yaml: has ids, aliases or links that would be lost"):
        save_draft(mine(), own, tmp_path, replace=True)
    assert path.read_text() == text


def test_shipped_taxonomies_open_as_drafts(catalog: Catalog) -> None:
    draft = draft_of(catalog.table("kitti-19"))
    assert shape(draft)["rider"] == RIDERS
    assert len(draft_of(catalog.table("universal")).classes) == 194
    assert draft_of(catalog.table("ade20k-150")).links == "approximate"
    with pytest.raises(TaxonomyError, match="no links lead from the universal taxonomy to 'camvid-32'"):
        draft_of(catalog.table("camvid-32"))


ODD = (
    "no",
    "null",
    "~",
    "a: b",
    "# x",
    "'q'",
    '"q"',
    "\\",
    "{a, b}",
    "- x",
    "[x",
    "*a",
    "&a",
    "0",
    "Straße",
    "路",
    "a#b",
)
NAMES = st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=12))
MEMBERS = st.lists(st.sampled_from(UNIVERSAL.names[:12]), max_size=4)
INDEX = st.integers(-1, 6)
EDITS = st.one_of(
    st.tuples(st.just("add"), MEMBERS, st.none() | NAMES),
    st.tuples(st.just("merge"), st.lists(INDEX, max_size=3)),
    st.tuples(st.just("into"), INDEX, MEMBERS),
    st.tuples(st.just("rename"), INDEX, NAMES),
    st.tuples(st.just("recolour"), INDEX, st.tuples(*[st.integers(-1, 256)] * 3)),
    st.tuples(st.just("remove"), INDEX),
    st.tuples(st.just("without"), MEMBERS),
    st.tuples(st.just("moved"), INDEX, INDEX),
)


def edited(edits: list[tuple]) -> Draft:
    draft = Draft("mine")
    for kind, *arguments in edits:
        try:
            draft = draft.add(arguments[0], name=arguments[1]) if kind == "add" else getattr(draft, kind)(*arguments)
        except TaxonomyError as error:
            assert "\n" not in str(error)
    return draft


@settings(deadline=None, max_examples=150)
@given(st.lists(EDITS, max_size=12))
def test_any_edits_keep_a_draft_valid_and_a_file_gives_it_back(warm: tuple[Catalog, Path], edits: list[tuple]) -> None:
    draft = edited(edits)
    assert Draft("mine", draft.classes) == draft, "still passes its own checks"
    members = [name for item in draft.classes for name in item.members]
    assert len(members) == len(set(members))
    if not members:
        return
    catalog, folder = warm
    shutil.rmtree(folder, ignore_errors=True)
    path = save_draft(draft, catalog, folder)
    assert "mine" in [choice.name for choice in catalog.outputs("universal")]
    assert draft_of(read_table(path)) == draft
    save_draft(draft, catalog, folder, replace=True)
    weights = catalog.projection("universal", "mine").weights
    assert int(weights.sum()) == len(members)


def test_subset_by_names_ids_aliases_and_parents(own: Catalog) -> None:
    draft = subset(own, ["sky", "98", "Automobile", "parent:person"], name="few")
    assert list(shape(draft)) == ["sky", "road", "car", "person", *RIDERS]
    assert all(members == (name,) for name, members in shape(draft).items())
    colours = {info.name: info.rgb for info in UNIVERSAL.classes}
    assert all(item.rgb == colours[item.name] for item in draft.classes)
    assert subset(own, ["sky", "sky", "142"], name="few").classes == draft.classes[:1]


def test_subset_with_everything_else(own: Catalog, tmp_path: Path) -> None:
    draft = subset(own, ["parent:person-parent"], name="people", rest="other")
    assert [len(item.members) for item in draft.classes] == [1, 1, 1, 1, 190]
    save_draft(draft, own, tmp_path)
    assert own.projection("universal", "people").unmapped == ()


def test_subset_of_another_taxonomy_goes_through_its_links(own: Catalog) -> None:
    draft = subset(own, ["rider", "road", "parent:vehicle"], name="few", of="cityscapes-19", rest="other")
    assert shape(draft)["rider"] == RIDERS
    assert draft.links == "exact"
    assert {"car", "truck", "bus"} < set(shape(draft))
    assert sum(len(item.members) for item in draft.classes) == 194
    assert subset(own, ["building"], name="few", of="ade20k-150").links == "approximate"


def test_subset_of_what_another_taxonomy_knows(own: Catalog) -> None:
    assert len(subset(own, ["in:camvid-11"], name="street").classes) == 12
    assert set(shape(subset(own, ["in:sunrgbd-37"], name="indoor"))) > {"bed", "sink"}


def test_subset_from_a_file(own: Catalog, tmp_path: Path) -> None:
    listed = tmp_path / "classes.txt"
    listed.write_bytes("\ufeff# what a robot meets\r\nperson\r\n\r\n  road \r\nparent:window\r\n".encode())
    draft = subset(own, [f"@{listed}", "sky"], name="robot")
    assert list(shape(draft)) == ["person", "road", "window", "window_blind", "sky"]


@pytest.mark.parametrize(
    ("words", "rest", "message"),
    [
        (["persn"], None, "taxonomy 'universal' has no class 'persn'; did you mean person"),
        (["194"], None, "taxonomy 'universal' has no class with id 194"),
        (
            ["parent:vehicel"],
            None,
            "taxonomy 'universal' has no classes under the parent 'vehicel'; did you",
        ),
        (["in:camvid"], None, "unknown taxonomy 'camvid'; did you mean camvid-"),
        (["@nowhere.txt"], None, "nowhere.txt: cannot be read: No such file or directory"),
        ([], None, "no class is chosen"),
        (["sky"], "sky", "taxonomy 'few' names class 'sky' twice"),
        (["in:universal"], "other", "nothing is left over for class 'other'"),
    ],
)
def test_subsets_that_cannot_be(own: Catalog, words: list[str], rest: str | None, message: str) -> None:
    with pytest.raises(TaxonomyError) as caught:
        subset(own, words, name="few", rest=rest)
    assert str(caught.value).startswith(message)


def test_files_of_classes_are_not_nested(own: Catalog, tmp_path: Path) -> None:
    listed = tmp_path / "classes.txt"
    listed.write_text(f"@{listed}\n")
    with pytest.raises(TaxonomyError, match="a file of classes names no other file"):
        subset(own, [f"@{listed}"], name="few")
    listed.write_bytes(b"sky\n\xff\n")
    with pytest.raises(TaxonomyError, match="byte 4 is not UTF-8, expected one class a line"):
        subset(own, [f"@{listed}"], name="few")
