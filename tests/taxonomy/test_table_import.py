"""Tables that people have, as taxonomies of their own."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import TaxonomyError
from mseg_studio.settings import resource_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.lint import lint
from mseg_studio.taxonomy.table_import import FaultyTableError, import_table
from tests.taxonomy.published import ids
from tests.taxonomy.test_lint import MASTER, PAIRS, YAML


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def own(folder: Path) -> Catalog:
    return Catalog([resource_folder("taxonomies"), folder])


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.stem for path in paths]


@pytest.fixture
def master(shared: Path) -> list[list[str]]:
    """MSeg's own table as rows of cells."""
    text = (shared / "data/mseg/class_remapping_files/MSeg_master.tsv").read_bytes().decode()
    return [line.split("\t") for line in text.replace("\r", "").split("\n") if line]


def joined(rows: list[list[str]]) -> str:
    return "".join("\t".join(row) + "\r\n" for row in rows)


def test_two_columns(tmp_path: Path, folder: Path, own: Catalog) -> None:
    (path,) = import_table(write(tmp_path, "robot.csv", PAIRS + "nothing,\n"), own, folder)
    assert path == folder / "robot.yaml"
    assert own.taxonomy("robot").names == ("people", "ground", "nothing")
    assert ids(own.projection("universal", "robot")) == {"person": "people", "bicyclist": "people", "road": "ground"}
    colours = {info.name: info.rgb for info in own.taxonomy("universal").classes}
    assert [info.rgb for info in own.taxonomy("robot").classes][:2] == [colours["person"], colours["road"]]
    assert own.taxonomy("robot").source == "Imported from robot.csv"
    assert own.problems() == ()


def test_two_columns_the_other_way_round(tmp_path: Path, folder: Path, own: Catalog) -> None:
    import_table(write(tmp_path, "robot.csv", "universal;class\nperson;people\nroad;ground\n"), own, folder)
    assert ids(own.projection("universal", "robot")) == {"person": "people", "road": "ground"}


def test_a_name_of_its_own(tmp_path: Path, folder: Path, own: Catalog) -> None:
    path = write(tmp_path, "robot.csv", PAIRS)
    assert names(import_table(path, own, folder, name="rover")) == ["rover"]
    with pytest.raises(TaxonomyError, match="'camvid-11' cannot be saved: there is a taxonomy 'camvid-11' already"):
        import_table(path, own, folder, name="camvid-11")
    with pytest.raises(TaxonomyError, match=r"rover.yaml: is there already"):
        import_table(path, own, folder, name="rover")
    assert names(import_table(path, own, folder, name="rover", replace=True)) == ["rover"]


def test_a_taxonomy_file_from_elsewhere(tmp_path: Path, folder: Path, own: Catalog) -> None:
    path = write(tmp_path, "mine.yaml", YAML)
    assert names(import_table(path, own, folder)) == ["mine"]
    assert names(import_table(path, own, folder, name="yours")) == ["yours"]
    assert own.taxonomy("yours").classes == own.taxonomy("mine").classes
    with pytest.raises(FaultyTableError, match="has no class 'raod'"):
        import_table(
            write(tmp_path, "bad.yaml", YAML.replace("mine", "bad").replace("  road:", "  raod:")), own, folder
        )


def test_new_and_changed_columns_of_a_small_table(tmp_path: Path, folder: Path, own: Catalog) -> None:
    paths = import_table(write(tmp_path, "t.tsv", MASTER), own, folder)
    assert names(paths) == ["my-set", "mine"], "camvid-11 is as published in the rows that are there"
    output = own.table("mine")
    assert output.from_universal == {"person": "people", "bicyclist": "people", "road": "ground"}
    assert output.links == "exact"
    labels = own.table("my-set")
    assert labels.taxonomy.names == ("Human", "Child", "Cyclist", "Ego", "Frame")
    assert labels.to_universal == {"Human": "person", "Child": "person", "Cyclist": "bicyclist"}
    assert labels.from_universal == {"person": "Human", "bicyclist": "Cyclist"}
    assert labels.links == "approximate"
    assert own.problems() == ()


def test_a_table_saved_by_a_spreadsheet(tmp_path: Path, folder: Path, own: Catalog) -> None:
    rows = [line.split("\t") for line in MASTER.splitlines()]
    text = "".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\n" for row in rows)
    assert names(import_table(write(tmp_path, "t.csv", text), own, folder)) == ["my-set", "mine"]
    assert own.taxonomy("my-set").names == ("Human", "Child", "Cyclist", "Ego", "Frame")


def test_the_published_table_holds_nothing_new(tmp_path: Path, folder: Path, own: Catalog, master) -> None:
    path = write(tmp_path, "MSeg_master.tsv", joined(master))
    with pytest.raises(TaxonomyError, match="holds no new column: all are as MSeg publishes them"):
        import_table(path, own, folder)
    assert not folder.exists()


@pytest.mark.parametrize("column", ["camvid-11", "voc2012", "wilddash-19", "scannet-20", "kitti-19"])
def test_a_published_column_comes_back_equal(tmp_path: Path, folder: Path, own: Catalog, master, column: str) -> None:
    (path,) = import_table(write(tmp_path, "m.tsv", joined(master)), own, folder, columns=[column])
    assert path.stem == f"{column}-copy"
    assert own.table(path.stem).from_universal == own.table(column).from_universal


@pytest.mark.parametrize("column", ["ade20k-150", "idd-39-relabeled", "cityscapes-34", "mapillary-public65"])
def test_a_training_column_leads_where_it_should(
    tmp_path: Path, folder: Path, own: Catalog, master, column: str
) -> None:
    (path,) = import_table(write(tmp_path, "m.tsv", joined(master)), own, folder, columns=[column])
    assert own.table(path.stem).to_universal == own.table(column).to_universal
    assert set(own.taxonomy(path.stem).names) == set(own.taxonomy(column).names)
    assert own.table(path.stem).links == own.table(column).links


def test_the_table_with_a_column_of_ones_own(tmp_path: Path, folder: Path, own: Catalog, master) -> None:
    at = master[0].index("universal")
    people = {"person", "bicyclist", "motorcyclist", "rider_other"}
    rows = [[*master[0], "robot"]]
    rows += [[*row, "people" if row[at] in people else "ground" if row[0] == "ground" else ""] for row in master[1:]]
    assert names(import_table(write(tmp_path, "m.tsv", joined(rows)), own, folder)) == ["robot"]
    assert own.taxonomy("robot").names == ("ground", "people")
    assert len(own.projection("universal", "robot").unmapped) == 194 - 9 - 4


def test_merged_rows_change_the_columns_that_they_touch(tmp_path: Path, folder: Path, own: Catalog, master) -> None:
    at, mapillary = master[0].index("universal"), master[0].index("mapillary-public65")
    rows = [list(row) for row in master if row[at] != "motorcyclist"]
    kept = next(row for row in rows if row[at] == "bicyclist")
    kept[mapillary] = "{Bicyclist, Motorcyclist}"
    assert names(import_table(write(tmp_path, "m.tsv", joined(rows)), own, folder)) == ["mapillary-public65-changed"]
    into = own.table("mapillary-public65-changed").to_universal or {}
    assert (into["Bicyclist"], into["Motorcyclist"]) == ("bicyclist", "bicyclist")


def test_mistakes_stop_it_and_nothing_is_written(tmp_path: Path, folder: Path, own: Catalog) -> None:
    text = MASTER.replace("\troad\t", "\traod\t").replace("{Human, Child}", "{Human, Child")
    path = write(tmp_path, "t.tsv", text)
    with pytest.raises(FaultyTableError) as caught:
        import_table(path, own, folder)
    assert str(caught.value).startswith(
        f"{path}: row 2, column my-set: '{{Human, Child': the closing brace is missing (and"
    )
    assert [finding.row for finding in caught.value.findings] == [2, 4]
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ["my-sat"]}, "has no column 'my-sat'; did you mean my-set"),
        ({"name": "x"}, r"holds 2 taxonomies \(my-set, mine\); one name is for one column"),
        ({"columns": ["mine"], "name": "a/b"}, "a taxonomy cannot be called 'a/b'"),
    ],
)
def test_what_cannot_be_imported(tmp_path: Path, folder: Path, own: Catalog, arguments: dict, message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        import_table(write(tmp_path, "t.tsv", MASTER), own, folder, **arguments)
    assert not folder.exists()


def test_all_or_none(tmp_path: Path, folder: Path, own: Catalog) -> None:
    path = write(tmp_path, "t.tsv", MASTER)
    import_table(path, own, folder, columns=["mine"])
    with pytest.raises(TaxonomyError, match=r"mine.yaml: is there already"):
        import_table(path, own, folder)
    assert [entry.name for entry in folder.iterdir()] == ["mine.yaml"]


def test_headers_that_are_no_file_names(tmp_path: Path, folder: Path, own: Catalog) -> None:
    path = write(tmp_path, "t.tsv", MASTER.replace("\tmine\r", "\ta/b\r"))
    with pytest.raises(TaxonomyError, match="a taxonomy cannot be called 'a/b': it is a file name, without /"):
        import_table(path, own, folder)
    assert names(import_table(path, own, folder, columns=["a/b"], name="ab")) == ["ab"]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([("x.yaml", YAML), ("x.tsv", MASTER), ("x.csv", PAIRS)]), st.integers(0, 2**32))
def test_what_passes_the_linter_is_imported(warm: tuple[Catalog, Path], good: tuple[str, str], seed: int) -> None:
    (catalog, folder), chance, (name, text) = warm, random.Random(seed), good
    pieces = ["", "x", " ", "{", "}", "\t", ",", '"', "\n", "é"]
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(pieces) + text[at + chance.randint(0, 2) :]
    shutil.rmtree(folder, ignore_errors=True)
    path = folder.parent / name.replace("x", "mine")
    path.write_text(text)
    try:
        made = import_table(path, catalog, folder)
    except TaxonomyError as error:
        assert "\n" not in str(error)
        assert not folder.exists()
    else:
        assert made
        for file in made:
            assert [finding for finding in lint(file, catalog) if finding.severity == "error"] == []


def test_two_columns_have_no_others(tmp_path: Path, folder: Path, own: Catalog) -> None:
    with pytest.raises(TaxonomyError, match="has no column 'x': it is a table of two columns"):
        import_table(write(tmp_path, "t.csv", PAIRS), own, folder, columns=["x"])
