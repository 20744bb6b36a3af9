"""Finding taxonomies: names, the user's folder, caching, what a model can be shown in."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder, user_folder
from mseg_studio.taxonomy.catalog import Catalog, UnknownTaxonomyError, default_catalog
from mseg_studio.taxonomy.class_links import class_links
from mseg_studio.taxonomy.head import head_of, read_head
from mseg_studio.taxonomy.master import master_table
from tests.taxonomy.published import SHIPPED, TESTS

TWO = """\
format: 1
name: {name}
ignore_id: 255
classes:
- {{id: 0, name: people, rgb: [200, 0, 0]}}
- {{id: 1, name: rest, rgb: [0, 0, 0]}}
from_universal:
  person: people
  bicyclist: people
  road: rest
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def both(own: Path) -> Catalog:
    return Catalog([resource_folder("taxonomies"), own])


def save(folder: Path, name: str, text: str = TWO) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text.format(name=name), encoding="utf-8")
    return path


def test_names_put_universal_first(catalog: Catalog) -> None:
    assert catalog.names()[0] == "universal"
    assert list(catalog.names()[1:]) == sorted(catalog.names()[1:])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cityscape19", "unknown taxonomy 'cityscape19'; did you mean cityscapes-19, cityscapes-34"),
        ("Universal", "unknown taxonomy 'Universal'; did you mean universal"),
        ("../universal", "unknown taxonomy '../universal'"),
        ("a\nb", "unknown taxonomy 'a\\nb'"),
        ("", "unknown taxonomy ''; known: ade20k-150"),
    ],
)
def test_unknown_names_offer_the_nearest(catalog: Catalog, name: str, message: str) -> None:
    with pytest.raises(UnknownTaxonomyError) as caught:
        catalog.taxonomy(name)
    assert str(caught.value).startswith(message)


def test_shipped_files_are_in_order(catalog: Catalog) -> None:
    assert catalog.problems() == ()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_head_says_what_the_whole_file_says(catalog: Catalog, name: str) -> None:
    table = catalog.table(name)
    assert read_head(table.path) == head_of(table)


def test_a_head_of_another_layout_is_read_whole(own: Path) -> None:
    path = own / "x.yaml"
    path.write_text("{format: 1, name: x, ignore_id: 255, note: 'a: b', classes: [{id: 0, name: a, rgb: [0, 0, 0]}]}\n")
    head = read_head(path)
    assert (head.name, head.num_classes, head.note, head.is_output) == ("x", 1, "a: b", False)


def test_outputs_of_a_universal_model(catalog: Catalog) -> None:
    choices = {choice.name: choice for choice in catalog.outputs("universal")}
    names = list(choices)
    assert names[0] == "universal"
    assert set(names[1:8]) == {*TESTS, "cityscapes-19"}, "what is published comes first"
    assert all(choices[name].links == "exact" for name in names[:8])
    assert {name for name in names if choices[name].links == "approximate"} == {
        "ade20k-150",
        "cityscapes-34",
        "coco-panoptic-133",
        "idd-39",
        "mapillary-public65",
        "sunrgbd-37",
    }
    assert (choices["voc2012"].num_classes, choices["universal"].num_classes) == (21, 194)
    assert "wilddash-19" in choices["cityscapes-19"].note
    assert "camvid-32" not in choices
    for choice in choices.values():
        projection = catalog.projection("universal", choice.name)
        assert (projection.links, len(projection.target)) == (choice.links, choice.num_classes)


def test_outputs_of_other_models(catalog: Catalog) -> None:
    assert [choice.name for choice in catalog.outputs("camvid-11")] == ["camvid-11"]
    assert [choice.name for choice in catalog.outputs("camvid-32")] == ["camvid-32", "camvid-11"]
    by_name = {choice.name: choice for choice in catalog.outputs("cityscapes-34")}
    assert (by_name["universal"].links, by_name["cityscapes-19"].links, by_name["voc2012"].links) == (
        "exact",
        "exact",
        "approximate",
    )
    assert "universal" in by_name["voc2012"].note


def test_projections_through_universal(catalog: Catalog) -> None:
    direct = catalog.projection("cityscapes-19", "voc2012")
    first = catalog.projection("cityscapes-19", "universal")
    second = catalog.projection("universal", "voc2012")
    np.testing.assert_array_equal(direct.weights, second.weights @ first.weights)
    assert direct.links == "approximate"


def test_a_projection_to_itself_is_the_identity(catalog: Catalog) -> None:
    for name in ("universal", "camvid-32", "coco-panoptic-201"):
        projection = catalog.projection(name, name)
        assert projection.is_identity
        np.testing.assert_array_equal(projection.weights, np.eye(len(projection.source), dtype=np.float32))


def test_no_links_no_projection(catalog: Catalog) -> None:
    with pytest.raises(TaxonomyError, match=r"^no links lead from taxonomy 'universal' to 'camvid-32'$"):
        catalog.projection("universal", "camvid-32")
    with pytest.raises(TaxonomyError, match=r"^no links lead from taxonomy 'camvid-11' to 'kitti-19'$"):
        catalog.projection("camvid-11", "kitti-19")


def test_what_is_read_is_kept(catalog: Catalog) -> None:
    assert catalog.taxonomy("voc2012") is catalog.taxonomy("voc2012")
    assert catalog.projection("universal", "voc2012") is catalog.projection("universal", "voc2012")


def test_own_taxonomies_stand_beside_the_shipped_ones(both: Catalog, own: Path) -> None:
    save(own, "people")
    assert "people" in both.names()
    assert not both.is_shipped("people")
    assert both.is_shipped("universal")
    assert not both.is_shipped("nothing")
    projection = both.projection("universal", "people")
    assert projection.groups[0].tolist() == [125, 127]
    assert "people" in {choice.name for choice in both.outputs("universal")}


def test_a_changed_file_is_read_again(both: Catalog, own: Path) -> None:
    path = save(own, "people")
    before = both.projection("universal", "people")
    save(own, "people", TWO.replace("road: rest", "road: rest\n  sky: rest"))
    os.utime(path, ns=(1, 1))
    after = both.projection("universal", "people")
    assert (int(before.weights.sum()), int(after.weights.sum())) == (3, 4)
    path.unlink()
    with pytest.raises(UnknownTaxonomyError):
        both.projection("universal", "people")


@pytest.mark.parametrize("name", ["camvid-11", "universal"])
def test_a_shipped_name_cannot_be_taken(both: Catalog, own: Path, name: str) -> None:
    path = save(own, name)
    message = f"{path}: is not used: MSeg Studio's own '{name}' stays; rename this file and its 'name'"
    assert [str(problem) for problem in both.problems()] == [message]
    assert both.table(name).path.parent == resource_folder("taxonomies")
    assert both.is_shipped(name)
    assert len(both.outputs("universal")) == len(Catalog([resource_folder("taxonomies")]).outputs("universal"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("road: rest", "raod: rest", "from_universal: taxonomy 'universal' has no class 'raod'; did you mean road"),
        ("from_universal:", "from_universal:\n  person: rest", "line 9: from_universal has 'person' twice"),
        ("from_universal:", "to: {{nowhere: {{people: x}}}}\nfrom_universal:", "to: unknown taxonomy 'nowhere'"),
        (
            "from_universal:",
            "to: {{voc2012: {{people: persn}}}}\nfrom_universal:",
            "to voc2012: taxonomy 'voc2012' has no class 'persn'; did you mean person",
        ),
    ],
)
def test_links_that_lead_nowhere(both: Catalog, own: Path, old: str, new: str, message: str) -> None:
    path = save(own, "mine", TWO.replace(old, new))
    with pytest.raises(TaxonomyError) as caught:
        both.projection("universal", "mine")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert len(both.problems()) == 1
    assert "mine" not in {choice.name for choice in both.outputs("universal")}


def test_leftovers_and_hidden_files_are_no_taxonomies(both: Catalog, own: Path) -> None:
    for name in (".mseg-part-0123.yaml", ".hidden.yaml", "notes.txt", "a.yml"):
        shutil.copy(save(own, "people"), own / name)
    assert set(both.names()) - set(SHIPPED) == {"people"}


def test_several_threads_may_ask() -> None:
    """The window asks, and so does the thread that listens to the inference process."""
    fresh = Catalog([resource_folder("taxonomies")])
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda name: (fresh.outputs("universal"), fresh.projection("universal", name)), TESTS * 2)
        )
    assert len({outputs for outputs, _ in found}) == 1
    for name, (_, projection) in zip(TESTS * 2, found, strict=True):
        np.testing.assert_array_equal(projection.weights, fresh.projection("universal", name).weights)


def test_an_empty_mapping_is_no_link(both: Catalog, own: Path) -> None:
    """With nothing linked every pixel would become the first class."""
    save(own, "mine", TWO[: TWO.index("from_universal")] + "from_universal: {{}}\nto: {{camvid-11: {{}}}}\n")
    assert both.problems() == ()
    assert [choice.name for choice in both.outputs("mine")] == ["mine"]
    with pytest.raises(TaxonomyError, match="no links lead from taxonomy 'universal' to 'mine'"):
        both.projection("universal", "mine")


def test_a_folder_that_is_none_holds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "folder.yaml").mkdir()
    assert Catalog([file, tmp_path / "missing", tmp_path]).names() == ()


def test_the_default_catalog_follows_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = default_catalog()
    assert default_catalog() is before
    monkeypatch.setenv("MSEG_STUDIO_HOME", str(tmp_path))
    user_folder("taxonomies").mkdir(parents=True)
    save(user_folder("taxonomies"), "people")
    assert "people" in default_catalog().names()
    assert "people" not in before.names()


def test_the_list_for_the_window_is_quick() -> None:
    """The window needs the universal taxonomy and the list of outputs before it shows; 10 ms and 10 ms measured."""
    best_s = float("inf")
    for _ in range(5):
        start_s = time.perf_counter()
        fresh = Catalog([resource_folder("taxonomies")])
        fresh.taxonomy("universal")
        fresh.outputs("universal")
        best_s = min(best_s, time.perf_counter() - start_s)
    assert best_s < 0.25


def test_a_question_lists_every_folder_once(both: Catalog, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(own, "mine")
    both.tables()  # the files are read by now
    listed: list[str] = []
    scan = os.scandir

    def count(folder: str | Path) -> os._ScandirIterator[str]:
        listed.append(str(folder))
        return scan(str(folder))

    monkeypatch.setattr(os, "scandir", count)
    once = sorted([str(resource_folder("taxonomies")), str(own)])
    questions: list[Callable[[], object]] = [
        both.names,
        both.tables,
        both.problems,
        lambda: both.outputs("universal"),
        lambda: both.projection("cityscapes-34", "mine"),
        lambda: class_links(both, "universal", "road"),
    ]
    for question in questions:
        listed.clear()
        question()
        assert sorted(listed) == once
    listed.clear()
    master_table(both)
    assert len(listed) <= 6
